package simfs

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// order runs two processes of two steps each and returns who made which.
func order(t *testing.T, choose func(Turn) int) string {
	t.Helper()
	d := New()
	var steps []string
	d.Hook = func(s Step) { steps = append(steps, s.Process.Name()) }
	s := d.Scheduler(choose)
	for _, name := range []string{"a", "b"} {
		s.Go(name, func(p *Process) {
			_ = p.Mkdir(name)
			_ = p.Rmdir(name)
		})
	}
	must(t, s.Wait())
	return strings.Join(steps, "")
}

func TestChoosers(t *testing.T) {
	if got := order(t, Stay); got != "aabb" {
		t.Errorf("Stay: %s", got)
	}
	alternate := func(t Turn) int { return (t.Current + 1) % len(t.Runnable) }
	if got := order(t, alternate); got != "abab" {
		t.Errorf("alternate: %s", got)
	}
	if a, b := order(t, Random(3)), order(t, Random(3)); a != b {
		t.Errorf("one seed, two runs: %s, %s", a, b)
	}
}

func TestExplore(t *testing.T) {
	for switches, want := range []string{
		"aabb bbaa",
		"aabb abba baab bbaa",
		"aabb abab abba baab baba bbaa",
		"aabb abab abba baab baba bbaa",
	} {
		var got []string
		for choose := range Explore(switches) {
			got = append(got, order(t, choose))
		}
		slices.Sort(got)
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%d switches: %s, want %s", switches, s, want)
		}
	}
}

// TestExploreFindsARace has two processes take one name by looking first.
func TestExploreFindsARace(t *testing.T) {
	both := func(switches int) bool {
		for choose := range Explore(switches) {
			d, winners := New(), 0
			s := d.Scheduler(choose)
			for _, name := range []string{"a", "b"} {
				s.Go(name, func(p *Process) {
					if _, err := p.Lstat("lock"); err == nil {
						return
					}
					if _, err := p.Open("lock", os.O_RDWR|os.O_CREATE); err == nil {
						winners++
					}
				})
			}
			must(t, s.Wait())
			if winners == 2 {
				return true
			}
		}
		return false
	}
	if both(0) {
		t.Error("both won without a switch")
	}
	if !both(1) {
		t.Error("the race was not found")
	}
}

func TestRLockGivesTheTurn(t *testing.T) {
	d := New()
	must(t, d.Write("a", nil))
	s := d.Scheduler(Stay)
	var events []string
	holder := d.Process("holder")
	l, err := holder.Lock("a")
	must(t, err)
	if ok, err := l.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	s.Go("waiter", func(p *Process) {
		m, err := p.Lock("a")
		must(t, err)
		must(t, m.RLock())
		events = append(events, "got it")
	})
	s.Start(holder, func(p *Process) {
		_ = p.Mkdir("d")
		events = append(events, "freed")
		_ = l.Close()
	})
	must(t, s.Wait())
	if got := strings.Join(events, ", "); got != "freed, got it" {
		t.Error(got)
	}
	if holder.Dead() {
		t.Error("a process that was only started has ended")
	}
}

func TestDeadlock(t *testing.T) {
	d := New()
	must(t, d.Write("a", nil))
	must(t, d.Write("b", nil))
	s := d.Scheduler(func(t Turn) int { return (t.Current + 1) % len(t.Runnable) })
	for _, names := range [][2]string{{"a", "b"}, {"b", "a"}} {
		s.Go("with "+names[0], func(p *Process) {
			l, _ := p.Lock(names[0])
			m, _ := p.Lock(names[1])
			_, _ = l.TryLock()
			_ = m.RLock()
			t.Error("got both")
		})
	}
	err := s.Wait()
	if !errors.Is(err, ErrDeadlock) || !strings.Contains(err.Error(), "with a for the lock of b") {
		t.Error(err)
	}
}

func TestRunInCircles(t *testing.T) {
	d := New()
	s := d.Scheduler(Stay)
	s.MaxTurns = 50
	s.Go("a", func(p *Process) {
		for {
			_ = p.Mkdir("d")
		}
	})
	if err := s.Wait(); !errors.Is(err, ErrTooLong) {
		t.Error(err)
	}
}

// TestKillUnderScheduler kills a process that waits for its turn, with locks.
func TestKillUnderScheduler(t *testing.T) {
	d := New()
	must(t, d.Write("a", nil))
	s := d.Scheduler(Stay)
	unwound, locked := false, false
	victim := s.Go("victim", func(p *Process) {
		defer func() { unwound = true }()
		defer p.Mkdir("deferred")
		f, err := p.Open("a", os.O_RDONLY)
		must(t, err)
		must(t, f.TryLock())
		p.Sleep(time.Minute)
		_ = p.Mkdir("late")
	})
	s.Go("killer", func(p *Process) {
		victim.Kill()
		f, err := p.Open("a", os.O_RDONLY)
		must(t, err)
		locked = f.TryLock() == nil && unwound
	})
	must(t, s.Wait())
	if !locked || !unwound || len(d.Names(".")) != 1 {
		t.Errorf("locked %v, unwound %v\n%s", locked, unwound, d.Dump())
	}
}

// TestSleep lets the others go on, and the clock is where it belongs.
func TestSleep(t *testing.T) {
	d := New()
	s := d.Scheduler(Stay)
	var events []string
	for i, name := range []string{"late", "early"} {
		s.Go(name, func(p *Process) {
			p.Sleep(time.Hour * time.Duration(2-i))
			events = append(events, name)
		})
	}
	s.Go("busy", func(p *Process) {
		_ = p.Mkdir("d")
		events = append(events, "busy")
	})
	must(t, s.Wait())
	if got := strings.Join(events, " "); got != "busy early late" {
		t.Error(got)
	}
	if by := d.Now().Sub(epoch); by < 2*time.Hour || by > 2*time.Hour+time.Second {
		t.Error(by)
	}
}

func TestPanicInAProcess(t *testing.T) {
	defer func() {
		if r, _ := recover().(string); !strings.HasPrefix(r, "a: oops") {
			t.Errorf("recovered %q", r)
		}
	}()
	s := New().Scheduler(Stay)
	s.Go("a", func(p *Process) { panic("oops") })
	s.Go("b", func(p *Process) { _ = p.Mkdir("d") })
	_ = s.Wait()
}

func TestStartMeanwhile(t *testing.T) {
	d := New()
	s := d.Scheduler(Stay)
	s.Go("parent", func(p *Process) {
		_ = p.Mkdir("d")
		s.Go("child", func(p *Process) { _ = p.Mkdir("d/child") })
	})
	must(t, s.Wait())
	if got := d.Names("d"); len(got) != 1 {
		t.Error(got)
	}
}

func BenchmarkScheduler(b *testing.B) {
	d := New()
	for b.Loop() {
		s := d.Scheduler(func(t Turn) int { return (t.Current + 1) % len(t.Runnable) })
		for range 2 {
			s.Go("p", func(p *Process) {
				for range 50 {
					_, _ = p.Lstat("a")
				}
			})
		}
		_ = s.Wait()
	}
}
