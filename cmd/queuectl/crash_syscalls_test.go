//go:build linux

package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// A crashScene is a program at work on a spool, and what it promises.
type crashScene struct {
	name  string
	setup func(b *bench) // makes what each run finds
	stdin string
	args  []string
	after func(c *crashed)
	found []place // where faults have found something: in every form
}

// A place is the last call of a name whose arguments hold a text.
type place struct{ call, at, what string }

// A crashed is one run of a scene in which a fault has come, after a clean
// pool has taken over and has run all there is.
type crashed struct {
	*bench
	fault
	traced
	where []call // what was hit
}

// TestCrash disturbs every call to the file system that the program makes in
// each scene: "make crash" all of them, other runs a sample by a seed.
func TestCrash(t *testing.T) {
	needStrace(t)
	seed := uint64(fromEnv(t, "QUEUECTL_CRASH_SEED", int(time.Now().UnixNano()%1e6)))
	if !long() {
		t.Logf("seed %d (QUEUECTL_CRASH_SEED)", seed)
	}
	for i, s := range crashScenes {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			origin := newOrigin(t)
			if s.setup != nil {
				s.setup(origin)
			}
			r := &crashRun{crashScene: s, origin: origin, hits: make(map[string]int)}
			r.record(t)
			r.again(t)
			if long() {
				r.all(t)
				r.rest(t)
			} else {
				r.some(t, rand.New(rand.NewPCG(seed, uint64(i))))
			}
			t.Logf("%d runs, hits: %s", r.runs, tally(r.hits))
			if len(r.hits) == 0 {
				t.Error("no fault has hit")
			}
		})
	}
}

// A crashRun is the work on one scene.
type crashRun struct {
	crashScene
	origin *bench
	whole  trace // undisturbed
	spans  map[string]span
	spots  int
	missed map[string]call // spots at which no kill has come yet
	runs   int
	hits   map[string]int // by what the fault is
}

func tally(n map[string]int) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(n)) {
		list = append(list, fmt.Sprintf("%s %d", k, n[k]))
	}
	return strings.Join(list, ", ")
}

// faults are all kinds of fault.
func faults() []string { return append([]string{kill}, slices.Sorted(maps.Keys(errnos))...) }

// record runs the scene undisturbed, and notes which calls it makes.
func (r *crashRun) record(t *testing.T) {
	c := &crashed{bench: r.copy(t)}
	c.traced = c.trace(nil, r.stdin, r.args...)
	if c.killed || c.status != exitDone {
		t.Fatalf("undisturbed, status %d: %s", c.status, c.stderr)
	}
	r.whole, r.spans, r.missed = c.log, c.log.spans(c.spool), c.log.spots(c.spool)
	r.spots = len(r.missed)
	c.takeOver()
	r.after(c)
}

// newOrigin is a bench that is left as it is, and not checked at its end.
func newOrigin(t *testing.T) *bench {
	dir := t.TempDir()
	return &bench{T: t, dir: dir, spool: dir + "/spool"}
}

// copy is a bench with what the scene begins with.
func (r *crashRun) copy(t *testing.T) *bench {
	b := newBench(t)
	if out, err := exec.Command("cp", "-a", r.origin.dir+"/.", b.dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return b
}

// all disturbs each call of each name, until none is left to be hit.
func (r *crashRun) all(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(r.spans)) {
		for _, what := range faults() {
			s := r.spans[name]
			for k := s.first; r.disturb(t, fault{name, what, k}) || k < s.last; k++ {
			}
		}
	}
}

// reached notes where a kill has come.
func (r *crashRun) reached(c *crashed) {
	for _, h := range c.where {
		delete(r.missed, h.spot(c.spool))
	}
}

// rest tries to kill where no kill has come. strace counts each thread's calls,
// so that the first thread to make its k-th is always the one that is hit; but
// the threads of each run share the calls in their own way.
func (r *crashRun) rest(t *testing.T) {
	for range 5 {
		for _, s := range slices.Sorted(maps.Keys(r.missed)) {
			if m, ok := r.missed[s]; ok {
				f, _ := r.whole.at(m.name, kill, func(c call) bool { return c == m })
				r.disturb(t, f)
			}
		}
	}
	t.Logf("kills at %d of %d spots in the spool, not at %q", r.spots-len(r.missed), r.spots, slices.Sorted(maps.Keys(r.missed)))
}

// again disturbs where that has found something. The threads of each run
// share the calls in their own way, so it does not always come to pass.
func (r *crashRun) again(t *testing.T) {
	for _, p := range r.found {
		f, ok := r.whole.at(p.call, p.what, func(c call) bool { return strings.Contains(c.args, p.at) })
		if !ok {
			t.Errorf("the program no longer makes the call %v", p)
		}
		r.disturb(t, f)
	}
}

// some disturbs a few calls, first with a kill, then with an error. Not every
// try hits, because threads share the calls in another way each time.
func (r *crashRun) some(t *testing.T, rand *rand.Rand) {
	names := slices.Sorted(maps.Keys(r.spans))
	for n, tries := 0, 0; n < rounds(1, 2, 0) && tries < 20; tries++ {
		name := names[rand.IntN(len(names))]
		s := r.spans[name]
		what := kill
		if n%2 == 1 {
			what = faults()[1+rand.IntN(len(errnos))]
		}
		if r.disturb(t, fault{name, what, s.first + rand.IntN(s.last-s.first+1)}) {
			n++
		}
	}
}

// disturb runs the scene with one fault, and reports whether it hit.
func (r *crashRun) disturb(t *testing.T, f fault) (hit bool) {
	t.Run(f.String(), func(t *testing.T) {
		c := &crashed{bench: r.copy(t), fault: f}
		c.traced = c.trace(&f, r.stdin, r.args...)
		c.where = c.log.hits(f, c.spool)
		r.runs++
		if hit = len(c.where) > 0; !hit || c.foreign() {
			c.takeOver()
			return // the spool alone is checked, by the end of the bench
		}
		r.hits[f.what]++
		if f.what == kill {
			r.reached(c)
		}
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("%v %q, status %d, killed %v\n%s%s", f, c.where, c.status, c.killed, c.stdout, c.stderr)
			}
		})
		c.said()
		c.takeOver()
		r.after(c)
	})
	return hit
}
