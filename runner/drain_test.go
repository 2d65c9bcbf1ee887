package runner

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"queuectl/spool"
)

func TestDrainNothing(t *testing.T) { drained(t, newSpool(t), Options{}) }

// What is due later is waited for, and what is held is not.
func TestDrainWaitsForWhatIsDueLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		// Not at the moment of a slow scan: one that saw the name just before the
		// claim would have it claimed once more, in vain.
		enqueue(t, s, `{"id":"later","kind":"k","delay":"3610s"}`)
		enqueue(t, s, `{"id":"held","kind":"k"}`)
		if err := os.MkdirAll(s.Dir()+"/held", 0o700); err != nil {
			t.Fatal(err)
		}
		file := job(t, s, "held").File
		if err := os.Rename(file, s.Dir()+"/held/"+filepath.Base(file)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		p, m, _ := fake(t, s, Options{Drain: true, Handlers: handlers}, nil)
		if err := p.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d < time.Hour || d > time.Hour+time.Minute {
			t.Errorf("ended after %s", d)
		}
		if len(m.claims) != 2 { // once to ask the file, once when it was due
			t.Errorf("%d claims", len(m.claims))
		}
	})
}

// A job that was removed is not waited for.
func TestDrainSeesWhatIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		enqueue(t, s, `{"id":"later","kind":"k","delay":"1h"}`)
		p, _, _ := fake(t, s, Options{Drain: true, Handlers: handlers}, nil)
		r := run(t, p)
		time.Sleep(50 * time.Second)
		if err := s.Delete(context.Background(), "later"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := r.wait(); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d > time.Minute {
			t.Errorf("ended after %s", d)
		}
	})
}

// A drop that is not whole is waited for, and then left and named.
func TestDrainOfWhatIsNotWhole(t *testing.T) {
	for _, mended := range []time.Duration{500 * time.Millisecond, 3 * time.Second, 0} {
		synctest.Test(t, func(t *testing.T) {
			s := newSpool(t)
			drop := s.Dir() + "/pending/half.json"
			write := func(text string) {
				if err := os.WriteFile(drop, []byte(text), 0o600); err != nil {
					t.Error(err)
				}
			}
			write(`{"id":"half","kind":`)
			p, m, _ := fake(t, s, Options{Drain: true, Handlers: handlers}, nil)
			began := time.Now()
			r := run(t, p)
			if mended > 0 {
				time.AfterFunc(mended, func() { write(`{"id":"half","kind":"k"}`) })
			}
			err := r.wait()
			took := time.Since(began)
			switch {
			case mended > 0 && err != nil:
				t.Errorf("mended after %v: %v", mended, err)
			case mended > 0:
				if j := job(t, s, "half"); j.State != spool.Completed {
					t.Errorf("mended after %v it is %s", mended, j.State)
				}
			case err == nil || !strings.Contains(err.Error(), `"pending/half.json": is not whole`):
				t.Errorf("it ends with %v", err)
			case took < 7*time.Second || took > time.Minute:
				t.Errorf("it ended after %v", took)
			}
			m.mu.Lock()
			if told := strings.Contains(strings.Join(m.problems, ""), "not whole"); told != (mended != 500*time.Millisecond) {
				t.Errorf("mended after %v, the problems were %q", mended, m.problems)
			}
			m.mu.Unlock()
			_ = os.Remove(drop)
		})
	}
}

// A directory is no job, whatever its name is.
func TestDrainLeavesADirectory(t *testing.T) {
	s := newSpool(t)
	for _, name := range []string{"d.json", "20200101T000000.000000Z-5-d.json"} {
		if err := os.Mkdir(s.Dir()+"/pending/"+name, 0o700); err != nil {
			t.Fatal(err)
		}
		drained(t, s, Options{Commands: true})
		if err := os.Remove(s.Dir() + "/pending/" + name); err != nil {
			t.Error(err)
		}
	}
}

// A missingQueue misses all names in its first listing of a state, as one may
// that are being moved.
type missingQueue struct {
	countingQueue
	state spool.State
}

func (q *missingQueue) Scan(st spool.State, fn func(string, spool.Name, bool) bool) error {
	if st == q.state && q.scans(st) == 0 {
		fn = func(string, spool.Name, bool) bool { return true }
	}
	return q.countingQueue.Scan(st, fn)
}

// One listing is not enough to end.
func TestDrainLooksTwice(t *testing.T) {
	s := newSpool(t)
	enqueue(t, s, `{"id":"a","kind":"k"}`)
	p, _, _ := fake(t, s, Options{}, nil)
	p.q = &missingQueue{countingQueue: countingQueue{Spool: s}, state: spool.Pending}
	if l, err := newDispatcher(p).look(nil); err != nil || !l.waiting {
		t.Errorf("it saw %+v, %v", l, err)
	}
	if err := p.m.Leave(); err != nil { // it has its lock until here, too
		t.Error(err)
	}
}

// Another pool's running job is waited for: its retry may need this one.
func TestDrainWaitsForOthers(t *testing.T) {
	s := newSpool(t)
	end := make(chan struct{})
	runs := make(chan struct{})
	enqueue(t, s, `{"id":"a","kind":"k"}`)
	start(t, s, Options{Handlers: map[string]Handler{"k": func(context.Context, *Job) error {
		close(runs)
		<-end
		return nil
	}}})
	<-runs
	drainer, err := New(s, Options{Drain: true})
	if err != nil {
		t.Fatal(err)
	}
	q := &countingQueue{Spool: s}
	drainer.q = q
	p := run(t, drainer)
	until(t, "it has looked, and looked again", func() bool { return q.scans(spool.Processing) >= 3 })
	select {
	case err := <-p.done:
		p.done <- err
		t.Error("did not wait")
	default:
	}
	close(end)
	if err := p.wait(); err != nil {
		t.Error(err)
	}
	if j := job(t, s, "a"); j.State != spool.Completed {
		t.Errorf("ended while a is %s", j.State)
	}
}

// What could not be started is tried again before the end: also where it was put
// off for long while others ran.
func TestDrainTriesAgain(t *testing.T) {
	for _, ran := range []time.Duration{0, time.Minute, time.Hour} {
		t.Run(ran.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSpool(t)
				enqueue(t, s, `{"id":"a","kind":"k"}`)
				enqueue(t, s, `{"id":"long","kind":"long"}`)
				began := time.Now()
				handlers := map[string]Handler{"k": nothing, "long": func(context.Context, *Job) error {
					time.Sleep(ran)
					return nil
				}}
				p, _, _ := fake(t, s, Options{Drain: true, Slots: 2, Handlers: handlers}, func(_ int, path string) error {
					if strings.Contains(path, "-a.json") && time.Since(began) < ran+6*time.Second {
						return syscall.EIO
					}
					return nil
				})
				if err := p.Run(context.Background()); err != nil {
					t.Error(err)
				}
				if j := job(t, s, "a"); j.State != spool.Completed {
					t.Errorf("a is %s", j.State)
				}
				if d := time.Since(began) - ran; d > 10*time.Second {
					t.Errorf("ended %s later", d)
				}
			})
		})
	}
}

// Where that does not help it ends, and says what it leaves and why; of what it
// cannot run at all it only tells.
func TestDrainSaysWhatItLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		for _, id := range []string{"b1", "b2", "b3", "b4", "b5", "b6"} {
			enqueue(t, s, `{"id":%q,"kind":"k"}`, id)
		}
		enqueue(t, s, `{"id":"o1","kind":"other"}`)
		enqueue(t, s, `{"id":"o2","kind":"other"}`)
		rec := &recorder{}
		p, m, _ := fake(t, s, Options{Drain: true, Handlers: handlers, Logger: rec.logger()}, func(_ int, path string) error {
			if strings.Contains(path, "-b") {
				return syscall.EIO
			}
			return nil
		})
		began := time.Now()
		err := p.Run(context.Background())
		const want = "drain: jobs are left that could not be started (6): job \"b1\": input/output error; job \"b2\": input/output error; " +
			"job \"b3\": input/output error; job \"b4\": input/output error; job \"b5\": input/output error; and 1 more"
		if err == nil || err.Error() != want {
			t.Errorf("it ends with %v", err)
		}
		if d := time.Since(began); d < 7*time.Second || d > 8*time.Second {
			t.Errorf("ended after %s", d)
		}
		if n := len(m.claims); n != 4*6+2 {
			t.Errorf("%d claims", n)
		}
		mustHold(t, rec.String(), `msg="leaves jobs that it cannot run"`)
		mustHold(t, rec.String(), `reason="no handler for kind \"other\" in this pool" jobs=2`)
	})
}
