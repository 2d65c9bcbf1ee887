//go:build !windows

package torture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"queuectl/spool"
)

// enqueuers is how many give orders at the same time.
const enqueuers = 2

// Progress is how far it is.
type Progress struct {
	Phase string
	Took  time.Duration // of the storm
	Of    time.Duration
	Jobs  int // acknowledged
	Kills int
	Left  int // jobs that have not come to rest
	Wrong int // promises that are known to be broken
}

// Storm lets the crew work and breaks what it can, for as long as was asked
// for; then it lets everything come to an end.
func (t *Torture) Storm(ctx context.Context) (err error) {
	if err := t.open(); err != nil {
		return err
	}
	t.began = time.Now()
	for range t.o.Workers {
		p, err := t.startPool()
		if err != nil {
			return errors.Join(err, t.end())
		}
		t.pools = append(t.pools, p)
	}
	storm, cancel := context.WithTimeout(ctx, t.o.For)
	defer cancel()
	var crew sync.WaitGroup
	for n := range enqueuers {
		crew.Go(func() { t.enqueuer(storm, n) })
	}
	done := t.report(storm, "")
	err = t.acts(storm)
	cancel()
	crew.Wait()
	done()
	if err == nil && ctx.Err() == nil {
		err = t.rest(ctx)
	}
	return errors.Join(err, t.end(), ctx.Err())
}

// open makes the spool. All records are kept, so that all can be counted; and
// retries come soon.
func (t *Torture) open() (err error) {
	if t.s, err = spool.Open(filepath.Join(t.dir, spoolDir), spool.Options{Create: true}); err != nil {
		return err
	}
	return errors.Join(
		t.s.SetConfig("keep_completed", "0"),
		t.s.SetConfig("keep_completed_count", "0"),
		t.s.SetConfig("retry_base", "0.3"),
	)
}

// acts carries out one act after the other.
func (t *Torture) acts(ctx context.Context) error {
	plan := newPlanner(t.o.Seed, "drop", 0)
	var aside sync.WaitGroup // what takes its time
	defer aside.Wait()
	for {
		a := plan.act()
		if !pause(ctx, a.After) {
			return nil
		}
		if err := t.do(a, &aside); err != nil {
			return fmt.Errorf("%s: %w", a.Kind, err)
		}
	}
}

func (t *Torture) do(a act, aside *sync.WaitGroup) error {
	switch a.Kind {
	case actKillPool, actStopPool, actStopKill:
		return t.fell(a)
	case actPause:
		t.l.count(actPause)
		if err := t.s.Pause(); err != nil {
			return err
		}
		time.Sleep(a.Wait)
		return t.s.Resume()
	case actDrop, actTorn, actHalf, actDropRefused:
		aside.Go(func() {
			if err := t.drop(a); err != nil {
				t.l.fault(a.Job.ID, "%s: %v", a.Kind, err)
			}
		})
		return nil
	}
	return t.byHand(a)
}

// fell ends a pool in one of three ways, and starts another one in its place.
func (t *Torture) fell(a act) error {
	i := int(a.Pick % uint64(len(t.pools)))
	p := t.pools[i]
	t.l.count(a.Kind)
	switch a.Kind {
	case actKillPool:
		p.kill(t.l)
	case actStopPool:
		p.stop()
	case actStopKill:
		p.signal(syscall.SIGTERM)
		time.Sleep(a.Wait / 2)
		p.kill(t.l)
	}
	p, err := t.startPool()
	if err == nil {
		t.pools[i] = p
	}
	return err
}

// stuckAfter is how long nothing at all may happen while there is work: more
// than any job or retry takes here, on a very slow machine too.
const stuckAfter = 2 * time.Minute

// rest lets all jobs come to an end. What does not is found by the accounting.
func (t *Torture) rest(ctx context.Context) error {
	defer t.report(ctx, "coming to rest")()
	// Pools look for what dead enqueuers left behind now and then; so long
	// nobody wants to wait.
	if out, err := t.queuectl("recover").CombinedOutput(); err != nil {
		return fmt.Errorf("recover: %w: %s", err, out)
	}
	last, since := "", time.Now()
	for t.left() > 0 && time.Since(since) < stuckAfter {
		t.unholdAll()
		if now := t.picture(); now != last {
			last, since = now, time.Now()
		}
		if !pause(ctx, 20*time.Millisecond) {
			return nil
		}
	}
	return nil
}

// picture tells whether anything happens.
func (t *Torture) picture() string {
	counts, err := t.s.Counts()
	info, _ := os.Stat(filepath.Join(t.dir, marksFile))
	if info == nil {
		return ""
	}
	return fmt.Sprint(counts, err, info.Size())
}

// left counts the jobs that have not come to rest. It looks twice, because one
// listing can miss a name.
func (t *Torture) left() (n int) {
	for range 2 {
		counts, _ := t.s.Counts()
		n = max(n, counts[spool.Pending]+counts[spool.Processing]+counts[spool.Failed]+counts[spool.Held])
	}
	return n
}

// report tells how far it is, until the function that it returns is called.
func (t *Torture) report(ctx context.Context, phase string) (done func()) {
	if t.o.Progress == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var telling sync.WaitGroup
	telling.Go(func() {
		for pause(ctx, 200*time.Millisecond) {
			t.o.Progress(t.progress(phase))
		}
	})
	return func() {
		cancel()
		telling.Wait()
	}
}

func (t *Torture) progress(phase string) Progress {
	p := Progress{Phase: phase, Took: time.Since(t.began), Of: t.o.For, Left: t.left()}
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	for _, e := range t.l.jobs {
		p.Jobs += e.acks
	}
	p.Wrong = len(t.l.faults)
	p.Kills = len(t.l.deaths) + t.l.counts[didKillEnqueuer]
	return p
}

// end stops all processes that there are, those of jobs too.
func (t *Torture) end() error {
	var stopping sync.WaitGroup
	for _, p := range t.pools {
		stopping.Go(p.stop)
	}
	stopping.Wait()
	t.pools = nil
	return t.clear()
}

// clear ends what jobs have left behind, by the file that tells all helpers to
// end.
func (t *Torture) clear() error {
	over := filepath.Join(t.dir, overFile)
	if err := touch(over); err != nil {
		return err
	}
	defer os.Remove(over)
	names, err := os.ReadDir(filepath.Join(t.dir, aliveDir))
	if err != nil {
		return err
	}
	for _, n := range names {
		err := await(context.Background(), patience, func() bool { return t.free(filepath.Join(t.dir, aliveDir, n.Name())) })
		if err != nil {
			return fmt.Errorf("a process of %s does not end: %w", n.Name(), err)
		}
	}
	return nil
}

// free reports whether no process of a job lives.
func (t *Torture) free(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return true
	}
	defer f.Close()
	got, err := tryLock(f)
	return got || err != nil
}
