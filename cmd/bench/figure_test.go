package main

import (
	"math"
	"testing"
)

func TestDigits(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.00001: "0", 0.0123: "0.0123", 0.9: "0.900", 1: "1", 2: "2", 2.345: "2.35", 12.34: "12.3",
		99.96: "100", 100: "100", 1234.5: "1,235", 1234567: "1,234,567",
	} {
		if got := digits(v); got != want {
			t.Errorf("digits(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestSummary(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		of   []float64
		want string
	}{
		{[]float64{3, 1, 2}, "2 (1–3)"},
		{[]float64{3, nan, 1, 2, 200}, "2.50 (1–200)"},
		{[]float64{nan}, "–"},
	} {
		if got := summarize(c.of).String(); got != c.want {
			t.Errorf("%v: %q, want %q", c.of, got, c.want)
		}
	}
}

func TestQuantile(t *testing.T) {
	v := []float64{5, 1, 4, 2, 3}
	for q, want := range map[float64]float64{0: 1, 0.5: 3, 0.75: 4, 0.99: 4.96, 1: 5} {
		if got := quantile(v, q); math.Abs(got-want) > 1e-9 {
			t.Errorf("quantile %v = %v, want %v", q, got, want)
		}
	}
}

func TestNiceStep(t *testing.T) {
	for v, want := range map[float64]float64{0: 1, 1: 1, 3: 5, 7: 10, 11: 20, 2400: 5000} {
		if got := niceStep(v); got != want {
			t.Errorf("niceStep(%v) = %v, want %v", v, got, want)
		}
	}
}
