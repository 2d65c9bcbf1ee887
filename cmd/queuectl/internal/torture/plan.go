//go:build !windows

package torture

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// The plan is all that is random, and all of it comes from the seed: each actor
// draws from a stream of its own, and as many numbers whatever comes of them.
// When things meet is decided by the machine.

// A planned job.
type planned struct {
	ID         string
	Task       task
	Priority   int
	Due        time.Duration // from now on; also before now
	MaxRetries int           // -1: as configured
	Timeout    time.Duration
	Shell      int // 0: argv; 1: a shell that becomes the program; 2: a shell above it
}

// An order is what an enqueuer does next.
type order struct {
	After time.Duration
	Jobs  []planned
	Kill  time.Duration // when it is killed; 0: never
	Twin  bool          // another process enqueues the same, at the same time
}

// An act is what the storm does next.
type act struct {
	After time.Duration
	Kind  string
	Pick  uint64        // chooses among those that it may happen to
	Wait  time.Duration // how long what it begins lasts, or by how much it changes
	Job   planned       // for drops
}

// The acts. Reports count by these words, and by those further down, which
// others do.
const (
	actKillPool    = "kill_pool"
	actStopPool    = "stop_pool"
	actStopKill    = "kill_stopping_pool"
	actPause       = "pause"
	actHold        = "hold"         // mv pending/X held/
	actUnhold      = "unhold"       // mv held/X pending/
	actBury        = "bury"         // mv pending/X dead/
	actRevive      = "revive"       // mv dead/X pending/
	actAgain       = "again"        // mv completed/X pending/
	actFailed      = "retry"        // mv failed/X pending/
	actFailedNow   = "retry_now"    // mv failed/X pending/now-ID.json
	actRunning     = "move_running" // mv processing/X pending/
	actPriority    = "priority"     // another one in the name
	actLater       = "later"        // another due time in the name
	actSooner      = "sooner"       // so that it is due at once
	actDrop        = "drop"         // a whole file
	actTorn        = "drop_torn"    // in two halves
	actHalf        = "drop_half"    // half a file, and never more
	actDropRefused = "drop_refused" // what can be no job

	didKillEnqueuer = "kill_enqueuer"
	didKillJob      = "kill_job"
	didTimeOut      = "time_out"
	didTwice        = "enqueue_twice" // one id by two processes at once
)

// How often each act comes. Pools die most: that is where jobs are lost, if
// anywhere.
var weights = []struct {
	kind   string
	weight int
}{
	{actKillPool, 8},
	{actStopPool, 1},
	{actStopKill, 1},
	{actPause, 1},
	{actHold, 2},
	{actUnhold, 2},
	{actBury, 1},
	{actRevive, 2},
	{actAgain, 1},
	{actFailed, 1},
	{actFailedNow, 1},
	{actRunning, 2},
	{actPriority, 1},
	{actLater, 2},
	{actSooner, 2},
	{actDrop, 3},
	{actTorn, 2},
	{actHalf, 1},
	{actDropRefused, 1},
}

// How often things happen. A pool is killed about twice in a second, which is
// when it has found its work again and is at its busiest.
const (
	actEvery   = 160 * time.Millisecond
	orderEvery = 60 * time.Millisecond
)

// A planner draws from one stream.
type planner struct {
	name string
	r    *rand.Rand
	n    int
}

func newPlanner(seed uint64, name string, stream uint64) *planner {
	return &planner{name: name, r: rand.New(rand.NewPCG(seed, stream))}
}

func (p *planner) upTo(d time.Duration) time.Duration { return time.Duration(p.r.Int64N(int64(d))) }

// one in n.
func (p *planner) one(n int) bool { return p.r.IntN(n) == 0 }

func (p *planner) act() act {
	a := act{After: p.upTo(2 * actEvery), Pick: p.r.Uint64(), Wait: p.upTo(400 * time.Millisecond), Job: p.job()}
	total := 0
	for _, w := range weights {
		total += w.weight
	}
	k := p.r.IntN(total)
	for _, w := range weights {
		if k -= w.weight; k < 0 {
			a.Kind = w.kind
			break
		}
	}
	return a
}

func (p *planner) order() order {
	o := order{After: p.upTo(2 * orderEvery)}
	n := 1
	if p.one(4) {
		n = 2 + p.r.IntN(20)
	}
	for range n {
		o.Jobs = append(o.Jobs, p.job())
	}
	// An enqueue takes some milliseconds of work and some of waiting for the
	// disk: up to 40 kills some before, some within, and some after it.
	kill := time.Millisecond + p.upTo(40*time.Millisecond)
	if p.one(5) {
		o.Kill = kill
	}
	o.Twin = p.one(10) && n == 1
	return o
}

// hangs is how long a job works that hangs, in milliseconds: much longer than
// its timeout, and not for ever, because nobody ends it once its pool is dead.
const hangs = 10000

// job plans one: most just do what they are told, so that there is something
// that must not be lost.
func (p *planner) job() planned {
	p.n++
	j := planned{
		ID: fmt.Sprintf("%s-%d", p.name, p.n), Priority: p.r.IntN(10), MaxRetries: -1, Shell: p.r.IntN(4),
	}
	ms, long, due := p.r.IntN(20), 50+p.r.IntN(350), p.upTo(4*time.Second)-2*time.Second
	if p.one(6) {
		j.Due = due
	}
	switch p.r.IntN(24) {
	case 0, 1:
		j.Task = task{Ms: ms, Fails: 1 + p.r.IntN(2)}
	case 2: // to the end
		j.Task, j.MaxRetries = task{Ms: ms, Fails: 1000}, p.r.IntN(2)
	case 3, 4, 5:
		j.Task = task{Ms: long, Clings: true}
	case 6, 7:
		j.Task = task{Ms: long}
	case 8, 9:
		j.Task = task{Ms: long, Child: true, Clings: p.one(2)}
	case 10, 11:
		j.Task = task{Ms: long, Dies: 1 + p.r.IntN(long), Group: true, Child: p.one(2)}
	case 12:
		j.Task = task{Ms: long, Dies: 1 + p.r.IntN(long)}
	case 13:
		j.Task = task{Ms: ms, Daemon: 100 + p.r.IntN(900), Clings: p.one(2)}
	case 14:
		j.Task = task{Ms: hangs, Clings: true, Child: p.one(2), Deaf: p.one(8)}
		j.Timeout, j.MaxRetries = 200*time.Millisecond, p.r.IntN(2)
	default:
		j.Task = task{Ms: ms}
	}
	return j
}
