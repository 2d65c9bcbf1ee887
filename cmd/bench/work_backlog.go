package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"queuectl/spool"
)

// A backlog is a spool in which jobs wait. Filling a large one takes long, so
// it is made once and topped up.
type backlog struct {
	s       *spool.Spool
	pending int
}

// backlog is the one with n waiting jobs, filled.
func (b *bench) backlog(ctx context.Context, n int) (*backlog, error) {
	l := b.fills[n]
	if l == nil {
		dir, err := b.dir("backlog")
		if err != nil {
			return nil, err
		}
		s, err := openSpool(filepath.Join(dir, "spool"), spool.SyncOff)
		if err != nil {
			return nil, err
		}
		l = &backlog{s: s}
		b.fills[n] = l
	}
	return l, l.fill(ctx, n)
}

// dropBacklogs gives back the room that they take.
func (b *bench) dropBacklogs() error {
	var errs []error
	for n, l := range b.fills {
		errs = append(errs, l.s.Close(), os.RemoveAll(filepath.Dir(l.s.Dir())))
		delete(b.fills, n)
	}
	return errors.Join(errs...)
}

// fill makes jobs until n wait, and has all on disk, so that nothing of it is
// left to do while something is measured.
func (l *backlog) fill(ctx context.Context, n int) error {
	if err := l.s.SetConfig("sync", string(spool.SyncOff)); err != nil {
		return err
	}
	missing := n - l.pending
	if err := enqueueBatches(ctx, &ourQueue{s: l.s}, missing); err != nil {
		return fmt.Errorf("fill up to %s jobs: %w", thousands(n), err)
	}
	l.pending = n
	return errors.Join(l.s.SyncNow(), l.s.SetConfig("sync", string(spool.SyncFull)))
}

// fewJobs is the backlog with which the others are compared.
const fewJobs = 1000

// hugeJobs is the backlog that takes -huge.
const hugeJobs = 10_000_000

// poolCounts are how many pools work at once.
var poolCounts = []int{1, 8}

// flat measures how the length of the queue slows it down.
func (b *bench) flat() workload {
	return b.flatAt(workload{
		name:  "backlog",
		title: "Claim and settle with many jobs pending",
	}, map[int]float64{b.n(100_000, 2000): 0, b.n(1_000_000, 4000): 0.9})
}

// flatHuge is flat at a size that does not fit into the memory of most machines,
// and so would have all others pay for it, too.
func (b *bench) flatHuge() workload {
	return b.flatAt(workload{
		name: "huge", huge: true,
		title: "Claim and settle with 10 million jobs pending",
	}, map[int]float64{b.n(hugeJobs, 8000): 0.7})
}

// flatAt measures at some sizes, each with what is asked for.
func (b *bench) flatAt(w workload, reach map[int]float64) workload {
	n := b.n(10_000, 400)
	w.how = fmt.Sprintf("Handlers that do nothing, sync full, 8 slots in all, as one pool or as 8 pools of one slot; each pool is a process. "+
		"Timed is how long %s jobs take once all pools work; with few pending that is several rounds, between which the queue is filled up again.", thousands(n))
	w.columns = []column{{"rate", "jobs/s"}}
	sizes := slices.Sorted(maps.Keys(reach))
	for _, k := range poolCounts {
		first := flatLabel(fewJobs, k)
		for _, size := range append([]int{fewJobs}, sizes...) {
			label := flatLabel(size, k)
			w.lines = append(w.lines, line{label, "sync full", func(ctx context.Context) ([]float64, error) {
				return b.backlogRate(ctx, size, k, n)
			}})
			if size != fewJobs {
				w.checks = append(w.checks, ratio(label+" against "+first, label, first, 0, reach[size]))
			}
		}
	}
	return w
}

func flatLabel(size, pools int) string {
	return fmt.Sprintf("%s pending, %s", thousands(size), plural(pools, "pool"))
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// backlogRate is how many jobs a second k pools do while about size of them
// wait, over n jobs.
func (b *bench) backlogRate(ctx context.Context, size, k, n int) ([]float64, error) {
	var took time.Duration
	done := 0
	for done < n {
		l, err := b.backlog(ctx, size)
		if err != nil {
			return nil, err
		}
		d, timed, err := b.backlogRound(ctx, l, k, n-done)
		if err != nil {
			return nil, err
		}
		took += d
		done += timed
	}
	return []float64{perSecond(done, took)}, nil
}

// backlogRound times at most n jobs, and no more than half of what waits. The
// queue is paused until all pools are there, and time is taken from when each
// has run a job.
func (b *bench) backlogRound(ctx context.Context, l *backlog, k, n int) (took time.Duration, timed int, err error) {
	half := l.pending / 2
	if err := l.s.Pause(); err != nil {
		return 0, 0, err
	}
	p, err := b.startPools(ctx, l.s, k, poolOptions{slots: handlerSlots / k})
	if err != nil {
		return 0, 0, err
	}
	defer func() {
		err = errors.Join(err, p.stop())
		l.pending -= p.sum()
		err = errors.Join(err, p.close())
	}()
	if err := l.s.Resume(); err != nil {
		return 0, 0, err
	}
	count := min(n, half)
	from, first, err := p.when(ctx, func(sum int) bool {
		return sum >= count/10 && p.least(k) > 0 || sum >= half/2
	})
	if err != nil {
		return 0, 0, err
	}
	to, last, err := p.when(ctx, func(sum int) bool { return sum >= first+count })
	return to.Sub(from), last - first, err
}
