package spool

import (
	"errors"
	"time"

	"queuectl/spool/internal/simfs"
)

// Operations of simulated processes. Each job has a mark, by which it is known
// whatever becomes of it.

func enqueueMarked(a *actor) error {
	_, err := a.EnqueueJSON(ctx, []byte(jobText("job", withMark(a.p.Name()))))
	return a.w.promised(a.p.Name(), err)
}

func enqueueMarkedBatch(a *actor) error {
	one, two := a.p.Name()+"1", a.p.Name()+"2"
	_, err := a.EnqueueBatch(ctx, [][]byte{
		[]byte(jobText("other-"+a.p.Name(), withMark(one))), []byte(jobText("job", withMark(two))),
	})
	_ = a.w.promised(one, err)
	return a.w.promised(two, err)
}

func recovering(a *actor) error {
	_, err := a.Recover(ctx)
	return err
}

// work is one look of a pool at what waits: it adopts, claims, runs and settles.
func work(a *actor) error {
	var paths []string
	for _, st := range []State{Pending, Failed} {
		if err := a.Scan(st, func(p string, _ Name, _ bool) bool { paths = append(paths, p); return true }); err != nil {
			return err
		}
	}
	var errs []error
	for _, p := range paths {
		errs = append(errs, a.workOn(p))
	}
	return errors.Join(errs...)
}

// handle is work by handlers.
func handle(a *actor) error {
	a.pool.InProcess()
	return work(a)
}

func (a *actor) workOn(p string) error {
	if a.w.off != nil && a.w.off.claims {
		a.pool.claims = 0
	}
	c, err := a.pool.Claim(p)
	if errors.Is(err, ErrDrop) {
		if p, err = a.pool.Adopt(ctx, p); err == nil && stateOf(p) == Pending {
			c, err = a.pool.Claim(p)
		}
	}
	if err != nil || c == nil {
		return err
	}
	a.c = c
	if err := c.Started(7000); err != nil {
		return err
	}
	return settleIt(a)
}

func settleIt(a *actor) error {
	_, err := a.ended().Settle(success)
	return err
}

func failIt(a *actor) error {
	_, err := a.ended().Settle(Result{Outcome: FailedOutcome, RetryAt: a.sys.now()})
	return err
}

// settleAfterChild waits for the job's process, and settles then.
func settleAfterChild(a *actor) error {
	for !a.children()[0].p.Dead() {
		if err := a.sys.sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return settleIt(a)
}

func (a *actor) children() (mine []*jobProcess) {
	for i := range a.w.children {
		if c := &a.w.children[i]; c.of == a {
			mine = append(mine, c)
		}
	}
	return mine
}

// killIt settles an attempt whose time is up, and whose process has escaped.
func killIt(a *actor) error {
	for _, c := range a.children() {
		c.escaped = true
	}
	_, err := a.ended().Settle(Result{Outcome: TimedOut, RetryAt: a.sys.now(), Killed: true})
	return err
}

func forceIt(a *actor) error {
	a.w.forced = true
	return a.ForceRecover(ctx, "job")
}

func recoverAndWork(a *actor) error { return errors.Join(recovering(a), work(a)) }

func adoptX(a *actor) error { return adopted(a, "pending/x.json") }
func adoptY(a *actor) error { return adopted(a, "pending/y.json") }

func removing(act func(a *actor) error) func(a *actor) error {
	return func(a *actor) error {
		a.w.removers++
		return act(a)
	}
}

func deleteIt(a *actor) error { return a.Delete(ctx, "job") }
func cancelIt(a *actor) error { return cancelling(a, ctx) }

func retryIt(a *actor) error {
	a.w.retried = true
	return a.Retry(ctx, "job")
}

func pruneIt(a *actor) error {
	_, err := a.Prune(ctx)
	return err
}

// What is there before.

func base(st State) func(w *world) {
	return func(w *world) {
		w.do(func(a *actor) {
			inStateWith(a, st, withMark("base"))
			a.must(a.w.promised("base", nil))
		})
	}
}

func inStateWith(a *actor, st State, more ...string) {
	switch st {
	case Pending, Processing:
		a.enqueue("job", more...)
	case Completed:
		a.ran("job", success, more...)
	case Failed:
		a.ran("job", Result{Outcome: FailedOutcome, RetryAt: a.sys.now()}, more...)
	case Dead:
		a.ran("job", Result{Outcome: FailedOutcome}, more...)
	}
	if st == Processing {
		a.run("job")
	} else if a.pool != nil {
		a.must(a.pool.Leave())
	}
}

func drops(names ...string) func(w *world) {
	return func(w *world) {
		for _, n := range names {
			w.must(w.Write("pending/"+n+".json", []byte(jobText("job", withMark(n)))))
			w.must(w.promised(n, nil))
		}
	}
}

// staged is a batch whose enqueuer was killed before a step.
func staged(stop func(simfs.Step) bool) func(w *world) {
	return func(w *world) { w.doUntil(stop, func(a *actor) { _ = enqueueMarkedBatch(a) }) }
}

// runWaiting has a process run the job, which must be waiting.
func (a *actor) runWaiting() {
	a.waits()
	a.run("job")
}

func (a *actor) waits() {
	if st := a.state("job"); st != Pending && st != Failed {
		a.fail("the job is %s", st)
	}
}

func runningIn(list ...int) func(a []*actor) {
	return func(a []*actor) {
		for _, i := range list {
			a[i].runWaiting()
		}
	}
}

// scenes are played alone and in pairs.
func scenes() []scene {
	committing := before("renamenoreplace", committed)
	publishing := before("renamenoreplace", "pending/")
	return []scene{
		{name: "enqueuers of one id", acts: acts(enqueueMarked, enqueueMarked)},
		{name: "three enqueuers of one id", acts: acts(enqueueMarked, enqueueMarked, enqueueMarked), alone: true},
		{name: "a batch and a single of one id", acts: acts(enqueueMarkedBatch, enqueueMarked)},
		{name: "rollers of one dead staging, back", base: staged(committing), acts: acts(recovering, recovering)},
		{name: "rollers of one dead staging, forward", base: staged(publishing), acts: acts(recovering, recovering)},
		{name: "two adopters", base: drops("x"), acts: acts(adoptX, adoptX)},
		{name: "drop + enqueue of one id", base: drops("x"), acts: acts(adoptX, enqueueMarked)},
		{name: "two drops with one id", base: drops("x", "y"), acts: acts(adoptX, adoptY)},
		{name: "claimers", base: base(Pending), setup: joined(0, 1), acts: acts(work, work)},
		{name: "claimers of a failed job", base: base(Failed), setup: joined(0, 1), acts: acts(work, work)},
		{name: "claim + delete", base: base(Pending), setup: joined(0), acts: acts(work, removing(deleteIt))},
		{name: "claim + cancel", base: base(Pending), setup: joined(0), acts: acts(work, cancelIt)},
		{name: "claim + retry", base: base(Failed), setup: joined(0), acts: acts(work, retryIt)},
		{name: "claim + prune", base: old(base(Completed)), setup: joined(0), acts: acts(work, removing(pruneIt), retryIt)},
		{name: "claim + edit", base: edited(base(Pending)), setup: joined(0, 1), acts: acts(work, work)},
		{name: "claim + edit, by handlers", base: edited(base(Pending)), setup: joined(0, 1), acts: acts(handle, handle)},
		{name: "claim and settle, by a handler", base: base(Pending), setup: joined(0), acts: acts(handle)},
		{name: "settle", base: base(Pending), setup: runningIn(0), acts: acts(settleIt)},
		{name: "settle a failure", base: base(Pending), setup: runningIn(0), acts: acts(failIt)},
		{name: "release", base: base(Pending), setup: runningIn(0), acts: acts(func(a *actor) error { return a.ended().Release("stop", false) })},
		{name: "recoverers", base: base(Processing), acts: acts(recovering, recovering)},
		{name: "recover + late settle", base: base(Pending), setup: cutOff, acts: acts(settleIt, recovering)},
		{name: "replace + claim", base: edited(base(Pending)), setup: joined(1), acts: acts(forceIt, work)},
		{name: "retry of a dead job", base: base(Dead), setup: joined(1), acts: acts(retryIt, work)},
		{name: "a child that outlives its pool, with the lock", base: base(Pending), setup: withChild(true), acts: acts(settleAfterChild, recoverAndWork, childEnds)},
		{name: "a child that outlives its pool, without the lock", base: base(Pending), setup: withChild(false), acts: acts(settleAfterChild, recoverAndWork, childEnds)},
		{name: "a child that escapes its kill", base: base(Pending), setup: withChild(true), acts: acts(killIt, work, childEnds)},
	}
}

func acts(list ...func(a *actor) error) []func(a *actor) error { return list }

// old makes what ended so old that it is kept no longer.
func old(base func(w *world)) func(w *world) {
	return func(w *world) {
		base(w)
		w.Advance(30 * 24 * time.Hour)
	}
}

// edited rewrites the job's file in place, so that it has to be replaced.
func edited(base func(w *world)) func(w *world) {
	return func(w *world) {
		base(w)
		w.editInPlace("job")
	}
}

// cutOff is a worker on another host that runs a job and has lost its locks.
func cutOff(a []*actor) {
	a[0].sys.id.Host = "away"
	a[0].cut = true
	a[0].runWaiting()
	a[0].must(a[0].c.rec.lock.Unlock())
	a[0].must(a[0].pool.lock.Close())
}

// withChild has the first process run the job in the third one, which has
// either left its process group or closed the file that it inherited.
func withChild(lock bool) func(a []*actor) {
	return func(a []*actor) {
		a[0].waits()
		c := a[0].take("job")
		pid := a[0].w.pids[a[2].p]
		a[0].must(c.Started(pid))
		if lock {
			a[0].inherit(c, a[2].p)
		} else {
			a[0].w.groups[pid] = true
		}
		a[1].join()
		a[0].w.children = append(a[0].w.children, jobProcess{p: a[2].p, of: a[0], claim: c, locked: lock})
	}
}

func childEnds(a *actor) error {
	_, _ = a.p.Lstat("nothing")
	delete(a.w.groups, a.w.pids[a.p])
	a.p.Kill()
	return nil
}

// anyOf are the errors that say that somebody else was faster.
var anyOf = []error{ErrGone, ErrHeld, ErrBusy, ErrTaken, ErrState, ErrNotFound, ErrDrop, ErrRefused, ErrUnfinished, ErrNotDue}

// disturbed is a scene with all that can disturb it.
func (sc scene) disturbed() scene {
	sc.kills, sc.hands = true, hands
	sc.then = func(o *outcomes) { o.losers(anyOf...) }
	return sc
}
