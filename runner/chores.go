package runner

import (
	"context"
	"errors"
	"slices"
	"time"

	"queuectl/spool"
)

const (
	// pruneEvery is how often records are pruned although nothing was settled.
	pruneEvery = time.Hour
	// listShare is how many times longer than a listing takes the slow scan
	// lists nothing after it: millions of names take seconds.
	listShare = 20
	// waitingEvery is how often jobs of dead pools are looked at of which a
	// process still lives.
	waitingEvery = 250 * time.Millisecond
	// retryRecovery is how soon a recovery that met an error is tried again.
	retryRecovery = time.Second
	// How long a listing waits after one that brought nothing new, while the
	// order runs out.
	dryMin, dryMax = time.Second, slowScan
)

// The chores: what may take long, and runs beside the dispatcher.
const (
	listNames  = iota // list pending/ and failed/
	recovering        // take over from dead pools
	pruning           // remove records past their retention
	syncing           // make durable what was settled
	reporting         // write down problems for status
	draining          // look whether all is done
	rewatching        // try again to watch what could not be watched
	probing           // look whether the file system takes changes again
	choreCount
)

// A chore runs at most once at a time: when it is wanted, or its time has come.
type chore struct {
	running bool
	wanted  bool
	at      time.Time // zero: no time is set
	begin   func() work
}

// work is what a chore does beside the dispatcher. What it returns is then
// called in the dispatcher.
type work func(ctx context.Context) (finish func())

func (d *dispatcher) initChores() {
	for name, begin := range [choreCount]func() work{
		listNames: d.list, recovering: d.recover, pruning: d.prune,
		syncing: d.sync, reporting: d.report, draining: d.lookIfDone, rewatching: d.rewatch, probing: d.probe,
	} {
		d.chores[name].begin = begin
	}
}

func (d *dispatcher) want(name int) { d.chores[name].wanted = true }

// wantAt wants a chore at a time; one that is set already and sooner stays.
func (d *dispatcher) wantAt(name int, at time.Time) {
	c := &d.chores[name]
	c.at = earliest(c.at, at)
}

// startChores starts what is wanted and does not run.
func (d *dispatcher) startChores(ctx context.Context) {
	if !d.stopping() {
		d.wantListing()
		d.wantLook()
		d.wantProbe()
	}
	for i := range d.chores {
		c := &d.chores[i]
		if d.rests(i) {
			continue
		}
		if !c.at.IsZero() && !c.at.After(d.now) {
			c.wanted, c.at = true, time.Time{}
		}
		if c.running || !c.wanted {
			continue
		}
		c.running, c.wanted = true, false
		do := c.begin()
		go func() {
			finish := do(ctx)
			d.tell(func() {
				c.running = false
				finish()
			})
		}()
	}
}

// rests reports whether a chore is not begun any more: while the pool stops,
// what has ended is made durable, and nothing else is done.
func (d *dispatcher) rests(name int) bool { return d.stopping() && name != syncing }

func (d *dispatcher) choresRunning() bool {
	for i := range d.chores {
		if d.chores[i].running {
			return true
		}
	}
	return false
}

// choresWake is when the next chore's time comes.
func (d *dispatcher) choresWake() (at time.Time) {
	for i := range d.chores {
		if !d.chores[i].running && !d.rests(i) {
			at = earliest(at, d.chores[i].at)
		}
	}
	return at
}

// wantListing lists again when the order runs out while there is more. A
// listing that brought nothing new is not repeated at once.
func (d *dispatcher) wantListing() {
	if !d.order.dry() || d.chores[listNames].running {
		return
	}
	if d.dryPause == 0 {
		d.want(listNames)
		return
	}
	d.wantAt(listNames, d.now.Add(d.dryPause))
}

func (d *dispatcher) list() work {
	g := newListing(d.order.limit, d.now, d.order.aging)
	passed := d.problems.passed(d.now)
	return func(context.Context) func() {
		began := time.Now()
		err := errors.Join(
			d.p.q.Scan(spool.Pending, func(p string, n spool.Name, canonical bool) bool {
				if _, skip := passed[p]; !skip || !canonical {
					g.add(p, n, canonical)
				}
				return true
			}),
			d.p.q.Scan(spool.Failed, func(p string, n spool.Name, canonical bool) bool {
				if _, skip := passed[p]; !skip && canonical {
					g.add(p, n, canonical)
				}
				return true
			}))
		g.sort()
		took := time.Since(began)
		return func() {
			d.listFrom = d.now.Add(listShare * took)
			d.listed(g, err)
		}
	}
}

func (d *dispatcher) listed(g *listing, err error) {
	d.warn("cannot list the spool", err)
	if err != nil {
		return // the next slow scan tries again
	}
	if d.problems.expire(d.now) {
		d.want(reporting)
	}
	switch fresh := d.order.merge(g); {
	case fresh > 0:
		d.dryPause = 0
	case d.dryPause == 0:
		d.dryPause = dryMin
	default:
		d.dryPause = min(2*d.dryPause, dryMax)
	}
	d.listings++
	d.drain.changed()
}

func (d *dispatcher) recover() work {
	return func(ctx context.Context) func() {
		rep, err := d.p.m.Recover(ctx)
		return func() { d.recovered(rep, err) }
	}
}

func (d *dispatcher) recovered(rep spool.RecoverReport, err error) {
	d.warn("cannot recover all jobs of dead pools", err)
	for _, id := range rep.Recovered {
		d.log.Info("recovered", "id", id)
	}
	waiting := make(map[string]bool, len(rep.Waiting))
	for _, w := range rep.Waiting {
		waiting[w.ID] = true
		if !d.waiting[w.ID] {
			d.log.Warn("waiting", "id", w.ID, "pid", w.PID, "reason", w.Reason)
		}
	}
	d.waiting = waiting
	switch {
	case len(waiting) > 0:
		d.wantAt(recovering, d.now.Add(waitingEvery))
	case err != nil:
		d.wantAt(recovering, d.now.Add(retryRecovery))
	}
	if err == nil && len(rep.Recovered) > 0 {
		d.unblock() // what could not be settled is now
	}
	if len(rep.Recovered) > 0 || rep.Rolled > 0 {
		d.want(listNames)
	}
	d.recoveries++
	d.drain.changed()
}

// prune prunes unless another pool does. At its start a pool does not go by what
// others have done; then its turns are a little shorter than the slow scan, so
// that one that is alone prunes at each.
func (d *dispatcher) prune() work {
	turn := slowScan - time.Second
	if !d.pruned {
		turn = 0
	}
	return func(ctx context.Context) func() {
		n, done, err := d.p.q.PruneShared(ctx, turn)
		return func() {
			d.pruned = d.pruned || done
			d.settled = d.settled || !done // this pool asks again
			d.warn("cannot remove old records", err)
			if n > 0 {
				d.log.Debug("pruned", "jobs", n)
			}
		}
	}
}

// settledOne notes that a job was settled: it is to be made durable soon.
func (d *dispatcher) settledOne() {
	d.settled = true
	d.syncSoon()
}

func (d *dispatcher) syncSoon() {
	if d.unsynced {
		return
	}
	d.unsynced = true
	cfg, _ := d.p.q.Config()
	d.wantAt(syncing, d.now.Add(cfg.SyncInterval))
}

func (d *dispatcher) sync() work {
	d.unsynced = false
	cfg, _ := d.p.q.Config()
	return func(context.Context) func() {
		var err error
		if cfg.Sync == spool.SyncFull {
			err = d.p.q.SyncNow()
		}
		return func() {
			d.warn("cannot sync the spool", err)
			if err != nil {
				d.syncSoon()
			}
		}
	}
}

// probe looks whether the file system takes changes, so that no job is claimed in
// vain for that.
func (d *dispatcher) probe() work {
	return func(context.Context) func() {
		err := d.p.q.TryRoom()
		return func() {
			full := spool.FileSystemWide(err)
			switch {
			case d.suspect && !full:
				d.roomAt = d.now
			case d.suspect || d.blocked != nil && full:
				d.block(err)
			case d.blocked != nil:
				d.mayTry = true
			}
			d.suspect = false
		}
	}
}

func (d *dispatcher) wantProbe() {
	again := d.blocked != nil && !d.mayTry && !d.now.Before(d.tryAt)
	if (again || d.suspect) && !d.chores[probing].running {
		d.want(probing)
	}
}

func (d *dispatcher) report() work {
	list := d.problems.list(d.blocked)
	if d.unwatched != nil {
		list = slices.Insert(list, 0, spool.Problem{Reason: "the spool is not watched but listed every " + d.listedEvery() + ": " + d.unwatched.Error()})
	}
	return func(context.Context) func() {
		err := d.p.m.SetProblems(list)
		return func() {
			if err != nil {
				d.wantAt(reporting, d.now.Add(retryFull))
			}
			if d.blocked != nil && spool.FileSystemWide(err) {
				return // it is said already
			}
			d.warn("cannot write down this pool's problems", err)
		}
	}
}
