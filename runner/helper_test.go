package runner

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"queuectl/spool"
)

// deadline bounds every wait of a test: it is only ever reached by a failure.
const deadline = 20 * time.Second

// newSpool makes a spool of which everything must be in order at the end of
// the test.
func newSpool(t testing.TB, settings ...string) *spool.Spool {
	t.Helper()
	s, err := spool.Open(t.TempDir()+"/spool", spool.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	settings = append([]string{"sync", "off", "retry_base", "0"}, settings...)
	for i := 0; i < len(settings); i += 2 {
		if err := s.SetConfig(settings[i], settings[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		rep, err := s.Check(context.Background(), false)
		if err != nil || !rep.OK() {
			t.Errorf("check: %v %+v", err, rep.Findings)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// enqueue makes a job of JSON.
func enqueue(t testing.TB, s *spool.Spool, format string, args ...any) string {
	t.Helper()
	id, err := s.EnqueueJSON(context.Background(), fmt.Appendf(nil, format, args...))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A running is a pool at work.
type running struct {
	*Pool
	t    testing.TB
	done chan error
}

// start has a pool work until the end of the test at the latest.
func start(t testing.TB, s *spool.Spool, o Options) *running {
	t.Helper()
	return run(t, join(t, s, o))
}

func join(t testing.TB, s *spool.Spool, o Options) *Pool {
	t.Helper()
	p, err := New(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func run(t testing.TB, p *Pool) *running {
	r := &running{Pool: p, t: t, done: make(chan error, 1)}
	go func() { r.done <- p.Run(context.Background()) }()
	t.Cleanup(func() {
		p.StopNow()
		p.StopNow()
		if err := r.wait(); err != nil && !t.Failed() {
			t.Error(err)
		}
	})
	return r
}

// wait waits for the end of the pool.
func (r *running) wait() error {
	r.t.Helper()
	select {
	case err := <-r.done:
		r.done <- nil // a second wait finds it ended, too
		return err
	case <-time.After(deadline):
		r.t.Fatal("the pool does not end")
		return nil
	}
}

// ends stops the pool softly, and wants it to end well.
func (r *running) ends() {
	r.t.Helper()
	r.Stop()
	if err := r.wait(); err != nil {
		r.t.Error(err)
	}
}

// drained runs a pool until all is done.
func drained(t testing.TB, s *spool.Spool, o Options) {
	t.Helper()
	o.Drain = true
	if err := start(t, s, o).wait(); err != nil {
		t.Fatal(err)
	}
}

// until waits for a condition.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func job(t testing.TB, s *spool.Spool, id string) *spool.JobInfo {
	t.Helper()
	j, err := s.Job(id)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// untilState waits until a job is in a state.
func untilState(t testing.TB, s *spool.Spool, id string, st spool.State) *spool.JobInfo {
	t.Helper()
	var j *spool.JobInfo
	until(t, id+" is "+string(st), func() bool {
		var err error
		j, err = s.Job(id)
		return err == nil && j.State == st
	})
	return j
}

// untilStarted waits until a job's process runs.
func untilStarted(t testing.TB, s *spool.Spool, id string) spool.Entry {
	t.Helper()
	var e spool.Entry
	until(t, id+" has started", func() bool {
		j, err := s.Job(id)
		if err != nil || j.State != spool.Processing || len(j.History) == 0 {
			return false
		}
		e = j.History[len(j.History)-1]
		return e.PID != 0
	})
	return e
}

// untilFile waits until a job has made a file.
func untilFile(t testing.TB, path string) {
	t.Helper()
	until(t, path+" exists", func() bool { _, err := os.Stat(path); return err == nil })
}

// last is the last attempt of a job.
func last(t testing.TB, j *spool.JobInfo) spool.Entry {
	t.Helper()
	for i := len(j.History) - 1; i >= 0; i-- {
		if j.History[i].Attempt > 0 {
			return j.History[i]
		}
	}
	t.Fatalf("%s has no attempt", j.ID)
	return spool.Entry{}
}

// logOf is what a job has printed.
func logOf(t testing.TB, j *spool.JobInfo) string {
	t.Helper()
	b, err := os.ReadFile(j.Log)
	if os.IsNotExist(err) || j.Log == "" {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// mustHold fails the test unless a text holds another.
func mustHold(t testing.TB, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%q does not hold %q", text, part)
	}
}

// A recorder is a logger that remembers.
type recorder struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func (r *recorder) logger() *slog.Logger { return slog.New(slog.NewTextHandler(r, nil)) }
