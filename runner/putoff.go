package runner

import (
	"errors"
	"syscall"
	"time"

	"queuectl/spool"
)

const (
	// How soon a file is tried again whose lock is held: its holder may be a
	// prober or a command at work, and nothing tells when it is free.
	heldMin, heldMax = time.Millisecond, 250 * time.Millisecond
	// How soon a drop is tried again that is not whole yet. Nothing tells when
	// its writer closes it, and it is to run within 100 ms of that; a writer
	// that takes longer than a minute may wait for longer.
	wholeMin, wholeSoon, wholeMax = 20 * time.Millisecond, 80 * time.Millisecond, time.Second
	slowWriter                    = time.Minute
)

// What an error of a claim or an adoption means to the dispatcher.
type claimError int

const (
	ofThisFile claimError = iota
	isGone
	isHeld
	isNotDue
	isDrop
	isUnfinished
	isRefused
	isUnable
	isOfAll // the whole file system refuses
)

func decide(err error) claimError {
	for _, c := range []struct {
		target error
		is     claimError
	}{
		{spool.ErrGone, isGone},
		{spool.ErrHeld, isHeld},
		{spool.ErrNotDue, isNotDue},
		{spool.ErrDrop, isDrop},
		{spool.ErrUnfinished, isUnfinished},
		{spool.ErrRefused, isRefused},
	} {
		if errors.Is(err, c.target) {
			return c.is
		}
	}
	var unable *unableError
	if errors.As(err, &unable) {
		return isUnable
	}
	if spool.FileSystemWide(err) {
		return isOfAll
	}
	return ofThisFile
}

// refusal is why a file was refused, without its name.
func refusal(err error) string {
	var r *spool.RefusedError
	if errors.As(err, &r) {
		return r.Reason
	}
	return err.Error()
}

// heldLong is from when on a held lock, or a file that is not whole, is a problem
// that status shows.
const heldLong = time.Second

// held puts off an item whose lock somebody holds.
func (d *dispatcher) held(it *item) {
	t := it.trialOrNew()
	t.pause = min(max(2*t.pause, heldMin), heldMax)
	d.order.putOff(it, d.now.Add(t.pause))
	pr := d.problems.of[it.path]
	switch {
	case t.held.IsZero():
		t.held = d.now
	case d.now.Sub(t.held) < heldLong:
	case pr != nil && pr.pause == 0:
		pr.until = d.now // it is still so
	default:
		d.noProblem(it) // it was another one
		d.findHolder(it)
	}
}

// findHolder finds out, beside the dispatcher, which process keeps a job from
// its next attempt.
func (d *dispatcher) findHolder(it *item) {
	path := it.path
	pr := &problem{id: it.id(), reason: "its lock is held by another process", until: d.now}
	d.problems.add(it, pr, d.order.limit)
	if d.problems.of[path] == nil {
		return
	}
	d.lookups++
	go func() {
		w := d.p.q.WaitingFor(path)
		d.tell(func() {
			d.lookups--
			if d.problems.of[path] != pr || pr.pause > 0 {
				return // it is another one by now
			}
			if w != nil {
				pr.reason, pr.pid = w.Reason, w.PID
			}
			d.log.Warn("waiting", "id", called(pr.id, path), "pid", pr.pid, "reason", pr.reason)
			d.want(reporting)
		})
	}()
}

// unfinished puts off a drop that is not whole yet.
func (d *dispatcher) unfinished(it *item) {
	t := it.trialOrNew()
	if t.since.IsZero() {
		t.since, t.pause = d.now, 0
	}
	longest := wholeSoon
	if d.now.Sub(t.since) > slowWriter {
		longest = wholeMax
	}
	t.pause = min(max(2*t.pause, wholeMin), longest)
	d.order.putOff(it, d.now.Add(t.pause))
	pr := d.problems.of[it.path]
	switch {
	case pr != nil && pr.reason == notWhole:
		pr.pause, pr.until = t.pause, d.now.Add(t.pause) // it is still so
	case d.now.Sub(t.since) >= heldLong:
		d.noProblem(it) // it was another one
		d.passOver(it, notWhole, t.pause)
	}
}

const notWhole = "is not whole yet: it is still being written, or was cut off; it is refused when it has not changed for an hour"

// tryFailed puts an item where it belongs after a claim or an adoption that
// failed.
func (d *dispatcher) tryFailed(it *item, err error) {
	switch decide(err) {
	case isGone:
		if it.hinted {
			d.order.place(it, d.now)
			return
		}
		d.order.forget(it)
		if d.problems.drop(it.path) { // its job may have another one where it is
			d.want(reporting)
		}
	case isHeld:
		d.held(it)
	case isNotDue:
		it.opened = true
		if it.due <= d.now.UnixMicro() { // by the spool's clock, that is
			d.held(it)
			return
		}
		d.order.place(it, d.now)
	case isDrop:
		it.drop = true
		it.setPath(it.path, "") // its name's id may be that of a job
		d.order.place(it, d.now)
	case isUnfinished:
		d.unfinished(it)
	case isRefused:
		d.log.Warn("refused", "name", it.base(), "reason", refusal(err))
		d.order.forget(it)
		d.noProblem(it)
	case isUnable:
		d.passOver(it, err.Error(), passOverMin)
	case ofThisFile:
		first := badFileMin
		if it.drop && errors.Is(err, syscall.EISDIR) {
			first = passOverMin // nobody can run it
		}
		d.passOver(it, err.Error(), first)
	case isOfAll:
		d.order.place(it, d.now)
		d.block(err)
	}
}
