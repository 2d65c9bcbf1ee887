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
			if _, ok := r.open().(batcher); ok || !way.batch {
				w.lines = append(w.lines, line{way.label(r), r.level, b.started(r, func(ctx context.Context, q queue) ([]float64, error) {
					began := time.Now()
					err := way.run(ctx, q)
					return []float64{perSecond(way.n, time.Since(began))}, err
				})})
			}
		}
		for us, them := range pairs(all) {
			if _, ok := them.open().(batcher); ok || !way.batch {
				w.checks = append(w.checks, ratio(way.label(us)+" against "+them.name, way.label(us), way.label(them), 0, way.reach))
			}
		}
	}
	us, ways := all[0], b.ways()
	w.checks = append(w.checks, ratio("queuectl in batches against one by one", ways[2].label(us), ways[0].label(us), 0, 5))
	return w
}

// A way is one in which jobs are made.
type way struct {
	name  string
	n     int // jobs
	batch bool
	reach float64 // how many times as fast as each peer queuectl is to be
	run   func(context.Context, queue) error
}

func (w way) label(r rival) string { return r.name + ", " + w.name }

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
