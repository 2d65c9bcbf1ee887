package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"queuectl/spool"
)

// TestMain makes the test binary a pool of its own where a test asks for it:
// one that can be killed.
func TestMain(m *testing.M) {
	dir := os.Getenv("RUNNER_TEST_POOL")
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := victim(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func victim(dir string) error {
	s, err := spool.Open(dir, spool.Options{})
	if err != nil {
		return err
	}
	p, err := New(s, Options{Commands: true, Slots: 2})
	if err != nil {
		return err
	}
	return p.Run(context.Background())
}

// startVictim starts a pool in a process of its own.
func startVictim(t *testing.T, s *spool.Spool) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "RUNNER_TEST_POOL="+s.Dir())
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// When a pool and its job's process are killed, another pool runs the job
// again within a second.
func TestRecoversWithinASecond(t *testing.T) {
	s := newSpool(t)
	dir := t.TempDir()
	enqueue(t, s, `{"id":"a","command":"echo x >> %[1]s/runs; [ $QUEUECTL_ATTEMPT = 2 ] || sleep 60"}`, dir)
	cmd := startVictim(t, s)
	pid := untilStarted(t, s, "a").PID
	untilFile(t, dir+"/runs")
	p := start(t, s, Options{Commands: true})
	until(t, "both pools are seen", func() bool { l, err := s.Pools(); return err == nil && len(l) == 2 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	killed := time.Now()
	j := untilState(t, s, "a", spool.Completed)
	if d := time.Since(killed); d > time.Second {
		t.Errorf("took %s", d)
	}
	if j.Attempts != 2 || j.History[1].Outcome != spool.WorkerDied {
		t.Errorf("%d attempts: %+v", j.Attempts, j.History)
	}
	p.Stop()
}

// While a process of the killed pool's job lives, the job is not run again;
// it is, soon after that has ended.
func TestWaitsForWhatIsLeft(t *testing.T) {
	s := newSpool(t)
	dir := t.TempDir()
	rec := &recorder{}
	enqueue(t, s, `{"id":"a","command":"echo x >> %[1]s/runs; while [ ! -e %[1]s/end ]; do sleep 0.01; done"}`, dir)
	cmd := startVictim(t, s)
	untilFile(t, dir+"/runs")
	start(t, s, Options{Commands: true, Logger: rec.logger()})
	until(t, "both pools are seen", func() bool { l, err := s.Pools(); return err == nil && len(l) == 2 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, "the pool waits", func() bool { return strings.Contains(rec.String(), "msg=waiting") })
	enqueue(t, s, `{"id":"b","command":"true"}`)
	untilState(t, s, "b", spool.Completed)
	if b, _ := os.ReadFile(dir + "/runs"); bytes.Count(b, []byte("x")) != 1 {
		t.Errorf("started %d times while its first process lives", bytes.Count(b, []byte("x")))
	}
	if err := os.WriteFile(dir+"/end", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ended := time.Now()
	untilState(t, s, "a", spool.Completed)
	if d := time.Since(ended); d > time.Second {
		t.Errorf("took %s", d)
	}
}

// Two pools that go for the same names run each job once.
func TestTwoPools(t *testing.T) {
	s := newSpool(t)
	effects := filepath.Join(t.TempDir(), "effects")
	const jobs = 200
	for i := range jobs {
		enqueue(t, s, `{"id":"j%d","command":"echo %d >> %s"}`, i, i, effects)
	}
	a := start(t, s, Options{Commands: true, Slots: 8, Drain: true})
	b := start(t, s, Options{Commands: true, Slots: 8, Drain: true})
	for _, p := range []*running{a, b} {
		if err := p.wait(); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(effects)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, l := range strings.Fields(string(text)) {
		seen[l]++
	}
	for i := range jobs {
		if n := seen[fmt.Sprint(i)]; n != 1 {
			t.Errorf("job %d ran %d times", i, n)
		}
	}
}

// A dead neighbour whose file stays does not keep the pool busy.
func TestRingDoesNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		p, m, _ := fake(t, s, Options{}, nil)
		dead := &deadNeighbour{fakeMember: m}
		p.m = dead
		run(t, p)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if dead.joins < 10 || dead.joins > 50 {
			t.Errorf("joined %d times", dead.joins)
		}
	})
}

type deadNeighbour struct {
	*fakeMember
	joins int
}

func (d *deadNeighbour) WatchNeighbour(context.Context) (<-chan string, error) {
	d.joins++
	ch := make(chan string, 1)
	ch <- "gone-1-abcdef"
	close(ch)
	return ch, nil
}

// While jobs of dead pools wait for the end of their processes they are looked
// at every 250 ms, after an error every second, and no longer.
func TestRecoversOften(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		looks int
	}{
		"jobs wait": {nil, 41},
		"an error":  {errors.New("for a moment"), 11},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSpool(t)
				p, m, _ := fake(t, s, Options{}, nil)
				w := &waitingMember{fakeMember: m, until: time.Now().Add(10 * time.Second), err: c.err}
				p.m = w
				run(t, p)
				time.Sleep(20 * time.Second)
				synctest.Wait()
				if w.looks != c.looks {
					t.Errorf("%d looks", w.looks)
				}
			})
		})
	}
}

// A waitingMember cannot recover all until then.
type waitingMember struct {
	*fakeMember
	until time.Time
	err   error // nil: a job waits for its process
	looks int
}

func (w *waitingMember) Recover(context.Context) (rep spool.RecoverReport, err error) {
	w.looks++
	switch {
	case !time.Now().Before(w.until):
	case w.err != nil:
		return rep, w.err
	default:
		rep.Waiting = []spool.Problem{{ID: "a", Reason: "its process lives", PID: 1}}
	}
	return rep, nil
}
