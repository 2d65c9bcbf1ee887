package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// counters are numbers that several processes share, one for each pool: how
// many handlers it has called. Counting may cost nothing beside what is
// measured.
type counters struct{ data []byte }

// maxCounters is how many there are, and apart is how far: two in one cache
// line would slow each other down.
const (
	maxCounters = 64
	apart       = 64
)

func openCounters(path string) (*counters, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(maxCounters * apart); err != nil {
		return nil, err
	}
	data, err := syscall.Mmap(int(f.Fd()), 0, maxCounters*apart, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return &counters{data}, nil
}

func (c *counters) close() error { return syscall.Munmap(c.data) }

func (c *counters) at(i int) *int64 { return (*int64)(unsafe.Pointer(&c.data[i*apart])) }

func (c *counters) add(i int) { atomic.AddInt64(c.at(i), 1) }

// sum is all of them together, and least the smallest of the first k.
func (c *counters) sum() (n int) {
	for i := range maxCounters {
		n += int(atomic.LoadInt64(c.at(i)))
	}
	return n
}

func (c *counters) least(k int) int {
	least := atomic.LoadInt64(c.at(0))
	for i := range k {
		least = min(least, atomic.LoadInt64(c.at(i)))
	}
	return int(least)
}

// until looks again and again until a condition holds, and returns when it
// did. A look costs little, so it is done often; nothing else tells.
func until(ctx context.Context, every time.Duration, holds func() (bool, error)) (time.Time, error) {
	deadline := time.Now().Add(giveUp)
	for {
		ok, err := holds()
		now := time.Now()
		if ok || err != nil {
			return now, err
		}
		if now.After(deadline) {
			return now, fmt.Errorf("not so after %v", giveUp)
		}
		if ctx.Err() != nil {
			return now, context.Cause(ctx)
		}
		time.Sleep(every)
	}
}
