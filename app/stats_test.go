package app

import (
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	bounds := []float64{0.01, 0.1, 1}
	before := Histogram{Bounds: bounds, Counts: []uint64{5, 0, 0, 0}, Sum: 0.01}
	h := Histogram{Bounds: bounds, Counts: []uint64{5, 90, 9, 1}, Sum: 20.01}
	between := h.Since(before)
	if between.Count() != 100 || between.Sum != 20 {
		t.Errorf("between: %+v", between)
	}
	for _, c := range []struct {
		h    Histogram
		q    float64
		want time.Duration
	}{
		{between, 0, 10 * time.Millisecond},
		{between, 0.45, 55 * time.Millisecond},
		{between, 0.9, 100 * time.Millisecond},
		{between, 0.99, time.Second},
		{between, 1, time.Second}, // beyond the bounds
		{before, 0.5, 5 * time.Millisecond},
		{Histogram{}, 0.5, 0},
		{Histogram{}.Plus(before).Plus(before), 0.5, 5 * time.Millisecond},
		{before.Since(h), 0.5, 0}, // the process was started anew
	} {
		if got := c.h.Quantile(c.q); got.Round(time.Microsecond) != c.want {
			t.Errorf("%v of %v: %v, want %v", c.q, c.h.Counts, got, c.want)
		}
	}
}
