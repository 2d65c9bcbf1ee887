//go:build !windows

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"queuectl/cmd/queuectl/internal/torture"
	"queuectl/spool"
)

type tortureOptions struct {
	*cli
	base    string
	length  duration
	workers int
	seed    uint64
	json    bool
	// as makes this process a helper of another one that tortures.
	as string
}

func newTorture(c *cli) *cobra.Command {
	o := &tortureOptions{cli: c, length: duration(time.Minute)}
	cmd := &cobra.Command{
		Use:   "torture",
		Short: "Prove that this machine and file system keep queuectl's promises",
		Long: `Build a spool in a new directory, on the file system where the spool in use lies
or would lie (or below --dir), and try hard to break it. The spool in use is not
touched.

First the operations that queuectl relies on are tried between processes: rename,
link, no-replace, locks and their inheritance, directory sync, events. Then pools
and enqueuers work while they, and the processes of jobs, are killed at random
with SIGKILL; jobs succeed, fail, hang, ignore signals and leave daemons behind;
files are dropped, whole and torn, and moved by hand; due times jump; the spool
is paused. At last all comes to an end, and is counted: every job that was
acknowledged is in exactly one state, its effects are there, none ran beside its
own copy, and "queuectl check" is content.

The status is 0 only if every promise was kept. Then what was made is removed;
else it is kept, and what broke is told, with the timeline of the job. --seed
repeats the random decisions of an earlier run. The time that --for gives is
without the probes and the end, which take some seconds more.`,
		Example: `  queuectl torture
  queuectl torture --dir /mnt/new-disk --for 10m --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if o.as != "" {
				return nil
			}
			return noArgs(cmd, args)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.base, "dir", "", "work in a new directory below `DIR` (default: beside the spool)")
	f.Var(&o.length, "for", "keep at it for `D`")
	f.IntVar(&o.workers, "workers", 3, "let `N` pools work")
	f.Uint64Var(&o.seed, "seed", 0, "decide as the run with seed `S` did (default: a random one)")
	jsonFlag(cmd, &o.json, "one JSON object")
	f.StringVar(&o.as, "as", "", "")
	_ = f.MarkHidden("as")
	_ = cmd.MarkFlagDirname("dir")
	return cmd
}

// mostPools is as many as any machine needs to be busy with.
const mostPools = 64

func (o *tortureOptions) run(cmd *cobra.Command, args []string) error {
	if o.as != "" {
		return torture.Help(o.as, args, o.In, o.Out)
	}
	switch {
	case o.length <= 0:
		return usagef("", "--for must be longer than 0s")
	case o.workers < 1 || o.workers > mostPools:
		return usagef("", "--workers must be 1 to %d, not %d", mostPools, o.workers)
	}
	if !cmd.Flags().Changed("seed") {
		o.seed = uint64(rand.Uint32()) // short enough to be typed again
	}
	t, err := o.prepare(cmd)
	if err != nil {
		return err
	}
	err = o.steps(cmd, t)
	return o.verdict(cmd, t, errors.Join(err, t.Close()))
}

// prepare chooses the place and makes the directory.
func (o *tortureOptions) prepare(cmd *cobra.Command) (*torture.Torture, error) {
	base, err := o.place()
	if err != nil {
		return nil, err
	}
	path, name, err := o.Self()
	if err != nil {
		return nil, err
	}
	t, err := torture.New(torture.Options{
		Dir: base, For: time.Duration(o.length), Workers: o.workers, Seed: o.seed,
		Path: path, Name: name, Progress: o.progress(),
	})
	if err != nil {
		return nil, err
	}
	o.say(cmd, "%s in %s, %s, seed %d", about(time.Duration(o.length)), t.Dir(), plural(o.workers, "pool", "pools"), o.seed)
	return t, nil
}

// errInterrupted is the cause where a signal ended it.
var errInterrupted = errors.New("interrupted")

// steps does all, until a signal comes.
func (o *tortureOptions) steps(cmd *cobra.Command, t *torture.Torture) error {
	ctx, cancel := context.WithCancelCause(cmd.Context())
	defer cancel(nil)
	signals, done := o.Signals()
	defer done()
	go func() {
		select {
		case <-signals:
			cancel(errInterrupted)
		case <-ctx.Done():
		}
	}()
	for _, step := range []func(context.Context) error{t.Probe, t.Storm, t.Account} {
		if err := step(ctx); err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
	}
	return nil
}

// verdict reports, and removes what was made unless it tells of something.
func (o *tortureOptions) verdict(cmd *cobra.Command, t *torture.Torture, err error) error {
	o.rewrite("")
	if errors.Is(err, errInterrupted) {
		if err := t.Remove(); err != nil {
			return err
		}
		o.say(cmd, "interrupted; all that was made is removed")
		return told(exitInterrupted)
	}
	if errors.Is(err, spool.ErrUnusable) { // nothing has happened yet
		return errors.Join(err, t.Remove())
	}
	if err != nil {
		return fmt.Errorf("%w; what was made is kept in %s", err, t.Dir())
	}
	print := o.print
	if o.json {
		print = func(r *torture.Report) error { return writeJSON(o.Out, r) }
	}
	if t.Report.OK() {
		return errors.Join(t.Remove(), print(&t.Report))
	}
	if err := print(&t.Report); err != nil {
		return err
	}
	o.say(cmd, "not every promise was kept; all that was made is kept in %s", t.Dir())
	return told(exitFailed)
}
