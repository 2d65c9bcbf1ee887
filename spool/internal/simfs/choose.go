package simfs

import (
	"fmt"
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
// likewise). Few such switches find nearly all bugs of interleaving, and their
// number is what the count of runs is exponential in. Runs must be
// deterministic but for the choices.
func Explore(switches int) iter.Seq[func(Turn) int] {
	return func(yield func(func(Turn) int) bool) {
		var path []*branch
		for {
			depth, left := 0, switches
			run := func(t Turn) int {
				if depth == len(path) {
					path = append(path, newBranch(t, left))
				}
				b := path[depth]
				if b.of != len(t.Runnable) {
					panic(fmt.Sprintf("simfs: turn %d has %d runnable processes, and had %d in the run before: runs are not deterministic", t.Number, len(t.Runnable), b.of))
				}
				depth++
				left -= b.options[b.at].cost
				return b.options[b.at].index
			}
			if !yield(run) {
				return
			}
			path = path[:depth]
			for len(path) > 0 && path[len(path)-1].last() {
				path = path[:len(path)-1]
			}
			if len(path) == 0 {
				return
			}
			path[len(path)-1].at++
		}
	}
}

// A branch is a turn on the way, with what can be chosen there.
type branch struct {
	options []option
	at      int // the one that is being tried
	of      int // how many were runnable
}

type option struct{ index, cost int }

func (b *branch) last() bool { return b.at == len(b.options)-1 }

func newBranch(t Turn, left int) *branch {
	b := &branch{of: len(t.Runnable)}
	b.options = append(b.options, option{Stay(t), 0})
	for i := range t.Runnable {
		cost := 0
		if t.Current >= 0 || i >= t.Ready {
			cost = 1
		}
		if i != Stay(t) && cost <= left {
			b.options = append(b.options, option{i, cost})
		}
	}
	return b
}
