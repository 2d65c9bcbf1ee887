package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"
)

// A workload is one section of the report: contenders that do the same work.
type workload struct {
	name    string // for -only
	title   string
	how     string // what is timed, for the reader
	columns []column
	lines   []line
	checks  []check
	done    func() error // where there is something to clear away
	huge    bool         // only with -huge, or by its name
}

// A column is one of the figures that a repetition gives.
type column struct{ name, unit string }

// A line is one contender.
type line struct {
	name  string
	level string // of durability
	run   func(context.Context) ([]float64, error)
}

// A check is one thing that is to be reached.
type check struct {
	text        string
	value       func(figures) float64 // in one turn
	unit        string
	least, most float64 // what is asked for; 0 where nothing is
	limited     bool    // most counts
}

// figures gives what a line measured in one turn.
type figures func(line string, column int) float64

// ratio is a over b, both rates.
func ratio(text, a, b string, col int, least float64) check {
	return check{text: text, unit: "×", least: least, value: func(at figures) float64 { return at(a, col) / at(b, col) }}
}

// atMost bounds one figure.
func atMost(text, a string, col int, unit string, most float64) check {
	return check{text: text, unit: unit, most: most, limited: true, value: func(at figures) float64 { return at(a, col) }}
}

// measured is a workload with what came of it: a value for each line, column
// and turn, NaN where the line failed.
type measured struct {
	workload
	values map[string][][]float64 // by line; [column][turn]
	errs   map[string]error
	took   time.Duration
}

// measure runs a workload: the lines take turns. A line that fails once is
// left out from then on, and the report says why.
func measure(ctx context.Context, w workload, reps int, log io.Writer) *measured {
	m := &measured{workload: w, values: map[string][][]float64{}, errs: map[string]error{}}
	for _, l := range w.lines {
		m.values[l.name] = make([][]float64, len(w.columns))
	}
	began := time.Now()
	for rep := range reps {
		for _, l := range w.lines {
			m.turn(ctx, l, rep, log)
		}
	}
	if w.done != nil {
		if err := w.done(); err != nil {
			fmt.Fprintf(log, "%s: %v\n", w.name, err)
		}
	}
	m.took = time.Since(began)
	return m
}

func (m *measured) turn(ctx context.Context, l line, rep int, log io.Writer) {
	if m.errs[l.name] == nil && ctx.Err() == nil {
		began := time.Now()
		got, err := l.run(ctx)
		m.add(l.name, got, err)
		fmt.Fprintf(log, "%s %d %s: %.4g (%.1f s)", m.name, rep+1, l.name, got, time.Since(began).Seconds())
		if err != nil {
			fmt.Fprintf(log, " %v", err)
		}
		fmt.Fprintln(log)
		return
	}
	m.add(l.name, nil, nil)
}

// add notes what a turn gave. Turns count alike for all lines, so that they
// can be compared.
func (m *measured) add(name string, got []float64, err error) {
	if err != nil {
		m.errs[name] = err
	}
	for i, c := range m.values[name] {
		v := math.NaN()
		if err == nil && i < len(got) {
			v = got[i]
		}
		m.values[name][i] = append(c, v)
	}
}

// of is what a line measured, turn by turn; nothing where it was not chosen.
func (m *measured) of(line string, col int) []float64 {
	if v, ok := m.values[line]; ok {
		return v[col]
	}
	return nil
}

// check works out a check in every turn.
func (m *measured) check(c check) summary {
	var got []float64
	for turn := range m.turns() {
		got = append(got, c.value(func(line string, col int) float64 {
			if v := m.of(line, col); v != nil {
				return v[turn]
			}
			return math.NaN()
		}))
	}
	return summarize(got)
}

func (m *measured) turns() int {
	for _, v := range m.values {
		return len(v[0])
	}
	return 0
}
