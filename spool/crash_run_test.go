package spool

import (
	"path"
	"testing"
	"time"
)

// settling is the end of an attempt. A job that has succeeded does not run
// again after a kill; what else is the outcome counts once it is written.
func settling(name string, res Result, to State, attempts int) crashTest {
	return crashTest{
		name:  name,
		base:  func(w *world) { w.do(func(a *actor) { a.enqueue("job", `"max_retries":1`) }) },
		setup: func(a *actor) { a.run("job") },
		act: func(a *actor) error {
			if res.RetryAt != (time.Time{}) {
				res.RetryAt = a.sys.now().Add(time.Hour)
			}
			_, err := a.c.Settle(res)
			return err
		},
		keeps: []string{"job"},
		then: func(v *view) {
			j := v.job("job")
			if written := v.outcome("job") == res.Outcome; v.killed() && (v.acked() || written) && (j.State != to || j.Attempts != attempts) {
				v.fail("it is %s after %d attempts", j.State, j.Attempts)
			}
			v.oneOf("its state", j.State, string(to), string(Pending))
		},
		rest: func(v *view) {
			waited := len(v.before.placesOf("job")) == 1 && stateOf(v.before.placesOf("job")[0]) == Pending
			if v.runs["job"] > 0 && v.outcome("job") == Succeeded && !waited {
				v.fail("it ran again")
			}
		},
	}
}

// outcome is how the job's last attempt ended, by its file as it was found,
// where that can be read.
func (v *view) outcome(id string) Outcome {
	for _, p := range v.before.placesOf(id) {
		b, err := v.before.Read(p)
		v.must(err)
		dec, err := decodeFile(b, maxFile)
		if err == nil && !dec.torn && len(dec.history) > 0 {
			return dec.history[len(dec.history)-1].Outcome
		}
	}
	return ""
}

func TestCrashClaim(t *testing.T) {
	claiming := func(st State) crashTest {
		return crashTest{
			name:  "of a job in " + string(st),
			base:  func(w *world) { w.do(func(a *actor) { inState(a, "job", st) }) },
			setup: func(a *actor) { a.join() },
			act: func(a *actor) error {
				_, err := a.pool.Claim(a.at("job"))
				return err
			},
			keeps: []string{"job"},
			then: func(v *view) {
				v.oneOf("its state", v.state("job"), string(Pending), string(st))
				for _, before := range v.before.placesOf("job") {
					b, _ := ParseName(path.Base(before))
					if n, _ := ParseName(path.Base(v.at("job"))); !n.Time.Equal(b.Time) {
						v.fail("it was %s, and is %s", before, v.at("job"))
					}
				}
			},
			rest: func(v *view) { v.ranOnce("job") },
		}
	}
	// A job that has run before, and that a person gave a second life: what
	// its last line says is of an attempt before this claim.
	again := claiming(Pending)
	again.name = "of a job that has succeeded before"
	again.base = func(w *world) {
		w.do(func(a *actor) { inState(a, "job", Completed) })
		p := w.placesOf("job")[0]
		w.must(w.Rename(p, "pending/"+path.Base(p)))
	}
	rewritten := claiming(Pending)
	rewritten.name = "of a job whose file was edited in place"
	rewritten.base = func(w *world) {
		w.do(func(a *actor) { a.enqueue("job") })
		w.editInPlace("job")
	}
	crashes(t, claiming(Pending), claiming(Failed), again, rewritten)
}

// editInPlace is what an editor does that keeps the inode: the file says the
// same in another form.
func (w *world) editInPlace(id string) {
	p := w.placesOf(id)[0]
	b, err := w.Read(p)
	w.must(err)
	w.must(w.Write(p, append([]byte("{ "), b[1:]...)))
	b[len(b)-1] = ' '
	w.must(w.Write(p, b))
}

func TestCrashSettle(t *testing.T) {
	retryAt := time.Unix(1, 0)
	cancelled := settling("of a job that is cancelled meanwhile", Result{Outcome: FailedOutcome, RetryAt: retryAt}, Dead, 0)
	cancelled.setup = func(a *actor) {
		a.run("job")
		a.w.do(func(b *actor) {
			if rep, err := b.Cancel(ctx, "job"); err != nil || !rep.Requested {
				b.fail("cancel: %+v, %v", rep, err)
			}
		})
	}
	cancelled.then = func(v *view) { v.oneOf("its state", v.state("job"), string(Dead)) }
	cancelled.rest = func(v *view) {
		if len(v.runs) > 0 || v.w.there("control/job.cancel") {
			v.fail("ran: %v; the request is there: %v", v.runs, v.w.there("control/job.cancel"))
		}
	}

	always := settling("complete, always synced", success, Completed, 1)
	always.base = func(w *world) {
		w.do(func(a *actor) {
			a.must(a.SetConfig("sync", "always"))
			a.enqueue("job")
		})
	}
	always.then = func(v *view) {
		if v.acked() && v.state("job") != Completed {
			v.fail("it is %s", v.state("job"))
		}
	}

	release := settling("release", Result{Outcome: Interrupted}, Pending, 0)
	release.act = func(a *actor) error { return a.c.Release("the pool stops", false) }
	release.rest = func(v *view) { v.ranOnce("job") }

	unsynced := settling("complete, nothing synced since the start", success, Completed, 1)
	unsynced.setup = nil
	unsynced.act = func(a *actor) error {
		a.run("job")
		_, err := a.c.Settle(success)
		return err
	}

	crashes(t,
		settling("complete", success, Completed, 1),
		settling("retry", Result{Outcome: FailedOutcome, RetryAt: retryAt}, Failed, 1),
		settling("bury", Result{Outcome: TimedOut}, Dead, 1),
		cancelled, always, onSyncing(always), release, unsynced,
	)
}

// left is a job that a dead pool has left behind, to be recovered.
func left(name string, base func(w *world), then func(v *view)) crashTest {
	return crashTest{
		name: name,
		base: base,
		act: func(a *actor) error {
			_, err := a.Recover(ctx)
			return err
		},
		keeps: []string{"job"},
		then:  then,
	}
}

func TestCrashRecover(t *testing.T) {
	state := func(st State, attempts int) func(v *view) {
		return func(v *view) {
			if j := v.job("job"); v.killed() && (j.State != st || j.Attempts != attempts) {
				v.fail("it is %s after %d attempts", j.State, j.Attempts)
			}
		}
	}
	running := func(w *world) { w.do(func(a *actor) { a.enqueue("job"); a.run("job") }) }
	elsewhere := left("another host's", func(w *world) {
		w.host = "there"
		running(w)
		w.host = "here"
	}, state(Pending, 1))
	cancelled := left("cancelled", func(w *world) {
		running(w)
		p := w.placesOf("job")[0]
		w.do(func(a *actor) { a.must(a.askCancel(p, "job", new(request))) })
	}, state(Dead, 0))
	unnamed := left("a name without a claim", func(w *world) {
		w.do(func(a *actor) { a.enqueue("job") })
		p := w.placesOf("job")[0]
		w.must(w.Rename(p, "processing/"+path.Base(p)))
	}, state(Pending, 0))
	copied := left("a copied tree's", func(w *world) {
		running(w)
		p := w.placesOf("job")[0]
		w.must(w.Copy(p, "copy"))
		w.must(w.Rename("copy", p))
		w.must(w.Remove(idPath("job")))
	}, state(Pending, 0))
	copied.untidy = []int{invSecond}

	crashes(t,
		left("open attempt", running, state(Pending, 1)),
		left("third death in a row", func(w *world) {
			for range chargedDeaths - 1 {
				w.do(func(a *actor) {
					if len(w.placesOf("job")) == 0 {
						a.enqueue("job")
					}
					a.run("job")
				})
				w.do(func(a *actor) { _, _ = a.Recover(ctx) })
			}
			w.do(func(a *actor) { a.run("job") })
		}, state(Dead, chargedDeaths)),
		left("finished attempt", func(w *world) {
			w.doUntil(before("renamenoreplace", "completed/"), func(a *actor) { a.ran("job", success) })
		}, state(Completed, 1)),
		left("attempt that never began", func(w *world) {
			w.doUntil(before("write", "pending/"), func(a *actor) { a.enqueue("job"); a.take("job") })
		}, state(Pending, 0)),
		elsewhere, cancelled, unnamed, copied,
	)
}
