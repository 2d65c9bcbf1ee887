package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
)

// TestKeepsSections measures a part: what is not measured now stays as it was,
// in the order of the workloads, but not beside figures of other sizes.
func TestKeepsSections(t *testing.T) {
	page := template.Must(template.New("report").Parse(reportText))
	order := []workload{{name: "a", title: "A"}, {name: "b", title: "B"}, {name: "c", title: "C"}}
	write := func(dir string, scale float64, names ...string) string {
		r := &report{scale: scale, order: order, measured: map[string]*measured{}, page: page, command: strings.Join(names, "+")}
		for _, w := range order {
			for _, n := range names {
				if w.name == n {
					r.add(&measured{workload: w})
				}
			}
		}
		if err := r.write(dir); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, "benchmarks.md"))
		if err != nil {
			t.Fatal(err)
		}
		var heads []string
		for _, l := range strings.Split(string(text), "\n") {
			if strings.HasPrefix(l, "## ") || strings.HasPrefix(l, "Measured on") {
				heads = append(heads, strings.TrimPrefix(l, "## "))
			}
		}
		got := strings.Join(heads, " ")
		for _, cut := range []string{"Measured on 0001-01-01 on " + processor() + ", with queuectl  in 0s, 0 turns, as ", ".", "`"} {
			got = strings.ReplaceAll(got, cut, "")
		}
		return got
	}
	dir := t.TempDir()
	for _, c := range []struct {
		scale float64
		names []string
		want  string
	}{
		{1, []string{"c", "b"}, "B c+b C c+b Machine and versions"},
		{1, []string{"a"}, "A a B c+b C c+b Machine and versions"},
		{1, []string{"b"}, "A a B b C c+b Machine and versions"},
		{0.5, []string{"b"}, "B b Machine and versions"},
	} {
		if got := write(dir, c.scale, c.names...); got != c.want {
			t.Errorf("%v: %s instead of %s", c.names, got, c.want)
		}
	}
}
