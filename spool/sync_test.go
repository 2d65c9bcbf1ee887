package spool

import (
	"errors"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"queuectl/spool/internal/fsys"
)

// slowSyncs is a file system of which a sync takes a while, and fails when it
// is told to.
type slowSyncs struct {
	fsys.FS
	takes time.Duration
	err   error

	mu     sync.Mutex
	rounds []int // how many each of them was for
}

func (f *slowSyncs) SyncAll(files []fsys.File, _ []string) error {
	f.mu.Lock()
	f.rounds = append(f.rounds, len(files))
	f.mu.Unlock()
	time.Sleep(f.takes)
	return f.err
}

type noFile struct{ fsys.File }

// Who syncs alone waits for nobody.
func TestSyncAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &slowSyncs{takes: time.Millisecond}
		g := syncGroup{fs: f}
		began := time.Now()
		for range 5 {
			must(t, g.sync(noFile{}))
		}
		if took := time.Since(began); took != 5*f.takes {
			t.Errorf("5 syncs of %s took %s", f.takes, took)
		}
	})
}

// syncers have n goroutines sync so many times each, with a bit of work before.
func syncers(t *testing.T, g *syncGroup, n, times int) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for range times {
				time.Sleep(time.Duration(i+1) * time.Microsecond)
				if err := g.sync(noFile{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// Those who sync again and again find to one round, in which all of them are,
// where without a wait they would be in two, by turns.
func TestSyncTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &slowSyncs{takes: time.Millisecond}
		syncers(t, &syncGroup{fs: f}, 8, 10)
		// The first to come syncs alone, then the other seven.
		if want := []int{1, 8, 8, 8, 8, 8, 8, 8, 8, 8, 7}; !slices.Equal(f.rounds, want) {
			t.Errorf("rounds %v, want %v", f.rounds, want)
		}
	})
}

// Those who no longer come are waited for once, and no longer than a sync takes.
func TestSyncCrowdLeaves(t *testing.T) {
	for _, takes := range []time.Duration{time.Millisecond, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			f := &slowSyncs{takes: takes}
			g := syncGroup{fs: f}
			syncers(t, &g, 8, 2)
			for n, want := range []time.Duration{min(takes, maxGather) + takes, takes, takes} {
				began := time.Now()
				must(t, g.sync(noFile{}))
				if took := time.Since(began); took != want {
					t.Errorf("sync %d after the crowd has gone takes %s, want %s", n, took, want)
				}
			}
		})
	}
}

// What went wrong with a round is told to all who were in it, and to nobody else.
func TestSyncGroupFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &slowSyncs{takes: time.Millisecond}
		g := syncGroup{fs: f}
		syncers(t, &g, 3, 2)
		f.err = errors.New("no luck")
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if err := g.sync(noFile{}); !errors.Is(err, f.err) {
					t.Errorf("%v, want %v", err, f.err)
				}
			})
		}
		all.Wait()
		f.err = nil
		syncers(t, &g, 3, 1)
	})
}

// A retry and a cancel that are done, but not on disk for sure, say both.
func TestUnsyncedCommands(t *testing.T) {
	b := newBench(t)
	must(t, b.SetConfig("sync", "full"))
	b.clk.add(configAge)
	b.inState(b.pool(), "x", Dead)
	b.faults.fail("sync", "", syscall.EIO)
	wantErr(t, b.Retry(ctx, "x"), ErrUnsynced)
	b.wantState("x", Pending)
	rep, err := b.Cancel(ctx, "x")
	wantErr(t, err, ErrUnsynced)
	if !rep.Done {
		t.Errorf("a cancel reports %+v", rep)
	}
	b.wantState("x", Dead)
	b.faults.clear()
}
