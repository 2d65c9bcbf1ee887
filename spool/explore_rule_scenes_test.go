package spool

import (
	"errors"
	"path"
	"slices"
)

// once is for a move that brings a job with a mark, which there is one of.
func once(mark string, what func(*world) string) func(*world) string {
	return func(w *world) string {
		if _, told := w.told[mark]; told {
			return ""
		}
		return what(w)
	}
}

// Scenes of one rule each.
var (
	secondLife = scene{
		name: "claim by a pool's second life, of a job put back from dead/", base: base(Pending), kills: true,
		setup: func(a []*actor) {
			diedAndPutBack(a[0])
			a[0].must(a[0].pool.Leave())
			a[0].pool = nil
			a[1].join()
		},
		acts: acts(nil, work),
	}
	secondClaim = scene{
		name: "a pool's second claim, of a job put back from dead/", base: base(Pending), kills: true,
		setup: func(a []*actor) { diedAndPutBack(a[0]) },
		acts:  acts(work),
	}
	editedAndEnqueued = scene{name: "claim of an edited job + enqueue of its id", base: edited(base(Pending)), setup: joined(0), acts: acts(work, enqueueMarked), kills: true}
	editedAndMoved    = scene{name: "claim of an edited job + mv pending/X dead/", base: edited(base(Pending)), setup: joined(0), acts: acts(work), kills: true, hands: byHand("mv pending/X dead/")}
	ownName           = scene{
		name: "recovery by a pool + mv X processing/", base: base(Pending), acts: acts(func(a *actor) error {
			_, err := a.pool.Recover(ctx)
			return err
		}),
		setup: func(a []*actor) {
			a[0].waits()
			n, _ := ParseName(path.Base(a[0].at("job")))
			n.Pool, n.Claim = a[0].join().name, 7
			a[0].w.must(a[0].w.Rename(a[0].at("job"), "processing/"+n.String()))
		},
	}
	cancelledByHand = scene{
		name: "touch control/job.cancel", acts: acts(recovering), kills: true,
		base: func(w *world) {
			base(Pending)(w)
			w.must(w.Write("control/job"+cancelSuffix, nil))
		},
		rest: func(o *outcomes) {
			if len(o.v.runs) > 0 {
				o.fail("it was cancelled, and ran: %v", o.v.runs)
			}
		},
	}
	exchangedWhileRunning = scene{
		name: "claim of a running job, after mv processing/X pending/ and sed -i X", base: base(Pending), acts: acts(nil, work), untidy: []int{invSecond, invOwned},
		setup: func(a []*actor) {
			a[0].runWaiting()
			a[1].join()
			for _, h := range byHand("mv processing/X pending/DUE-P-ID.json", "sed -i X") {
				a[0].w.does(h)
			}
		},
	}
	editedAndTaken = scene{
		name: "enqueue of an id + sed -i X", base: base(Pending), acts: acts(enqueueMarked), hands: byHand("sed -i X"),
		rest: func(o *outcomes) {
			if o.errs[0] == nil {
				o.fail("the id of a job was given to another one")
			}
		},
	}
	recoveredTwice = scene{
		name: "a child that outlives its pool, without the lock, and two recoveries", base: base(Pending), setup: withChild(false), kills: true,
		acts: acts(settleAfterChild, func(a *actor) error { return errors.Join(recovering(a), recoverAndWork(a)) }, childEnds),
	}
	copiedAndClaimed = scene{name: "claim + cp completed/X pending/", base: base(Completed), setup: joined(0), acts: acts(work), hands: byHand("cp completed/X pending/")}
	joinAndRecover   = scene{
		name: "join + recover", acts: acts(func(a *actor) error { a.join(); return nil }, recovering),
		then: func(o *outcomes) {
			if a := o.actors[0]; a.pool != nil && !o.there(workerPath(a.pool.name)) {
				o.fail("a living pool has no file")
			}
		},
	}
	lateCancel = scene{
		name: "claim, and a request to cancel an earlier life", acts: acts(work), kills: true,
		setup: func(list []*actor) {
			a := list[0]
			a.enqueue("job")
			a.must(a.askCancel(a.at("job"), "job", new(request)))
			request, err := a.w.Read("control/job" + cancelSuffix)
			a.must(err)
			a.must(a.Delete(ctx, "job"))
			a.enqueue("job")
			a.must(a.w.Write("control/job"+cancelSuffix, request)) // its writer was slow
			a.join()
		},
		rest: func(o *outcomes) {
			if o.v.state("job") != Completed {
				o.fail("another life of the job was cancelled")
			}
		},
	}
	claimAndEditor = scene{
		name: "claim, and an editor that exchanges the file", base: pending, setup: joined(0),
		acts: acts(claimJob, person(exchangeByHand)), twice: true,
		untidy: []int{invOnce, invSecond, invOwned},
		then: func(o *outcomes) {
			if c := o.actors[0].c; o.errs[0] == nil && !o.same(c.Path(), idPath("job")) {
				o.fail("it runs a file that it has not locked")
			}
		},
	}
	adoptAndExchange = scene{
		name: "adopter + mv z.json pending/x.json", base: drops("x"), setup: joined(0), acts: acts(work),
		kills: true, hands: []hand{{name: "mv z.json pending/x.json", what: once("z", func(*world) string { return "pending/x.json" }), do: func(w *world, p string) {
			if w.there(p) {
				delete(w.told, "x") // the person has overwritten it
			}
			w.must(w.Write("z.json", []byte(`{"command":"true",`+withMark("z")+`}`)))
			w.must(w.Rename("z.json", p))
			w.must(w.promised("z", nil))
		}}},
	}
	releaseAndDrop = scene{
		name: "release + mv z.json pending/X", base: base(Pending), setup: runningIn(0),
		acts: acts(func(a *actor) error { return a.ended().Release("stop", false) }), kills: true,
		hands: []hand{{name: "mv z.json pending/X", what: once("z", first(Processing)), do: func(w *world, p string) {
			w.must(w.Write("z.json", []byte(`{"command":"true",`+withMark("z")+`}`)))
			to := "pending/" + unclaimed(path.Base(p))
			w.must(w.Rename("z.json", to))
			w.madeByHand(to)
			w.must(w.promised("z", nil))
		}}},
	}
	putBackAndClaimed = scene{name: "claim + mv dead/X pending/", base: base(Dead), setup: joined(0), acts: acts(work), kills: true, hands: byHand("mv dead/X pending/")}
	settleAndCancel   = scene{
		name: "settle + cancel", base: base(Pending), setup: runningIn(0), acts: acts(failIt, cancelIt), kills: true,
		rest: func(o *outcomes) {
			if o.errs[1] == nil && len(o.v.runs) > 0 {
				o.fail("it was cancelled, and ran: %v", o.v.runs)
			}
		},
	}
	retryAfterCancel = scene{
		name: "retry of a job whose request to cancel came late", setup: joined(1), acts: acts(retryIt, work), kills: true,
		base: func(w *world) {
			base(Completed)(w)
			w.do(func(a *actor) { a.must(a.askCancel(a.at("job"), "job", new(request))) })
		},
		rest: func(o *outcomes) {
			if o.errs[0] == nil && o.v.state("job") != Completed {
				o.fail("it was retried, and is %s", o.v.state("job"))
			}
		},
	}
)

// diedAndPutBack has a job fail for good, which a person puts back.
func diedAndPutBack(a *actor) {
	a.runWaiting()
	a.settle(Result{Outcome: FailedOutcome})
	a.w.does(byHand("mv dead/X pending/")[0])
}

// byHand are some of hands, by their names.
func byHand(names ...string) (list []hand) {
	for _, name := range names {
		i := slices.IndexFunc(hands, func(h hand) bool { return h.name == name })
		list = append(list, hands[i])
	}
	return list
}
