package spool

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"queuectl/spool/internal/simfs"
)

// A crashTest is one operation that is stopped before each of its steps. Of
// every stop, what the disk looks like is looked at as it is (all processes
// killed), and as a power cut might leave it; each time another process comes,
// recovers, checks, and finishes what is left to do. What it finds must be what
// the table "What a crash may cost" promises.
type crashTest struct {
	name  string
	base  func(w *world)       // what is on the disk; synced afterwards
	setup func(a *actor)       // what the acting process has done before; synced too
	act   func(a *actor) error // the operation
	keeps []string             // jobs that must not be missing for a moment
	twice bool                 // one id may be seen in two places before the repair
	loose int                  // how many cuts are drawn that keep no order between directories
	// settled are the steps before which all is synced, so that such cuts may
	// do no harm; where it is nil, they may leave a need for a repair.
	settled func(step string) bool
	first   func(v *view)              // before any repair
	then    func(v *view)              // after the recovery
	rest    func(v *view)              // after all jobs have run
	want    func(v *view) (jobs []int) // how many files may be left at the end; one, where nil

	// untidy are the invariants that somebody who passes by restores, and not
	// the recovery.
	untidy []int
}

// A crash is what was done to the acting process.
type crash struct {
	step  string // the step before which it was stopped, "" after the last
	cut   string // "" where it was just killed
	loose bool
	again string // the recoverer was stopped, too
	err   error  // what the operation returned
}

// acked reports whether the operation had been acknowledged.
func (c crash) acked() bool { return c.step == "" && c.err == nil }

// killed reports whether the machine lives on, with all that was written.
func (c crash) killed() bool { return c.cut == "" }

func (c crash) String() string {
	s := "killed before " + c.step
	if c.step == "" {
		s = fmt.Sprintf("killed after the end (%v)", c.err)
	}
	if c.cut != "" {
		s += "; power cut: " + c.cut
	}
	if c.again != "" {
		s += "; the recoverer killed before " + c.again
	}
	return s
}

// A view is what another process finds after a crash.
type view struct {
	*actor
	crash
	before *world         // as it was found
	runs   map[string]int // how often each job was run afterwards
}

// oneOf fails unless got is one of the strings.
func (v *view) oneOf(what string, got any, want ...string) {
	if !slices.Contains(want, fmt.Sprint(got)) {
		v.fail("%s is %v, not one of %q", what, got, want)
	}
}

// An enumeration goes through all crashes of one operation.
type enumeration struct {
	crashTest
	w      *world // what is there before
	ignore []int  // the syncs that do nothing, from 1
	seen   map[string]bool
	syncs  int // of the operation

	stops, kills, cuts, doubles int
}

func newEnumeration(c crashTest) *enumeration {
	e := &enumeration{crashTest: c, w: newWorld()}
	if c.base != nil {
		c.base(e.w)
	}
	e.w.Hook = nil
	e.w.SyncAll()
	return e
}

// run goes through all crashes and returns the first broken promise.
func (e *enumeration) run() error {
	e.seen = make(map[string]bool)
	return failed(func() {
		for n := 1; e.stop(n); n++ {
		}
	})
}

// stop runs the operation, stops it before its n-th step, and looks at what is
// left. It returns false where it has fewer steps.
func (e *enumeration) stop(n int) bool {
	w := e.w.clone()
	a := w.actor("actor")
	if e.setup != nil {
		e.setup(a)
		w.SyncAll()
	}
	var c crash
	base, syncs := w.Steps(), w.Syncs()
	for _, i := range e.ignore {
		w.IgnoreSync(syncs + i)
	}
	w.Hook = func(s simfs.Step) {
		if s.Process == a.p && s.Number == base+n {
			c.step = strings.TrimSpace(s.Op + " " + s.Path + " " + s.Path2)
			a.p.Kill()
		}
	}
	stopped := a.p.Run(func() { c.err = e.act(a) })
	w.Hook = nil
	e.stops++
	if !stopped && errors.Is(c.err, errUnexpected) {
		a.fail("%v", c.err)
	}
	e.syncs = w.Syncs() - syncs
	e.killed(w, c)
	e.powerCuts(w, c)
	return stopped
}

var errUnexpected = errors.New("unexpected")

func (e *enumeration) killed(w *world, c crash) {
	if e.fresh(w.Disk, c) {
		e.kills++
		e.examine(w.clone(), c)
		e.doubled(w, c)
	}
}

func (e *enumeration) powerCuts(w *world, c crash) {
	look := func(cut simfs.Cut, after *simfs.Disk) {
		c := c
		c.cut, c.loose = cut.String(), cut.Loose && e.settled == nil
		if e.fresh(after, c) {
			e.cuts++
			e.examine(worldOf(after, "boot-2"), c)
		}
	}
	for cut, after := range w.PowerCuts() {
		look(cut, after)
	}
	if e.settled == nil || e.settled(c.step) {
		for cut, after := range w.LoosePowerCuts(e.loose) {
			look(cut, after)
		}
	}
}

// fresh reports whether a state was not seen yet.
func (e *enumeration) fresh(d *simfs.Disk, c crash) bool {
	key := fmt.Sprintln(c.acked(), c.killed(), c.loose) + d.Dump()
	if e.seen[key] {
		return false
	}
	e.seen[key] = true
	return true
}

// doubled stops the recoverer before each of its steps as well.
func (e *enumeration) doubled(w *world, c crash) {
	for n, stopped := 1, true; stopped; n++ {
		after, c := w.clone(), c
		r := after.actor("recoverer")
		base := after.Steps()
		after.Hook = func(s simfs.Step) {
			if s.Process == r.p && s.Number == base+n {
				c.again = s.Op + " " + s.Path + " " + s.Path2
				r.p.Kill()
			}
		}
		stopped = r.p.Run(func() { _, _ = r.Recover(ctx) })
		after.Hook = nil
		if stopped && e.fresh(after.Disk, c) {
			e.doubles++
			e.examine(after.clone(), c)
		}
	}
}

// examine is what comes after the crash.
func (e *enumeration) examine(w *world, c crash) {
	found := w.Disk.Clone()
	err := failed(func() {
		v := &view{actor: w.actor("next"), crash: c, before: worldOf(found, w.boot), runs: make(map[string]int)}
		e.look(v)
		e.recover(v)
		if e.then != nil {
			e.then(v)
		}
		v.drain()
		e.mended(v)
		jobs := []int{1}
		if e.want != nil {
			jobs = e.want(v)
		}
		if n := len(w.files()); !slices.Contains(jobs, n) {
			v.fail("%d files are left, not %v", n, jobs)
		}
		if e.rest != nil {
			e.rest(v)
		}
	})
	if err != nil {
		panic(failure(fmt.Sprintf("%s\n%v\n\nfound:\n%s\nin the end:\n%s", c, err, found.Dump(), w.Dump())))
	}
}

// look is the first look, before anything is repaired.
func (e *enumeration) look(v *view) {
	for id, n := range counts(v.w.ids()) {
		if n > 1 && !e.twice && !v.loose {
			v.fail("%q is in %d places", id, n)
		}
	}
	for _, id := range e.keeps {
		if len(v.w.placesOf(id)) == 0 && !slices.ContainsFunc(v.w.staged(), func(p string) bool { return stagedID(path.Base(p)) == id }) {
			v.fail("%q is nowhere", id)
		}
	}
	if e.first != nil {
		e.first(v)
	}
}

func counts(list []string) map[string]int {
	m := make(map[string]int)
	for _, s := range list {
		m[s]++
	}
	return m
}

// recover has the next process recover. After a kill nothing else may be left
// to do; after a power cut the tails may be torn of files that nobody has
// passed by; where the disk keeps no order, all may need a repair.
func (e *enumeration) recover(v *view) {
	if _, err := v.Recover(ctx); err != nil {
		v.fail("recover: %v", err)
	}
	rep, err := v.Check(ctx, false)
	v.must(err)
	for _, inv := range violated(rep) {
		torn := inv == invWhole && !v.killed()
		if !v.loose && !torn && !slices.Contains(e.untidy, inv) {
			v.fail("after the recovery:\n%s", findings(rep))
		}
	}
	if !rep.OK() {
		e.mended(v)
	}
}

// mended has check repair what is left, and wants nothing to be left then.
func (e *enumeration) mended(v *view) {
	first, err := v.Check(ctx, true)
	v.must(err)
	rep, err := v.Check(ctx, false)
	v.must(err)
	if !rep.OK() {
		v.fail("not mended:\n%s\nof\n%s", findings(rep), findings(first))
	}
}

// drain has a pool run all that waits.
func (v *view) drain() {
	v.w.Advance(48 * time.Hour)
	v.join()
	for more, rounds := true, 0; more; rounds++ {
		if more = false; rounds > 20 {
			v.fail("the jobs do not come to rest")
		}
		if _, err := v.pool.Recover(ctx); !errors.Is(err, ErrRefused) {
			v.must(err)
		}
		for _, p := range v.w.files() {
			if st := stateOf(p); st == Pending || st == Failed {
				more = true
				v.runOne(p)
			}
		}
	}
	v.must(v.pool.Leave())
}

func (v *view) runOne(p string) {
	c, err := v.pool.Claim(p)
	switch {
	case errors.Is(err, ErrDrop):
		_, err = v.pool.Adopt(ctx, p)
		if err == nil || errors.Is(err, ErrRefused) || errors.Is(err, ErrGone) {
			return
		}
	case errors.Is(err, ErrRefused):
		return
	}
	if err != nil {
		v.fail("%s does not run: %v", p, err)
	}
	v.runs[c.ID]++
	v.c = c
	v.settle(success)
}

// crashes enumerates, and fails the test with what was found.
func crashes(t *testing.T, tests ...crashTest) {
	t.Helper()
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			e := newEnumeration(c)
			if err := e.run(); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d stops, %d kills, %d power cuts, %d double kills, %d syncs, %v", e.stops, e.kills, e.cuts, e.doubles, e.syncs, time.Since(start).Round(time.Millisecond))
		})
	}
}
