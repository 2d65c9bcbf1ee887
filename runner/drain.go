package runner

import (
	"context"
	"errors"
	"time"

	"queuectl/spool"
)

// lookEvery bounds how often a draining pool looks whether all is done, and is
// how often it looks while only other pools have work.
const lookEvery = 250 * time.Millisecond

// drain is what a pool with Options.Drain knows of the end of its work.
type drain struct {
	dirty bool      // something has changed since the last look
	at    time.Time // no look before
	done  bool
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
type look struct{ waiting, running bool }

// look lists twice, because one listing can miss a name that is being moved:
// first what runs and then what waits, so that no job is missed on its way
// back from there.
func (d *dispatcher) look(passed map[string]struct{}) (l look, err error) {
	for range 2 {
		err = errors.Join(
			d.p.q.Scan(spool.Processing, func(_ string, _ spool.Name, canonical bool) bool {
				l.running = l.running || canonical
				return !l.running
			}),
			d.waitingIn(spool.Pending, passed, &l.waiting),
			d.waitingIn(spool.Failed, passed, &l.waiting))
		if err != nil || l.running || l.waiting {
			return l, err
		}
	}
	return l, nil
}

func (d *dispatcher) waitingIn(st spool.State, passed map[string]struct{}, found *bool) error {
	return d.p.q.Scan(st, func(p string, n spool.Name, canonical bool) bool {
		key := n.ID
		if !canonical {
			if st == spool.Failed {
				return true
			}
			key = p
		}
		if _, skip := passed[key]; !skip {
			*found = true
		}
		return !*found
	})
}

func (d *dispatcher) looked(l look, err error) {
	d.warn("cannot list the spool", err)
	switch {
	case err != nil || l.running:
		d.drain.changed()
	case !l.waiting && d.idle():
		d.drain.done = true
	}
}
