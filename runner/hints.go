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
		d.log.Warn("cannot watch the spool; it is listed at scan_interval", "error", err)
		return func() {}
	}
	d.hints, d.native = w.Hints(), w.Native()
	return func() {
		if err := w.Close(); err != nil {
			d.log.Warn("cannot end the watch", "error", err)
		}
	}
}

// hint follows a hint.
func (d *dispatcher) hint(ctx context.Context, h spool.Hint, ok bool) {
	if !ok {
		d.hints, d.native = nil, false
		h = spool.Hint{}
	}
	dir, name, _ := strings.Cut(h.Path, "/")
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
		d.drain.changed()
	case "config.json":
		d.scanAt = earliest(d.scanAt, d.now.Add(configSettle))
	default:
		d.lookAround(ctx)
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
		if it.drop && it.in == &d.order.again && !it.since.IsZero() {
			it.pause = 0 // its writer is at work
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

// add takes in a name, and passes it over where its job has a problem.
func (d *dispatcher) add(p string, n spool.Name, canonical bool) {
	it := d.order.add(p, n, canonical, d.now)
	if it == nil {
		return
	}
	if pr := d.problems[keyOfItem(it)]; pr != nil && pr.until.After(d.now) {
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
			if a.item.id == id {
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
