package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"queuectl/spool"
)

// A view is a command that is to stay fast however many jobs there are.
type view struct {
	name string
	args func(i int) []string // of the i-th call
}

// known is the id of a job that every spool here has.
const known = "known"

var views = []view{
	{"status", func(int) []string { return []string{"status"} }},
	{"list --limit 20", func(int) []string { return []string{"list", "--limit", "20"} }},
	{"show ID", func(int) []string { return []string{"show", known} }},
	{"enqueue --id ID", func(i int) []string { return []string{"enqueue", "--id", fmt.Sprint("chosen-", i), "--", "true"} }},
}

// A crowd is a spool with many jobs, and an empty one, made once.
type crowd struct {
	full, empty *spool.Spool
	made        int // ids that were chosen
}

// looking measures commands in a spool with millions of jobs.
func (b *bench) looking() workload {
	size, n := b.n(1_000_000, 5000), b.n(20, 5)
	w := workload{
		name:  "views",
		title: fmt.Sprintf("Commands with %s completed and %s pending jobs", thousands(size), thousands(size)),
		how:   fmt.Sprintf("How long a call takes, the median of %d in each turn; sync off, since the disk is not what is compared. The empty spool has one job.", n),
		columns: []column{
			{"time", "ms"},
		},
	}
	var c *crowd
	w.done = func() error { return c.drop() }
	for _, v := range views {
		add := func(name string, pick func() *spool.Spool) {
			w.lines = append(w.lines, line{name, "sync off", func(ctx context.Context) ([]float64, error) {
				if c == nil {
					made, err := b.crowd(ctx, size)
					if err != nil {
						return nil, err
					}
					c = made
				}
				return c.time(ctx, b, pick(), v, n)
			}})
		}
		full, empty := v.name+", full", v.name+", empty"
		add(empty, func() *spool.Spool { return c.empty })
		add(full, func() *spool.Spool { return c.full })
		if v.name == "status" || v.name == "list --limit 20" {
			w.checks = append(w.checks, atMost(v.name, full, 0, "ms", 1000))
		} else {
			// The same, within what the machine's noise is.
			w.checks = append(w.checks, check{
				text: v.name + ", full over empty", unit: "×", most: 1.1, limited: true,
				value: func(at figures) float64 { return at(full, 0) / at(empty, 0) },
			})
		}
	}
	return w
}

// drop gives back the room that it takes.
func (c *crowd) drop() error {
	if c == nil {
		return nil
	}
	return errors.Join(c.full.Close(), c.empty.Close(), os.RemoveAll(filepath.Dir(c.full.Dir())))
}

// time is how long a call takes, the median of n.
func (c *crowd) time(ctx context.Context, b *bench, s *spool.Spool, v view, n int) ([]float64, error) {
	took, err := calls(n, func() *exec.Cmd {
		c.made++
		return b.queuectl(ctx, s.Dir(), v.args(c.made)...)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", v.name, err)
	}
	return []float64{quantile(took, 0.5)}, nil
}

// crowd makes the two spools: the completed jobs are such that have run.
func (b *bench) crowd(ctx context.Context, size int) (*crowd, error) {
	dir, err := b.dir("crowd")
	if err != nil {
		return nil, err
	}
	c := &crowd{}
	for _, at := range []struct {
		s    **spool.Spool
		name string
	}{{&c.full, "full"}, {&c.empty, "empty"}} {
		if *at.s, err = openSpool(filepath.Join(dir, at.name), spool.SyncOff); err != nil {
			return nil, err
		}
		if _, err := (*at.s).Enqueue(ctx, spool.Job{ID: known, Kind: kind}); err != nil {
			return nil, err
		}
	}
	if err := b.complete(ctx, c.full, size); err != nil {
		return nil, err
	}
	if err := enqueueBatches(ctx, &ourQueue{s: c.full}, size); err != nil {
		return nil, err
	}
	return c, c.full.SyncNow()
}

// complete makes jobs, and runs all that wait.
func (b *bench) complete(ctx context.Context, s *spool.Spool, n int) error {
	if err := enqueueBatches(ctx, &ourQueue{s: s}, n); err != nil {
		return err
	}
	p, err := b.startPools(ctx, s, 1, poolOptions{slots: handlerSlots, drain: true})
	if err != nil {
		return err
	}
	return p.wait()
}
