package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"queuectl/spool"
)

// A queue is what a Go program hands its jobs to, queuectl or a peer, at one
// level of durability. Jobs are payloads of a few bytes.
type queue interface {
	// Start starts its server where it has one, with its data in dir. The
	// queue is empty then.
	Start(ctx context.Context, dir string) error
	// Enqueue makes one job. Many goroutines call it at once.
	Enqueue(ctx context.Context, payload []byte) error
	// Work runs jobs in so many slots until ctx is done and what runs has
	// ended. The handler is called by many goroutines at once.
	Work(ctx context.Context, slots int, handle func(payload []byte)) error
	// Stop ends the server.
	Stop() error
}

// A batcher is a queue that can make many jobs at once.
type batcher interface {
	EnqueueBatch(ctx context.Context, payloads [][]byte) error
}

// A rival is a queue under the name that its lines have.
type rival struct {
	name   string
	level  string // its durability, in its own words
	synced synced
	again  bool // the same queue once more, with other settings of its workers
	open   func() queue
}

// synced says which rivals are comparable. One level of queuectl is both,
// depending on what is measured: with sync full an enqueue waits for the disk
// and the end of a job does not.
type synced bool

const (
	behind synced = false // what is measured returns at once, and the disk follows within a second
	before synced = true  // what is measured is on disk before it counts
)

// rivals are queuectl, at the level that leaves the disk behind and at the one
// that waits for it, and its peers where they were built in.
func rivals(leaves, waits spool.SyncLevel) []rival {
	return append([]rival{ours(leaves, behind), ours(waits, before)}, peers()...)
}

// once leaves out what differs only in its workers.
func once(all []rival) []rival {
	return slices.DeleteFunc(all, func(r rival) bool { return r.again })
}

// label is what tells the lines of one workload apart.
func (r rival) label() string { return r.name + ", " + r.level }

// started gives run a queue that has been started in a directory of its own.
func (b *bench) started(r rival, run func(ctx context.Context, q queue) ([]float64, error)) func(context.Context) ([]float64, error) {
	return b.inDir("queue", func(ctx context.Context, dir string) (_ []float64, err error) {
		q := r.open()
		if err := q.Start(ctx, dir); err != nil {
			return nil, errors.Join(fmt.Errorf("start %s: %w", r.label(), err), q.Stop())
		}
		defer func() { err = errors.Join(err, q.Stop()) }()
		return run(ctx, q)
	})
}

// payload is a job's content: a number.
func payload(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// enqueueEach makes jobs one by one from so many goroutines.
func enqueueEach(ctx context.Context, q queue, n, goroutines int) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, goroutines)
	for g := range goroutines {
		wg.Go(func() {
			for errs[g] == nil {
				i := int(next.Add(1))
				if i > n {
					return
				}
				errs[g] = q.Enqueue(ctx, payload(i))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// batchSize is how many jobs one batch has.
const batchSize = 10_000

// enqueueBatches makes jobs in batches.
func enqueueBatches(ctx context.Context, q batcher, n int) error {
	for made := 0; made < n; made += batchSize {
		var batch [][]byte
		for i := made; i < min(n, made+batchSize); i++ {
			batch = append(batch, payload(i))
		}
		if err := q.EnqueueBatch(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// enqueueFast makes jobs by the fastest way that the queue has.
func enqueueFast(ctx context.Context, q queue, n int) error {
	if q, ok := q.(batcher); ok {
		return enqueueBatches(ctx, q, n)
	}
	return enqueueEach(ctx, q, n, 64)
}

// giveUp is how long one thing may take before it counts as broken. The
// slowest, 50,000 jobs with several disk syncs each, takes minutes.
const giveUp = 15 * time.Minute

// work runs handle in the slots of a queue while f runs.
func work(ctx context.Context, q queue, slots int, handle func([]byte), f func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan error, 1)
	go func() {
		err := q.Work(ctx, slots, handle)
		cancel(fmt.Errorf("the worker has ended: %w", err))
		done <- err
	}()
	err := f(ctx)
	cancel(nil)
	return errors.Join(err, <-done)
}

// await waits for a channel, but not for ever.
func await[T any](ctx context.Context, c <-chan T) (v T, err error) {
	select {
	case v = <-c:
		return v, nil
	case <-ctx.Done():
		return v, context.Cause(ctx)
	case <-time.After(giveUp):
		return v, fmt.Errorf("not done after %v", giveUp)
	}
}

// pairs are queuectl and each peer that is comparable with it.
func pairs(all []rival) iter.Seq2[rival, rival] {
	return func(yield func(us, them rival) bool) {
		for _, us := range all {
			for _, them := range all {
				if us.name == ourName && them.name != ourName && us.synced == them.synced && !yield(us, them) {
					return
				}
			}
		}
	}
}
