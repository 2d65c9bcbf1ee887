package simfs

import (
	"fmt"
	"iter"
	"math/rand/v2"
)

// An Option is one way to go on, and what it costs.
type Option struct {
	Cost int
	What any
}

// A Path is the way that one run takes through all choices that can be made.
// Runs must be deterministic but for these.
type Path struct {
	left     int
	depth    int
	branches []*branch
	lot      *rand.Rand // chooses, where not nil
	seldom   int
}

// A branch is a choice on the way.
type branch struct {
	mark    any // of where it is
	options []Option
	at      int // the one that is being tried
}

// Paths yields one path after the other, for one run each, until every run has
// been seen whose choices cost at most so much together. Few disturbances find
// nearly all bugs of interleaving, and their number is what the count of runs
// is exponential in.
func Paths(budget int) iter.Seq[*Path] {
	return func(yield func(*Path) bool) {
		for p := new(Path); ; {
			p.left, p.depth = budget, 0
			if !yield(p) || !p.next() {
				return
			}
		}
	}
}

// Walk is a path by lot: one choice in so many is one that costs, as long as
// the budget lasts.
func Walk(seed uint64, budget, seldom int) *Path {
	return &Path{left: budget, lot: rand.New(rand.NewPCG(seed, 0)), seldom: seldom}
}

// Choose returns one of the options, which are asked for where this choice is
// made for the first time. The first one must cost nothing. The mark tells
// whether a run has come to the same place as the one before.
func (p *Path) Choose(mark any, options func() []Option) Option {
	if p.Fresh() {
		p.branches = append(p.branches, p.branch(options()))
		p.branches[p.depth].mark = mark
	}
	b := p.branches[p.depth]
	if b.mark != mark {
		panic(fmt.Sprintf("simfs: choice %d is %v, and was %v in the run before: runs are not deterministic", p.depth+1, mark, b.mark))
	}
	p.depth++
	p.left -= b.options[b.at].Cost
	return b.options[b.at]
}

// branch keeps the options that can be paid for.
func (p *Path) branch(all []Option) *branch {
	b := new(branch)
	costly := p.lot == nil || p.lot.IntN(p.seldom) == 0
	for _, o := range all {
		if o.Cost <= p.left && (o.Cost == 0 || costly) {
			b.options = append(b.options, o)
		}
	}
	if p.lot != nil {
		b.at = p.lot.IntN(len(b.options))
	}
	return b
}

// Fresh reports whether the next choice was not made in an earlier run.
func (p *Path) Fresh() bool { return p.depth == len(p.branches) }

// Left is what later choices may cost.
func (p *Path) Left() int { return p.left }

// next turns to the next option of the last choice that has one.
func (p *Path) next() bool {
	n := min(p.depth, len(p.branches))
	for ; n > 0; n-- {
		if b := p.branches[n-1]; b.at < len(b.options)-1 {
			b.at++
			break
		}
	}
	p.branches = p.branches[:n]
	return n > 0
}
