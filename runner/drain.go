package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"queuectl/spool"
)

// lookEvery bounds how often a draining pool looks whether all is done, and is
// how often it looks while only other pools have work.
const lookEvery = 250 * time.Millisecond

const (
	// lastTries is how often a draining pool with nothing else to do tries jobs
	// again that it could not start, before it ends without them: after badFileMin,
	// and then twice as long each time, 7 s in all.
	lastTries = 3
	// maxLeft is how many of those are named at its end.
	maxLeft = 5
)

// drain is what a pool with Options.Drain knows of the end of its work.
type drain struct {
	dirty bool      // something has changed since the last look
	at    time.Time // no look before
	done  bool
	tries int       // of the last ones, so far
	again time.Time // when the present one of these begins
	left  []string  // paths of what is passed over at the end
	told  bool      // what it waits for was said
}

func (dr *drain) changed() { dr.dirty = true }

// wantLook looks whether all is done when this pool has nothing to do, and
// something has changed since it looked last.
func (d *dispatcher) wantLook() {
	if !d.p.o.Drain || !d.drain.dirty || !d.idle() {
		return
	}
	d.drain.dirty = false
	d.wantAt(draining, d.drain.at)
	if d.drain.at.IsZero() {
		d.want(draining)
	}
}

// idle reports whether the pool has nothing to do now, as far as it knows.
func (d *dispatcher) idle() bool {
	return len(d.running) == 0 && d.adopts == 0 && d.listings > 0 && d.recoveries > 0 &&
		d.order.ready.Len() == 0 && d.order.drops.Len() == 0 && !d.order.dry()
}

// lookIfDone lists what keeps the pool from its end.
func (d *dispatcher) lookIfDone() work {
	d.drain.at = d.now.Add(lookEvery)
	passed := d.problems.passed(time.Time{})
	return func(ctx context.Context) func() {
		l, err := d.look(passed)
		return func() { d.looked(l, err) }
	}
}

// A look is what was found.
type look struct {
	waiting, running bool
	passed           []string // the paths of what is passed over
}

// look lists twice, because one listing can miss a name that is being moved:
// first what runs and then what waits, so that no job is missed on its way
// back from there.
func (d *dispatcher) look(passed map[string]struct{}) (l look, err error) {
	for range 2 {
		l.passed = nil
		err = errors.Join(
			d.p.q.Scan(spool.Processing, func(_ string, _ spool.Name, canonical bool) bool {
				l.running = l.running || canonical
				return !l.running
			}),
			d.waitingIn(spool.Pending, passed, &l),
			d.waitingIn(spool.Failed, passed, &l))
		if err != nil || l.running || l.waiting {
			return l, err
		}
	}
	return l, nil
}

func (d *dispatcher) waitingIn(st spool.State, passed map[string]struct{}, l *look) error {
	return d.p.q.Scan(st, func(p string, _ spool.Name, canonical bool) bool {
		if !canonical && st == spool.Failed {
			return true
		}
		if _, skip := passed[p]; skip {
			l.passed = append(l.passed, p)
		} else {
			l.waiting = true
		}
		return !l.waiting
	})
}

func (d *dispatcher) looked(l look, err error) {
	d.warn("cannot list the spool", err)
	switch {
	case err != nil || l.running:
		d.drain.changed()
	case l.waiting && d.idle() && d.order.due.Len() > 0 && !d.drain.told:
		d.drain.told = true
		d.log.Info("waits for what is due later", "next", time.UnixMicro(d.order.due.head().due).Round(time.Second).Format(time.DateTime))
	case l.waiting || !d.idle() || d.triesAgain(l.passed):
	default:
		d.drain.done = true
		d.drain.left = l.passed
		slices.Sort(d.drain.left)
	}
}

// triesAgain has the pool try once more what it could not start, and reports
// whether it does: what is wrong may pass, as a lack of processes does when other
// jobs have ended. What it cannot run at all is not tried.
func (d *dispatcher) triesAgain(passed []string) bool {
	if d.now.Before(d.drain.again) {
		d.drain.changed()
		return true
	}
	var items []*item
	for _, path := range passed {
		pr := d.problems.of[path]
		if pr == nil { // no longer
			d.drain.changed()
			return true
		}
		if it := d.order.known[path]; !pr.unable && it != nil && it.in == &d.order.again {
			items = append(items, it)
		}
	}
	if len(items) == 0 || d.drain.tries >= lastTries {
		return false
	}
	d.drain.again = d.now.Add(badFileMin << d.drain.tries)
	d.drain.tries++
	for _, it := range items {
		d.order.putOff(it, d.drain.again)
	}
	d.drain.at = d.drain.again.Add(lookEvery)
	d.drain.changed()
	return true
}

// leaves logs what a pool leaves at the end of a drain that it cannot run, and
// returns an error that names what it could not start.
func (d *dispatcher) leaves() error {
	unable := make(map[string]int) // jobs by reason
	var failed []string
	for _, path := range d.drain.left {
		switch pr := d.problems.of[path]; {
		case pr == nil: // it has run after all
		case pr.unable:
			unable[pr.reason]++
		case pr.id == "":
			failed = append(failed, strconv.Quote(path)+": "+pr.reason)
		default:
			failed = append(failed, "job "+strconv.Quote(pr.id)+": "+pr.reason)
		}
	}
	for reason, n := range unable {
		d.log.Warn("leaves jobs that it cannot run", "reason", reason, "jobs", n)
	}
	n := len(failed)
	if n == 0 {
		return nil
	}
	if n > maxLeft {
		failed = append(failed[:maxLeft], fmt.Sprintf("and %d more", n-maxLeft))
	}
	return fmt.Errorf("drain: jobs are left that could not be started (%d): %s", n, strings.Join(failed, "; "))
}
