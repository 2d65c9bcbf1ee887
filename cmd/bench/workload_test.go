package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// TestMeasure has a line that fails in its second turn: the others go on, in
// turns, and what is compared with it is taken from the first one.
func TestMeasure(t *testing.T) {
	var order []string
	speed := map[string][]float64{"a": {10, 20, 30}, "b": {5, 0, 0}, "c": {1, 1, 1}}
	w := workload{name: "w", columns: []column{{"rate", "jobs/s"}}}
	for _, name := range []string{"a", "b", "c"} {
		n := 0
		w.lines = append(w.lines, line{name: name, run: func(context.Context) ([]float64, error) {
			order = append(order, name)
			n++
			if v := speed[name][n-1]; v > 0 {
				return []float64{v}, nil
			}
			return nil, errors.New("broken")
		}})
	}
	m := measure(t.Context(), w, 3, io.Discard)
	if got := strings.Join(order, ""); got != "abcabcac" {
		t.Errorf("the order is %s", got)
	}
	if got := m.check(ratio("", "a", "c", 0, 2)).String(); got != "20 (10–30)" {
		t.Errorf("a against c is %s", got)
	}
	if got := m.check(ratio("", "a", "b", 0, 2)).String(); got != "2 (2–2)" {
		t.Errorf("a against b is %s", got)
	}
	if got := fmt.Sprint(m.Errors()); got != "[{b broken}]" {
		t.Errorf("the errors are %s", got)
	}
}

// TestMet says yes and no, and neither where nothing was measured.
func TestMet(t *testing.T) {
	w := workload{columns: []column{{}}, lines: []line{{name: "a"}, {name: "b"}}}
	m := &measured{workload: w, values: map[string][][]float64{"a": {{3}}, "b": {{2}}}}
	for _, c := range []struct {
		check check
		want  string
	}{
		{ratio("", "a", "b", 0, 1.5), "yes"},
		{ratio("", "a", "b", 0, 2), "**no**"},
		{ratio("", "a", "b", 0, 0), ""},
		{ratio("", "a", "nobody", 0, 2), "not measured"},
		{atMost("", "a", 0, "s", 3), "yes"},
		{atMost("", "a", 0, "s", 0), "**no**"},
	} {
		if got := c.check.met(m.check(c.check)); got != c.want {
			t.Errorf("%+v: %q, want %q", c.check, got, c.want)
		}
	}
}

// TestChecksName has every check of every workload compare lines that are
// there.
func TestChecksName(t *testing.T) {
	b := &bench{scale: 0.01}
	for _, w := range b.workloads() {
		var names []string
		for _, l := range w.lines {
			names = append(names, l.name)
		}
		for i, name := range names {
			if slices.Index(names, name) != i {
				t.Errorf("%s: two lines are %q", w.name, name)
			}
		}
		for _, c := range w.checks {
			c.value(func(line string, col int) float64 {
				if !slices.Contains(names, line) || col >= len(w.columns) {
					t.Errorf("%s: %q asks for column %d of %q", w.name, c.text, col, line)
				}
				return 1
			})
		}
	}
}

func TestChoose(t *testing.T) {
	all := []workload{
		{name: "one", lines: []line{{name: "a1"}, {name: "b1"}, {name: "c1"}}},
		{name: "two", lines: []line{{name: "a2"}}},
		{name: "vast", huge: true},
	}
	for only, want := range map[string]string{
		"": "one[a1 b1 c1] two[a2] ", "two": "two[a2] ", "two,one:c,one:a": "one[a1 c1] two[a2] ", "one:x": "one[] ", "vast,two": "two[a2] vast[] ",
	} {
		chosen, err := choose(slices.Clone(all), only, false)
		got := ""
		for _, w := range chosen {
			var names []string
			for _, l := range w.lines {
				names = append(names, l.name)
			}
			got += fmt.Sprint(w.name, names, " ")
		}
		if got != want || err != nil {
			t.Errorf("%q: %q, %v, want %q", only, got, err, want)
		}
	}
	if chosen, err := choose(slices.Clone(all), "", true); len(chosen) != len(all) || err != nil {
		t.Errorf("with the huge ones: %v, %v", chosen, err)
	}
	if _, err := choose(all, "one,three", false); err == nil || !strings.Contains(err.Error(), `"three"`) {
		t.Errorf("an unknown name: %v", err)
	}
}
