package main

import (
	"cmp"
	_ "embed"
	"errors"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
)

//go:embed chart.svg.tmpl
var chartText string

// A chart is what the template draws: x is on a logarithmic scale, y begins
// at 0. Lengths are pixels.
type chart struct {
	Width, Height            float64
	Left, Right, Top, Bottom float64 // of the plot in it
	X, Y                     []tick
	Curves                   []curve
}

type tick struct {
	At   float64
	Text string
}

type curve struct {
	Name, Colour string
	Points       []point
}

// A point has its spread: the ends of a vertical line.
type point struct{ X, Y, Low, High float64 }

// Last is the point at which the curve's name stands.
func (c curve) Last() point { return c.Points[len(c.Points)-1] }

// colours are told apart by those who see no red or green, too.
var colours = []string{"#0b63a5", "#d9730d"}

// backlogRow is a line of a table of flat: how many jobs wait, how many pools
// there are, and the rate with its spread.
var backlogRow = regexp.MustCompile(`(?m)^\| ([\d,]+) pending, (\d+) pools? \|[^|]*\| ([\d,.]+) \(([\d,.]+)–([\d,.]+)\) \|`)

// A rate is one such line.
type rate struct{ pending, pools, median, low, high float64 }

// drawBacklog draws the rate against how many jobs wait, a curve for each
// number of pools, from the tables of a report.
func drawBacklog(w io.Writer, report string) error {
	c := chart{Width: 720, Height: 400, Left: 80, Right: 610, Top: 60, Bottom: 340}
	rows := backlogRows(report)
	if len(rows) == 0 {
		return errors.New("no backlog to draw")
	}
	var sizes []float64
	top := 0.0
	for _, r := range rows {
		sizes, top = append(sizes, r.pending), max(top, r.high)
	}
	slices.Sort(sizes)
	sizes = slices.Compact(sizes)
	x := scale(math.Log10(sizes[0]), math.Log10(sizes[len(sizes)-1]), c.Left, c.Right)
	y := scale(0, top, c.Bottom, c.Top)
	for _, size := range sizes {
		c.X = append(c.X, tick{x(math.Log10(size)), thousands(int(size))})
	}
	step := niceStep(top / 5)
	for v := 0.0; v <= top; v += step {
		c.Y = append(c.Y, tick{y(v), thousands(int(v))})
	}
	for i, k := range poolCounts {
		line := curve{Name: plural(k, "pool"), Colour: colours[i]}
		for _, r := range rows {
			if r.pools == float64(k) {
				line.Points = append(line.Points, point{x(math.Log10(r.pending)), y(r.median), y(r.low), y(r.high)})
			}
		}
		if len(line.Points) > 0 {
			c.Curves = append(c.Curves, line)
		}
	}
	t, err := template.New("chart").Parse(chartText)
	if err != nil {
		return err
	}
	return t.Execute(w, c)
}

// backlogRows are the lines of a report, by how many jobs wait; each case once,
// as it comes first.
func backlogRows(report string) (rows []rate) {
	for _, m := range backlogRow.FindAllStringSubmatch(report, -1) {
		var v [5]float64
		for i := range v {
			v[i], _ = strconv.ParseFloat(strings.ReplaceAll(m[i+1], ",", ""), 64) // digits by the pattern
		}
		r := rate{v[0], v[1], v[2], v[3], v[4]}
		if !slices.ContainsFunc(rows, func(o rate) bool { return o.pending == r.pending && o.pools == r.pools }) {
			rows = append(rows, r)
		}
	}
	slices.SortStableFunc(rows, func(a, b rate) int { return cmp.Compare(a.pending, b.pending) })
	return rows
}

// scale maps [low, high] to [from, to].
func scale(low, high, from, to float64) func(float64) float64 {
	if low == high {
		return func(float64) float64 { return from }
	}
	return func(v float64) float64 { return from + (v-low)/(high-low)*(to-from) }
}

// niceStep is the next of 1, 2, 5, 10, 20, 50, … from v on.
func niceStep(v float64) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(max(v, 1))))
	for _, f := range []float64{1, 2, 5} {
		if f*decade >= v {
			return f * decade
		}
	}
	return 10 * decade
}
