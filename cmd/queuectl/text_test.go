//go:build !windows

package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"plain text":          "plain text",
		"grün ✓ 漢字":           "grün ✓ 漢字",
		"a\nb\tc\r":           `a\nb\tc\r`,
		"\x1b[31mred\x07":     `\x1b[31mred\x07`,
		"latin \xe9":          `latin \xe9`,
		"\u009b2J":            `\x9b2J`,
		"evil\u202egnp.exe":   `evil\u202egnp.exe`,
		"\U000e0041 tag":      `\U000e0041 tag`,
		"a real \ufffd stays": `a real \ufffd stays`,
	} {
		if got := escape(in); got != want {
			t.Errorf("escape(%q) = %s, want %s", in, got, want)
		}
	}
}

// Whatever way a log is cut into pieces, the same comes out.
func TestEscaperCuts(t *testing.T) {
	const in = "ü\x1b[1m\tok\n漢\xe9\xff字\xf0\x9f\x98"
	const want = `ü\x1b[1m` + "\tok\n漢" + `\xe9\xff` + "字" + `\xf0\x9f\x98`
	for size := 1; size <= len(in); size++ {
		var out bytes.Buffer
		e := &escaper{w: &out}
		for rest := []byte(in); len(rest) > 0; {
			n := min(size, len(rest))
			if m, err := e.Write(rest[:n]); m != n || err != nil {
				t.Fatalf("Write = %d, %v; want %d", m, err, n)
			}
			rest = rest[n:]
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("in pieces of %d: %q, want %q", size, out.String(), want)
		}
	}
}

func TestWriteJSONIsSafeOnATerminal(t *testing.T) {
	var out bytes.Buffer
	in := "\x1b[2J \u009b2J \x7f <&>"
	if err := writeJSON(&out, in); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), `"\u001b[2J \u009b2J \u007f <&>"`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var back string
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back != in {
		t.Errorf("reads back as %q, %v", back, err)
	}
}

func TestAbout(t *testing.T) {
	for in, want := range map[time.Duration]string{
		0:                               "0s",
		1500 * time.Microsecond:         "2ms",
		250 * time.Millisecond:          "250ms",
		12400 * time.Millisecond:        "12s",
		59900 * time.Millisecond:        "1m",
		200 * time.Second:               "3m20s",
		45*time.Minute + 10*time.Second: "45m",
		time.Hour - time.Millisecond:    "1h",
		90 * time.Minute:                "1h30m",
		24*time.Hour - time.Second:      "1d",
		36 * time.Hour:                  "1d12h",
		400*24*time.Hour + 3*time.Hour:  "400d",
		9*24*time.Hour + 23*time.Hour + 59*time.Minute: "10d",
		1<<63 - 1: "106751d", // also what Time.Sub gives for more
	} {
		if got := about(in); got != want {
			t.Errorf("about(%v) = %s, want %s", in, got, want)
		}
	}
}

func TestWhen(t *testing.T) {
	now := time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		0: "now", 900 * time.Millisecond: "now", 12 * time.Second: "in 12s", -3 * time.Minute: "3m ago",
	} {
		if got := when(now.Add(d), now); got != want {
			t.Errorf("when(%v) = %s, want %s", d, got, want)
		}
	}
	if got := when(time.Time{}, now); got != "" {
		t.Errorf("when(zero) = %q", got)
	}
}

func TestShellLine(t *testing.T) {
	got := shellLine([]string{"convert", "a b", "", "it's", "x=1", "$HOME", "~"})
	if want := `convert 'a b' '' 'it'\''s' x=1 '$HOME' '~'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestClosest(t *testing.T) {
	names := []string{"retry_base", "max_retries", "sync", "json"}
	for in, want := range map[string]string{
		"retry_bse": "retry_base", "maxretries": "max_retries", "synk": "sync", "jsn": "json",
		"zzz": "", "": "",
	} {
		if got := closest(in, names); got != want {
			t.Errorf("closest(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestTableCutsAndAligns(t *testing.T) {
	var out strings.Builder
	tab := newTable(&out, 20, true)
	tab.head("ID", "STATE", "COMMAND")
	tab.add(cell{text: "a"}, cell{"dead", "31"}, cell{text: "echo a long command"})
	tab.add(cell{text: "long-id"}, cell{"held", ""}, cell{text: "x\x1b[0m"})
	if err := tab.flush(); err != nil {
		t.Fatal(err)
	}
	want := "\x1b[1mID\x1b[0m       \x1b[1mSTATE\x1b[0m  \x1b[1mCOMMAND\x1b[0m\n" +
		"a        \x1b[31mdead\x1b[0m   echo a …\n" +
		"long-id  held   x\\x1b[0m\n"
	if out.String() != want {
		t.Errorf("got\n%q\nwant\n%q", out.String(), want)
	}
}

// A long list is written in chunks whose columns do not shrink.
func TestTableChunks(t *testing.T) {
	var out strings.Builder
	tab := newTable(&out, 0, false)
	tab.row("a-rather-long-id", "x")
	for range 2 * chunk {
		tab.row("id", "x")
	}
	if out.Len() == 0 {
		t.Error("nothing is written before the end")
	}
	if err := tab.flush(); err != nil {
		t.Fatal(err)
	}
	for i, l := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		if strings.Index(l, "x") != len("a-rather-long-id")+2 {
			t.Fatalf("line %d is not aligned: %q", i+1, l)
		}
	}
}
