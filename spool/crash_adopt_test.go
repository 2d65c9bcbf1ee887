package spool

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"

	"queuectl/spool/internal/simfs"
)

// before is a stop: before the first operation op on a path that contains part.
func before(op, part string) func(simfs.Step) bool {
	return func(s simfs.Step) bool { return s.Op == op && strings.Contains(s.Path+" "+s.Path2, part) }
}

// adopting is a drop that becomes a job. It runs once, whatever happens, and
// is never there twice.
func adopting(name, file, text, id string) crashTest {
	return crashTest{
		name: name,
		base: func(w *world) { w.must(w.Write("pending/"+file, []byte(text))) },
		act:  func(a *actor) error { return adopted(a, "pending/"+file) },
		first: func(v *view) {
			n := len(v.w.files())
			if v.forward(id) {
				n++
			}
			for _, p := range v.w.staged() {
				if strings.HasSuffix(p, "/pending/"+file) && !strings.Contains(p, committed+"/") {
					n++
				}
			}
			if n != 1 {
				v.fail("it is there %d times", n)
			}
			if v.forward(id) && !v.w.there(idPath(id)) {
				v.fail("it is promised without its second name")
			}
		},
		then: func(v *view) {
			if v.acked() && v.job(id).Command != "true" {
				v.fail("it is %s", v.job(id).Raw)
			}
			if b, err := v.w.Read("pending/" + file); err == nil && string(b) != text && !v.acked() && len(v.w.placesOf(id)) == 0 {
				v.fail("the drop has become %q", b)
			}
		},
		rest: func(v *view) { v.ranOnce(id) },

		loose:   40,
		settled: committedAndSynced,
	}
}

// committedAndSynced is where a staging is complete and nothing of it is
// published: until then, a disk that keeps no order at all could lose what was
// taken into a directory that is new itself.
func committedAndSynced(step string) bool {
	return strings.HasPrefix(step, "list tmp/") && strings.HasSuffix(step, committed)
}

func adopted(a *actor, p string) error {
	_, err := a.adopt(ctx, p)
	return err
}

// ranOnce fails unless one job was run after the crash, once, and succeeded.
func (v *view) ranOnce(id string) {
	if v.runs[id] != 1 || len(v.runs) != 1 || v.state(id) != Completed {
		v.fail("ran: %v", v.runs)
	}
}

// exchanged is a file with another inode in the place of a job's.
func exchanged(st State) crashTest {
	return crashTest{
		name: "exchanged in " + string(st),
		base: func(w *world) {
			w.do(func(a *actor) { inState(a, "job", st) })
			p := w.placesOf("job")[0]
			b, err := w.Read(p)
			w.must(err)
			w.must(w.Write("edited", []byte(strings.Replace(string(b), "true", "echo edited", 1))))
			w.must(w.Rename("edited", p))
		},
		act:   func(a *actor) error { return adopted(a, a.w.placesOf("job")[0]) },
		keeps: []string{"job"},
		// An exchanged file in dead/ is adopted by who names it.
		untidy: []int{invSecond},
		then: func(v *view) {
			if j := v.job("job"); j.State != st || j.Command != "echo edited" {
				v.fail("it is %s: %s", j.State, j.Raw)
			}
		},
	}
}

// inState makes a job in a state.
func inState(a *actor, id string, st State) {
	switch st {
	case Pending:
		a.enqueue(id)
	case Completed:
		a.ran(id, success)
	case Failed:
		a.ran(id, Result{Outcome: FailedOutcome, RetryAt: a.sys.now()})
	case Dead:
		a.ran(id, Result{Outcome: FailedOutcome})
	case Held:
		a.enqueue(id)
		a.w.must(a.w.Mkdir("held"))
		p := a.at(id)
		a.w.must(a.w.Rename(p, "held/"+path.Base(p)))
	}
	if a.pool != nil {
		a.must(a.pool.Leave())
	}
}

func TestCrashAdopt(t *testing.T) {
	taken := adopting("id of its own that is taken", "x.json", jobText("job"), "job")
	taken.base = func(w *world) {
		w.do(func(a *actor) { a.enqueue("job") })
		w.must(w.Write("pending/x.json", []byte(jobText("job"))))
	}
	taken.act = func(a *actor) error { return refused(a, "pending/x.json") }
	taken.first, taken.rest = nil, func(v *view) {
		if v.runs["job"] != 1 || len(v.runs) != 1 {
			v.fail("ran: %v", v.runs)
		}
	}
	taken.keeps, taken.want = []string{"job"}, func(*view) []int { return []int{2} }
	taken.then = nil

	nameTaken := adopting("file name that is taken as an id", "hello.json", `{"command":"true"}`, "")
	nameTaken.base = func(w *world) {
		w.do(func(a *actor) { a.enqueue("hello") })
		w.must(w.Write("pending/hello.json", []byte(`{"command":"true"}`)))
	}
	nameTaken.keeps = []string{"hello"}
	nameTaken.first, nameTaken.then, nameTaken.rest = nil, nil, nil
	nameTaken.want = func(*view) []int { return []int{2} }

	malformed := adopting("refused", "bad.json", `{"Command":"true"}`, "")
	malformed.act = func(a *actor) error { return refused(a, "pending/bad.json") }
	malformed.then = nil
	malformed.rest = func(v *view) {
		if len(v.runs) != 0 {
			v.fail("ran: %v", v.runs)
		}
		if b, _ := v.w.Read(v.w.files()[0]); string(b) != `{"Command":"true"}` {
			v.fail("it is %q", b)
		}
	}

	copied := crashTest{
		name: "file of a copied tree",
		base: func(w *world) {
			w.do(func(a *actor) { inState(a, "job", Failed) })
			p := w.placesOf("job")[0]
			w.must(w.Copy(p, p+".x"))
			w.must(w.Rename(p+".x", p))
			w.must(w.Remove(idPath("job")))
		},
		act:    func(a *actor) error { return adopted(a, a.w.placesOf("job")[0]) },
		keeps:  []string{"job"},
		untidy: []int{invSecond},
		then: func(v *view) {
			if j := v.job("job"); j.State != Failed || j.Attempts != 1 {
				v.fail("it is %s after %d attempts", j.State, j.Attempts)
			}
		},
		rest: func(v *view) { v.ranOnce("job") },
		// What is staged for a state lies below a directory of its own.
		loose: 60, settled: committedAndSynced,
	}

	home := crashTest{
		name: "homecoming",
		base: func(w *world) {
			w.do(func(a *actor) {
				a.enqueue("job", `"priority":7`)
				a.run("job")
				a.settle(Result{Outcome: FailedOutcome, RetryAt: a.sys.now()})
				a.must(a.pool.Leave())
			})
			w.must(w.Rename(w.placesOf("job")[0], "pending/now.json"))
		},
		act: func(a *actor) error { return adopted(a, "pending/now.json") },
		then: func(v *view) {
			if !v.acked() || !v.killed() {
				return
			}
			if j := v.job("job"); j.State != Pending || j.Priority != 7 {
				v.fail("it is %s, priority %d", j.State, j.Priority)
			}
		},
		rest: func(v *view) { v.ranOnce("job") },
	}

	crashes(t,
		adopting("id of its own", "x.json", jobText("job"), "job"),
		adopting("without an id", "hello.json", `{"command":"true"}`, "hello"),
		taken, nameTaken, malformed, copied, home,
		exchanged(Pending), exchanged(Failed), exchanged(Dead), exchanged(Completed), exchanged(Held),
	)
}

// refused adopts a drop that must be refused.
func refused(a *actor, p string) error {
	if err := adopted(a, p); !errors.Is(err, ErrRefused) {
		return fmt.Errorf("%w: %v", errUnexpected, err)
	}
	return nil
}
