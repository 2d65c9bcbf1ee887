package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// A summary is a figure of several turns: the median, and its spread.
type summary struct{ median, min, max float64 }

// summarize leaves out what is not a number; of nothing it gives one.
func summarize(v []float64) summary {
	v = slices.DeleteFunc(slices.Clone(v), math.IsNaN)
	if len(v) == 0 {
		return summary{math.NaN(), math.NaN(), math.NaN()}
	}
	return summary{quantile(v, 0.5), slices.Min(v), slices.Max(v)}
}

// String is the median with the spread behind it.
func (s summary) String() string {
	if math.IsNaN(s.median) {
		return "–"
	}
	return fmt.Sprintf("%s (%s–%s)", digits(s.median), digits(s.min), digits(s.max))
}

// quantile is the value below which the part q of v lies.
func quantile(v []float64, q float64) float64 {
	v = slices.Sorted(slices.Values(v))
	at := q * float64(len(v)-1)
	low := int(at)
	if low+1 >= len(v) {
		return v[low]
	}
	return v[low] + (at-float64(low))*(v[low+1]-v[low])
}

// digits writes three significant digits, and whole numbers from 100 on.
func digits(v float64) string {
	if math.Abs(v) >= 99.95 || v == math.Trunc(v) {
		return thousands(int(math.Round(v)))
	}
	s := fmt.Sprintf("%#.3g", v)
	if strings.Contains(s, "e") { // next to nothing
		return "0"
	}
	return s
}

// thousands writes 10,000 for 10000.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// perSecond is how many of n were done in a second.
func perSecond(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }

// ms and us are a duration as a figure.
func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
