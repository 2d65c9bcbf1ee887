package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"queuectl/spool"
)

// handlerSlots is how many jobs run at once.
const handlerSlots = 8

// riverTimes is how many times as many workers River has as the others have
// slots, where that is tuned: it fetches as many jobs at once as workers are
// free, and is faster with more of them, up to about this number.
const riverTimes = 125

// handlers measures Go handlers that do nothing.
func (b *bench) handlers() workload {
	n := b.n(50_000, 100)
	w := workload{
		name:  "handlers",
		title: thousands(n) + " jobs for Go handlers that do nothing, 8 at a time",
		how: "The jobs are enqueued before. Timed is from the start of the worker in the same program until the " +
			"last handler has been called.",
		columns: []column{{"rate", "jobs/s"}},
	}
	if withPeers {
		w.how += fmt.Sprintf(" River has %d workers for each slot of the others, and fetches every millisecond; "+
			"its untuned lines have as many workers as the others have slots.", riverTimes)
	}
	all := rivals(spool.SyncFull, spool.SyncAlways)
	for _, r := range all {
		w.lines = append(w.lines, line{r.label(), r.level, b.started(r, func(ctx context.Context, q queue) ([]float64, error) {
			return drainRate(ctx, q, n)
		})})
	}
	for us, them := range pairs(all) {
		w.checks = append(w.checks, ratio(us.label()+" against "+them.label(), us.label(), them.label(), 0, handlerReach[them.name]))
	}
	return w
}

// handlerReach is how many times as fast as each peer queuectl is to be.
var handlerReach = map[string]float64{"asynq": 2, "goqite": 2, "river": 2, "river, untuned workers": 2, "beanstalkd": 1}

// drainRate is how many of n waiting jobs a queue does in a second.
func drainRate(ctx context.Context, q queue, n int) ([]float64, error) {
	if err := enqueueFast(ctx, q, n); err != nil {
		return nil, err
	}
	var calls atomic.Int64
	all := make(chan time.Time, 1)
	handle := func([]byte) {
		if calls.Add(1) == int64(n) {
			all <- time.Now()
		}
	}
	began := time.Now()
	var took time.Duration
	err := work(ctx, q, handlerSlots, handle, func(ctx context.Context) error {
		end, err := await(ctx, all)
		took = end.Sub(began)
		return err
	})
	return []float64{perSecond(n, took)}, err
}
