package main

import (
	"context"
	"time"

	"queuectl/spool"
)

// latency measures how soon a job starts.
func (b *bench) latency() workload {
	n := b.n(1000, 50)
	w := workload{
		name:    "latency",
		title:   "From the call of enqueue to the start of the handler, idle pool",
		how:     "A worker with 8 slots in the same program has nothing to do; " + thousands(n) + " jobs come one by one, each 5 ms after the one before has begun.",
		columns: []column{{"p50", "µs"}, {"p99", "µs"}},
	}
	all := once(rivals(spool.SyncOff, spool.SyncFull))
	for _, r := range all {
		w.lines = append(w.lines, line{r.label(), r.level, b.started(r, func(ctx context.Context, q queue) ([]float64, error) {
			return startLatency(ctx, q, n)
		})})
	}
	for us, them := range pairs(all) {
		reach := map[string]float64{"beanstalkd": 1}[them.name]
		for i, c := range w.columns {
			w.checks = append(w.checks, ratio(c.name+" of "+them.label()+" over that of "+us.label(), them.label(), us.label(), i, reach))
		}
	}
	return w
}

// idle is how long a pool is left alone before the next job comes.
const idle = 5 * time.Millisecond

// startLatency enqueues n jobs, one after the other.
func startLatency(ctx context.Context, q queue, n int) ([]float64, error) {
	begun := make(chan time.Time, 1)
	var took []float64
	err := work(ctx, q, handlerSlots, func([]byte) { begun <- time.Now() }, func(ctx context.Context) error {
		for i := range n + 1 {
			called := time.Now()
			if err := q.Enqueue(ctx, payload(i)); err != nil {
				return err
			}
			at, err := await(ctx, begun)
			if err != nil {
				return err
			}
			if i > 0 { // the first one waits until the worker is up
				took = append(took, us(at.Sub(called)))
			}
			time.Sleep(idle)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return []float64{quantile(took, 0.50), quantile(took, 0.99)}, nil
}
