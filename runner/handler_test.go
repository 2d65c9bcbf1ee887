package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"queuectl/spool"
)

func TestHandlerOutcomes(t *testing.T) {
	for _, c := range []struct {
		name    string
		h       Handler
		state   spool.State
		outcome spool.Outcome
		runs    int
		reason  string
		log     string
	}{
		{"ok", func(context.Context, *Job) error { return nil }, spool.Completed, spool.Succeeded, 1, "", ""},
		{"error", func(context.Context, *Job) error { return errors.New("no luck") }, spool.Dead, spool.FailedOutcome, 3, "no luck", "failed: no luck"},
		{"permanent", func(context.Context, *Job) error {
			return fmt.Errorf("look: %w", Permanent(errors.New("never")))
		}, spool.Dead, spool.FailedOutcome, 1, "look: never", "failed: look: never"},
		{"panic", func(context.Context, *Job) error { panic("ouch") }, spool.Dead, spool.FailedOutcome, 3, "panic: ouch", "handler_test.go"},
		{"goexit", func(context.Context, *Job) error { runtime.Goexit(); return nil }, spool.Dead, spool.FailedOutcome, 3, "Goexit", ""},
		{"timeout", func(ctx context.Context, _ *Job) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}, spool.Dead, spool.TimedOut, 3, "timed out after 50ms (the timeout has come)", "timed out"},
		{"late", func(ctx context.Context, _ *Job) error { <-ctx.Done(); return nil }, spool.Completed, spool.Succeeded, 1, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSpool(t)
			enqueue(t, s, `{"id":"a","kind":"k","max_retries":2,"timeout":"50ms"}`)
			var runs atomic.Int32
			drained(t, s, Options{Handlers: map[string]Handler{"k": func(ctx context.Context, j *Job) error {
				runs.Add(1)
				return c.h(ctx, j)
			}}})
			j := job(t, s, "a")
			e := last(t, j)
			if j.State != c.state || e.Outcome != c.outcome || int(runs.Load()) != c.runs {
				t.Fatalf("%s, %s, %d runs, reason %q", j.State, e.Outcome, runs.Load(), e.Reason)
			}
			mustHold(t, e.Reason, c.reason)
			mustHold(t, logOf(t, j), c.log)
		})
	}
}

func TestHandlerGetsItsJob(t *testing.T) {
	s := newSpool(t)
	enqueue(t, s, `{"id":"a","kind":"k","args":{"x":[1,2]},"max_retries":1,"unknown":"kept"}`)
	drained(t, s, Options{Handlers: map[string]Handler{"k": func(_ context.Context, j *Job) error {
		b, err := os.ReadFile(j.File)
		if err != nil {
			return err
		}
		fmt.Fprintf(j.Log, "%s %s %s %d/%d %t\n", j.ID, j.Kind, j.Args, j.Attempt, j.MaxRetries, strings.Contains(string(b), `"unknown":"kept"`))
		if j.Attempt == 1 {
			return errors.New("again")
		}
		return nil
	}}})
	text := logOf(t, job(t, s, "a"))
	mustHold(t, text, `a k {"x":[1,2]} 1/1 true`+"\n")
	mustHold(t, text, `a k {"x":[1,2]} 2/1 true`+"\n")
	mustHold(t, text, "--- attempt 2, ")
}

// What a pool cannot run it leaves where it is, uncharged, and says so; it
// does not keep a draining pool from its end.
func TestNoHandler(t *testing.T) {
	s := newSpool(t)
	enqueue(t, s, `{"id":"kind","kind":"other"}`)
	enqueue(t, s, `{"id":"command","command":"true"}`)
	enqueue(t, s, `{"id":"mine","kind":"k"}`)
	o := Options{Slots: 2, Handlers: map[string]Handler{"k": func(context.Context, *Job) error { return nil }}}
	drained(t, s, o)
	for _, id := range []string{"kind", "command"} {
		j := job(t, s, id)
		if j.State != spool.Pending || j.Attempts != 0 {
			t.Errorf("%s is %s after %d attempts", id, j.State, j.Attempts)
		}
		if n := len(j.History); n > 2 {
			t.Errorf("%s was tried %d times", id, n-1)
		}
	}
	if j := job(t, s, "mine"); j.State != spool.Completed {
		t.Errorf("mine is %s", j.State)
	}
	start(t, s, o)
	until(t, "status says why", func() bool {
		st, err := s.Status()
		text := fmt.Sprint(st.Problems)
		return err == nil && strings.Contains(text, `no handler for kind "other"`) && strings.Contains(text, "runs no commands")
	})
}

// A stuck is a logger on which whoever tells of a success waits.
type stuck struct {
	slog.Handler
	told atomic.Int32
	on   chan struct{}
}

func (s *stuck) WithAttrs([]slog.Attr) slog.Handler { return s }

func (s *stuck) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "succeeded" {
		s.told.Add(1)
		<-s.on
	}
	return nil
}

// With sync = always a slot goes on while the ends of its jobs wait for the
// disk, but not for ever; the pool does not end before they have.
func TestSlotsGoOnWhileEndsAreSynced(t *testing.T) {
	for _, c := range []struct {
		sync string
		jobs int32
		want int32 // successes of which none has been reported
	}{{"always", maxSyncing + 10, maxSyncing + 1}, {"always", 5, 5}, {"full", 5, 1}} {
		t.Run(fmt.Sprint(c.sync, c.jobs), func(t *testing.T) {
			s := newSpool(t)
			for range c.jobs {
				enqueue(t, s, `{"kind":"k"}`)
			}
			if err := s.SetConfig("sync", c.sync); err != nil {
				t.Fatal(err)
			}
			log := &stuck{Handler: slog.NewTextHandler(io.Discard, nil), on: make(chan struct{})}
			var now atomic.Int32
			var beside atomic.Bool // two ran at one time
			r := start(t, s, Options{Drain: true, Logger: slog.New(log), Handlers: map[string]Handler{"k": func(context.Context, *Job) error {
				if now.Add(1) > 1 {
					beside.Store(true)
				}
				time.Sleep(time.Millisecond)
				now.Add(-1)
				return nil
			}}})
			until(t, "as many ends as may wait", func() bool { return log.told.Load() >= c.want })
			if c.want == c.jobs {
				r.Stop()
			}
			select {
			case err := <-r.done:
				t.Fatalf("the pool ended before its jobs: %v", err)
			case <-time.After(50 * time.Millisecond):
			}
			if n := log.told.Load(); n != c.want {
				t.Errorf("%d ends wait, want %d", n, c.want)
			}
			close(log.on)
			if err := r.wait(); err != nil {
				t.Fatal(err)
			}
			if n := log.told.Load(); n != c.jobs || beside.Load() {
				t.Errorf("%d of %d jobs succeeded, two at one time in one slot: %v", n, c.jobs, beside.Load())
			}
		})
	}
}
