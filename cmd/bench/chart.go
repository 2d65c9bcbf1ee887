package main

import (
	_ "embed"
	"io"
	"math"
	"slices"
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

// drawBacklog draws the rate against how many jobs wait, a curve for each
// number of pools.
func drawBacklog(w io.Writer, m *measured, sizes []int) error {
	c := chart{Width: 720, Height: 400, Left: 80, Right: 610, Top: 60, Bottom: 340}
	top := 0.0
	for _, l := range m.lines {
		if s := summarize(m.of(l.name, 0)); !math.IsNaN(s.max) {
			top = max(top, s.max)
		}
	}
	x := scale(math.Log10(float64(sizes[0])), math.Log10(float64(slices.Max(sizes))), c.Left, c.Right)
	y := scale(0, top, c.Bottom, c.Top)
	for _, size := range sizes {
		c.X = append(c.X, tick{x(math.Log10(float64(size))), thousands(size)})
	}
	step := niceStep(top / 5)
	for v := 0.0; v <= top; v += step {
		c.Y = append(c.Y, tick{y(v), thousands(int(v))})
	}
	for i, k := range poolCounts {
		line := curve{Name: plural(k, "pool"), Colour: colours[i]}
		for _, size := range sizes {
			s := summarize(m.of(flatLabel(size, k), 0))
			if !math.IsNaN(s.median) {
				line.Points = append(line.Points, point{x(math.Log10(float64(size))), y(s.median), y(s.min), y(s.max)})
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

// scale maps [low, high] to [from, to].
func scale(low, high, from, to float64) func(float64) float64 {
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
