package spool

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// enqueueing makes a job of its own id.
var enqueueing = crashTest{
	name:  "chosen id",
	base:  func(w *world) { w.do(func(a *actor) { a.enqueue("other") }) },
	act:   func(a *actor) error { return enqueued(a, jobText("job")) },
	keeps: []string{"other"},
	loose: 40,
	first: func(v *view) { v.acknowledged("job") },
	then:  func(v *view) { v.wholeOrNot("job") },
	want: func(v *view) []int {
		return ifAcked(v, []int{2}, []int{1, 2})
	},
	rest: func(v *view) {
		if v.runs["job"] > 1 || v.runs["job"] < 1 && v.acked() {
			v.fail("it ran %d times", v.runs["job"])
		}
	},
}

func enqueued(a *actor, text string) error {
	_, err := a.EnqueueJSON(ctx, []byte(text))
	return err
}

func ifAcked[T any](v *view, yes, no T) T {
	if v.acked() {
		return yes
	}
	return no
}

// onSyncing is the operation on a file system where one sync of a file makes
// its names durable, too.
func onSyncing(c crashTest) crashTest {
	base := c.base
	c.name += ", names synced with the file"
	c.loose = 0 // such file systems keep the order
	c.base = func(w *world) {
		w.SetSyncsNames(true)
		base(w)
	}
	return c
}

// worked enqueues a job and runs it to its end: what a file says may be on disk
// before the names that it had meanwhile.
func worked() crashTest {
	promised := false
	c := enqueueing
	c.name = "chosen id, and its attempt"
	c.act = func(a *actor) error {
		promised = false
		if err := enqueued(a, jobText("job")); err != nil {
			return err
		}
		promised = true
		a.run("job")
		_, err := a.ended().Settle(success)
		return err
	}
	c.first = nil
	c.then = func(v *view) {
		if _, err := v.Job("job"); err != nil && promised {
			v.fail("a promised job: %v", err)
		}
	}
	c.want = func(*view) []int {
		if promised {
			return []int{2}
		}
		return []int{1, 2}
	}
	c.rest = func(v *view) {
		if promised && v.state("job") != Completed {
			v.fail("it is %s", v.state("job"))
		}
	}
	return c
}

// acknowledged looks, before any repair, whether a job that was promised is
// there with both its names, or will be rolled forward.
func (v *view) acknowledged(ids ...string) {
	for _, id := range ids {
		p := v.w.placesOf(id)
		for _, staged := range v.w.staged() {
			if strings.Contains(staged, oneByOne+"/") && v.w.same(staged, idPath(id)) {
				p = append(p, staged)
			}
		}
		if v.acked() && (len(p) != 1 || !v.w.same(p[0], idPath(id))) {
			v.fail("%q was promised, and is at %q; its second name is there: %v", id, p, v.w.there(idPath(id)))
		}
	}
}

// wholeOrNot fails unless the job is there as it was enqueued, or its id is
// free.
func (v *view) wholeOrNot(id string) {
	j, err := v.Job(id)
	switch {
	case errors.Is(err, ErrNotFound) && !v.acked():
		v.must(enqueued(v.actor, jobText(id)))
		v.must(v.Delete(ctx, id))
	case err != nil:
		v.fail("%v", err)
	case j.State != Pending || j.Command != "true" || (len(j.History) != 1 && !v.loose):
		v.fail("it is %s: %s", j.State, j.Raw)
	default:
		if err := enqueued(v.actor, jobText(id)); !errors.Is(err, ErrTaken) {
			v.fail("its id is not taken: %v", err)
		}
	}
}

const batchLines = 3

// batching makes several jobs at once.
var batching = crashTest{
	name: "batch",
	base: func(w *world) { w.do(func(a *actor) { a.enqueue("other") }) },
	act: func(a *actor) error {
		_, err := a.EnqueueBatch(ctx, batchOf("a", "b", "c"))
		return err
	},
	keeps: []string{"other"},
	loose: 40, settled: committedAndSynced,
	first: func(v *view) {
		n := 0
		for _, id := range []string{"a", "b", "c"} {
			if len(v.w.placesOf(id)) == 1 || v.forward(id) {
				n++
			}
		}
		if n != batchLines && v.acked() {
			v.fail("only %d jobs of the batch are promised still", n)
		}
	},
	then: func(v *view) {
		n := 0
		for _, id := range []string{"a", "b", "c"} {
			if j, err := v.Job(id); err == nil && j.State == Pending && j.Command == "true" {
				n++
			}
		}
		if n != batchLines && (n != 0 || v.acked()) {
			v.fail("%d jobs of a batch of %d are there", n, batchLines)
		}
	},
	want: func(v *view) []int { return ifAcked(v, []int{1 + batchLines}, []int{1, 1 + batchLines}) },
}

func batchOf(ids ...string) (lines [][]byte) {
	for _, id := range ids {
		lines = append(lines, []byte(jobText(id)))
	}
	return lines
}

// forward reports whether a job is in a staging that was committed.
func (v *view) forward(id string) bool {
	for _, p := range v.w.staged() {
		if strings.Contains(p, committed+"/") && strings.HasSuffix(p, "-"+id+".json") {
			return true
		}
	}
	return false
}

func TestCrashEnqueue(t *testing.T) {
	random := enqueueing
	random.name, random.first, random.then, random.rest = "random id", nil, nil, nil
	random.act = func(a *actor) error { return enqueued(a, `{"command":"true"}`) }

	second := enqueueing
	second.name = "second in one process"
	second.setup = func(a *actor) { a.enqueue("earlier") }
	second.keeps = []string{"other", "earlier"}
	second.want = func(v *view) []int { return ifAcked(v, []int{3}, []int{2, 3}) }

	afterDead := enqueueing
	afterDead.name = "after an enqueuer that died with the id"
	afterDead.base = func(w *world) {
		w.do(func(a *actor) { a.enqueue("other") })
		w.doUntil(before("renamenoreplace", "pending/"), func(a *actor) { a.enqueue("job") })
	}

	taken := enqueueing
	taken.name = "id taken"
	taken.base = func(w *world) { w.do(func(a *actor) { a.enqueue("other"); a.enqueue("job") }) }
	taken.keeps = []string{"other", "job"}
	taken.act = func(a *actor) error {
		if err := enqueued(a, jobText("job")); !errors.Is(err, ErrTaken) {
			return fmt.Errorf("%w: %v", errUnexpected, err)
		}
		return nil
	}
	taken.want = func(*view) []int { return []int{2} }

	clash := random
	clash.name = "random id that is taken"
	clash.setup = func(a *actor) { a.sys.rands = []string{"othertheother"[:12], "fresh"} }
	clash.base = func(w *world) { w.do(func(a *actor) { a.enqueue("other"); a.enqueue("othertheothe") }) }
	clash.want = func(v *view) []int { return ifAcked(v, []int{3}, []int{2, 3}) }

	badBatch := batching
	badBatch.name = "batch with an id that is taken"
	badBatch.act = func(a *actor) error {
		_, err := a.EnqueueBatch(ctx, batchOf("a", "b", "other"))
		var line *BatchError
		if !errors.As(err, &line) || line.Index != 2 || !errors.Is(err, ErrTaken) {
			return fmt.Errorf("%w: %v", errUnexpected, err)
		}
		return err
	}
	badBatch.want = func(*view) []int { return []int{1} }

	crashes(t, enqueueing, random, second, afterDead, taken, clash, batching, badBatch,
		onSyncing(enqueueing), onSyncing(random), onSyncing(second), onSyncing(afterDead), onSyncing(taken), worked(), onSyncing(worked()))
}
