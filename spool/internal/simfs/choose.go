package simfs

import (
	"iter"
	"math/rand/v2"
)

// Stay lets a process go on as long as it can: no interleaving at all.
func Stay(t Turn) int { return max(t.Current, 0) }

// Random chooses by lot among those who are ready and, seldom, those asleep.
func Random(seed uint64) func(Turn) int {
	lot := rand.New(rand.NewPCG(seed, 0))
	return func(t Turn) int {
		if t.Ready > 0 && lot.IntN(8) > 0 {
			return lot.IntN(t.Ready)
		}
		return lot.IntN(len(t.Runnable))
	}
}

// Explore yields one chooser after the other, for one run each, until all
// interleavings have been seen that take the turn from a process at most so
// many times while it could go on (waking a sleeper before its time counts
// likewise).
func Explore(switches int) iter.Seq[func(Turn) int] {
	return func(yield func(func(Turn) int) bool) {
		for path := range Paths(switches) {
			if !yield(func(t Turn) int { return path.Choose(len(t.Runnable), t.options).What.(int) }) {
				return
			}
		}
	}
}

// options are who may go on: at no cost the one who has the turn, or where it
// cannot, anybody who is ready.
func (t Turn) options() []Option {
	options := []Option{{What: Stay(t)}}
	for i := range t.Runnable {
		cost := 0
		if t.Current >= 0 || i >= t.Ready {
			cost = 1
		}
		if i != Stay(t) {
			options = append(options, Option{cost, i})
		}
	}
	return options
}
