package runner

import (
	"errors"
	"time"
)

// How long a job may live after TERM, and after KILL until it is given up.
const (
	killAfter   = 5 * time.Second
	giveUpAfter = 5 * time.Second
)

// Why the context of a handler is done, by context.Cause.
var (
	ErrStopping  = errors.New("the pool is stopping")
	ErrTimeout   = errors.New("the timeout has come")
	ErrCancelled = errors.New("the job was cancelled")
)

// A stopLevel is how urgently the pool is to end. It only rises.
type stopLevel int

const (
	working  stopLevel = iota
	softStop           // nothing new starts; what runs has the grace
	stopNow            // TERM, and KILL 5 s later
	killNow            // KILL
)

// Stop ends the pool softly: nothing new starts, and what runs may go on for
// the grace. Then it gets TERM, and 5 seconds later KILL; what was interrupted
// waits again, uncharged. Stop does not wait: Run returns when all is ended.
func (p *Pool) Stop() { p.raise(softStop) }

// StopNow is Stop without the grace. Called again it kills at once.
func (p *Pool) StopNow() {
	p.mu.Lock()
	again := p.level >= stopNow
	p.mu.Unlock()
	if again {
		p.raise(killNow)
		return
	}
	p.raise(stopNow)
}

func (p *Pool) raise(to stopLevel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if to <= p.level {
		return
	}
	p.level = to
	select {
	case p.nudge <- struct{}{}:
	default:
	}
}

func (p *Pool) stopLevel() stopLevel {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.level
}

// stopState is what the dispatcher has done of a stop so far. The channels are
// closed one after the other, and tell all attempts at once.
type stopState struct {
	done      stopLevel
	graceAt   time.Time // when what runs gets TERM
	giveUpAt  time.Time // when Run returns whatever happens
	stopping  chan struct{}
	term      chan struct{}
	kill      chan struct{}
	abandoned chan struct{}
}

func newStopState() stopState {
	return stopState{
		stopping:  make(chan struct{}),
		term:      make(chan struct{}),
		kill:      make(chan struct{}),
		abandoned: make(chan struct{}),
	}
}

// obey brings the pool to the level of urgency that was asked for.
func (d *dispatcher) obey() {
	level := d.p.stopLevel()
	if level == working {
		return
	}
	st := &d.stop
	if st.done < softStop {
		d.beginStop()
	}
	if level < stopNow && !d.now.Before(st.graceAt) {
		level = stopNow
	}
	if level >= stopNow && st.done < stopNow {
		st.done = stopNow
		st.giveUpAt = d.now.Add(killAfter + giveUpAfter)
		close(st.term)
	}
	if level >= killNow && st.done < killNow {
		st.done = killNow
		if at := d.now.Add(giveUpAfter); at.Before(st.giveUpAt) {
			st.giveUpAt = at
		}
		close(st.kill)
	}
}

// beginStop writes down first that the pool is stopping, so that no job is
// charged for what now happens to it.
func (d *dispatcher) beginStop() {
	if err := d.p.m.Stopping(); err != nil {
		d.log.Warn("cannot write down that this pool is stopping", "error", err)
	}
	d.stop.done = softStop
	d.stop.graceAt = d.now.Add(d.p.o.Grace)
	close(d.stop.stopping)
	d.hush()
	d.log.Info("stopping", "running", d.busy)
}

func (d *dispatcher) stopping() bool { return d.stop.done >= softStop }

// stopWake is when the next step of a stop is to be taken.
func (d *dispatcher) stopWake() time.Time {
	if d.stop.done == softStop {
		return d.stop.graceAt
	}
	return d.stop.giveUpAt
}
