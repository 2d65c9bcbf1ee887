package spool

import (
	"errors"
	"os"
	"path"
	"strings"
	"testing"

	"queuectl/spool/internal/simfs"
)

// A rule is a scene of its own for one rule of the protocol: each of them
// fails when that rule alone is taken out of the code.
type rule struct {
	name string
	play func(w *world)
}

func rules(t *testing.T, list ...rule) {
	t.Helper()
	for _, r := range list {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			if err := failed(func() { r.play(w) }); err != nil {
				t.Fatalf("%v\n%s", err, w.Dump())
			}
		})
	}
}

// wants fails unless err is target.
func (a *actor) wants(err, target error) {
	if !errors.Is(err, target) {
		a.fail("error is %v, not %v", err, target)
	}
}

// meanwhile does something once, before a step of the process.
func (a *actor) meanwhile(stop func(simfs.Step) bool, do func()) {
	a.w.Hook = func(s simfs.Step) {
		if s.Process == a.p && stop(s) {
			a.w.Hook = nil
			do()
		}
	}
}

// cutOff is a worker that runs a job and has lost its locks.
func (w *world) cutOff(where func(id *identity)) *actor {
	a := w.actor("a")
	where(&a.sys.id)
	a.enqueue("job")
	a.run("job")
	a.must(a.c.rec.lock.Unlock())
	a.must(a.pool.lock.Close())
	return a
}

// wholeIn fails unless the job is in that state, and its file as it should be.
func (a *actor) wholeIn(st State) {
	if a.state("job") != st {
		a.fail("it is %s", a.state("job"))
	}
	if rep, err := a.Check(ctx, false); err != nil || !rep.OK() {
		a.fail("%v\n%s", err, findings(rep))
	}
}

func TestRules(t *testing.T) {
	rules(t,
		rule{"a pool's name is never used by a second life", func(w *world) {
			a, b := w.actor("pool"), w.actor("pool")
			b.sys.id = a.sys.id
			if a.join().Name() == b.join().Name() {
				a.fail("two pools have the name %s", a.pool.Name())
			}
		}},
		rule{"no two claims have one name", func(w *world) {
			a := w.actor("a")
			a.enqueue("job")
			first := a.take("job").key
			a.must(a.c.Release("", false))
			if a.take("job").key == first {
				a.fail("two claims are %s", first)
			}
		}},
		rule{"what escaped a kill keeps the lock", func(w *world) {
			a, child := w.actor("a"), w.Process("child")
			a.enqueue("job")
			a.run("job")
			a.p.Inherit(a.c.rec.lock, child)
			a.settle(Result{Outcome: TimedOut, RetryAt: a.sys.now(), Killed: true})
			_, err := a.pool.Claim(a.at("job"))
			a.wants(err, ErrHeld)
			child.Kill()
			a.take("job")
		}},
		rule{"what a job leaves behind that ended by itself holds nothing", func(w *world) {
			a := w.actor("a")
			a.enqueue("job")
			a.run("job")
			a.p.Inherit(a.c.rec.lock, w.Process("daemon"))
			a.settle(Result{Outcome: FailedOutcome, RetryAt: a.sys.now()})
			a.take("job")
		}},
		rule{"a job whose process lives is not recovered", func(w *world) {
			a, child := w.actor("a"), w.Process("child")
			a.enqueue("job")
			a.run("job")
			a.p.Inherit(a.c.rec.lock, child)
			a.p.Kill()
			b := w.actor("b")
			rep, err := b.Recover(ctx)
			if err != nil || len(rep.Waiting) != 1 || b.state("job") != Processing {
				b.fail("%+v, %v", rep, err)
			}
		}},
		rule{"nor one that has closed what it inherited", func(w *world) {
			a := w.actor("a")
			a.enqueue("job")
			a.run("job")
			a.p.Kill()
			w.groups[a.lastLine("job").PID] = true
			b := w.actor("b")
			rep, err := b.Recover(ctx)
			if err != nil || len(rep.Waiting) != 1 || b.state("job") != Processing {
				b.fail("%+v, %v", rep, err)
			}
		}},
		rule{"another host's job is given a new file, also where its pool's file is gone", func(w *world) {
			a := w.cutOff(func(id *identity) { id.Host = "away" })
			w.must(w.Remove(workerPath(a.pool.name)))
			b := w.actor("b")
			_, err := b.Recover(ctx)
			b.must(err)
			b.wholeIn(Pending)
			if i, err := w.Stat(idPath("job")); err != nil || i.Same(a.c.rec.info) {
				b.fail("its old worker can write into it: %v", err)
			}
		}},
		rule{"what was settled meanwhile is not ended again", func(w *world) {
			a := w.cutOff(func(id *identity) { id.Boot = "another" })
			b := w.actor("b")
			b.meanwhile(before("open", "workers/"), func() { a.settle(success) })
			rep, err := b.Recover(ctx)
			if err != nil || len(rep.Recovered) > 0 {
				b.fail("%+v, %v", rep, err)
			}
			b.wholeIn(Completed)
		}},
		rule{"a pool recovers names of its own that no slot holds", func(w *world) {
			a := w.actor("a")
			a.enqueue("job")
			from := a.at("job")
			n, _ := ParseName(path.Base(from))
			n.Pool, n.Claim = a.join().Name(), 99
			w.must(w.Rename(from, "processing/"+n.String()))
			_, err := a.pool.Recover(ctx)
			a.must(err)
			if a.state("job") != Pending {
				a.fail("it is %s", a.state("job"))
			}
		}},
		rule{"who settles looks for a request first", func(w *world) {
			a := w.actor("a")
			a.enqueue("job")
			a.run("job")
			w.do(func(b *actor) { b.must(cancelling(b, ctx)) })
			a.settle(Result{Outcome: FailedOutcome, RetryAt: a.sys.now()})
			if a.state("job") != Dead {
				a.fail("it is %s", a.state("job"))
			}
		}},
		rule{"a request means one life", func(w *world) {
			a := w.actor("a")
			a.enqueue("job")
			a.must(a.ask("job"+cancelSuffix, request{Life: "another", At: a.stamp()}))
			a.run("job")
			a.settle(Result{Outcome: FailedOutcome, RetryAt: a.sys.now()})
			if a.state("job") != Failed {
				a.fail("it is %s", a.state("job"))
			}
		}},
	)
}

// lastLine is the last attempt of a job, by its file, read by a person.
func (a *actor) lastLine(id string) Entry {
	b, err := a.w.Read(idPath(id))
	a.w.must(err)
	dec, err := decodeFile(b, maxFile)
	a.w.must(err)
	return dec.history[len(dec.history)-1]
}

func TestRulesOfSecondNames(t *testing.T) {
	// A person moves the job while it is deleted, and puts a copy in its old
	// place, so that the removal finds something.
	moved := func(w *world, a *actor) {
		p := a.at("job")
		w.must(w.Mkdir("held"))
		w.must(w.Rename(p, "held/"+path.Base(p)))
		w.must(w.Copy("held/"+path.Base(p), p))
	}
	rules(t,
		rule{"an id is busy, not taken, while somebody removes its last name", func(w *world) {
			a, b := w.actor("a"), w.actor("b")
			a.enqueue("job")
			r, err := a.openRecord(a.at("job"))
			a.must(err)
			w.must(w.Remove(r.path))
			b.wants(enqueueJob(b), ErrBusy)
		}},
		rule{"a second name stays while there is a first one", func(w *world) {
			a := w.actor("a")
			a.enqueue("job")
			a.meanwhile(before("renamenoreplace", removal), func() { moved(w, a) })
			r, err := a.openRecord(a.at("job"))
			a.must(err)
			a.wants(r.remove(), ErrGone)
			if p := a.at("job"); path.Dir(p) != "held" || !w.same(p, idPath("job")) {
				a.fail("it is at %s, its second name is there: %v", p, w.there(idPath("job")))
			}
		}},
		rule{"a second name that is another inode stays", func(w *world) {
			a := w.actor("a")
			a.enqueue("job")
			w.must(w.Link(a.at("job"), "snapshot")) // cp -al: the old inode keeps a name
			a.meanwhile(before("renamenoreplace", removal), func() {
				b := w.actor("b")
				b.must(b.ForceRecover(ctx, "job"))
				moved(w, b)
			})
			r, err := a.openRecord(a.at("job"))
			a.must(err)
			a.wants(r.remove(), ErrGone)
			if p := a.at("job"); path.Dir(p) != "held" || !w.same(p, idPath("job")) {
				a.fail("it is at %q, and its second name is there: %v", p, w.there(idPath("job")))
			}
		}},
		rule{"an exchanged file of a job that runs is not adopted", func(w *world) {
			a, b := w.actor("a"), w.actor("b")
			a.enqueue("job")
			a.run("job")
			w.must(exchangeByHand(b))
			_, err := b.adopt(ctx, a.c.Path())
			b.wants(err, ErrHeld)
		}},
		rule{"a copy of a job that a person has moved is refused", func(w *world) {
			a := w.actor("a")
			a.enqueue("job")
			p := a.at("job")
			w.must(w.Rename(p, "pending/now.json"))
			w.must(w.Copy("pending/now.json", p))
			_, err := a.adopt(ctx, p)
			a.wants(err, ErrRefused)
		}},
		rule{"an exchanged file's second name is replaced in one step", func(w *world) {
			exchanged(Pending).base(w)
			a := w.actor("a")
			w.Hook = func(s simfs.Step) {
				if !w.there(idPath("job")) {
					a.fail("before %v the id is free", s)
				}
			}
			a.must(adopted(a, w.placesOf("job")[0]))
		}},
	)
}

func TestRulesOfMovesByHand(t *testing.T) {
	rules(t,
		rule{"a settle does not move what a person put in the file's place", func(w *world) {
			a := w.actor("a")
			a.enqueue("job")
			a.run("job")
			a.meanwhile(before("write", "pending/"), func() { w.must(exchangeByHand(w.actor("editor"))) })
			_, err := a.c.Settle(success)
			a.wants(err, ErrGone)
			if len(w.Names("processing")) != 1 {
				a.fail("it was moved")
			}
		}},
		rule{"a replacement does not drop what a person has just edited", func(w *world) {
			a := w.actor("a")
			a.enqueue("job")
			w.editInPlace("job")
			p := a.at("job")
			a.meanwhile(before("renamenoreplace", "pending/"), func() {
				b, err := w.Read(p)
				w.must(err)
				w.must(w.Write("edited", []byte(strings.Replace(string(b), "true", "echo edited", 1))))
				w.must(w.Rename("edited", p))
			})
			_, err := a.openRecord(p)
			a.wants(err, ErrGone)
			if b, _ := w.Read(p); !strings.Contains(string(b), "echo edited") {
				a.fail("it is %s", b)
			}
		}},
		rule{"a replacement goes beside what a person has put in its place", func(w *world) {
			a := w.actor("a")
			a.enqueue("job")
			w.editInPlace("job")
			p := a.at("job")
			a.meanwhile(before("renamenoreplace", committed), func() { w.must(w.Write(p, []byte("a person's"))) })
			_, _ = a.openRecord(p)
			if b, _ := w.Read(p); string(b) != "a person's" || len(w.Names("pending")) != 2 {
				a.fail("pending/ holds %q", w.Names("pending"))
			}
		}},
		rule{"a copy is not taken for a job whose file was replaced meanwhile", func(w *world) {
			a := w.actor("a")
			a.enqueue("job")
			w.editInPlace("job")
			a.meanwhile(before("lstat", "pending/"), func() {
				b := w.actor("b")
				b.run("job")
				b.settle(success)
				p := b.at("job")
				w.must(w.Copy(p, "pending/"+path.Base(p)))
			})
			if st := a.state("job"); st != Completed {
				a.fail("it is %s", st)
			}
		}},
		rule{"a move never replaces another file", func(w *world) {
			a := w.actor("a")
			a.enqueue("job")
			a.run("job")
			at := a.sys.now()
			n := Name{Time: at, Priority: defaultPriority, ID: "job"}
			w.must(w.Write("failed/"+n.String(), []byte("a person's")))
			a.settle(Result{Outcome: FailedOutcome, RetryAt: at})
			if b, _ := w.Read("failed/" + n.String()); string(b) != "a person's" || len(w.Names("failed")) != 2 {
				a.fail("failed/ holds %q", w.Names("failed"))
			}
		}},
		rule{"a claim does not run what it has not locked", func(w *world) {
			a := w.actor("a")
			a.join()
			a.enqueue("job")
			p := a.at("job")
			a.meanwhile(before("renamenoreplace", "processing/"), func() { w.must(exchangeByHand(w.actor("editor"))) })
			_, err := a.pool.Claim(p)
			a.wants(err, ErrGone)
			if !w.there(p) {
				a.fail("it was not put back")
			}
		}},
		rule{"a staging that another one has made of the same name is not ours", func(w *world) {
			a := w.actor("a")
			a.sys.rands = []string{"firsttimenow"}
			a.meanwhile(before("open", "tmp/firsttimenow"), func() {
				b := w.actor("b")
				_, err := b.Recover(ctx) // rolls the empty directory back
				b.must(err)
			})
			g, err := a.stage()
			a.must(err)
			if _, err := a.fs.Open(g.path, os.O_RDONLY); err != nil {
				a.fail("it is gone: %v", err)
			}
		}},
	)
}
