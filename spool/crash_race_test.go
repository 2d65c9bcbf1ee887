package spool

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"testing"
	"time"

	"queuectl/spool/internal/simfs"
)

// A race is some processes that work at once, one operation each. All orders
// of their steps are tried that take the turn from one of them at most so many
// times.
type race struct {
	name     string
	base     func(w *world)   // what is there before
	setup    func(a []*actor) // what the processes have done before
	acts     []func(a *actor) error
	switches int
	kill     bool                    // the first one is also killed before each step that changes anything
	then     func(o *outcomes)       // while the processes live
	want     func(o *outcomes) []int // files at the end; one, where nil
	rest     func(o *outcomes)       // after all have died and all jobs have run
	untidy   []int
	twice    bool // one id may be in two places (a limit)
}

// outcomes are what a race has led to.
type outcomes struct {
	*world
	actors []*actor
	errs   []error
	killed bool // the first one
	v      *view
}

func (o *outcomes) fail(format string, args ...any) {
	panic(failure(fmt.Sprintf(format, args...)))
}

// winners is how many operations have succeeded.
func (o *outcomes) winners() (n int) {
	for i, err := range o.errs {
		if err == nil && !(i == 0 && o.killed) {
			n++
		}
	}
	return n
}

// losers fails unless each error is one of those.
func (o *outcomes) losers(allowed ...error) {
	for _, err := range o.errs {
		if err != nil && !slices.ContainsFunc(allowed, func(a error) bool { return errors.Is(err, a) }) {
			o.fail("unexpected: %v", err)
		}
	}
}

// changes reports whether a step may change the disk. Between two that do, it
// is the same where a process is killed.
func changes(op string) bool {
	switch op {
	case "mkdir", "link", "rename", "renamenoreplace", "unlink", "rmdir", "write", "truncate":
		return true
	}
	return false
}

// once runs the race in one order. With n it kills the first process before
// its n-th step that changes anything, and returns false where it has fewer.
func (r race) once(base *world, choose func(simfs.Turn) int, n int) (stopped bool) {
	w := base.clone()
	o := &outcomes{world: w, errs: make([]error, len(r.acts))}
	for i := range r.acts {
		o.actors = append(o.actors, w.actor(string(rune('a'+i))))
	}
	if r.setup != nil {
		r.setup(o.actors)
	}
	var log []string
	s := w.Scheduler(choose)
	steps := 0
	w.Hook = func(st simfs.Step) {
		log = append(log, st.String())
		if st.Process == o.actors[0].p && changes(st.Op) {
			if steps++; steps == n {
				o.killed = true
				st.Process.Kill()
			}
		}
	}
	for i, act := range r.acts {
		a := o.actors[i]
		s.Start(a.p, func(*simfs.Process) {
			if err := failed(func() { o.errs[i] = act(a) }); err != nil {
				o.errs[i] = err
			}
		})
	}
	err := s.Wait()
	w.Hook = nil
	found := w.Disk.Clone()
	if err == nil {
		err = failed(func() { r.judge(o) })
	}
	if err != nil {
		text := fmt.Sprintf("%v\nerrors: %v\n", err, o.errs)
		for _, l := range log {
			text += l + "\n"
		}
		panic(failure(text + "found:\n" + found.Dump() + "in the end:\n" + w.Dump()))
	}
	return o.killed
}

// judge looks at what came of a race, first while the processes live, and
// then as after any crash.
func (r race) judge(o *outcomes) {
	for id, n := range counts(o.ids()) {
		if n > 1 && !r.twice {
			o.fail("%q is in %d places", id, n)
		}
	}
	claimed := make(map[string]int)
	for _, a := range o.actors {
		if a.c != nil && a.c.rec.lock != nil && !a.p.Dead() {
			if claimed[a.c.ID]++; claimed[a.c.ID] > 1 {
				o.fail("%q runs twice at once", a.c.ID)
			}
		}
	}
	if r.then != nil {
		r.then(o)
	}
	for _, a := range o.actors {
		a.p.Kill()
	}
	e := &enumeration{crashTest: crashTest{untidy: r.untidy}}
	o.v = &view{actor: o.actor("next"), runs: make(map[string]int)}
	e.recover(o.v)
	o.v.drain()
	e.mended(o.v)
	jobs := []int{1}
	if r.want != nil {
		jobs = r.want(o)
	}
	if n := len(o.files()); !slices.Contains(jobs, n) {
		o.fail("%d files are left, not %v", n, jobs)
	}
	if r.rest != nil {
		r.rest(o)
	}
}

// run tries all orders and returns their number.
func (r race) run() (runs int, err error) {
	base := newWorld()
	return runs, errors.Join(failed(func() {
		if r.base != nil {
			r.base(base)
		}
		base.Hook = nil
		for n, more := 0, true; more; n++ {
			more = n == 0 && r.kill
			for choose := range simfs.Explore(max(1, r.switches)) {
				runs++
				if r.once(base, choose, n) {
					more = true
				}
			}
		}
	}))
}

func races(t *testing.T, list ...race) {
	t.Helper()
	for _, r := range list {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			runs, err := r.run()
			if err != nil {
				t.Fatalf("after %d runs: %v", runs, err)
			}
			t.Logf("%d runs, %v", runs, time.Since(start).Round(time.Millisecond))
		})
	}
}

func enqueueJob(a *actor) error { return enqueued(a, jobText("job")) }

// claimJob claims the only job there is.
func claimJob(a *actor) (err error) {
	p, _, err := a.locate("job")
	if err == nil && stateOf(p) != Pending && stateOf(p) != Failed {
		err = ErrGone
	}
	if err != nil {
		return err
	}
	a.c, err = a.pool.Claim(p)
	return err
}

func joined(list ...int) func(a []*actor) {
	return func(a []*actor) {
		for _, i := range list {
			a[i].join()
		}
	}
}

func pending(w *world) { w.do(func(a *actor) { a.enqueue("job") }) }

func orphaned(w *world) { w.do(func(a *actor) { a.enqueue("job"); a.run("job") }) }

// person does something by hand, in steps of a process.
func person(do func(a *actor) error) func(a *actor) error {
	return func(a *actor) error {
		_ = do(a)
		return nil
	}
}

// mv moves the job into a state by hand, under its own name.
func mv(st State) func(a *actor) error {
	return person(func(a *actor) error {
		files := a.w.files()
		if len(files) == 0 {
			return nil
		}
		name := path.Base(files[0])
		if n, ok := ParseName(name); ok && st != Pending {
			n.Pool, n.Claim = "", 0
			name = n.String()
		}
		return a.p.Rename(files[0], string(st)+"/"+name)
	})
}

func one(o *outcomes) {
	o.losers(ErrTaken)
	if o.winners() != 1 {
		o.fail("%d winners", o.winners())
	}
}

func TestRaceEnqueue(t *testing.T) {
	drop := func(w *world) { w.must(w.Write("pending/x.json", []byte(jobText("job")))) }
	adopt := func(a *actor) error { return adopted(a, "pending/x.json") }
	races(t,
		race{name: "two of one id", switches: 2, acts: []func(*actor) error{enqueueJob, enqueueJob}, then: one},
		race{
			name: "two of one id, and one is killed", kill: true,
			acts: []func(*actor) error{enqueueJob, enqueueJob},
			then: func(o *outcomes) {
				o.losers(ErrTaken)
				if o.errs[1] != nil && len(o.placesOf("job")) == 0 {
					o.fail("the id is said to be taken, and there is no job")
				}
			},
		},
		race{
			name: "one, and a recoverer, of an id that a dead one holds",
			base: func(w *world) {
				w.doUntil(before("renamenoreplace", "pending/"), func(a *actor) { a.enqueue("job") })
			},
			acts: []func(*actor) error{enqueueJob, func(a *actor) error { _, err := a.Recover(ctx); return err }},
			then: func(o *outcomes) { o.losers() },
		},
		race{
			name: "two batches with one id in common",
			acts: []func(*actor) error{
				func(a *actor) error { _, err := a.EnqueueBatch(ctx, batchOf("a", "job")); return err },
				func(a *actor) error { _, err := a.EnqueueBatch(ctx, batchOf("job", "b")); return err },
			},
			then: one,
			want: func(*outcomes) []int { return []int{2} },
		},
		race{
			name: "and an adoption of the same id", base: drop,
			acts: []func(*actor) error{enqueueJob, adopt},
			then: func(o *outcomes) {
				o.losers(ErrTaken, ErrRefused, ErrGone)
				if len(o.placesOf("job")) != 1 {
					o.fail("it is at %q", o.files())
				}
			},
			want: func(o *outcomes) []int { return []int{map[bool]int{true: 2, false: 1}[o.errs[0] == nil]} },
			rest: func(o *outcomes) { o.v.ranOnce("job") },
		},
		race{
			name: "two adoptions of one drop", base: drop,
			acts: []func(*actor) error{adopt, adopt},
			then: func(o *outcomes) { o.losers(ErrGone, ErrHeld) },
			rest: func(o *outcomes) { o.v.ranOnce("job") },
		},
		race{
			name: "and the adoption of an exchanged file of the same id",
			base: exchanged(Pending).base, kill: true,
			acts: []func(*actor) error{
				func(a *actor) error { return adopted(a, a.w.placesOf("job")[0]) },
				enqueueJob,
			},
			then: func(o *outcomes) {
				if !errors.Is(o.errs[1], ErrTaken) && !errors.Is(o.errs[1], ErrBusy) {
					o.fail("the id was given away: %v", o.errs[1])
				}
			},
			untidy: []int{invSecond},
			rest:   func(o *outcomes) { o.v.ranOnce("job") },
		},
	)
}

func TestRaceClaim(t *testing.T) {
	edited := func(w *world) {
		pending(w)
		w.editInPlace("job")
	}
	races(t,
		race{
			name: "two", base: pending, setup: joined(0, 1), switches: 2,
			acts: []func(*actor) error{claimJob, claimJob},
			then: func(o *outcomes) {
				o.losers(ErrGone, ErrHeld, ErrNotFound)
				if o.winners() != 1 {
					o.fail("%d winners", o.winners())
				}
			},
		},
		race{
			name: "two, of a file that has to be replaced", base: edited, setup: joined(0, 1),
			acts: []func(*actor) error{claimJob, claimJob},
			then: func(o *outcomes) { o.losers(ErrGone, ErrHeld, ErrNotFound, ErrDrop) },
			rest: func(o *outcomes) { o.v.ranOnce("job") },
		},
		race{
			name: "and delete", base: pending, setup: joined(0), switches: 2,
			acts: []func(*actor) error{claimJob, func(a *actor) error { return deleting(a, ctx) }},
			then: func(o *outcomes) {
				o.losers(ErrGone, ErrHeld, ErrNotFound, ErrState, ErrBusy)
				if o.winners() != 1 {
					o.fail("%d winners", o.winners())
				}
			},
			want: func(o *outcomes) []int { return []int{map[bool]int{true: 0, false: 1}[o.errs[1] == nil]} },
		},
		race{
			name: "and cancel", base: pending, setup: joined(0), switches: 2,
			acts: []func(*actor) error{claimJob, func(a *actor) error { return cancelling(a, ctx) }},
			then: func(o *outcomes) {
				o.losers(ErrGone, ErrHeld, ErrNotFound)
				if c := o.actors[0].c; o.errs[1] == nil && o.errs[0] == nil && !c.CancelRequested() {
					o.fail("it runs, and does not know that it is cancelled")
				}
			},
			rest: func(o *outcomes) {
				if o.errs[1] == nil && len(o.v.runs) > 0 {
					o.fail("it ran: %v", o.v.runs)
				}
			},
		},
		race{
			name: "and retry", base: func(w *world) { w.do(func(a *actor) { inState(a, "job", Failed) }) }, setup: joined(0),
			acts: []func(*actor) error{claimJob, func(a *actor) error { return retrying(a, ctx) }},
			then: func(o *outcomes) { o.losers(ErrGone, ErrHeld, ErrState, ErrBusy, ErrNotFound) },
			rest: func(o *outcomes) { o.v.ranOnce("job") },
		},
		race{
			name: "and an editor that exchanges the file", base: pending, setup: joined(0), switches: 2,
			acts: []func(*actor) error{claimJob, person(exchangeByHand)},
			then: func(o *outcomes) {
				if c := o.actors[0].c; o.errs[0] == nil && !o.same(c.Path(), idPath("job")) {
					o.fail("it runs a file that it has not locked")
				}
			},
			// A limit: an exchange in the very moment of a claim.
			twice: true, untidy: []int{invOnce, invSecond, invOwned},
			want: func(*outcomes) []int { return []int{1, 2} },
		},
		race{
			name: "and a hand move", base: pending, setup: joined(0),
			acts: []func(*actor) error{claimJob, mv(Dead)},
		},
	)
}

func exchangeByHand(a *actor) error {
	at := a.w.files()[0]
	b, err := a.w.Read(at)
	if err != nil {
		return err
	}
	a.w.must(a.w.Write("edited", b))
	if _, err := a.p.Lstat(at); err != nil { // the editor looks, and then renames
		return err
	}
	return a.p.Rename("edited", at)
}

func TestRaceSettle(t *testing.T) {
	running := func(a []*actor) { a[0].run("job") }
	settle := func(res Result) func(*actor) error {
		return func(a *actor) error {
			_, err := a.c.Settle(res)
			return err
		}
	}
	races(t,
		race{
			name: "and a hand move", base: pending, setup: running,
			acts: []func(*actor) error{settle(success), mv(Held)},
			then: func(o *outcomes) { o.losers(ErrGone) },
		},
		race{
			name: "and a hand move to where it waited", base: pending, setup: running,
			acts: []func(*actor) error{settle(success), mv(Pending)},
			then: func(o *outcomes) { o.losers(ErrGone) },
		},
		race{
			name: "and cancel", base: pending, setup: running, switches: 2,
			acts: []func(*actor) error{
				settle(Result{Outcome: FailedOutcome, RetryAt: time.Unix(1e10, 0)}),
				func(a *actor) error { return cancelling(a, ctx) },
			},
			then: func(o *outcomes) { o.losers() },
			rest: func(o *outcomes) {
				if len(o.v.runs) > 0 || o.v.state("job") != Dead {
					o.fail("it is %s, and ran: %v", o.v.state("job"), o.v.runs)
				}
			},
		},
		race{
			name: "release, and a claim", base: pending, setup: func(a []*actor) { a[0].run("job"); a[1].join() },
			acts: []func(*actor) error{func(a *actor) error { return a.c.Release("stop", false) }, claimJob},
			then: func(o *outcomes) { o.losers(ErrGone, ErrHeld, ErrNotFound) },
			rest: func(o *outcomes) { o.v.ranOnce("job") },
		},
		race{
			name: "release, and a recoverer", base: pending, setup: running, kill: true,
			acts: []func(*actor) error{
				func(a *actor) error { return a.c.Release("stop", false) },
				func(a *actor) error { _, err := a.Recover(ctx); return err },
			},
			then: func(o *outcomes) { o.losers() },
			rest: func(o *outcomes) { o.v.ranOnce("job") },
		},
	)
}

func TestRaceRecover(t *testing.T) {
	recovering := func(a *actor) error { _, err := a.Recover(ctx); return err }
	elsewhere := func(w *world) {
		w.host = "there"
		orphaned(w)
		w.host = "here"
	}
	twice := []func(*actor) error{recovering, recovering}
	inOrder := func(o *outcomes) {
		o.losers()
		if at := o.placesOf("job"); len(at) != 1 || stateOf(at[0]) != Pending || !o.same(at[0], idPath("job")) {
			o.fail("it is at %q", at)
		}
	}
	races(t,
		race{name: "two", base: orphaned, acts: twice, then: inOrder, switches: 1},
		race{name: "two, of another host's job", base: elsewhere, acts: twice, then: func(o *outcomes) { o.losers() }},
		race{
			name: "two, of a staging that was committed", acts: twice,
			base: func(w *world) {
				w.doUntil(before("renamenoreplace", "pending/"), func(a *actor) {
					_, err := a.EnqueueBatch(ctx, batchOf("job", "a", "b"))
					a.must(err)
				})
			},
			then: func(o *outcomes) { o.losers() },
			want: func(*outcomes) []int { return []int{3} },
		},
		race{
			name: "and cancel", base: orphaned,
			acts: []func(*actor) error{recovering, func(a *actor) error { return cancelling(a, ctx) }},
			then: func(o *outcomes) { o.losers(ErrBusy) },
			rest: func(o *outcomes) {
				if o.errs[1] == nil && len(o.v.runs) > 0 {
					o.fail("it ran: %v", o.v.runs)
				}
			},
		},
		race{
			name: "by force, and by itself", base: orphaned,
			acts: []func(*actor) error{func(a *actor) error { return a.ForceRecover(ctx, "job") }, recovering},
			then: func(o *outcomes) { o.losers(ErrGone, ErrHeld) },
			rest: func(o *outcomes) { o.v.ranOnce("job") },
		},
		race{
			name: "by force, and delete", base: pending,
			acts: []func(*actor) error{
				func(a *actor) error { return a.ForceRecover(ctx, "job") },
				func(a *actor) error { return deleting(a, ctx) },
			},
			then: func(o *outcomes) { o.losers(ErrGone, ErrHeld, ErrBusy, ErrNotFound) },
			// Who is told that there is no such job has removed the new file.
			want:   func(*outcomes) []int { return []int{0, 1} },
			untidy: []int{invOwned},
		},
	)
}

func TestRaceCommands(t *testing.T) {
	done := func(w *world) { w.do(func(a *actor) { inState(a, "job", Completed) }) }
	prune := func(a *actor) error { _, err := a.Prune(ctx); return err }
	del := func(a *actor) error { return deleting(a, ctx) }
	retry := func(a *actor) error { return retrying(a, ctx) }
	either := func(o *outcomes) { o.losers(ErrGone, ErrNotFound, ErrState, ErrBusy) }
	noneOrOne := func(o *outcomes) []int { return []int{0, 1} }
	races(t,
		race{
			name: "prune and retry", acts: []func(*actor) error{prune, retry}, then: either, want: noneOrOne,
			base: func(w *world) {
				done(w)
				w.Advance(30 * 24 * time.Hour)
			},
			rest: func(o *outcomes) {
				if o.errs[1] == nil {
					o.v.ranOnce("job")
				}
			},
		},
		race{
			name: "delete and retry", base: done, acts: []func(*actor) error{del, retry}, then: either, want: noneOrOne,
			rest: func(o *outcomes) {
				if o.errs[0] == nil && len(o.files()) > 0 {
					o.fail("it was deleted, and is at %q", o.files())
				}
			},
		},
		race{name: "delete and a hand move", base: done, acts: []func(*actor) error{del, mv(Held)}, then: either, want: noneOrOne},
		race{
			name: "delete and an enqueue of the same id", base: done, acts: []func(*actor) error{del, enqueueJob},
			then: func(o *outcomes) {
				o.losers(ErrTaken, ErrBusy)
				if n := len(o.placesOf("job")); o.errs[1] == nil && n != 1 {
					o.fail("it was enqueued, and is there %d times", n)
				}
			},
			want: noneOrOne,
		},
		race{
			name: "a replacement and a hand move",
			base: func(w *world) {
				pending(w)
				w.editInPlace("job")
			},
			acts: []func(*actor) error{
				func(a *actor) error { _, err := a.openRecord(a.at("job")); return err },
				mv(Held),
			},
			then: func(o *outcomes) { o.losers(ErrGone) },
		},
		race{name: "two deletes", base: done, acts: []func(*actor) error{del, del}, then: either, want: func(*outcomes) []int { return []int{0} }},
		race{
			name: "retry of a job whose request to cancel is late", acts: []func(*actor) error{retry, func(a *actor) error { return cancelling(a, ctx) }},
			base: done, then: either,
		},
	)
}
