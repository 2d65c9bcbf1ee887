package spool

import (
	"path"
	"testing"
	"time"
)

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
		a.w.byHand = append(a.w.byHand, "mv "+string(stateOf(files[0]))+"/X "+string(st)+"/")
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
		scene{name: "two of one id", bound: 2, acts: []func(*actor) error{enqueueJob, enqueueJob}, then: one},
		scene{
			name: "two of one id, and one is killed", kills: true,
			acts: []func(*actor) error{enqueueJob, enqueueJob},
			then: func(o *outcomes) {
				o.losers(ErrTaken)
				if o.errs[1] != nil && len(o.placesOf("job")) == 0 {
					o.fail("the id is said to be taken, and there is no job")
				}
			},
		},
		scene{
			name: "one, and a recoverer, of an id that a dead one holds",
			base: func(w *world) {
				w.doUntil(before("renamenoreplace", "pending/"), func(a *actor) { a.enqueue("job") })
			},
			acts: []func(*actor) error{enqueueJob, func(a *actor) error { _, err := a.Recover(ctx); return err }},
			then: func(o *outcomes) { o.losers(ErrTaken) }, // the dead one's job comes into being
		},
		scene{
			name: "two batches with one id in common",
			acts: []func(*actor) error{
				func(a *actor) error { _, err := a.EnqueueBatch(ctx, batchOf("a", "job")); return err },
				func(a *actor) error { _, err := a.EnqueueBatch(ctx, batchOf("job", "b")); return err },
			},
			then: one,
			want: func(*outcomes) []int { return []int{2} },
		},
		scene{
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
		scene{
			name: "two adoptions of one drop", base: drop,
			acts: []func(*actor) error{adopt, adopt},
			then: func(o *outcomes) { o.losers(ErrGone, ErrHeld) },
			rest: func(o *outcomes) { o.v.ranOnce("job") },
		},
		scene{
			name: "and the adoption of an exchanged file of the same id",
			base: exchanged(Pending).base, kills: true,
			acts: []func(*actor) error{
				func(a *actor) error { return adopted(a, a.w.placesOf("job")[0]) },
				enqueueJob,
			},
			then: func(o *outcomes) {
				if o.errs[1] == nil {
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
		scene{
			name: "two", base: pending, setup: joined(0, 1), bound: 2,
			acts: []func(*actor) error{claimJob, claimJob},
			then: func(o *outcomes) {
				o.losers(ErrGone, ErrHeld, ErrNotFound)
				if o.winners() != 1 {
					o.fail("%d winners", o.winners())
				}
			},
		},
		scene{
			name: "two, of a file that has to be replaced", base: edited, setup: joined(0, 1),
			acts: []func(*actor) error{claimJob, claimJob},
			then: func(o *outcomes) { o.losers(ErrGone, ErrHeld, ErrNotFound, ErrDrop) },
			rest: func(o *outcomes) { o.v.ranOnce("job") },
		},
		scene{
			name: "and delete", base: pending, setup: joined(0), bound: 2,
			acts: []func(*actor) error{claimJob, func(a *actor) error { return deleting(a, ctx) }},
			then: func(o *outcomes) {
				o.losers(ErrGone, ErrHeld, ErrNotFound, ErrState, ErrBusy)
				if o.winners() != 1 {
					o.fail("%d winners", o.winners())
				}
			},
			want: func(o *outcomes) []int { return []int{map[bool]int{true: 0, false: 1}[o.errs[1] == nil]} },
		},
		scene{
			name: "and cancel", base: pending, setup: joined(0), bound: 2,
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
		scene{
			name: "and retry", base: func(w *world) { w.do(func(a *actor) { inState(a, "job", Failed) }) }, setup: joined(0),
			acts: []func(*actor) error{claimJob, func(a *actor) error { return retrying(a, ctx) }},
			then: func(o *outcomes) { o.losers(ErrGone, ErrHeld, ErrState, ErrBusy, ErrNotFound) },
			rest: func(o *outcomes) { o.v.ranOnce("job") },
		},
		scene{
			name: "and an editor that exchanges the file", base: pending, setup: joined(0), bound: 2,
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
		scene{
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
	a.w.byHand = append(a.w.byHand, "sed -i X")
	if _, err := a.p.Lstat(at); err != nil { // the editor looks, and then renames
		return err
	}
	return a.p.Rename("edited", at)
}

func TestRaceSettle(t *testing.T) {
	running := func(a []*actor) { a[0].run("job") }
	settle := func(res Result) func(*actor) error {
		return func(a *actor) error {
			_, err := a.ended().Settle(res)
			return err
		}
	}
	races(t,
		scene{
			name: "and a hand move", base: pending, setup: running,
			acts: []func(*actor) error{settle(success), mv(Held)},
			then: func(o *outcomes) { o.losers(ErrGone) },
		},
		scene{
			name: "and a hand move to where it waited", base: pending, setup: running,
			acts: []func(*actor) error{settle(success), mv(Pending)},
			then: func(o *outcomes) { o.losers(ErrGone) },
		},
		scene{
			name: "and cancel", base: pending, setup: running, bound: 2,
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
		scene{
			name: "release, and a claim", base: pending, setup: func(a []*actor) { a[0].run("job"); a[1].join() },
			acts: []func(*actor) error{func(a *actor) error { return a.ended().Release("stop", false) }, claimJob},
			then: func(o *outcomes) { o.losers(ErrGone, ErrHeld, ErrNotFound) },
			rest: func(o *outcomes) { o.v.ranOnce("job") },
		},
		scene{
			name: "release, and a recoverer", base: pending, setup: running, kills: true,
			acts: []func(*actor) error{
				func(a *actor) error { return a.ended().Release("stop", false) },
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
		scene{name: "two", base: orphaned, acts: twice, then: inOrder},
		scene{name: "two, of another host's job", base: elsewhere, acts: twice, then: func(o *outcomes) { o.losers() }},
		scene{
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
		scene{
			name: "and cancel", base: orphaned,
			acts: []func(*actor) error{recovering, func(a *actor) error { return cancelling(a, ctx) }},
			then: func(o *outcomes) { o.losers(ErrBusy) },
			rest: func(o *outcomes) {
				if o.errs[1] == nil && len(o.v.runs) > 0 {
					o.fail("it ran: %v", o.v.runs)
				}
			},
		},
		scene{
			name: "by force, and by itself", base: orphaned,
			acts: []func(*actor) error{func(a *actor) error { return a.ForceRecover(ctx, "job") }, recovering},
			then: func(o *outcomes) { o.losers(ErrGone, ErrHeld, ErrState) },
			rest: func(o *outcomes) { o.v.ranOnce("job") },
		},
		scene{
			name: "by force, and delete", base: pending,
			acts: []func(*actor) error{
				func(a *actor) error { return a.ForceRecover(ctx, "job") },
				func(a *actor) error { return deleting(a, ctx) },
			},
			// By force goes only what somebody holds, here who deletes.
			then: func(o *outcomes) { o.losers(ErrGone, ErrHeld, ErrBusy, ErrNotFound, ErrState) },
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
		scene{
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
		scene{
			name: "delete and retry", base: done, acts: []func(*actor) error{del, retry}, then: either, want: noneOrOne,
			rest: func(o *outcomes) {
				if o.errs[0] == nil && len(o.files()) > 0 {
					o.fail("it was deleted, and is at %q", o.files())
				}
			},
		},
		scene{name: "delete and a hand move", base: done, acts: []func(*actor) error{del, mv(Held)}, then: either, want: noneOrOne},
		scene{
			name: "delete and an enqueue of the same id", base: done, acts: []func(*actor) error{removing(del), enqueueJob},
			then: func(o *outcomes) {
				o.losers(ErrTaken, ErrBusy)
				if n := len(o.placesOf("job")); o.errs[1] == nil && n != 1 {
					o.fail("it was enqueued, and is there %d times", n)
				}
			},
			want: noneOrOne,
		},
		scene{
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
		scene{name: "two deletes", base: done, acts: []func(*actor) error{del, del}, then: either, want: func(*outcomes) []int { return []int{0} }},
		scene{
			name: "retry of a job whose request to cancel is late", acts: []func(*actor) error{retry, func(a *actor) error { return cancelling(a, ctx) }},
			base: done, then: either,
		},
	)
}
