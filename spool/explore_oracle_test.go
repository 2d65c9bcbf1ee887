package spool

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// afterStep is what holds at every moment: no two live copies of one id. A
// copy is a file in a state directory that queuectl has made, or an execution.
func (r *run) afterStep() {
	for id, n := range r.living() {
		if n > 1 && !r.x.twice {
			r.fail("%q runs %d times at once", id, n)
		}
	}
	if r.x.twice || !r.changed {
		return
	}
	r.changed = false
	for id, n := range counts(r.own()) {
		if n > 1 {
			r.fail("%q is in %d places", id, n)
		}
	}
}

// own are the ids with a canonical name in a state directory, but for files
// that a person has made.
func (o *outcomes) own() (ids []string) {
	for _, p := range o.files() {
		n, ok := ParseName(path.Base(p))
		if !ok {
			continue
		}
		if i, err := o.Stat(p); err == nil && !o.made[i.Ino] {
			ids = append(ids, n.ID)
		}
	}
	return ids
}

// living is how often each id is being run: by a process that holds its claim,
// or by a child whose pool was killed, or has not managed to kill it.
func (o *outcomes) living() map[string]int {
	n := make(map[string]int)
	for _, a := range o.actors {
		if a.c != nil && a.c.rec.lock != nil && !a.p.Dead() && !a.cut {
			n[a.c.ID]++
		}
	}
	for _, c := range o.children {
		// A limit: once a person has moved the file, only the lock protects it.
		seen := (c.locked || !o.did("processing/X")) && !o.forced
		if !c.p.Dead() && (c.escaped || c.of.p.Dead()) && seen {
			n[c.claim.ID]++
		}
	}
	return n
}

// judge looks at what came of a run, first while the processes live, and then
// as after any crash: a fresh pool is to bring all work to its end.
func (x *exploration) judge(o *outcomes) {
	x.heldByLiving(o)
	if x.then != nil {
		x.then(o)
	}
	for _, a := range o.actors {
		if !o.isChild(a) {
			a.p.Kill()
		}
	}
	e := &enumeration{crashTest: crashTest{untidy: x.untidy}}
	o.v = &view{actor: o.actor("next"), runs: make(map[string]int)}
	o.leftAlone()
	if len(x.hands) == 0 {
		e.recover(o.v)
	}
	o.v.drain()
	o.tidy(append(o.excused(), x.untidy...), false)
	o.conserved()
	o.ranRight()
	o.ranAtAll()
	o.tidy(o.forGood(), true)
	o.tidy(o.forGood(), false)
	if x.want != nil {
		if jobs, n := x.want(o), len(o.files()); !slices.Contains(jobs, n) {
			o.fail("%d files are left, not %v", n, jobs)
		}
	}
	if x.rest != nil {
		x.rest(o)
	}
}

// tidy fails where Check finds what is not excused. The system by itself is to
// leave nothing else to be repaired, and a repair nothing at all.
func (o *outcomes) tidy(excused []int, repair bool) {
	rep, err := o.v.Check(ctx, repair)
	o.v.must(err)
	for _, inv := range violated(rep) {
		if !slices.Contains(excused, inv) {
			o.fail("at rest it is not so that %s\n%s", Invariants[inv-1], findings(rep))
		}
	}
}

func (o *outcomes) isChild(a *actor) bool {
	return slices.ContainsFunc(o.children, func(c jobProcess) bool { return c.p == a.p })
}

// heldByLiving fails where a pool that lives has a name in processing/ that it
// does not hold.
func (x *exploration) heldByLiving(o *outcomes) {
	for _, p := range o.placesIn(Processing) {
		n, _ := ParseName(path.Base(p))
		for _, a := range o.actors {
			if a.pool != nil && a.pool.name == n.Pool && !a.p.Dead() && !a.cut && !a.pool.holds(n) {
				o.fail("%s is held by nobody", p)
			}
		}
	}
}

func (w *world) placesIn(st State) []string {
	return slices.DeleteFunc(w.files(), func(p string) bool { return stateOf(p) != st })
}

// leftAlone has the next process recover while children live: what they run
// stays. Then they end.
func (o *outcomes) leftAlone() {
	for _, c := range o.children {
		if c.p.Dead() {
			continue
		}
		if _, err := o.v.Recover(ctx); !errors.Is(err, ErrRefused) {
			o.v.must(err)
		}
		if c.claim.rec.lock != nil && len(o.placesIn(Processing)) == 0 && len(o.byHand) == 0 {
			o.fail("%q was taken from a process that lives", c.claim.ID)
		}
	}
	for _, c := range o.children {
		c.p.Kill()
	}
	clear(o.groups)
}

// did reports whether a person has done something whose name contains part.
func (w *world) did(part string) bool {
	return slices.ContainsFunc(w.byHand, func(s string) bool { return strings.Contains(s, part) })
}

// excused are the invariants that a recovery does not restore after what a
// person has done (docs/by-hand.md has each of them), or after a removal that
// did not come to its end.
func (o *outcomes) excused() (inv []int) {
	if o.did("rm ") || (o.removers > 0 && slices.Contains(o.errs, errKilled)) {
		inv = append(inv, invOwned, invBelongs)
	}
	if o.did("sed ") {
		inv = append(inv, invSecond, invOwned)
	}
	if o.did("processing/X pending") && slices.ContainsFunc(o.actors, func(a *actor) bool { return a.cut }) {
		inv = append(inv, invWhole) // two write into one file
	}
	return append(inv, o.forGood()...)
}

// forGood are those that a repair does not restore: a person has put a copy
// where nothing adopts it.
func (o *outcomes) forGood() (inv []int) {
	if o.did("cp ") && len(o.byHand) > 1 {
		inv = append(inv, invOnce, invSecond)
	}
	return inv
}

var markPattern = regexp.MustCompile(`"mark":"(\w+)"`)

// marked are the files in the state directories by the marks of their jobs.
func (w *world) marked() map[string][]string {
	m := make(map[string][]string)
	for _, p := range w.files() {
		b, _ := w.Read(p)
		for _, found := range markPattern.FindAllSubmatch(b, 1) {
			m[string(found[1])] = append(m[string(found[1])], p)
		}
	}
	return m
}

// conserved fails unless every job that was promised is in one place, which is
// where its second name is, and none that was refused.
func (o *outcomes) conserved() {
	if o.toldTaken() && len(o.placesOf("job")) == 0 && !o.removed("") {
		o.fail("the id is said to be taken, and there is no such job")
	}
	where := o.marked()
	copies := 0
	for _, h := range o.byHand {
		copies += bit(strings.HasPrefix(h, "cp "))
	}
	for mark, there := range o.told {
		n, most := len(where[mark]), 1+copies
		least := bit(there && !o.removed(mark))
		if !there {
			most = 0
		}
		if n < least || n > most {
			o.fail("the job with the mark %q is at %q", mark, where[mark])
		}
	}
	for mark, paths := range where {
		if _, ok := o.told[mark]; !ok && len(paths) > 1+copies {
			o.fail("the job with the mark %q is at %q", mark, paths)
		}
		for _, p := range paths {
			if st := stateOf(p); st != Completed && st != Dead {
				o.fail("a job has not come to rest\n%s", p)
			}
		}
	}
}

func (o *outcomes) toldTaken() bool {
	return slices.ContainsFunc(o.errs, func(err error) bool { return errors.Is(err, ErrTaken) && !errors.Is(err, ErrRefused) })
}

// removed reports whether a job may have been removed: by a command, a
// retention or a person.
func (o *outcomes) removed(string) bool { return o.did("rm ") || o.removers > 0 }

// ranRight fails where a job was run again that had succeeded, and nobody has
// asked for it.
func (o *outcomes) ranRight() {
	for _, p := range o.files() {
		b, _ := o.Read(p)
		dec, err := decodeFile(b, maxFile)
		if err != nil {
			continue
		}
		succeeded := false
		for _, e := range dec.history {
			switch {
			case e.Event == EventRetried || e.Event == EventMoved || e.Life != "":
				succeeded = false
			case e.Attempt > 0 && succeeded && !o.mayRepeat():
				o.fail("%s has succeeded, and was run again\n%s", p, b)
			case e.Attempt > 0:
				succeeded = e.Outcome == Succeeded && e.To != "" // else it was settled too late
			}
		}
	}
}

// ranAtAll fails where a person has put a dead job back, and it did not run.
func (o *outcomes) ranAtAll() {
	if n, _ := ParseName(path.Base(o.lastX)); n.ID != "job" || !slices.Equal(o.byHand, []string{"mv dead/X pending/"}) {
		return
	}
	for _, p := range o.placesIn(Dead) {
		if n, _ := ParseName(path.Base(p)); n.ID == "job" {
			o.fail("a dead job was put back by hand, and did not run\n%s", p)
		}
	}
}

// mayRepeat reports whether a person has made a job run again that had
// succeeded: one that ran was moved, edited or removed under its worker, a copy
// was left of what is gone, or a retry has lost its line to a forced recovery.
func (o *outcomes) mayRepeat() bool {
	return (o.forced && o.retried) || o.did("processing/X pending") || o.did("sed ") || (o.did("cp ") && o.removed(""))
}

// promised keeps what a process was told about a job with a mark.
func (w *world) promised(mark string, err error) error {
	w.told[mark] = err == nil
	return err
}

func withMark(mark string) string { return fmt.Sprintf(`"mark":%q`, mark) }
