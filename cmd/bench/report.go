package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// report is what benchmarks.md says.
type report struct {
	began    time.Time
	command  string
	version  string // of queuectl
	Peers    bool
	scale    float64
	Machine  []fact
	Versions []fact
	Texts    []string // of the sections
	Chart    bool     // there is a picture
	measured map[string]*measured
	order    []workload // all there are
	page     *template.Template
}

// A fact is a line of a list.
type fact struct{ Name, Text string }

//go:embed report.md.tmpl
var reportText string

func newReport(b *bench, f flags) (*report, error) {
	page, err := template.New("report").Parse(reportText)
	return &report{
		began: time.Now(), command: commandLine(), version: said(b.bin, "--version"),
		Peers: withPeers, scale: f.scale, Machine: machine(b.tmp), Versions: versions(),
		measured: map[string]*measured{}, order: b.workloads(), page: page,
	}, err
}

func (r *report) add(m *measured) { r.measured[m.name] = m }

// print prints what was measured.
func (r *report) print(w io.Writer) error {
	if err := r.sections(""); err != nil {
		return err
	}
	return r.page.Execute(w, r)
}

// write writes the report and the picture to dir. Sections that were not
// measured now are kept, if these are the real sizes.
func (r *report) write(dir string) error {
	name := filepath.Join(dir, "benchmarks.md")
	before, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if r.scale != 1 {
		before = nil
	}
	if err := r.sections(string(before)); err != nil {
		return err
	}
	if r.Chart {
		var chart strings.Builder
		if err := drawBacklog(&chart, strings.Join(r.Texts, "\n")); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "benchmarks.svg"), []byte(chart.String()), 0o644); err != nil {
			return err
		}
	}
	var text strings.Builder
	if err := r.page.Execute(&text, r); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(text.String()), 0o644)
}

// sections collects the sections in their order: those measured now, and of
// the report that was there before those that were not.
func (r *report) sections(before string) error {
	r.Texts = nil
	for _, w := range r.order {
		text := sectionOf(before, w.title)
		if m := r.measured[w.name]; m != nil {
			var b strings.Builder
			if err := r.page.ExecuteTemplate(&b, "section", section{m, r}); err != nil {
				return err
			}
			text = b.String()
		}
		if text != "" {
			r.Texts = append(r.Texts, text)
		}
	}
	r.Chart = len(backlogRows(strings.Join(r.Texts, "\n"))) > 0
	return nil
}

// sectionOf is the section of a report with a title, or nothing.
func sectionOf(report, title string) string {
	for part := range strings.SplitSeq(report, "\n## ") {
		if head, _, _ := strings.Cut(part, "\n"); head == title {
			return "## " + strings.TrimSpace(part)
		}
	}
	return ""
}

// A section is what the template knows of a workload and how it was measured.
type section struct {
	*measured
	r *report
}

func (s section) Began() time.Time  { return s.r.began }
func (s section) Processor() string { return processor() }
func (s section) Command() string   { return s.r.command }
func (s section) Version() string   { return strings.TrimPrefix(s.r.version, "queuectl ") }
func (s section) Turns() int        { return s.turns() }

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
	if r.scale == 1 {
		return ""
	}
	return fmt.Sprintf("Sizes are scaled by %g: these figures say nothing about the real ones.", r.scale)
}

// commandLine is how the program was called. Where it wrote to is of no
// interest to others.
func commandLine() string {
	words := []string{filepath.Base(os.Args[0])}
	for i, w := range os.Args[1:] {
		switch before := os.Args[i]; {
		case i > 0 && (before == "-tmp" || before == "-o"):
			w = "DIR"
		case i > 0 && before == "-queuectl":
			w = "PATH"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}
