package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"queuectl/spool"
)

// crashedPools are how many pools are killed.
const crashedPools = 8

// recovery measures how soon what dead pools ran runs again.
func (b *bench) recovery() workload {
	n := b.n(10_000, 80) / crashedPools * crashedPools
	w := workload{
		name:  "recovery",
		title: fmt.Sprintf("Recovery of %s running jobs after `kill -9` of %d pools", thousands(n), crashedPools),
		how: "Jobs for Go handlers that do not end. They are taken over by one pool with as many slots: one that is up and idle at the kill, " +
			"or one that is started after it. Timed is until all have begun again, from the kill or from the start.",
		columns: []column{{"time", "s"}},
	}
	add := func(name string, alive bool) {
		w.lines = append(w.lines, line{name, "sync full", b.inDir("recovery", func(ctx context.Context, dir string) ([]float64, error) {
			took, err := b.recover(ctx, dir, n, alive)
			return []float64{took.Seconds()}, err
		})})
		w.checks = append(w.checks, atMost("all run again, "+name, name, 0, "s", 2))
	}
	add("a pool that is up", true)
	add("a pool that is started", false)
	return w
}

func (b *bench) recover(ctx context.Context, dir string, n int, alive bool) (_ time.Duration, err error) {
	s, err := openSpool(filepath.Join(dir, "spool"), spool.SyncFull)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	if err := enqueueBatches(ctx, &ourQueue{s: s}, n); err != nil {
		return 0, err
	}
	crashed, err := b.startPools(ctx, s, crashedPools, poolOptions{slots: n / crashedPools, block: true})
	if err != nil {
		return 0, err
	}
	defer crashed.kill()
	if _, _, err := crashed.when(ctx, func(sum int) bool { return sum == n }); err != nil {
		return 0, err
	}
	rescue := func() (*pools, error) {
		return b.startPools(ctx, s, 1, poolOptions{slots: n, block: true})
	}
	var rescuer *pools
	if alive {
		if rescuer, err = rescue(); err != nil {
			return 0, err
		}
		time.Sleep(time.Second) // until it has listed what there is, and is idle
	}
	from := time.Now()
	_ = crashed.kill()
	if !alive {
		from = time.Now()
		if rescuer, err = rescue(); err != nil {
			return 0, err
		}
	}
	defer func() { err = errors.Join(err, rescuer.kill()) }()
	to, _, err := rescuer.when(ctx, func(sum int) bool { return sum >= n })
	return to.Sub(from), err
}
