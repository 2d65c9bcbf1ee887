package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

// TestDrawBacklog draws what a run gives in which some lines failed and others
// were not chosen: well-formed XML, with the points that there are.
func TestDrawBacklog(t *testing.T) {
	sizes := []int{1000, 100_000, 1_000_000}
	m := &measured{
		workload: workload{lines: []line{{name: flatLabel(1000, 1)}, {name: flatLabel(100_000, 1)}, {name: flatLabel(1_000_000, 1)}}},
		values: map[string][][]float64{
			flatLabel(1000, 1):      {{900, 1000, 1100}},
			flatLabel(100_000, 1):   {{500, 500, 500}},
			flatLabel(1_000_000, 1): {{math.NaN(), math.NaN(), math.NaN()}},
		},
	}
	var out strings.Builder
	if err := drawBacklog(&out, m, sizes); err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(strings.NewReader(out.String())); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for what, want := range map[string]int{"<circle": 2, "<polyline": 1, ">1 pool<": 1, ">8 pools<": 0, ">1,000,000<": 1, "NaN": 0} {
		if got := strings.Count(out.String(), what); got != want {
			t.Errorf("%s: %d times, want %d", what, got, want)
		}
	}
}
