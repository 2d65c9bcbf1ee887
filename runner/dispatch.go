package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"queuectl/spool"
)

const (
	// slowScan is how often everything is listed where events come: they are
	// hints, and the listing is the truth. It also bounds every sleep towards
	// a time of the wall clock, because timers stop while a machine is
	// suspended.
	slowScan = 30 * time.Second
	// retryFull is how often a file system that refuses everything is tried.
	retryFull = time.Second
	// maxAdopting is how many drops are adopted at once: several share their
	// disk syncs.
	maxAdopting = 4
)

// A dispatcher is the goroutine that gives work to the slots, and all that
// only this goroutine touches. What others have to tell it they send as a
// function that it calls.
type dispatcher struct {
	p   *Pool
	log *slog.Logger
	cfg spool.Config

	now    time.Time // of this turn
	events chan func()
	hush   context.CancelFunc

	watcher   watcher
	hints     <-chan spool.Hint
	native    bool  // the file system tells of all changes; else the spool is listed every scan_interval
	unwatched error // why it is too although the file system would tell
	watchTold map[string]bool

	order   *order
	rivalry int // attempts for which other pools are taken to be after the same jobs
	running map[*attempt]struct{}
	busy    int // slots
	adopts  int // adoptions at work
	lookups int // of who holds a lock
	scanAt  time.Time
	stop    stopState

	chores     [choreCount]chore
	problems   problems
	ring       ring
	drain      drain
	waiting    map[string]bool // jobs of dead pools of which a process still lives
	lookedAt   time.Time       // whether the spool is in its place and not paused
	lost       error           // the spool is not in its place: the pool ends
	blocked    error           // of the whole file system: nothing is claimed until it is gone
	tryAt      time.Time       // then the file system is asked
	mayTry     bool            // and one job or drop is tried, once it takes changes
	jobsTurn   bool            // which of them
	suspect    bool            // it says that it is full, and is asked
	roomAt     time.Time       // when it had room all the same
	listings   int             // so far
	listFrom   time.Time       // the slow scan lists no sooner
	recoveries int
	unsynced   bool // something was settled since the last sync
	settled    bool // something was settled since the last pruning
	prunedAt   time.Time
	pruned     bool // once, by this pool
	dryPause   time.Duration
	lastErr    map[string]string
}

func newDispatcher(p *Pool) *dispatcher {
	d := &dispatcher{
		p: p, log: p.o.Logger.With("pool", p.Name()),
		events:    make(chan func(), p.o.Slots+16),
		running:   make(map[*attempt]struct{}),
		stop:      newStopState(),
		lastErr:   make(map[string]string),
		watchTold: make(map[string]bool),
		problems:  newProblems(),
		now:       time.Now(),
	}
	d.readConfig()
	d.order = newOrder(maxOrder, d.cfg.PriorityAging)
	d.initChores()
	return d
}

// run is the life of the dispatcher.
func (d *dispatcher) run(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx) // the end of ctx is a soft stop
	bg, cancel := context.WithCancel(ctx)
	defer cancel()
	d.hush = cancel
	defer d.startWatch(ctx)() // not bg: requests count also while the pool stops
	d.listAnew(bg)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var armed time.Time
	for {
		d.now = time.Now()
		d.obey()
		d.order.promote(d.now)
		d.handOut(ctx)
		d.startChores(bg)
		if d.over() {
			return d.end()
		}
		if wake := d.wake(); !wake.Equal(armed) {
			armed = wake
			timer.Reset(max(0, wake.Sub(d.now)))
		}
		select {
		case f := <-d.events:
			d.now = time.Now()
			f()
		case h := <-d.hints:
			d.now = time.Now()
			d.hint(bg, h)
		case name, ok := <-d.ring.ch:
			d.now = time.Now()
			d.neighbourGone(name, ok)
		case <-d.p.nudge:
		case <-timer.C:
			armed = time.Time{}
			d.now = time.Now()
			d.tick(bg)
		}
	}
}

// tell has the dispatcher call f. After its end nobody calls it.
func (d *dispatcher) tell(f func()) {
	select {
	case d.events <- f:
	case <-d.stop.abandoned:
	}
}

// tick does what is due by the clock.
func (d *dispatcher) tick(ctx context.Context) {
	if !d.now.Before(d.scanAt) {
		d.lookAround(ctx)
		if !d.chores[listNames].running {
			d.wantAt(listNames, latest(d.now, d.listFrom))
		}
	}
	if d.ring.due(d.now) {
		d.joinRing(ctx)
	}
}

// wake is when something is to be done although nothing happens.
func (d *dispatcher) wake() time.Time {
	at := earliest(d.scanAt, d.stopWake())
	if !d.stopping() {
		at = earliest(earliest(at, d.ring.at), d.order.wake())
		if d.blocked != nil && d.tryAt.After(d.now) {
			at = earliest(at, d.tryAt)
		}
	}
	return earliest(at, d.choresWake())
}

// listAnew looks around, and lists all names at once.
func (d *dispatcher) listAnew(ctx context.Context) {
	d.lookAround(ctx)
	d.want(listNames)
}

// lookAround is the slow scan: what hints may have failed to tell. The listing
// that belongs to it has its own time.
func (d *dispatcher) lookAround(ctx context.Context) {
	d.lookIfLost()
	d.p.q.Refresh()
	d.readConfig()
	d.heedWatch()
	d.scanAt = d.now.Add(d.pauseOfScans(d.native && d.unwatched == nil))
	d.checkStop()
	d.pokeAll()
	if d.stopping() {
		return
	}
	if d.order.setAging(d.cfg.PriorityAging) {
		d.want(listNames)
	}
	d.want(recovering)
	d.drain.changed()
	if d.ring.ch == nil {
		d.joinRing(ctx)
	}
	if d.settled || d.now.Sub(d.prunedAt) > pruneEvery {
		d.settled, d.prunedAt = false, d.now
		d.want(pruning)
	}
}

func (d *dispatcher) readConfig() {
	cfg, err := d.p.q.Config()
	d.cfg = cfg
	d.warn("config.json", err)
}

// scratch matches what lies in tmp/, where each try has another random name.
var scratch = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`/tmp/[^/: ]+`) })

// warn logs an error once for as long as it stays the same.
func (d *dispatcher) warn(what string, err error) {
	text := ""
	if err != nil && !errors.Is(err, context.Canceled) {
		text = scratch().ReplaceAllString(err.Error(), "/tmp/")
	}
	if text != "" && d.lastErr[what] != text {
		d.log.Warn(what, "error", err)
	}
	d.lastErr[what] = text
}

// handOut gives work to the free slots.
func (d *dispatcher) handOut(ctx context.Context) {
	if d.stopping() || d.suspect || (d.blocked != nil && !d.mayTry) {
		return
	}
	// The one try while the file system refuses goes to drops and to jobs by turns.
	first, second := d.adoptDrops, d.startJobs
	if d.blocked != nil && d.jobsTurn {
		first, second = second, first
	}
	if !first(ctx) {
		second(ctx)
	}
}

// adoptDrops reports whether it has used up the one try.
func (d *dispatcher) adoptDrops(ctx context.Context) (tried bool) {
	for d.adopts < maxAdopting && d.order.drops.Len() > 0 {
		it := d.order.drops.head()
		it.takeOut()
		d.adopt(ctx, it)
		if d.tried() {
			return true
		}
	}
	return false
}

// startJobs does, too.
func (d *dispatcher) startJobs(ctx context.Context) (tried bool) {
	for looked := false; d.busy < d.p.o.Slots && len(d.running) < d.p.o.Slots+maxSyncing; looked = true {
		it := d.next()
		if it == nil {
			if d.order.drops.Len() == 0 {
				d.unblock() // there is nothing that tells better
			}
			return false
		}
		if !looked && d.shut() {
			d.order.place(it, d.now)
			return false
		}
		d.begin(ctx, it)
		if d.tried() {
			return true
		}
	}
	return false
}

// glanceEvery is how often a busy pool looks whether it may start jobs: of a pause
// it hears at once.
const glanceEvery = time.Millisecond

// shut reports whether nothing may be started now.
func (d *dispatcher) shut() bool {
	if d.native && d.now.Sub(d.lookedAt) < glanceEvery {
		return false
	}
	d.lookedAt = d.now
	// A claim may need no room, but what a job prints does.
	d.suspect = d.blocked == nil && d.now.Sub(d.roomAt) >= retryFull && d.p.q.Full()
	if d.lookIfLost() || d.p.q.Paused() || d.suspect {
		d.lookedAt = time.Time{}
		return true
	}
	return false
}

// lookIfLost reports whether the spool was moved or deleted. Then the pool
// stops: what runs is settled in the tree that is held open, where there still
// is one.
func (d *dispatcher) lookIfLost() bool {
	if d.lost == nil {
		if d.lost = d.p.q.Here(); d.lost != nil {
			d.p.raise(softStop)
		}
	}
	return d.lost != nil
}

// tried reports that this was the one try that a file system gets which refused
// everything.
func (d *dispatcher) tried() bool {
	if d.blocked == nil {
		return false
	}
	d.mayTry, d.tryAt, d.jobsTurn = false, d.now.Add(retryFull), !d.jobsTurn
	return true
}

func (d *dispatcher) next() *item {
	if d.native && d.rivalry == 0 {
		return d.order.next()
	}
	return d.order.scattered(d.p.rand)
}

// rivalFor is for how many attempts other pools are taken to be after the same
// jobs once they were faster at one.
const rivalFor = 1000

// rivals notes whether another pool was faster at an attempt's job. While that
// happens, pools do not all go for the first job, and hear of those that have
// gone. A pool that is alone keeps the order: there, a person moved the job.
func (d *dispatcher) rivals(refused error) {
	before := d.rivalry > 0
	switch is := decide(refused); {
	case d.ring.ch == nil:
		d.rivalry = 0
	case refused != nil && (is == isGone || is == isHeld):
		d.rivalry = rivalFor
	case before:
		d.rivalry--
	}
	if now := d.rivalry > 0; now != before && d.watcher != nil {
		d.watcher.TellGone(now)
	}
}

// over reports whether the pool's work is done.
func (d *dispatcher) over() bool {
	if !d.stopping() {
		return d.drain.done && !d.working()
	}
	if !d.working() {
		return true
	}
	return !d.stop.giveUpAt.IsZero() && !d.now.Before(d.stop.giveUpAt)
}

// working reports whether anything that the pool has started goes on.
func (d *dispatcher) working() bool {
	return len(d.running) > 0 || d.adopts > 0 || d.lookups > 0 || d.choresRunning()
}

// end leaves the spool, and says which jobs it leaves running.
func (d *dispatcher) end() error {
	d.hush()
	close(d.stop.abandoned)
	d.p.closeNull()
	var errs []error
	if d.unsynced && d.cfg.Sync == spool.SyncFull {
		errs = append(errs, d.p.q.SyncNow())
	}
	if err := d.p.m.Leave(); err != nil {
		errs = append(errs, fmt.Errorf("leave the spool: %w", err))
	}
	if d.drain.done {
		errs = append(errs, d.leaves())
	}
	if d.lost != nil {
		errs = []error{d.lost} // which is why the others are
	}
	var left []string
	for a := range d.running {
		left = append(left, a.item.id())
	}
	if len(left) > 0 {
		slices.Sort(left)
		errs = append(errs, fmt.Errorf("stop: did not end in time: %s; other pools recover what ends with this process", strings.Join(left, ", ")))
	}
	return errors.Join(errs...)
}
