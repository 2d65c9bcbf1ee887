package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"queuectl/spool"
)

// An attempt is a busy slot: a goroutine that claims one job, runs it, settles
// it, and reports. It alone uses the claim. Where each end is synced, the slot
// is free before that: a disk takes as long for many ends as for one.
type attempt struct {
	d    *dispatcher
	item *item
	poke chan struct{} // look whether somebody asked to cancel it
	news bool          // tell the dispatcher when it has begun
	try  bool          // it is the one try while the file system refuses, and has told nothing of that; the dispatcher's
	free bool          // it has no slot any more; the dispatcher's
}

// maxSyncing is how many ended jobs may wait for the disk beside those in the
// slots.
const maxSyncing = 64

// A report is how an attempt ended.
type report struct {
	refused   error // by Claim: nothing was claimed
	unstarted error // why it was given back: no fault of the job
	path      string
	err       error // of the settle
}

// begin starts an attempt on an item.
func (d *dispatcher) begin(ctx context.Context, it *item) {
	it.hinted = false
	a := &attempt{d: d, item: it, poke: make(chan struct{}, 1)}
	a.try = d.blocked != nil
	a.news = a.try || len(d.problems.of) > 0
	d.running[a] = struct{}{}
	d.busy++
	go func() {
		rep := a.run(ctx)
		d.tell(func() { d.ended(a, rep) })
	}()
}

// begun says that the file system has taken all that a start needs: a claim
// alone needs no inode, but a log does. Nor has the job a problem any more.
func (a *attempt) begun() {
	if a.news {
		a.d.tell(func() {
			a.try = false
			a.d.unblock()
			a.d.noProblem(a.item)
		})
	}
}

// blocks says that the file system has refused what the attempt needs.
func (a *attempt) blocks(err error) {
	a.d.tell(func() {
		a.try = false
		a.d.block(err)
	})
}

// look has the attempt look for a request.
func (a *attempt) look() {
	select {
	case a.poke <- struct{}{}:
	default:
	}
}

// free gives an attempt's slot to the next job.
func (d *dispatcher) free(a *attempt) {
	if !a.free {
		a.free = true
		d.busy--
	}
}

// ended takes the report of an attempt.
func (d *dispatcher) ended(a *attempt, rep report) {
	d.free(a)
	delete(d.running, a)
	d.drain.changed()
	d.rivals(rep.refused)
	if a.try && rep.err == nil {
		d.mayTry = true // it began nothing: its lock is held, its command is not found, say
	}
	if rep.refused != nil {
		d.tryFailed(a.item, rep.refused)
		return
	}
	d.moved(a.item)
	d.settledOne()
	if rep.unstarted == nil {
		d.drain.tries = 0
		d.noProblem(a.item)
	}
	switch {
	case rep.err != nil:
		d.settleFailed(a.item, rep.err)
	case !waits(rep.path) || d.stopping():
	case rep.unstarted != nil:
		if rep.path != a.item.path {
			d.noProblem(a.item)
		}
		d.tryFailed(d.order.anew(a.item, rep.path), rep.unstarted)
	default:
		d.addPath(rep.path)
	}
}

// moved forgets an item whose file this pool has moved. If something was heard
// of its name meanwhile, that may be another file.
func (d *dispatcher) moved(it *item) {
	d.order.forget(it)
	if it.hinted {
		d.noted(it.path)
	}
}

// waits reports whether a job at this path is to be claimed some time.
func waits(p string) bool {
	return strings.HasPrefix(p, string(spool.Pending)+"/") || strings.HasPrefix(p, string(spool.Failed)+"/")
}

// settleFailed reports a job that was not settled: a person has moved it, or
// the pool's end came first.
func (d *dispatcher) settleFailed(it *item, err error) {
	if errors.Is(err, spool.ErrGone) {
		d.log.Info("was moved or removed by hand while it ran", "id", it.id())
		return
	}
	d.log.Error("cannot settle", "id", it.id(), "error", err)
}

// adopt makes a job of a drop, beside the dispatcher and the slots.
func (d *dispatcher) adopt(ctx context.Context, it *item) {
	it.hinted = false
	d.adopts++
	try := d.blocked != nil // as of an attempt
	go func() {
		to, err := d.p.m.Adopt(ctx, it.path)
		d.tell(func() {
			d.mayTry = d.mayTry || try
			d.adopted(it, to, err)
		})
	}()
}

func (d *dispatcher) adopted(it *item, to string, err error) {
	d.adopts--
	d.drain.changed()
	if err != nil {
		d.tryFailed(it, err)
		return
	}
	d.unblock()
	d.moved(it)
	d.noProblem(it)
	d.log.Info("adopted", "name", it.base(), "path", to)
	d.addPath(to)
}

// run is the life of an attempt.
func (a *attempt) run(ctx context.Context) report {
	c, err := a.d.p.m.Claim(a.item.path)
	if err != nil {
		return report{refused: err}
	}
	c.Moved = func() { a.d.tell(func() { a.d.free(a) }) }
	if closed(a.d.stop.stopping) {
		return a.released(c, "not started: the pool is stopping", false)
	}
	if c.CancelRequested() {
		return a.settle(c, ending{outcome: spool.Cancelled, reason: "cancelled before it started"})
	}
	h := a.d.p.o.Handlers[c.Job.Kind] // nil for a command
	a.log(slog.LevelInfo, "started", c)
	l := &jobLog{c: c}
	var e ending
	if h != nil {
		a.begun()
		e = a.handle(ctx, c, h, l)
	} else {
		e = a.command(c, l)
	}
	if e.left {
		return report{} // nobody reads it
	}
	if err := l.end(&e); spool.FileSystemWide(err) {
		a.blocks(err)
	}
	if e.unstarted != nil {
		rep := a.released(c, "not started: "+e.unstarted.Error(), false)
		rep.unstarted = e.unstarted
		return rep
	}
	if e.interrupted {
		return a.released(c, e.reason, e.killed)
	}
	return a.settle(c, e)
}

// An unableError says why this pool cannot run a job, which it leaves where it
// is.
type unableError struct{ reason string }

func (e *unableError) Error() string { return e.reason }

// able says why a pool with these options cannot run a job.
func (o *Options) able(j *spool.Job) error {
	switch {
	case j.Kind == "" && !o.Commands:
		return &unableError{"this pool runs no commands"}
	case j.Kind != "" && o.Handlers[j.Kind] == nil:
		return &unableError{fmt.Sprintf("no handler for kind %q in this pool", j.Kind)}
	}
	return nil
}

// released gives an interrupted job back.
func (a *attempt) released(c *spool.Claim, reason string, killed bool) report {
	err := a.insist(c, func() error { return c.Release(reason, killed) })
	if err == nil {
		a.log(slog.LevelInfo, "released", c, "reason", reason)
	}
	return report{path: c.Path(), err: err}
}

// settle writes down how the attempt ended.
func (a *attempt) settle(c *spool.Claim, e ending) report {
	res := a.d.p.result(c.Attempt, c.MaxRetries, e)
	var st spool.State
	err := a.insist(c, func() (err error) {
		st, err = c.Settle(res)
		return err
	})
	if err != nil {
		return report{err: err}
	}
	switch {
	case st == spool.Completed:
		a.log(slog.LevelInfo, "succeeded", c)
	case st == spool.Failed:
		a.log(slog.LevelInfo, "failed", c, "reason", res.Reason, "retry_at", res.RetryAt)
	case res.Outcome == spool.Cancelled || !res.RetryAt.IsZero():
		a.log(slog.LevelInfo, "cancelled", c)
	default:
		a.log(slog.LevelInfo, "dead", c, "reason", res.Reason)
	}
	return report{path: c.Path()}
}

// insist ends a claim, and tries it again where it fails: the disk is full,
// say. What has ended must not be run again for that.
func (a *attempt) insist(c *spool.Claim, end func() error) error {
	for told := false; ; told = true {
		err := end()
		if err == nil || errors.Is(err, spool.ErrGone) {
			if told {
				a.d.tell(a.d.unblock)
			}
			return err
		}
		if !told {
			a.log(slog.LevelError, "cannot settle, and tries again", c, "error", err)
		}
		if spool.FileSystemWide(err) {
			a.blocks(err)
		}
		select {
		case <-time.After(retryFull):
		case <-a.d.stop.abandoned:
			return err
		}
	}
}

// log tells of the job, at no cost where nobody listens.
func (a *attempt) log(l slog.Level, msg string, c *spool.Claim, more ...any) {
	if !a.d.log.Enabled(context.Background(), l) {
		return
	}
	a.d.log.Log(context.Background(), l, msg, append([]any{"id", c.ID, "attempt", c.Attempt, "max_retries", c.MaxRetries}, more...)...)
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
