package runner

import (
	"context"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"queuectl/spool"
)

// What no hint has told is found by the slow scan: a job, a request to cancel
// a running one, and one to stop.
func TestSlowScanFindsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		untilDone := func(ctx context.Context, _ *Job) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		p, _, _ := fake(t, s, Options{Slots: 2, Handlers: map[string]Handler{"k": untilDone}}, nil)
		r := run(t, p)
		time.Sleep(time.Second)
		synctest.Wait()
		enqueue(t, s, `{"id":"a","kind":"k"}`)
		enqueue(t, s, `{"id":"b","kind":"k"}`)
		time.Sleep(slowScan)
		synctest.Wait()
		if j := job(t, s, "a"); j.State != spool.Processing {
			t.Fatalf("a is %s", j.State)
		}
		if err := os.WriteFile(s.Dir()+"/control/a.cancel", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		// The file's time is the machine's, the job's that of the bubble.
		if err := os.Chtimes(s.Dir()+"/control/a.cancel", time.Time{}, time.Now()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(slowScan)
		synctest.Wait()
		if a, b := job(t, s, "a"), job(t, s, "b"); a.State != spool.Dead || last(t, a).Outcome != spool.Cancelled || b.State != spool.Processing {
			t.Errorf("a is %s, b is %s", a.State, b.State)
		}
		if err := s.RequestStop(p.Name(), false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(slowScan)
		if err := r.wait(); err != nil {
			t.Error(err)
		}
		if j := job(t, s, "b"); j.State != spool.Pending {
			t.Errorf("b is %s", j.State)
		}
	})
}

// A slowQueue is a spool of which each listing of a state takes long.
type slowQueue struct {
	*spool.Spool
	takes time.Duration
	scans atomic.Int32
}

func (q *slowQueue) Scan(st spool.State, fn func(string, spool.Name, bool) bool) error {
	q.scans.Add(1)
	time.Sleep(q.takes)
	return q.Spool.Scan(st, fn)
}

// The slow scan lists every 30 seconds, but no more than a twentieth of the
// time; what is heard of is listed at once.
func TestListingsTakeAShare(t *testing.T) {
	for _, c := range []struct {
		takes    time.Duration // each of two states
		listings int32         // in ten minutes and a quarter
	}{{500 * time.Millisecond, 21}, {5 * time.Second, 3}, {40 * time.Second, 1}} {
		synctest.Test(t, func(t *testing.T) {
			s := newSpool(t)
			p, _, w := fake(t, s, Options{Handlers: handlers}, nil)
			q := &slowQueue{Spool: s, takes: c.takes}
			p.q = q
			run(t, p)
			time.Sleep(10*time.Minute + 15*time.Second)
			synctest.Wait()
			if n := q.scans.Load() / 2; n != c.listings {
				t.Errorf("a listing of %s: %d in ten minutes and a quarter, want %d", 2*c.takes, n, c.listings)
			}
			before := q.scans.Load()
			w.hints <- spool.Hint{}
			synctest.Wait()
			if q.scans.Load() == before {
				t.Error("nothing is listed where something may have happened anywhere")
			}
			time.Sleep(2 * time.Minute) // nothing is left at work
		})
	}
}

// A busyQueue counts what is done in the background.
type busyQueue struct {
	*spool.Spool
	syncs, prunes atomic.Int32
	others        atomic.Int32 // so often another pool is at it
	waits         atomic.Int32 // how often this pool would leave it to others
}

func (q *busyQueue) SyncNow() error { q.syncs.Add(1); return nil }

func (q *busyQueue) PruneShared(_ context.Context, turn time.Duration) (int, bool, error) {
	if q.prunes.Add(1); turn > 0 {
		q.waits.Add(1)
	}
	return 0, q.others.Add(-1) < 0, nil
}

// Settled jobs are synced at sync_interval and old records pruned at the slow
// scan, and an idle pool does neither but once an hour.
func TestSyncAndPruneFollowActivity(t *testing.T) {
	for _, c := range []struct {
		sync  string
		syncs int32
	}{{"full", 2}, {"off", 0}, {"always", 0}} {
		t.Run(c.sync, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSpool(t, "sync_interval", "10s")
				if err := s.SetConfig("sync", c.sync); err != nil {
					t.Fatal(err)
				}
				p, _, w := fake(t, s, Options{Handlers: handlers}, nil)
				q := &busyQueue{Spool: s}
				q.others.Store(2)
				p.q = q
				run(t, p)
				for range 5 { // within one interval, then one more
					enqueue(t, s, `{"kind":"k"}`)
					w.hints <- spool.Hint{}
					time.Sleep(time.Second)
				}
				time.Sleep(time.Minute)
				enqueue(t, s, `{"kind":"k"}`)
				w.hints <- spool.Hint{}
				time.Sleep(40 * time.Minute)
				synctest.Wait()
				if n := q.syncs.Load(); n != c.syncs {
					t.Errorf("%d syncs", n)
				}
				busy := q.prunes.Load()
				if asked := busy - q.waits.Load(); asked != 3 {
					t.Errorf("%d times without regard to others: want the first one that is done, after two in vain", asked)
				}
				if busy < 3 || busy > 8 {
					t.Errorf("pruned %d times", busy)
				}
				time.Sleep(3 * time.Hour)
				synctest.Wait()
				if n := q.prunes.Load() - busy; n != 3 {
					t.Errorf("pruned %d times in three idle hours", n)
				}
			})
		})
	}
}

// A claim that succeeds while the pool begins to stop is given back.
func TestStopDuringAClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		enqueue(t, s, `{"id":"a","kind":"k","max_retries":0}`)
		var p *Pool
		ran := false
		p, _, _ = fake(t, s, Options{Grace: time.Hour, Handlers: map[string]Handler{"k": func(context.Context, *Job) error {
			ran = true
			return nil
		}}}, func(int, string) error {
			p.Stop()
			time.Sleep(time.Second)
			return nil
		})
		if err := run(t, p).wait(); err != nil {
			t.Fatal(err)
		}
		if j := job(t, s, "a"); ran || j.State != spool.Pending || j.Attempts != 0 {
			t.Errorf("ran: %t; %s after %d attempts", ran, j.State, j.Attempts)
		}
	})
}

// When pools come, the neighbour is looked for anew, and the old watch ends.
func TestRingFollowsThePools(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		p, m, w := fake(t, s, Options{}, nil)
		joins := &joinCounter{fakeMember: m}
		p.m = joins
		run(t, p)
		time.Sleep(time.Second)
		synctest.Wait()
		w.hints <- spool.Hint{Path: "workers/other-1-abcdef.json"}
		w.hints <- spool.Hint{Path: "workers/other-1-abcdef.problems"}
		time.Sleep(time.Second)
		synctest.Wait()
		if n, open := joins.n.Load(), joins.open.Load(); n != 2 || open != 1 {
			t.Errorf("%d joins, %d watches", n, open)
		}
	})
}

type joinCounter struct {
	*fakeMember
	n, open atomic.Int32
}

func (j *joinCounter) WatchNeighbour(ctx context.Context) (<-chan string, error) {
	j.n.Add(1)
	j.open.Add(1)
	ch := make(chan string)
	context.AfterFunc(ctx, func() { j.open.Add(-1) })
	return ch, nil
}

// A job whose lock is held for long is named as a problem, and a draining pool
// waits for it.
func TestHeldForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(t)
		enqueue(t, s, `{"id":"a","kind":"k"}`)
		began := time.Now()
		p, m, _ := fake(t, s, Options{Drain: true, Handlers: handlers}, func(int, string) error {
			if time.Since(began) < time.Minute {
				return spool.ErrHeld
			}
			return nil
		})
		if err := p.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		if j := job(t, s, "a"); j.State != spool.Completed {
			t.Errorf("a is %s", j.State)
		}
		if n := len(m.problems); n < 2 || m.problems[n-1] != "[]" {
			t.Errorf("problems: %v", m.problems)
		}
	})
}
