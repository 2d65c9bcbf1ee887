package runner

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"queuectl/spool"
)

// roomless is a file system that has no room until it is made.
type roomless struct {
	queue
	tries atomic.Int32
	room  atomic.Bool
}

func (r *roomless) TryRoom() error {
	r.tries.Add(1)
	if r.room.Load() {
		return nil
	}
	return &os.PathError{Op: "mkdir", Path: "x", Err: syscall.ENOSPC}
}

// While the file system refuses, it is asked once a second, and no job is
// claimed in vain.
func TestBlockedClaimsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		enqueue(t, s, `{"id":"a","kind":"k"}`)
		enqueue(t, s, `{"id":"b","kind":"k"}`)
		p, m, _ := fake(t, s, Options{Handlers: handlers}, func(n int, _ string) error {
			if n == 1 {
				return &os.PathError{Op: "mkdir", Path: "x", Err: syscall.ENOSPC}
			}
			return nil
		})
		q := &roomless{queue: p.q}
		p.q = q
		r := run(t, p)
		time.Sleep(60*time.Second + 500*time.Millisecond)
		m.mu.Lock()
		if n, asked := len(m.claims), q.tries.Load(); n != 1 || asked != 60 {
			t.Errorf("in a minute %d claims, and asked %d times; want 1 and 60", n, asked)
		}
		m.mu.Unlock()
		q.room.Store(true)
		time.Sleep(2 * time.Second)
		for _, id := range []string{"a", "b"} {
			if j := job(t, s, id); j.State != spool.Completed {
				t.Errorf("%s is %s", id, j.State)
			}
		}
		r.ends()
	})
}

// A job that can be claimed and not be started is put off for longer each time.
func TestUnstartableIsPutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		enqueue(t, s, `{"id":"a","command":"true"}`)
		if err := os.MkdirAll(fmt.Sprintf("%s/logs/%02x/a.log", s.Dir(), crc32.ChecksumIEEE([]byte("a"))&0xff), 0o700); err != nil {
			t.Fatal(err)
		}
		p, m, _ := fake(t, s, Options{Commands: true}, nil)
		r := run(t, p)
		time.Sleep(30 * time.Second)
		want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}
		if got := m.gaps(); !slices.Equal(got, want) {
			t.Errorf("it was claimed after %v; want %v", got, want)
		}
		m.hasProblem(t, "a.log")
		r.ends()
	})
}

// A problem is also over where its job runs under another name: somebody has
// cancelled it meanwhile, say, and retried it.
func TestProblemOfAJobThatMovedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		enqueue(t, s, `{"id":"a","kind":"k"}`)
		var well atomic.Bool
		p, m, w := fake(t, s, Options{Handlers: handlers}, func(int, string) error {
			if well.Load() {
				return nil
			}
			return syscall.EACCES
		})
		r := run(t, p)
		time.Sleep(20 * time.Minute) // it is put off for minutes by now
		if _, err := s.Cancel(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		if err := s.Retry(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		well.Store(true)
		w.hints <- spool.Hint{Path: "pending/" + filepath.Base(job(t, s, "a").File)}
		time.Sleep(10 * time.Second)
		if j := job(t, s, "a"); j.State != spool.Completed {
			t.Errorf("it is %s", j.State)
		}
		m.hasNoProblem(t)
		r.ends()
	})
}

// Where it still has one, that is told once, and the job is not tried sooner for it.
func TestProblemMovesWithItsJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		enqueue(t, s, `{"id":"a","kind":"k"}`)
		old := "pending/" + filepath.Base(job(t, s, "a").File)
		var moved atomic.Bool
		p, m, w := fake(t, s, Options{Handlers: handlers}, func(_ int, path string) error {
			if path == old && moved.Load() {
				return spool.ErrGone
			}
			return syscall.EACCES
		})
		r := run(t, p)
		time.Sleep(20 * time.Minute)
		if _, err := s.Cancel(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		if err := s.Retry(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		moved.Store(true)
		m.mu.Lock()
		before := len(m.problems)
		m.mu.Unlock()
		w.hints <- spool.Hint{Path: "pending/" + filepath.Base(job(t, s, "a").File)}
		time.Sleep(10 * time.Minute)
		m.mu.Lock()
		for _, told := range m.problems[before:] {
			if strings.Count(told, "permission denied") != 1 {
				t.Errorf("told was %q", told)
			}
		}
		m.mu.Unlock()
		r.ends()
	})
}

// What keeps an item waiting may change: the reason is that of now.
func TestProblemBecomesAnother(t *testing.T) {
	for name, c := range map[string]struct {
		first, then error
		told        string
	}{
		"held, then not whole": {spool.ErrHeld, spool.ErrUnfinished, "not whole"},
		"not whole, then held": {spool.ErrUnfinished, spool.ErrHeld, "its lock is held"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSpool(t)
			enqueue(t, s, `{"id":"a","kind":"k"}`)
			var later, well atomic.Bool
			p, m, _ := fake(t, s, Options{Handlers: handlers, Drain: true}, func(int, string) error {
				switch {
				case well.Load():
					return nil
				case later.Load():
					return c.then
				}
				return c.first
			})
			r := run(t, p)
			time.Sleep(2 * time.Second)
			later.Store(true)
			time.Sleep(3 * time.Second)
			m.hasProblem(t, c.told)
			if c.then == spool.ErrHeld { // which a drain waits for
				time.Sleep(time.Minute)
			}
			well.Store(true)
			if err := r.wait(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// A bad drop under the name of a job does not hold up the job.
func TestProblemOfADropIsNotTheJobs(t *testing.T) {
	for _, mode := range []os.FileMode{0o666, 0o000} {
		synctest.Test(t, func(t *testing.T) {
			s := newSpool(t)
			const drop = "pending/20200101T000000.000000Z-5-a.json"
			if err := os.WriteFile(s.Dir()+"/"+drop, []byte(`{"id":"a","kind":"k"}`), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(s.Dir()+"/"+drop, mode); err != nil {
				t.Fatal(err)
			}
			p, m, w := fake(t, s, Options{Handlers: handlers}, func(_ int, path string) error {
				if mode == 0 && path == drop {
					return syscall.EACCES // as for who is not root
				}
				return nil
			})
			r := run(t, p)
			time.Sleep(40 * time.Minute)
			m.hasProblem(t, "a")
			enqueue(t, s, `{"id":"a","kind":"k"}`)
			for at, err := range s.List([]spool.State{spool.Pending}, 0) {
				if err == nil && filepath.Base(at.File) != filepath.Base(drop) {
					w.hints <- spool.Hint{Path: "pending/" + filepath.Base(at.File)}
				}
			}
			time.Sleep(time.Second)
			if j := job(t, s, "a"); j.State != spool.Completed {
				t.Errorf("mode %04o: it is %s", mode, j.State)
			}
			if err := os.Remove(s.Dir() + "/" + drop); err != nil {
				t.Fatal(err)
			}
			r.ends()
		})
	}
}

// A problem is over when the job has begun.
func TestProblemEndsWhenItBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		enqueue(t, s, `{"id":"a","kind":"k"}`)
		block := make(chan struct{})
		slow := func(context.Context, *Job) error { <-block; return nil }
		p, m, _ := fake(t, s, Options{Handlers: map[string]Handler{"k": slow}}, func(n int, _ string) error {
			if n <= 6 {
				return syscall.EIO
			}
			return nil
		})
		r := run(t, p)
		time.Sleep(2 * time.Minute)
		if j := job(t, s, "a"); j.State != spool.Processing {
			t.Errorf("it is %s", j.State)
		}
		m.hasNoProblem(t)
		close(block)
		r.ends()
	})
}

// A file system that says it is full, and has a reserve, is asked once a second; one
// that refuses stops all claims before one is made in vain.
func TestFullIsAsked(t *testing.T) {
	for _, room := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := newSpool(t)
			const n = 100
			for i := range n {
				enqueue(t, s, `{"id":"j%d","kind":"k"}`, i)
			}
			work := func(context.Context, *Job) error { time.Sleep(100 * time.Millisecond); return nil }
			p, m, _ := fake(t, s, Options{Handlers: map[string]Handler{"k": work}}, nil)
			q := &fullQueue{roomless{queue: p.q}}
			q.room.Store(room)
			p.q = q
			r := run(t, p)
			time.Sleep(11 * time.Second)
			m.mu.Lock()
			claims, asked := len(m.claims), q.tries.Load()
			m.mu.Unlock()
			if room && (claims != n || asked < 10 || asked > 12) || !room && (claims != 0 || asked < 10 || asked > 12) {
				t.Errorf("with room %v: %d claims, and asked %d times", room, claims, asked)
			}
			r.ends()
		})
	}
}

// fullQueue always says that it is full.
type fullQueue struct{ roomless }

func (*fullQueue) Full() bool { return true }

// A try that fails for a reason of its own job tells nothing of a file system that
// has refused everything: the next one has its turn, and what can run does.
func TestTryOfItsOwnAccount(t *testing.T) {
	for what, c := range map[string]struct {
		jobs int
		fail error
	}{
		"its lock is held":  {3, spool.ErrHeld},
		"it cannot be read": {400, syscall.EACCES},
		"of a foreign kind": {400, &unableError{"no handler"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSpool(t)
			for i := range c.jobs {
				enqueue(t, s, `{"id":"bad-%d","kind":"k"}`, i)
			}
			p, _, _ := fake(t, s, Options{Handlers: handlers}, func(_ int, path string) error {
				if strings.Contains(path, "-bad-") {
					return c.fail
				}
				return nil
			})
			q := &fullQueue{roomless{queue: p.q}}
			q.room.Store(true)
			p.q = q
			r := run(t, p)
			time.Sleep(20 * time.Minute) // their pauses have grown
			q.room.Store(false)
			enqueue(t, s, `{"id":"good","kind":"k"}`)
			time.Sleep(6 * time.Minute)
			q.room.Store(true)
			time.Sleep(time.Minute)
			if j := job(t, s, "good"); j.State != spool.Completed {
				t.Errorf("%s: a minute after there is room the other job is %s", what, j.State)
			}
			r.ends()
		})
	}
}

// Nor does a job whose command is not found, which is settled without having begun.
func TestTryThatBeginsNothing(t *testing.T) {
	s := newSpool(t)
	for i := range 4 {
		enqueue(t, s, `{"id":"no-%d","argv":["no-such-command"],"max_retries":0}`, i)
	}
	enqueue(t, s, `{"id":"good","command":"true"}`)
	p, _, _ := fake(t, s, Options{Commands: true}, func(n int, _ string) error {
		if n == 1 {
			return &os.PathError{Op: "open", Path: "x", Err: syscall.ENOSPC}
		}
		return nil
	})
	q := &roomless{queue: p.q}
	q.room.Store(true)
	p.q = q
	r := run(t, p)
	untilState(t, s, "good", spool.Completed)
	r.ends()
	if n := q.tries.Load(); n != 1 {
		t.Errorf("the file system was asked %d times", n)
	}
}

// Nor does an attempt that was claimed before the file system refused.
func TestOldAttemptTellsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		for i := range 10 {
			enqueue(t, s, `{"id":"j%d","kind":"k"}`, i)
		}
		p, m, _ := fake(t, s, Options{Slots: 2, Handlers: handlers}, func(n int, _ string) error {
			switch n {
			case 1:
				return &os.PathError{Op: "open", Path: "x", Err: syscall.ENOSPC}
			case 2:
				time.Sleep(10 * time.Millisecond)
				return spool.ErrHeld
			}
			return nil
		})
		q := &roomless{queue: p.q}
		p.q = q
		r := run(t, p)
		time.Sleep(20*time.Second + 500*time.Millisecond)
		m.mu.Lock()
		claims := len(m.claims)
		m.mu.Unlock()
		if n := q.tries.Load(); claims != 2 || n != 20 {
			t.Errorf("%d claims, and the file system was asked %d times; want 2 and 20", claims, n)
		}
		r.ends()
	})
}

// muteMember cannot write down its problems until there is room.
type muteMember struct {
	*fakeMember
	room atomic.Bool
}

func (m *muteMember) SetProblems(list []spool.Problem) error {
	if !m.room.Load() {
		return &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	}
	return m.fakeMember.SetProblems(list)
}

// What could not be written down on a full disk is, as soon as there is room.
func TestProblemsAreToldOnceThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		enqueue(t, s, `{"id":"a","kind":"other"}`)
		p, m, _ := fake(t, s, Options{Handlers: handlers}, nil)
		mute := &muteMember{fakeMember: m}
		p.m = mute
		r := run(t, p)
		time.Sleep(10 * time.Second)
		mute.room.Store(true)
		time.Sleep(time.Second)
		m.hasProblem(t, "no handler")
		r.ends()
	})
}

// Two files of one id have each their own problem: a person, or another user by a
// drop box, may put them there. A drain ends without them.
func TestProblemsOfOneID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		enqueue(t, s, `{"id":"a","kind":"k"}`)
		file := job(t, s, "a").File
		other := filepath.Dir(file) + "/20200101T000000.000000Z-5-a.json"
		if err := os.Link(file, other); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(other)
		p, m, _ := fake(t, s, Options{Drain: true, Handlers: handlers}, func(int, string) error { return syscall.EACCES })
		time.AfterFunc(time.Hour, p.Stop)
		if err := p.Run(t.Context()); err == nil || len(m.claims) != 2*(1+lastTries) {
			t.Errorf("it ends with %v after %d claims", err, len(m.claims))
		}
	})
}

// Where one of them has gone, status tells of the other one.
func TestProblemThatRemains(t *testing.T) {
	for _, goes := range []string{"-5-a", "-6-a"} {
		synctest.Test(t, func(t *testing.T) {
			s := newSpool(t)
			enqueue(t, s, `{"id":"a","kind":"k"}`)
			file := job(t, s, "a").File
			if err := os.Link(file, strings.Replace(file, "-5-a", "-6-a", 1)); err != nil {
				t.Fatal(err)
			}
			var gone atomic.Bool
			p, m, _ := fake(t, s, Options{Handlers: handlers}, func(_ int, path string) error {
				if strings.Contains(path, goes) && gone.Load() {
					return spool.ErrGone
				}
				return syscall.EACCES
			})
			r := run(t, p)
			time.Sleep(10 * time.Second)
			if err := os.Remove(strings.Replace(file, "-5-a", goes, 1)); err != nil {
				t.Fatal(err)
			}
			gone.Store(true)
			time.Sleep(20 * time.Minute)
			m.hasProblem(t, "permission denied")
			r.ends()
		})
	}
}

// Of very many, the first ones are written down, and how many there are more, not
// after each.
func TestVeryManyProblems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		const n = 12*maxProblems + 3
		for i := range n {
			enqueue(t, s, `{"id":"j%04d","kind":"other"}`, i)
		}
		p, m, _ := fake(t, s, Options{Handlers: handlers}, nil)
		r := run(t, p)
		time.Sleep(time.Second)
		m.mu.Lock()
		told := m.problems
		m.mu.Unlock()
		last := told[len(told)-1]
		if a, b, more := strings.Index(last, "{j0000 "), strings.Index(last, "{j0099 "), strings.Contains(last, "and 1103 more jobs"); a < 0 || b < a || !more || strings.Contains(last, "j0100") {
			t.Errorf("it told of %.300s … %s", last, last[max(0, len(last)-100):])
		}
		if len(told) > 5 {
			t.Errorf("it told %d times", len(told))
		}
		r.ends()
	})
}

// What kept the pool from its work is told no longer when it has gone, though no
// job is left to show it.
func TestBlockedIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		enqueue(t, s, `{"id":"a","kind":"k"}`)
		p, m, _ := fake(t, s, Options{Handlers: handlers}, func(n int, _ string) error {
			if n == 1 {
				return &os.PathError{Op: "open", Path: "x", Err: syscall.EMFILE}
			}
			if err := s.Delete(t.Context(), "a"); err != nil && !errors.Is(err, spool.ErrNotFound) {
				t.Error(err)
			}
			return spool.ErrGone
		})
		r := run(t, p)
		time.Sleep(5 * time.Second)
		m.hasNoProblem(t)
		r.ends()
	})
}

// A pool goes on without what somebody has removed, and makes again what it needs.
func TestMissingDirectoriesAreMade(t *testing.T) {
	s := newSpool(t)
	r := start(t, s, Options{Handlers: handlers})
	for i, dir := range []string{"processing", "failed", "pending", "completed", "dead"} {
		if err := os.Remove(s.Dir() + "/" + dir); err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprint("j", i)
		enqueue(t, s, `{"id":%q,"kind":"k"}`, id)
		untilState(t, s, id, spool.Completed)
		if err := s.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	r.ends()
	for _, dir := range []string{"processing", "failed"} {
		if err := os.RemoveAll(s.Dir() + "/" + dir); err != nil {
			t.Fatal(err)
		}
	}
	drained(t, s, Options{Handlers: handlers}) // with nothing to do
	if pools, err := s.Pools(); err != nil || len(pools) > 0 {
		t.Errorf("left are %v, %v", pools, err)
	}
	enqueue(t, s, `{"id":"new","kind":"k"}`)
	drained(t, s, Options{Handlers: handlers})
	untilState(t, s, "new", spool.Completed)
	for _, dir := range []string{"failed", "dead"} { // nothing needed them
		if err := os.Mkdir(s.Dir()+"/"+dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

// A drop has its turn, too, however many jobs this pool cannot run.
func TestBlockedTriesDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		for i := range 20 {
			enqueue(t, s, `{"id":"j%d","kind":"other"}`, i)
		}
		p, _, w := fake(t, s, Options{Handlers: handlers}, func(n int, _ string) error {
			if n == 1 {
				return &os.PathError{Op: "mkdir", Path: "x", Err: syscall.ENOSPC}
			}
			return nil
		})
		r := run(t, p)
		time.Sleep(500 * time.Millisecond)
		if err := os.WriteFile(s.Dir()+"/pending/d.json", []byte(`{"id":"d","kind":"k"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		w.hints <- spool.Hint{Path: "pending/d.json"}
		time.Sleep(5 * time.Second)
		if j := job(t, s, "d"); j.State != spool.Completed {
			t.Errorf("d is %s", j.State)
		}
		r.ends()
	})
}
