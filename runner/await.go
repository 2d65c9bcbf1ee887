package runner

import (
	"time"

	"queuectl/spool"
)

// A cause is why an attempt is ended before its time.
type cause int

const (
	byItself cause = iota
	timeout
	cancelled
	stopping
)

func (c cause) err() error {
	switch c {
	case timeout:
		return ErrTimeout
	case cancelled:
		return ErrCancelled
	default:
		return ErrStopping
	}
}

// An earlyEnd says whether an attempt was ended before its time.
type earlyEnd struct {
	why   cause
	limit time.Duration // the timeout
	left  bool          // the pool has gone on without it
}

// await waits until done is closed, for what began at a time and may take as
// long as limit. On a timeout, a request to cancel, or a stop it calls term, and
// kill 5 seconds later.
func (a *attempt) await(c *spool.Claim, began time.Time, limit time.Duration, done <-chan struct{}, term func(why cause), kill func()) (end earlyEnd) {
	var late, deadly <-chan time.Time
	if end.limit = limit; limit > 0 {
		t := time.NewTimer(time.Until(began.Add(limit)))
		defer t.Stop()
		late = t.C
	}
	begin := func(why cause) {
		if end.why == byItself {
			end.why = why
			term(why)
			deadly = time.After(killAfter)
		}
	}
	stop, hurry := a.d.stop.term, a.d.stop.kill
	for {
		select {
		case <-done:
			return end
		case <-late:
			begin(timeout)
		case <-a.poke:
			if end.why == byItself && c.CancelRequested() {
				begin(cancelled)
			}
		case <-stop:
			stop = nil
			begin(stopping)
		case <-hurry:
			hurry = nil
			begin(stopping)
			kill()
		case <-deadly:
			kill()
		case <-a.d.stop.abandoned:
			end.left = true
			return end
		}
	}
}

// timeout is how long the attempt may take: the job's own, else as configured;
// 0: as long as it likes.
func (a *attempt) timeout(c *spool.Claim) time.Duration {
	if c.Job.Timeout != 0 {
		return max(0, c.Job.Timeout) // NoTimeout is negative
	}
	cfg, _ := a.d.p.q.Config()
	return cfg.Timeout
}
