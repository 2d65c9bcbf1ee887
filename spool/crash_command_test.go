package spool

import (
	"context"
	"path"
	"strings"
	"testing"
	"time"
)

// commanded is a command that a person gives to a job.
func commanded(name string, st State, do func(a *actor, ctx context.Context) error, then func(v *view)) crashTest {
	return crashTest{
		name:  name,
		base:  func(w *world) { w.do(func(a *actor) { inState(a, "job", st) }) },
		act:   func(a *actor) error { return do(a, ctx) },
		keeps: []string{"job"},
		then:  then,
	}
}

func retrying(a *actor, ctx context.Context) error { return a.Retry(ctx, "job") }
func deleting(a *actor, ctx context.Context) error { return a.Delete(ctx, "job") }

func cancelling(a *actor, ctx context.Context) error {
	_, err := a.Cancel(ctx, "job")
	return err
}

// movedOnce fails unless the job is where it was or, once the command has
// returned, where it was sent: also after a power cut.
func movedOnce(from, to State) func(v *view) {
	return func(v *view) {
		j := v.job("job")
		v.oneOf("its state", j.State, ifAcked(v, []string{string(to)}, []string{string(from), string(to)})...)
		if to == Pending && j.State == to && v.killed() && j.Attempts != 0 {
			v.fail("it has %d attempts", j.Attempts)
		}
	}
}

func TestCrashRetry(t *testing.T) {
	var tests []crashTest
	for _, st := range []State{Failed, Completed, Dead, Held} {
		c := commanded("from "+string(st), st, retrying, movedOnce(st, Pending))
		c.base = func(w *world) {
			w.do(func(a *actor) { inState(a, "job", st) })
			w.do(func(a *actor) { // for what is over, or of an earlier life
				life := "earlier"
				if st == Completed || st == Dead {
					life, _ = lifeOf(a.job("job").History)
				}
				a.must(a.ask("job"+cancelSuffix, request{Life: life, At: a.stamp()}))
			})
		}
		c.rest = func(v *view) {
			if want := ifAcked(v, 1, v.runs["job"]); v.runs["job"] != want {
				v.fail("ran: %v", v.runs)
			}
		}
		tests = append(tests, c)
	}
	crashes(t, tests...)
}

func TestCrashCancel(t *testing.T) {
	var tests []crashTest
	for _, st := range []State{Pending, Failed, Held} {
		c := commanded("waiting in "+string(st), st, cancelling, movedOnce(st, Dead))
		c.rest = func(v *view) {
			if v.acked() && len(v.runs) != 0 {
				v.fail("ran: %v", v.runs)
			}
		}
		tests = append(tests, c)
	}
	running := commanded("running", Pending, cancelling, func(v *view) {
		v.oneOf("its state", v.state("job"), ifAcked(v, []string{"dead"}, []string{"pending", "dead"})...)
	})
	running.setup = func(a *actor) { a.w.actor("pool").run("job") }
	running.rest = func(v *view) {
		if v.acked() && len(v.runs) != 0 || v.w.there("control/job.cancel") {
			v.fail("ran: %v; the request is there: %v", v.runs, v.w.there("control/job.cancel"))
		}
	}
	dead := running
	dead.name, dead.setup = "its pool is dead", nil
	dead.base = func(w *world) { w.do(func(a *actor) { a.enqueue("job"); a.run("job") }) }
	crashes(t, append(tests, running, dead)...)
}

// gone wants a job that was removed to be gone, after a kill, and its id free
// in any case where no file of it is left.
func gone(v *view) {
	if v.acked() && v.killed() && len(v.before.files()) > 0 {
		v.fail("it is still there")
	}
	if len(v.w.files()) == 0 {
		v.must(enqueued(v.actor, jobText("job")))
		v.must(v.Delete(ctx, "job"))
	}
}

func TestCrashDelete(t *testing.T) {
	maybe := func(*view) []int { return []int{0, 1} }
	var tests []crashTest
	for _, st := range []State{Pending, Failed, Completed, Dead, Held} {
		c := commanded("in "+string(st), st, deleting, gone)
		c.keeps, c.want = nil, maybe
		tests = append(tests, c)
	}
	dead := commanded("its pool is dead", Pending, deleting, gone)
	dead.base = func(w *world) { w.do(func(a *actor) { a.enqueue("job"); a.run("job") }) }
	dead.keeps, dead.want = nil, maybe

	prune := dead
	prune.name = "prune"
	prune.base = func(w *world) {
		w.do(func(a *actor) { inState(a, "job", Completed) })
		w.Advance(30 * 24 * time.Hour)
	}
	prune.act = func(a *actor) error {
		_, err := a.Prune(ctx)
		return err
	}
	count := prune
	count.name = "prune by count"
	count.base = func(w *world) {
		w.do(func(a *actor) {
			a.must(a.SetConfig("keep_completed_count", "1"))
			inState(a, "job", Completed)
			a.ran("later", success)
			a.must(a.pool.Leave())
		})
	}
	count.keeps, count.then = []string{"later"}, nil
	count.want = func(*view) []int { return []int{1, 2} }
	crashes(t, append(tests, dead, prune, count)...)
}

// refusal has a file lie in dead/ that was refused as a job.
func refusal(w *world) {
	w.must(w.Write("pending/bad.json", []byte(`{"Command":"true"}`)))
	w.do(func(a *actor) { _, _ = a.adopt(ctx, "pending/bad.json") })
}

// onlyID is the id of the only file there is.
func onlyID(w *world) string {
	n, _ := ParseName(path.Base(w.files()[0]))
	return n.ID
}

func TestCrashRefused(t *testing.T) {
	retry := crashTest{
		name: "retry",
		base: refusal,
		act:  func(a *actor) error { return a.Retry(ctx, onlyID(a.w)) },
		then: func(v *view) {
			if b, _ := v.w.Read(v.w.files()[0]); string(b) != `{"Command":"true"}` {
				v.fail("it is %q", b)
			}
			if v.acked() && v.killed() && !v.w.there("pending/bad.json") {
				v.fail("it is at %q", v.w.files())
			}
		},
	}
	remove := retry
	remove.name = "delete"
	remove.act = func(a *actor) error { return a.Delete(ctx, onlyID(a.w)) }
	remove.then = func(v *view) {
		if v.acked() && v.killed() && len(v.w.files()) > 0 {
			v.fail("it is at %q", v.w.files())
		}
	}
	remove.want = func(*view) []int { return []int{0, 1} }
	crashes(t, retry, remove)
}

func TestCrashReplace(t *testing.T) {
	var tests []crashTest
	for _, st := range []State{Pending, Failed, Completed, Dead, Held} {
		tests = append(tests, replacing(st))
	}
	force := replacing(Pending)
	force.name = "recover --force"
	force.base = func(w *world) { w.do(func(a *actor) { a.enqueue("job"); a.run("job") }) }
	force.act = func(a *actor) error { return a.ForceRecover(ctx, "job") }
	force.then = func(v *view) { v.oneOf("its state", v.state("job"), string(Pending)) }
	// What has succeeded does not run again, by force neither.
	finished := force
	finished.name = "recover --force of a finished attempt"
	finished.base = func(w *world) {
		w.doUntil(before("renamenoreplace", "completed/"), func(a *actor) { a.ran("job", success) })
	}
	finished.then = func(v *view) { v.oneOf("its state", v.state("job"), string(Completed)) }
	crashes(t, append(tests, force, finished)...)
}

// replacing gives a job's file new content because a person has brought it
// into a form to which nothing can be appended.
func replacing(st State) crashTest {
	return crashTest{
		name: "in " + string(st),
		base: func(w *world) {
			w.do(func(a *actor) { inState(a, "job", st) })
			w.editInPlace("job")
		},
		act: func(a *actor) error {
			r, err := a.openRecord(a.at("job"))
			if err == nil && !r.ours {
				a.fail("it was not replaced")
			}
			return err
		},
		keeps: []string{"job"},
		then: func(v *view) {
			if j := v.job("job"); j.State != st || j.Command != "true" {
				v.fail("it is %s: %s", j.State, j.Raw)
			}
		},
		loose:   40,
		settled: committedAndSynced,
	}
}

func TestCrashConfig(t *testing.T) {
	set := crashTest{
		name: "set",
		base: func(w *world) { w.do(func(a *actor) { a.must(a.SetConfig("retry_base", "3")) }) },
		act:  func(a *actor) error { return a.SetConfig("retry_base", "4") },
		then: func(v *view) {
			c, err := v.Config()
			v.must(err)
			v.oneOf("retry_base", c.RetryBase, ifAcked(v, []string{"4"}, []string{"3", "4"})...)
		},
		want: func(*view) []int { return []int{0} },
	}
	unset := set
	unset.name = "unset"
	unset.act = func(a *actor) error { return a.UnsetConfig("retry_base") }
	unset.then = func(v *view) {
		c, err := v.Config()
		v.must(err)
		v.oneOf("retry_base", c.RetryBase, ifAcked(v, []string{"2"}, []string{"3", "2"})...)
	}
	crashes(t, set, unset)
}

// TestCrashJoin: a pool that dies while it comes or goes leaves nothing that
// the recovery does not remove.
func TestCrashJoin(t *testing.T) {
	none := func(*view) []int { return []int{0} }
	tidy := func(v *view) {
		for _, name := range v.w.Names("workers") {
			if !strings.HasPrefix(name, ".") {
				v.fail("workers/%s is left", name)
			}
		}
	}
	join := crashTest{
		name: "join",
		act: func(a *actor) error {
			a.join()
			return nil
		},
		rest: tidy, want: none,
	}
	leave := join
	leave.name = "leave"
	leave.setup = func(a *actor) { a.join() }
	leave.act = func(a *actor) error { return a.pool.Leave() }
	stopping := leave
	stopping.name = "stopping"
	stopping.act = func(a *actor) error { return a.pool.Stopping() }
	crashes(t, join, leave, stopping)
}
