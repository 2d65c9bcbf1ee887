package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"time"

	"queuectl/spool"
)

// A Handler does the jobs of one kind. It returns soon after ctx is done: then
// context.Cause tells why, ErrStopping, ErrTimeout or ErrCancelled. An error
// is a failed attempt; nil is success, even after the timeout. A panic is a
// failed attempt, too, and its stack stands in the job's log.
//
// A handler that does not return cannot be killed: its slot stays busy, and a
// pool that stops leaves it behind.
type Handler func(ctx context.Context, j *Job) error

// A Job is one attempt at a job, for a handler.
type Job struct {
	spool.Job
	// Attempt is 1 for the first attempt of this round.
	Attempt    int
	MaxRetries int
	// File is the path of the job's JSON, with members that are unknown here.
	File string
	// Log is the job's log. It may be used by several goroutines.
	Log io.Writer
}

type permanent struct{ err error }

func (p *permanent) Error() string { return p.err.Error() }
func (p *permanent) Unwrap() error { return p.err }

// Permanent marks an error after which the job is not tried again: it is dead
// at once.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanent{err}
}

// handle runs a handler and waits for its end.
func (a *attempt) handle(ctx context.Context, c *spool.Claim, h Handler, l *jobLog) ending {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	j := &Job{Job: c.Job, Attempt: c.Attempt, MaxRetries: c.MaxRetries, File: c.JobFile(), Log: l}
	var e ending
	done := make(chan struct{})
	go func() {
		defer close(done)
		call(ctx, h, j, &e)
	}()
	kill := func() { a.log(slog.LevelWarn, "the handler does not return", c) }
	end := a.await(c, time.Now(), a.timeout(c), done, func(why cause) { cancel(why.err()) }, kill)
	if end.left {
		return ending{left: true}
	}
	return e.because(end)
}

// call calls a handler, which may panic or end its goroutine.
func call(ctx context.Context, h Handler, j *Job, e *ending) {
	*e = failed("the handler ended its goroutine (runtime.Goexit)")
	defer func() {
		if v := recover(); v != nil {
			*e = failed("panic: %v", v)
			e.detail = string(debug.Stack())
		}
	}()
	*e = endingOfError(h(ctx, j))
}

// endingOfError is what a handler's error means.
func endingOfError(err error) ending {
	if err == nil {
		return ending{outcome: spool.Succeeded}
	}
	e := failed("%v", err)
	var p *permanent
	e.permanent = errors.As(err, &p)
	if e.reason == "" {
		e.reason = fmt.Sprintf("an error without a text (%T)", err)
	}
	return e
}

// because takes into account why a handler was ended before its time. One that
// returns nil even so has done its work.
func (e ending) because(end earlyEnd) ending {
	if e.outcome == spool.Succeeded {
		return e
	}
	switch end.why {
	case timeout:
		e.outcome, e.reason = spool.TimedOut, fmt.Sprintf("timed out after %s (%s)", spool.FormatDuration(end.limit), e.reason)
	case cancelled:
		e.outcome, e.reason = spool.Cancelled, "cancelled ("+e.reason+")"
	case stopping:
		e.interrupted, e.reason = true, "the pool was stopped ("+e.reason+")"
	}
	return e
}
