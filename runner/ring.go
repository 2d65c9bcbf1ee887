package runner

import (
	"context"
	"time"
)

// How long the ring waits before it joins again after the same pool was
// reported twice: its file stays as long as a process of one of its jobs
// lives.
const rejoinMin, rejoinMax = 250 * time.Millisecond, slowScan

// A ring is the watch over the pool that comes next in the order of names. All
// pools together notice any death.
type ring struct {
	ch    <-chan string
	leave context.CancelFunc
	at    time.Time // when to join again; zero: no time is set
	last  string    // who died last
	pause time.Duration
}

func (r *ring) due(now time.Time) bool { return !r.at.IsZero() && !r.at.After(now) }

// joinRing watches the neighbour anew: another pool may have come between.
func (d *dispatcher) joinRing(ctx context.Context) {
	r := &d.ring
	if r.leave != nil {
		r.leave()
	}
	r.at = time.Time{}
	ctx, r.leave = context.WithCancel(ctx)
	var err error
	r.ch, err = d.p.m.WatchNeighbour(ctx)
	d.warn("cannot watch the other pools; their jobs are recovered at the next scan", err)
}

// neighbourGone follows the death of the neighbour, or the end of the watch.
func (d *dispatcher) neighbourGone(name string, ok bool) {
	r := &d.ring
	r.ch = nil
	if !ok {
		return // it ended with an error: the next slow scan joins again
	}
	if name != r.last {
		r.last, r.pause = name, 0
	}
	r.at = d.now.Add(r.pause)
	r.pause = min(max(2*r.pause, rejoinMin), rejoinMax)
	d.want(recovering)
}
