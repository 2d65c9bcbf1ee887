package main

import (
	"context"
	"fmt"
	"time"

	"queuectl/spool"
)

// enqueue measures how fast one Go program can make jobs that are on disk.
func (b *bench) enqueue() workload {
	w := workload{
		name:    "enqueue",
		title:   "Enqueue from one Go program, each job on disk before the call returns",
		how:     fmt.Sprintf("No worker runs. A batch has %s jobs and comes whole or not at all; asynq and beanstalkd have none.", thousands(batchSize)),
		columns: []column{{"rate", "jobs/s"}},
	}
	all := []rival{ours(spool.SyncFull, before)}
	for _, r := range once(peers()) {
		if r.synced == before {
			all = append(all, r)
		}
	}
	for _, way := range b.ways() {
		for _, r := range all {
			if way.fits(r) {
				w.lines = append(w.lines, line{way.label(r), r.level, b.started(r, way.rate)})
			}
		}
		for us, them := range pairs(all) {
			if way.fits(them) {
				w.checks = append(w.checks, ratio(way.label(us)+" against "+them.name, way.label(us), way.label(them), 0, way.reach))
			}
		}
	}
	single, batches := b.ways()[0], b.ways()[2]
	for _, r := range all {
		w.checks = append(w.checks, ratio("queuectl in batches against "+single.label(r), batches.label(all[0]), single.label(r), 0, batchReach))
	}
	return w
}

// batchReach is how many times as fast as one by one, here or elsewhere, jobs
// are to be made in batches.
const batchReach = 5

// A way is one in which jobs are made.
type way struct {
	name  string
	n     int // jobs
	batch bool
	reach float64 // how many times as fast as each peer queuectl is to be
	run   func(context.Context, queue) error
}

func (w way) label(r rival) string { return r.name + ", " + w.name }

// fits reports whether a queue can do it.
func (w way) fits(r rival) bool {
	_, ok := r.open().(batcher)
	return ok || !w.batch
}

// rate is how many jobs are made in a second.
func (w way) rate(ctx context.Context, q queue) ([]float64, error) {
	began := time.Now()
	err := w.run(ctx, q)
	return []float64{perSecond(w.n, time.Since(began))}, err
}

func (b *bench) ways() []way {
	each := func(name string, n, goroutines int) way {
		return way{name, n, false, 1, func(ctx context.Context, q queue) error { return enqueueEach(ctx, q, n, goroutines) }}
	}
	n := b.n(5*batchSize, 100)
	return []way{
		each("1 goroutine", b.n(3000, 50), 1),
		each("64 goroutines", b.n(20_000, 100), 64),
		{"batches", n, true, 0, func(ctx context.Context, q queue) error { return enqueueBatches(ctx, q.(batcher), n) }},
	}
}
