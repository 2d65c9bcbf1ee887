package main

import (
	_ "embed"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// report is what benchmarks.md says.
type report struct {
	Began    time.Time
	Command  string
	Peers    bool
	Reps     int
	Scale    float64
	Machine  []fact
	Versions []fact
	Sections []*measured
	Load     [2]string // before and after
	Chart    bool      // there is a picture
	sizes    []int     // of backlogs
}

// A fact is a line of a list.
type fact struct{ Name, Text string }

//go:embed report.md.tmpl
var reportText string

func newReport(b *bench, f flags) *report {
	return &report{
		Began: time.Now(), Command: commandLine(),
		Peers: withPeers, Reps: f.reps, Scale: f.scale,
		Machine: machine(b.tmp), Versions: versions(b.bin), Load: [2]string{load()}, sizes: b.backlogSizes(),
	}
}

func (r *report) add(m *measured) { r.Sections = append(r.Sections, m) }

// write writes the report and the picture to dir, or without one the report
// to standard output.
func (r *report) write(dir string) error {
	r.Load[1] = load()
	var chart strings.Builder
	for _, m := range r.Sections {
		if m.name == flatName {
			r.Chart = true
			if err := drawBacklog(&chart, m, r.sizes); err != nil {
				return err
			}
		}
	}
	if dir == "" {
		return r.text(os.Stdout)
	}
	var text strings.Builder
	if err := r.text(&text); err != nil {
		return err
	}
	if r.Chart {
		if err := os.WriteFile(filepath.Join(dir, "benchmarks.svg"), []byte(chart.String()), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "benchmarks.md"), []byte(text.String()), 0o644)
}

func (r *report) text(w io.Writer) error {
	t, err := template.New("report").Parse(reportText)
	if err != nil {
		return err
	}
	return t.Execute(w, r)
}

// What the template asks of a section.

func (m *measured) Title() string { return m.title }
func (m *measured) How() string   { return m.how }
func (m *measured) Note() string  { return note(notesText, m.name) }
func (m *measured) Took() string  { return m.took.Round(time.Second).String() }

// Head is the heads of the columns.
func (m *measured) Head() []string {
	head := []string{"", "durability"}
	for _, c := range m.columns {
		head = append(head, c.name+", "+c.unit)
	}
	return head
}

// Rows are the figures, a row for each line.
func (m *measured) Rows() (rows [][]string) {
	for _, l := range m.lines {
		row := []string{strings.TrimSuffix(l.name, ", "+l.level), l.level}
		for _, v := range m.values[l.name] {
			row = append(row, summarize(v).String())
		}
		rows = append(rows, row)
	}
	return rows
}

// Errors are the lines that failed, and why.
func (m *measured) Errors() (facts []fact) {
	for _, l := range m.lines {
		if err := m.errs[l.name]; err != nil {
			facts = append(facts, fact{l.name, strings.Join(strings.Fields(err.Error()), " ")})
		}
	}
	return facts
}

// Checks are what was to be reached, and whether it was.
func (m *measured) Checks() (rows [][]string) {
	for _, c := range m.checks {
		got := m.check(c)
		rows = append(rows, []string{c.text, got.String() + " " + c.unit, c.reach(), c.met(got)})
	}
	return rows
}

// reach is what a check asks for, in words.
func (c check) reach() string {
	switch {
	case c.least > 0:
		return "≥ " + digits(c.least)
	case c.limited:
		return "≤ " + digits(c.most)
	}
	return ""
}

func (c check) met(got summary) string {
	switch {
	case c.reach() == "":
		return ""
	case math.IsNaN(got.median):
		return "not measured"
	case got.median >= c.least && (!c.limited || got.median <= c.most):
		return "yes"
	}
	return "**no**"
}

// Size says where the sizes are not the real ones.
func (r *report) Size() string {
	if r.Scale == 1 {
		return ""
	}
	return fmt.Sprintf("Sizes are scaled by %g: these figures say nothing about the real ones.", r.Scale)
}

// commandLine is how the program was called. Where it wrote to is of no
// interest to others.
func commandLine() string {
	words := []string{filepath.Base(os.Args[0])}
	for i, w := range os.Args[1:] {
		if before := os.Args[i]; i > 0 && (before == "-tmp" || before == "-o") {
			w = "DIR"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}
