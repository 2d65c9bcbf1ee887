package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"queuectl/spool"
)

// A fakeWatch gives hints by hand.
type fakeWatch struct {
	hints  chan spool.Hint
	native bool
	gone   atomic.Bool // TellGone
	mu     sync.Mutex
	err    error
}

func (w *fakeWatch) Hints() <-chan spool.Hint { return w.hints }
func (w *fakeWatch) TellGone(on bool)         { w.gone.Store(on) }
func (w *fakeWatch) Native() bool             { return w.native }
func (w *fakeWatch) Reason() string           { return "none come from elsewhere" }
func (w *fakeWatch) Renew() error             { return w.Err() }
func (w *fakeWatch) Close() error             { return nil }

func (w *fakeWatch) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *fakeWatch) set(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

// A fakeMember is a real pool whose claims fail as a test likes, and count.
type fakeMember struct {
	*spool.Pool
	mu       sync.Mutex
	claims   []time.Time
	fail     func(n int, path string) error
	problems []string

	neighbour chan string // of the ring; nil: as it is
}

func (m *fakeMember) WatchNeighbour(ctx context.Context) (<-chan string, error) {
	if m.neighbour != nil {
		return m.neighbour, nil
	}
	return m.Pool.WatchNeighbour(ctx)
}

func (m *fakeMember) Claim(path string) (*spool.Claim, error) {
	m.mu.Lock()
	m.claims = append(m.claims, time.Now())
	n := len(m.claims)
	m.mu.Unlock()
	if m.fail != nil {
		if err := m.fail(n, path); err != nil {
			return nil, err
		}
	}
	return m.Pool.Claim(path)
}

func (m *fakeMember) SetProblems(list []spool.Problem) error {
	m.mu.Lock()
	m.problems = append(m.problems, fmt.Sprint(list))
	m.mu.Unlock()
	return m.Pool.SetProblems(list)
}

// hasProblem wants the problems that the pool told last to hold a text.
func (m *fakeMember) hasProblem(t *testing.T, text string) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.problems); n == 0 || !strings.Contains(m.problems[n-1], text) {
		t.Errorf("it told of the problems %q; want %q last", m.problems, text)
	}
}

// hasNoProblem wants it to have told of problems, and last of none.
func (m *fakeMember) hasNoProblem(t *testing.T) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.problems); n < 2 || m.problems[n-1] != "[]" {
		t.Errorf("it told of the problems %q; want none last", m.problems)
	}
}

// fake makes a pool whose hints and claims a test controls, and whose time is
// that of the bubble.
func fake(t *testing.T, s *spool.Spool, o Options, fail func(n int, path string) error) (*Pool, *fakeMember, *fakeWatch) {
	t.Helper()
	real, err := s.Join(max(1, o.Slots))
	if err != nil {
		t.Fatal(err)
	}
	o.Slots = max(1, o.Slots)
	m := &fakeMember{Pool: real, fail: fail}
	w := &fakeWatch{hints: make(chan spool.Hint), native: true}
	return newPool(o, s, m, func(context.Context) (watcher, error) { return w, nil }), m, w
}

// gaps are the times between claims.
func (m *fakeMember) gaps() (gaps []time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := 1; i < len(m.claims); i++ {
		gaps = append(gaps, m.claims[i].Sub(m.claims[i-1]))
	}
	return gaps
}

func nothing(context.Context, *Job) error { return nil }

var handlers = map[string]Handler{"k": nothing}

// How long a name is put off for each reason, in the bubble's time.
func TestPutOff(t *testing.T) {
	ms, sec := time.Millisecond, time.Second
	for _, c := range []struct {
		name string
		err  error
		want []time.Duration
	}{
		{"held", spool.ErrHeld, []time.Duration{1 * ms, 2 * ms, 4 * ms, 8 * ms, 16 * ms, 32 * ms, 64 * ms, 128 * ms, 250 * ms, 250 * ms}},
		{"unfinished", spool.ErrUnfinished, []time.Duration{20 * ms, 40 * ms, 80 * ms, 80 * ms}},
		{"of this file", syscall.EIO, []time.Duration{1 * sec, 2 * sec, 4 * sec, 8 * sec, 16 * sec, 32 * sec, 64 * sec, 128 * sec, 256 * sec, 300 * sec, 300 * sec}},
		{"of the file system", &os.PathError{Op: "open", Path: "x", Err: syscall.ENOSPC}, []time.Duration{sec, sec, sec, sec}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSpool(t)
				enqueue(t, s, `{"id":"a","kind":"k"}`)
				p, m, _ := fake(t, s, Options{Handlers: handlers}, func(n int, _ string) error {
					if n <= len(c.want) {
						return c.err
					}
					return nil
				})
				r := run(t, p)
				time.Sleep(time.Hour)
				synctest.Wait()
				if got := m.gaps(); fmt.Sprint(got) != fmt.Sprint(c.want) {
					t.Errorf("tried again after\n%v, want\n%v", got, c.want)
				}
				if j := job(t, s, "a"); j.State != spool.Completed {
					t.Errorf("%s", j.State)
				}
				p.Stop()
				if err := r.wait(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Other jobs go on while one is passed over, and none while the file system
// refuses everything; both are told once, and taken back.
func TestProblemsAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		rec := &recorder{}
		var full atomic.Bool
		full.Store(true)
		p, m, w := fake(t, s, Options{Handlers: handlers, Logger: rec.logger()}, func(_ int, path string) error {
			switch {
			case strings.Contains(path, "-bad.json") && full.Load():
				return syscall.EACCES
			case strings.Contains(path, "-full.json") && full.Load():
				return syscall.ENOSPC
			}
			return nil
		})
		enqueue(t, s, `{"id":"bad","kind":"k"}`)
		enqueue(t, s, `{"id":"good","kind":"k"}`)
		run(t, p)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if j := job(t, s, "good"); j.State != spool.Completed {
			t.Errorf("good is %s", j.State)
		}
		enqueue(t, s, `{"id":"full","kind":"k","priority":9}`)
		w.hints <- spool.Hint{}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		full.Store(false)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		for _, id := range []string{"bad", "full"} {
			if j := job(t, s, id); j.State != spool.Completed {
				t.Errorf("%s is %s", id, j.State)
			}
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(m.problems) < 3 || m.problems[len(m.problems)-1] != "[]" {
			t.Errorf("problems: %v", m.problems)
		}
		mustHold(t, strings.Join(m.problems, " "), "permission denied")
		mustHold(t, strings.Join(m.problems, " "), "no space left")
		if n := strings.Count(rec.String(), "nothing is started"); n != 1 {
			t.Errorf("told %d times", n)
		}
	})
}

// A name that somebody else has taken is forgotten, and taken in again when a
// hint came while it was tried.
func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		enqueue(t, s, `{"id":"a","kind":"k"}`)
		var w *fakeWatch
		p, m, w := fake(t, s, Options{Handlers: handlers}, func(n int, path string) error {
			if n == 1 {
				w.hints <- spool.Hint{Path: path}
				return spool.ErrGone
			}
			return spool.ErrGone
		})
		run(t, p)
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(m.claims); n != 2 {
			t.Errorf("tried %d times", n)
		}
	})
}

// An idle pool wakes for the slow scan and for nothing else; and one without
// events does not sleep for longer, whatever is configured: timers stop while a
// machine is suspended.
func TestIdle(t *testing.T) {
	for _, native := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := newSpool(t, "scan_interval", "1h")
			p, _, w := fake(t, s, Options{Handlers: handlers}, nil)
			w.native = native
			q := &countingQueue{Spool: s}
			p.q = q
			run(t, p)
			time.Sleep(10*time.Minute + time.Second)
			synctest.Wait()
			// At the start, and every 30 seconds.
			if n := q.scans(spool.Pending); n != 21 {
				t.Errorf("events %v: %d scans", native, n)
			}
		})
	}
}

// A countingQueue counts listings.
type countingQueue struct {
	*spool.Spool
	mu sync.Mutex
	n  map[spool.State]int
}

func (q *countingQueue) Scan(st spool.State, fn func(string, spool.Name, bool) bool) error {
	q.mu.Lock()
	if q.n == nil {
		q.n = make(map[spool.State]int)
	}
	q.n[st]++
	q.mu.Unlock()
	return q.Spool.Scan(st, fn)
}

func (q *countingQueue) scans(st spool.State) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.n[st]
}

// Without events the spool is listed at scan_interval, and a failed job is
// tried again at its time whether or not anybody says so.
func TestRetryDelayAndScanInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t, "retry_base", "2", "scan_interval", "5s")
		p, m, w := fake(t, s, Options{Handlers: map[string]Handler{"k": func(context.Context, *Job) error {
			return errors.New("no luck")
		}}}, nil)
		w.native = false
		run(t, p)
		time.Sleep(time.Second)
		enqueue(t, s, `{"id":"a","kind":"k","max_retries":3}`)
		began := time.Now()
		time.Sleep(time.Minute)
		synctest.Wait()
		if j := job(t, s, "a"); j.State != spool.Dead || j.Attempts != 4 {
			t.Fatalf("%s after %d", j.State, j.Attempts)
		}
		if d := m.claims[0].Sub(began); d > 5*time.Second {
			t.Errorf("found after %s", d)
		}
		var at []time.Duration
		for _, g := range m.gaps() {
			if g > 100*time.Millisecond { // the others asked the file whether its name is right
				at = append(at, g.Round(time.Second))
			}
		}
		if fmt.Sprint(at) != "[2s 4s 8s]" {
			t.Errorf("tried again after %v", m.gaps())
		}
	})
}

// A pool passes over what it cannot run for 30 s, doubling to 5 minutes.
func TestPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		enqueue(t, s, `{"id":"a","kind":"other"}`)
		p, m, _ := fake(t, s, Options{Handlers: handlers}, nil)
		run(t, p)
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		if got := fmt.Sprint(m.gaps()); got != "[30s 1m0s 2m0s 4m0s 5m0s 5m0s]" {
			t.Errorf("tried after %s", got)
		}
		mustHold(t, strings.Join(m.problems, " "), "no handler for kind")
	})
}

// More jobs than the order holds all run, in their order.
func TestMoreThanTheOrderHolds(t *testing.T) {
	s := newSpool(t)
	for i := range 50 {
		enqueue(t, s, `{"id":"j%02d","kind":"k"}`, i)
	}
	var got []string
	p, _, _ := fake(t, s, Options{Drain: true, Handlers: map[string]Handler{"k": func(_ context.Context, j *Job) error {
		got = append(got, j.ID)
		return nil
	}}}, nil)
	d := newDispatcher(p)
	d.order.limit = 4
	if err := d.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	for i, id := range got {
		if id != fmt.Sprintf("j%02d", i) {
			t.Fatalf("place %d has %s", i, id)
		}
	}
	if len(got) != 50 {
		t.Errorf("%d ran", len(got))
	}
}

func TestPause(t *testing.T) {
	s := newSpool(t)
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	enqueue(t, s, `{"id":"a","command":"true"}`)
	p := start(t, s, Options{Commands: true, Drain: true})
	until(t, "the pool is seen", func() bool { l, err := s.Pools(); return err == nil && len(l) == 1 })
	drop(t, s, "b.json", `{"id":"b","command":"true"}`)
	until(t, "b is adopted meanwhile", func() bool { j, err := s.Job("b"); return err == nil && j.State == spool.Pending })
	if j := job(t, s, "a"); j.State != spool.Pending || len(j.History) != 1 {
		t.Errorf("a is %s: %v", j.State, j.History)
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := p.wait(); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "b"} {
		if j := job(t, s, id); j.State != spool.Completed {
			t.Errorf("%s is %s", id, j.State)
		}
	}
}

// What is enqueued after a pause does not start, also by a pool that has looked
// just before.
func TestPauseOfABusyPool(t *testing.T) {
	s := newSpool(t)
	done := make(chan struct{})
	start(t, s, Options{Handlers: map[string]Handler{"done": func(context.Context, *Job) error {
		done <- struct{}{}
		return nil
	}}, Slots: 2})
	inState := func(id string, st spool.State) {
		t.Helper()
		until(t, id+" is "+string(st), func() bool { j, err := s.Job(id); return err == nil && j.State == st })
	}
	for i := range 20 {
		before, after, dropped := fmt.Sprint("before", i), fmt.Sprint("after", i), fmt.Sprint("dropped", i)
		enqueue(t, s, `{"id":%q,"kind":"done"}`, before)
		<-done
		if err := s.Pause(); err != nil {
			t.Fatal(err)
		}
		enqueue(t, s, `{"id":%q,"kind":"done"}`, after)
		drop(t, s, dropped+".json", `{"kind":"done"}`)
		inState(dropped, spool.Pending) // by now the pool has heard of both
		if j := job(t, s, after); j.State != spool.Pending || len(j.History) != 1 {
			t.Fatalf("%s is %s: %v", after, j.State, j.History)
		}
		if err := s.Resume(); err != nil {
			t.Fatal(err)
		}
		for range 2 { // both
			<-done
		}
	}
}

// drop puts a file into pending/ as mv does.
func drop(t *testing.T, s *spool.Spool, name, content string) {
	t.Helper()
	tmp := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(tmp, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, s.Dir()+"/pending/"+name); err != nil {
		t.Fatal(err)
	}
}

// A drop runs soon after it is whole and closed, and not before.
func TestSlowDrop(t *testing.T) {
	s := newSpool(t)
	start(t, s, Options{Commands: true})
	f, err := os.Create(s.Dir() + "/pending/slow.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	enqueue(t, s, `{"id":"other","command":"true"}`)
	untilState(t, s, "other", spool.Completed)
	if _, err := f.WriteString(`{"id":"slow","command":"true"}`); err != nil {
		t.Fatal(err)
	}
	enqueue(t, s, `{"id":"another","command":"true"}`)
	untilState(t, s, "another", spool.Completed)
	if _, err := s.Job("slow"); !errors.Is(err, spool.ErrNotFound) {
		t.Errorf("adopted while its writer has it: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	untilState(t, s, "slow", spool.Completed)
}

func TestRefusedDrop(t *testing.T) {
	s := newSpool(t)
	rec := &recorder{}
	drop(t, s, "bad.json", `{"command":1}`)
	drop(t, s, "good.json", `{"command":"true"}`)
	drained(t, s, Options{Commands: true, Logger: rec.logger()})
	mustHold(t, rec.String(), "refused")
	mustHold(t, rec.String(), "adopted")
	c, err := s.Counts()
	if err != nil || c[spool.Dead] != 1 || c[spool.Completed] != 1 || c[spool.Pending] != 0 {
		t.Errorf("%v %v", c, err)
	}
}

// A spool that cannot be watched is listed at scan_interval until it can be.
// Both are told once however often they change, and status shows what is so.
func TestUnwatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t, "scan_interval", "2s")
		rec := &recorder{}
		p, m, w := fake(t, s, Options{Handlers: handlers, Logger: rec.logger()}, nil)
		q := &countingQueue{Spool: s}
		p.q = q
		w.set(errors.New("the limit is reached"))
		run(t, p)
		for range 3 {
			before := q.scans(spool.Pending)
			time.Sleep(time.Minute)
			synctest.Wait()
			if n := q.scans(spool.Pending) - before; n < 25 {
				t.Errorf("%d scans in a minute without events", n)
			}
			w.set(nil)
			time.Sleep(time.Minute)
			synctest.Wait()
			before = q.scans(spool.Pending)
			time.Sleep(time.Minute)
			synctest.Wait()
			if n := q.scans(spool.Pending) - before; n != 2 {
				t.Errorf("%d scans in a minute with events", n)
			}
			w.set(errors.New("the limit is reached"))
			w.hints <- spool.Hint{} // as it is sent when a new directory cannot be watched
		}
		text := rec.String()
		for _, part := range []string{"cannot watch the spool, and lists it every 2s", "the spool is watched again"} {
			if n := strings.Count(text, part); n != 1 {
				t.Errorf("%q was told %d times", part, n)
			}
		}
		synctest.Wait()
		m.mu.Lock()
		defer m.mu.Unlock()
		want := "the spool is not watched but listed every 2s: the limit is reached"
		for i, list := range m.problems {
			if strings.Contains(list, want) != (i%2 == 0) {
				t.Errorf("the problems were %q", m.problems)
			}
		}
		if len(m.problems) != 7 {
			t.Errorf("problems were written %d times", len(m.problems))
		}
	})
}

// What goes wrong again and again is told once, also where each try makes
// another name in tmp/.
func TestWarnsOnce(t *testing.T) {
	s := newSpool(t)
	rec := &recorder{}
	p, _, _ := fake(t, s, Options{Handlers: handlers, Logger: rec.logger()}, nil)
	d := newDispatcher(p)
	full := func(name string) error {
		return &os.PathError{Op: "mkdir", Path: s.Dir() + "/tmp/" + name, Err: syscall.ENOSPC}
	}
	for range 3 {
		for _, name := range []string{"agyzxeragpj5", "5unkqu3ooban.go"} {
			d.warn("cannot recover", full(name))
		}
	}
	if n := strings.Count(rec.String(), "cannot recover"); n != 1 {
		t.Errorf("told %d times", n)
	}
	d.warn("cannot recover", syscall.EROFS)
	d.warn("cannot recover", nil)
	d.warn("cannot recover", full("llkxkqbn5y6i"))
	if n := strings.Count(rec.String(), "cannot recover"); n != 3 {
		t.Errorf("what is new was told %d times, want 2", n-1)
	}
}

// A pool that finds others to be faster hears from then on of jobs that go, and
// does not try those; and no more once it has long been alone.
func TestRivals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		for _, id := range []string{"a", "b", "c"} {
			enqueue(t, s, `{"id":%q,"kind":"k"}`, id)
		}
		busy, ran := make(chan struct{}), []string{}
		p, m, w := fake(t, s, Options{Handlers: map[string]Handler{"k": func(_ context.Context, j *Job) error {
			ran = append(ran, j.ID)
			<-busy
			return nil
		}}}, func(n int, path string) error {
			if n == 1 {
				return spool.ErrGone
			}
			return nil
		})
		m.neighbour = make(chan string)
		run(t, p)
		synctest.Wait()
		if !w.gone.Load() {
			t.Error("it does not ask to hear what goes")
		}
		if len(ran) != 1 || len(m.gaps()) != 1 {
			t.Fatalf("%q ran after %d claims", ran, len(m.gaps())+1)
		}
		for _, id := range []string{"b", "c"} { // of the one that runs it is no news
			w.hints <- spool.Hint{Path: "pending/" + filepath.Base(job(t, s, id).File), Gone: true}
		}
		close(busy)
		synctest.Wait()
		if len(ran) != 1 || job(t, s, ran[0]).State != spool.Completed {
			t.Errorf("%q ran", ran)
		}
		time.Sleep(slowScan + time.Second) // the listing is the truth
		synctest.Wait()
		if len(ran) != 3 {
			t.Errorf("after a listing %q ran", ran)
		}
		for i := range rivalFor {
			enqueue(t, s, `{"id":"more-%d","kind":"k"}`, i)
		}
		time.Sleep(slowScan + time.Second)
		synctest.Wait()
		if w.gone.Load() {
			t.Error("it still asks")
		}
	})
}

// A pool that is alone keeps the order although a job has gone.
func TestNoRivals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		var want, ran []string
		for i := range 100 {
			id := fmt.Sprintf("j%02d", i)
			enqueue(t, s, `{"id":%q,"kind":"k"}`, id)
			want = append(want, id)
		}
		p, _, w := fake(t, s, Options{Handlers: map[string]Handler{"k": func(_ context.Context, j *Job) error {
			ran = append(ran, j.ID)
			return nil
		}}}, func(n int, _ string) error {
			if n == 1 {
				return spool.ErrGone
			}
			return nil
		})
		run(t, p)
		synctest.Wait()
		if w.gone.Load() || !slices.Equal(ran, want[1:]) {
			t.Errorf("it asks what goes: %v; ran %q", w.gone.Load(), ran)
		}
	})
}

type adopter struct {
	*fakeMember
	after func(path string)
}

func (a *adopter) Adopt(ctx context.Context, path string) (string, error) {
	to, err := a.fakeMember.Adopt(ctx, path)
	a.after(path)
	return to, err
}

// A second drop under the name of one that is just being adopted is heard of
// once, before the first is forgotten.
func TestSameNameWhileAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		drop := func() {
			if err := os.WriteFile(s.Dir()+"/pending/g.json", []byte(`{"kind":"k"}`), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p, m, w := fake(t, s, Options{Handlers: handlers}, nil)
		var n atomic.Int32
		p.m = &adopter{m, func(path string) {
			if n.Add(1) == 1 {
				drop()
				w.hints <- spool.Hint{Path: path}
			}
		}}
		drop()
		r := run(t, p)
		time.Sleep(slowScan / 2)
		if n := n.Load(); n != 2 {
			t.Errorf("%d drops were adopted, want 2", n)
		}
		r.ends()
	})
}
