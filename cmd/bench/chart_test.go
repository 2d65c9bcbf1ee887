package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

// TestDrawBacklog draws what a report says in which a line has no figure and a
// case stands in two sections: well-formed XML, with the points that there are.
func TestDrawBacklog(t *testing.T) {
	const report = `
| 1,000 pending, 1 pool | sync full | 1,000 (900–1,100) |
| 100,000 pending, 1 pool | sync full | 500 (99.5–500) |
| 1,000,000 pending, 1 pool | sync full | – |
| 1,000,000 pending, 1 pool against 1,000 pending, 1 pool | 0.900 (0.8–1) × | ≥ 0.900 | yes |

| 1,000 pending, 1 pool | sync full | 2,000 (900–2,100) |
| 10,000,000 pending, 8 pools | sync full | 700 (690–710) |
`
	var out strings.Builder
	if err := drawBacklog(&out, report); err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(strings.NewReader(out.String())); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for what, want := range map[string]int{
		"<circle": 3, "<polyline": 2, ">1 pool<": 1, ">8 pools<": 1, ">1,000,000<": 0, ">10,000,000<": 1, "NaN": 0, ">2,000<": 0, ">1,000<": 2,
	} {
		if got := strings.Count(out.String(), what); got != want {
			t.Errorf("%s: %d times, want %d", what, got, want)
		}
	}
	if drawBacklog(io.Discard, "nothing") == nil {
		t.Error("a picture of nothing")
	}
}
