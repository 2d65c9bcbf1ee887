package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"queuectl/spool"
)

// A job that ends during the grace is settled, and nothing new starts.
func TestStopWithGrace(t *testing.T) {
	s := newSpool(t)
	dir := t.TempDir()
	enqueue(t, s, `{"id":"a","command":"touch %[1]s/runs; while [ ! -e %[1]s/end ]; do sleep 0.01; done"}`, dir)
	p := start(t, s, Options{Commands: true, Grace: time.Hour})
	untilFile(t, dir+"/runs")
	p.Stop()
	p.Stop()
	until(t, "the pool says that it stops", func() bool {
		pools, err := s.Pools()
		return err == nil && len(pools) == 1 && pools[0].Stopping
	})
	enqueue(t, s, `{"id":"b","command":"true"}`)
	if err := os.WriteFile(dir+"/end", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.wait(); err != nil {
		t.Fatal(err)
	}
	if a, b := job(t, s, "a"), job(t, s, "b"); a.State != spool.Completed || b.State != spool.Pending {
		t.Errorf("a is %s, b is %s", a.State, b.State)
	}
	p.Stop()
	p.StopNow()
	if err := p.Run(context.Background()); err == nil {
		t.Error("a pool ran twice")
	}
}

func TestStopInterrupts(t *testing.T) {
	for _, c := range []struct {
		name    string
		command string
		grace   time.Duration
		stop    func(p *running)
		state   spool.State
		outcome spool.Outcome
		signal  string
	}{
		{"grace over", "touch $F; sleep 60", 50 * time.Millisecond, func(p *running) { p.Stop() }, spool.Pending, spool.Interrupted, "SIGTERM"},
		{"no grace", "touch $F; sleep 60", 0, func(p *running) { p.Stop() }, spool.Pending, spool.Interrupted, "SIGTERM"},
		{"now", "touch $F; sleep 60", time.Hour, func(p *running) { p.StopNow() }, spool.Pending, spool.Interrupted, "SIGTERM"},
		{"hurried", "touch $F; sleep 60", time.Hour, func(p *running) { p.Stop(); p.StopNow() }, spool.Pending, spool.Interrupted, "SIGTERM"},
		{"kill", "trap '' TERM; touch $F; sleep 60", time.Hour, func(p *running) { p.StopNow(); p.StopNow() }, spool.Pending, spool.Interrupted, "SIGKILL"},
		{"exits on term", "trap 'exit 7' TERM; touch $F; sleep 60 & wait", time.Hour, func(p *running) { p.StopNow() }, spool.Pending, spool.Interrupted, "7"},
		{"succeeds on term", "trap 'exit 0' TERM; touch $F; sleep 60 & wait", time.Hour, func(p *running) { p.StopNow() }, spool.Completed, spool.Succeeded, "0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSpool(t)
			f := filepath.Join(t.TempDir(), "runs")
			enqueue(t, s, `{"id":"a","command":%q,"env":{"F":%q},"max_retries":0}`, c.command, f)
			before := job(t, s, "a").File
			p := start(t, s, Options{Commands: true, Grace: c.grace})
			untilFile(t, f)
			c.stop(p)
			if err := p.wait(); err != nil {
				t.Fatal(err)
			}
			j := job(t, s, "a")
			e := last(t, j)
			how := e.Signal
			if e.Exit != nil {
				how = fmt.Sprint(*e.Exit)
			}
			if j.State != c.state || e.Outcome != c.outcome {
				t.Errorf("%s, %s (%s)", j.State, e.Outcome, e.Reason)
			}
			if c.state == spool.Pending {
				mustHold(t, e.Reason, c.signal)
				if j.Attempts != 0 || j.File != before {
					t.Errorf("%d attempts are charged; it was %s and is %s", j.Attempts, before, j.File)
				}
			} else if how != c.signal {
				t.Errorf("ended with %s", how)
			}
			until(t, "the group has ended", func() bool { return !groupLives(e.PID) })
		})
	}
}

// Who stops a service signals all its processes: a job that dies of it, even
// before the pool has heard, was interrupted and not failed.
func TestSignalledTogether(t *testing.T) {
	s := newSpool(t)
	f := filepath.Join(t.TempDir(), "runs")
	enqueue(t, s, `{"id":"a","command":"touch %s; sleep 60","max_retries":0}`, f)
	p := start(t, s, Options{Commands: true, Grace: time.Hour})
	untilFile(t, f)
	pid := untilStarted(t, s, "a").PID
	if err := syscall.Kill(-pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until(t, "the job has ended", func() bool { return !groupLives(pid) })
	p.Stop()
	if err := p.wait(); err != nil {
		t.Fatal(err)
	}
	if j := job(t, s, "a"); j.State != spool.Pending || last(t, j).Outcome != spool.Interrupted {
		t.Errorf("%s, %+v", j.State, last(t, j))
	}
}

// Without a stop such a death is a failure.
func TestSignalledAlone(t *testing.T) {
	s := newSpool(t)
	enqueue(t, s, `{"id":"a","command":"kill -TERM $$","max_retries":0}`)
	drained(t, s, Options{Commands: true})
	if j := job(t, s, "a"); j.State != spool.Dead {
		t.Errorf("%s", j.State)
	}
}

func TestStopByRequestAndContext(t *testing.T) {
	s := newSpool(t)
	p := start(t, s, Options{})
	until(t, "the pool is seen", func() bool { l, err := s.Pools(); return err == nil && len(l) == 1 })
	if err := s.RequestStop(p.Name(), false); err != nil {
		t.Fatal(err)
	}
	if err := p.wait(); err != nil {
		t.Fatal(err)
	}
	q, err := New(s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := q.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if l, err := s.Pools(); err != nil || len(l) != 0 {
		t.Errorf("pools: %v %v", l, err)
	}
}

func TestStopNowByRequest(t *testing.T) {
	s := newSpool(t)
	f := filepath.Join(t.TempDir(), "runs")
	enqueue(t, s, `{"id":"a","command":"touch %s; sleep 60"}`, f)
	p := start(t, s, Options{Commands: true, Grace: time.Hour})
	untilFile(t, f)
	if err := s.RequestStop(p.Name(), false); err != nil {
		t.Fatal(err)
	}
	until(t, "it stops", func() bool { return p.stopLevel() == softStop })
	if err := s.RequestStop(p.Name(), true); err != nil {
		t.Fatal(err)
	}
	if err := p.wait(); err != nil {
		t.Fatal(err)
	}
	if j := job(t, s, "a"); j.State != spool.Pending {
		t.Errorf("%s", j.State)
	}
}

func TestStopHandler(t *testing.T) {
	s := newSpool(t)
	enqueue(t, s, `{"id":"a","kind":"k","max_retries":0}`)
	runs := make(chan struct{})
	p := start(t, s, Options{Handlers: map[string]Handler{"k": func(ctx context.Context, _ *Job) error {
		close(runs)
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), ErrStopping) {
			return Permanent(fmt.Errorf("cause: %w", context.Cause(ctx)))
		}
		return ctx.Err()
	}}})
	<-runs
	p.Stop()
	if err := p.wait(); err != nil {
		t.Fatal(err)
	}
	if j := job(t, s, "a"); j.State != spool.Pending || j.Attempts != 0 {
		t.Errorf("%s after %d attempts: %s", j.State, j.Attempts, last(t, j).Reason)
	}
}

func TestCancelRunning(t *testing.T) {
	s := newSpool(t)
	f := filepath.Join(t.TempDir(), "runs")
	enqueue(t, s, `{"id":"a","command":"trap 'exit 0' TERM; touch %s; sleep 60 & wait"}`, f)
	start(t, s, Options{Commands: true})
	untilFile(t, f)
	// The pool may be so quick that the command finds its work done.
	if _, err := s.Cancel(context.Background(), "a"); err != nil && !errors.Is(err, spool.ErrState) {
		t.Fatal(err)
	}
	j := untilState(t, s, "a", spool.Dead)
	if last(t, j).Outcome != spool.Cancelled {
		t.Errorf("%+v", last(t, j))
	}
}

// A request that is there before the claim keeps the job from starting.
func TestCancelBeforeTheStart(t *testing.T) {
	s := newSpool(t)
	f := filepath.Join(t.TempDir(), "runs")
	enqueue(t, s, `{"id":"a","command":"touch %s"}`, f)
	if err := os.WriteFile(s.Dir()+"/control/a.cancel", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	drained(t, s, Options{Commands: true})
	// It is the claim that sees the request, or the recovery beside it.
	if j := job(t, s, "a"); j.State != spool.Dead || j.History[len(j.History)-1].Outcome != spool.Cancelled {
		t.Errorf("%s", j.State)
	}
	if _, err := os.Stat(f); err == nil {
		t.Error("it has started")
	}
	if _, err := os.Stat(s.Dir() + "/control/a.cancel"); err == nil {
		t.Error("the request is still there")
	}
}

// A handler that does not return is left behind: the pool names it and ends.
func TestStopLeavesWhatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		enqueue(t, s, `{"id":"stuck","kind":"k"}`)
		runs, end, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
		p, _, _ := fake(t, s, Options{Handlers: map[string]Handler{"k": func(context.Context, *Job) error {
			defer close(ended)
			close(runs)
			<-end
			return nil
		}}}, nil)
		done := make(chan error, 1)
		go func() { done <- p.Run(context.Background()) }()
		<-runs
		began := time.Now()
		p.StopNow()
		err := <-done
		if err == nil || !strings.Contains(err.Error(), "stuck") {
			t.Errorf("error: %v", err)
		}
		if d := time.Since(began); d != killAfter+giveUpAfter {
			t.Errorf("ended after %s", d)
		}
		close(end)
		<-ended
		synctest.Wait()
		if j := job(t, s, "stuck"); j.State != spool.Processing {
			t.Errorf("%s: settled by a pool that has left", j.State)
		}
	})
}

type syncCounter struct {
	queue
	n atomic.Int32
}

func (q *syncCounter) SyncNow() error {
	q.n.Add(1)
	return q.queue.SyncNow()
}

// What ends while a pool stops is made durable as what ended before: others may
// have long to go.
func TestSyncWhileStopping(t *testing.T) {
	s := newSpool(t, "sync", "full", "sync_interval", "10ms")
	enqueue(t, s, `{"id":"a","kind":"k"}`)
	enqueue(t, s, `{"id":"b","kind":"l"}`)
	endA, endB := make(chan bool), make(chan bool)
	began := make(chan bool, 2)
	wait := func(end chan bool) Handler {
		return func(context.Context, *Job) error {
			began <- true
			<-end
			return nil
		}
	}
	p := join(t, s, Options{Slots: 2, Grace: time.Hour, Handlers: map[string]Handler{"k": wait(endA), "l": wait(endB)}})
	q := &syncCounter{queue: p.q}
	p.q = q
	r := run(t, p)
	<-began
	<-began
	r.Stop()
	close(endA)
	untilState(t, s, "a", spool.Completed)
	until(t, "a sync", func() bool { return q.n.Load() > 0 })
	close(endB)
	if err := r.wait(); err != nil {
		t.Error(err)
	}
}

// A logger may stop the pool, whatever it is told.
func TestLoggerThatStops(t *testing.T) {
	s := newSpool(t)
	enqueue(t, s, `{"id":"a","command":"true"}`)
	var p *Pool
	p = join(t, s, Options{Commands: true, Environ: append(os.Environ(), "X_TOKEN=1"), Logger: slog.New(&stopper{stop: func() { p.Stop() }})})
	if err := p.Run(context.Background()); err != nil {
		t.Error(err)
	}
}

type stopper struct {
	slog.Handler
	stop func()
}

func (h *stopper) Enabled(context.Context, slog.Level) bool { return true }
func (h *stopper) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *stopper) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "kept from jobs") {
		h.stop()
	}
	return nil
}
