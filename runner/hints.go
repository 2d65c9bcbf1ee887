package runner

import (
	"context"
	"path"
	"strings"
	"time"

	"queuectl/spool"
)

// configSettle is how long a spool may go on with an old configuration.
const configSettle = 150 * time.Millisecond

// startWatch begins to watch, before anything is listed, and returns what ends
// it.
func (d *dispatcher) startWatch(ctx context.Context) (end func()) {
	w, err := d.p.watch(ctx)
	if err != nil {
		d.unwatched = err
		d.log.Warn("cannot watch the spool", "error", err)
		return func() {}
	}
	d.watcher, d.hints = w, w.Hints()
	if d.native = w.Native(); !d.native {
		d.log.Info("the spool is listed every "+d.listedEvery(), "reason", w.Reason())
	}
	return func() {
		if err := w.Close(); err != nil {
			d.log.Warn("cannot end the watch", "error", err)
		}
	}
}

// heedWatch has what cannot be watched tried again.
func (d *dispatcher) heedWatch() {
	if d.watcher == nil || d.chores[rewatching].running {
		return
	}
	err := d.watcher.Err()
	if err != nil {
		d.want(rewatching)
	}
	d.watched(err)
}

func (d *dispatcher) rewatch() work {
	return func(context.Context) func() {
		err := d.watcher.Renew()
		return func() { d.watched(err) }
	}
}

// watched notes what keeps the pool from watching the spool, if anything does.
// It says so once, and once that it works again, because limits come and go
// with other programs; status shows it for as long as it is so.
func (d *dispatcher) watched(err error) {
	before, now := textOf(d.unwatched), textOf(err)
	if before == now {
		return
	}
	d.unwatched = err
	d.want(reporting)
	if d.watchTold[now] {
		return
	}
	d.watchTold[now] = true
	if err == nil {
		d.log.Info("the spool is watched again")
		return
	}
	d.log.Warn("cannot watch the spool, and lists it every "+d.listedEvery(), "error", err)
}

func (d *dispatcher) listedEvery() string { return spool.FormatDuration(d.pauseOfScans(false)) }

// pauseOfScans is how long after a slow scan the next one comes.
func (d *dispatcher) pauseOfScans(watched bool) time.Duration {
	if watched {
		return slowScan
	}
	return min(slowScan, d.cfg.ScanInterval)
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// hint follows a hint.
func (d *dispatcher) hint(ctx context.Context, h spool.Hint) {
	dir, name, _ := strings.Cut(h.Path, "/")
	if h.Gone {
		d.went(h.Path)
		return
	}
	switch dir {
	case string(spool.Pending), string(spool.Failed):
		d.noted(h.Path)
	case "control":
		d.request(name)
	case "workers":
		if strings.HasSuffix(name, ".json") && !d.stopping() {
			d.joinRing(ctx)
		}
	case "paused":
		d.lookedAt = time.Time{}
		d.drain.changed()
	case "config.json":
		d.scanAt = earliest(d.scanAt, d.now.Add(configSettle))
	default:
		d.listAnew(ctx)
	}
}

// went forgets a name that has gone, unless an attempt has it: that finds out by
// itself.
func (d *dispatcher) went(p string) {
	if it := d.order.known[p]; it != nil && it.in != nil {
		d.order.forget(it)
		if d.problems.drop(p) {
			d.want(reporting)
		}
		d.drain.changed()
	}
}

// noted takes in a name of which something was heard.
func (d *dispatcher) noted(p string) {
	if d.stopping() {
		return
	}
	d.drain.changed()
	if it := d.order.known[p]; it != nil {
		it.hinted = true
		if it.drop && it.in == &d.order.again && !it.trial.since.IsZero() {
			it.trial.pause = 0 // its writer is at work
			d.unfinished(it)
		}
		return
	}
	base := path.Base(p)
	if base[0] == '.' || !strings.HasSuffix(base, ".json") {
		return
	}
	n, canonical := spool.ParseName(base)
	canonical = canonical && n.Pool == ""
	if !canonical && strings.HasPrefix(p, string(spool.Failed)) {
		return
	}
	d.add(p, n, canonical)
}

// add takes in a name, and passes it over where it has a problem.
func (d *dispatcher) add(p string, n spool.Name, canonical bool) {
	it := d.order.add(p, n, canonical, d.now)
	if it == nil {
		return
	}
	if pr := d.problems.of[it.path]; pr != nil && pr.until.After(d.now) {
		d.order.putOff(it, pr.until)
	}
}

// addPath takes in the path of a job that this pool has moved.
func (d *dispatcher) addPath(p string) {
	if n, ok := spool.ParseName(path.Base(p)); ok && n.Pool == "" {
		d.add(p, n, true)
	}
}

// request follows what lies in control/.
func (d *dispatcher) request(name string) {
	if id, ok := strings.CutSuffix(name, ".cancel"); ok {
		ours := false
		for a := range d.running {
			if a.item.id() == id {
				ours = true
				a.look()
			}
		}
		if !ours {
			d.want(recovering) // it waits, or its pool is dead
		}
	}
	if name == d.p.Name()+".stop" {
		d.checkStop()
	}
}

func (d *dispatcher) checkStop() {
	switch stop, now := d.p.m.StopRequested(); {
	case now:
		d.p.raise(stopNow)
	case stop:
		d.p.raise(softStop)
	}
}

// pokeAll has every attempt look for a request to cancel it.
func (d *dispatcher) pokeAll() {
	for a := range d.running {
		a.look()
	}
}
