//go:build !windows

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"queuectl/runner"
	"queuectl/spool"
)

type workerStartOptions struct {
	*cli
	count  int
	grace  duration
	drain  bool
	detach bool
	// ready is the descriptor on which a detached worker says its name.
	ready int
}

func newWorkerStart(c *cli) *cobra.Command {
	o := &workerStartOptions{cli: c, grace: duration(30 * time.Second)}
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Run jobs until stopped",
		Long: `Become a pool: run the jobs of the spool, and those that come, until stopped.
What happens is told on standard error, a line per event.

SIGINT (Ctrl-C) or SIGTERM stops it: nothing new starts, and running jobs have
the grace to end. After it, or at a second signal, they get SIGTERM and 5 seconds
later SIGKILL; a third signal kills them at once. Jobs that are ended so are
pending again, uncharged.

With --drain, jobs that could not be started (an error of the disk, say), and
files that are not whole, are tried again for 7 seconds when nothing else is
left; then they are named, and the status is 1. A job of a kind, which only a Go
program runs, is left, too; how many there are is said, and the status stays 0.`,
		Example: `  queuectl worker start --count 4
  queuectl worker start --drain      run what is there, then end
  queuectl worker start --detach     in the background`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	f.IntVarP(&o.count, "count", "c", 1, "run up to `N` jobs at a time")
	f.Var(&o.grace, "grace", "when stopping, give running jobs `D` to end")
	f.BoolVar(&o.drain, "drain", false, "end when nothing is pending, running or waiting to be retried")
	f.BoolVar(&o.detach, "detach", false, "go to the background; messages go to workers/worker.log in the spool")
	f.IntVar(&o.ready, "ready-fd", 0, "")
	_ = f.MarkHidden("ready-fd")
	return cmd
}

// maxSlots is the most that the runner takes.
const maxSlots = 16384

func (o *workerStartOptions) run(cmd *cobra.Command) (err error) {
	if o.count < 1 || o.count > maxSlots {
		return usagef("", "--count must be 1 to %d, not %d", maxSlots, o.count)
	}
	s, err := o.openOrMake(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	keepFiles()
	if o.detach {
		return o.background(cmd, s)
	}
	if o.ready != 0 {
		l := newWorkerLog(o.env, s)
		defer l.stay()
		o.Err = l
	}
	o.Err = newOutlet(o.Err) // run closes it
	// From here on a signal stops softly, also while the pool is being made.
	signals, done := o.Signals()
	defer done()
	pool, err := runner.New(s, runner.Options{
		Slots: o.count, Commands: true, Drain: o.drain, Grace: time.Duration(o.grace),
		Logger: slog.New(newEvents(o.env)),
	})
	if err != nil {
		o.sayReady(notReady + oneLine(err.Error()))
		return err
	}
	o.sayReady(pool.Name())
	o.say(cmd, "pool %s, %s, spool %s", pool.Name(), plural(o.count, "slot", "slots"), s.Dir())
	if s.Paused() {
		o.say(cmd, `the spool is paused; nothing starts until "queuectl resume"`)
	}
	ended := make(chan struct{})
	var obeying sync.WaitGroup
	obeying.Go(func() { o.obey(cmd, s, pool, signals, ended) })
	err = pool.Run(cmd.Context())
	close(ended)
	obeying.Wait()
	return err
}

// obey stops the pool: softly at the first signal, then sooner.
func (o *workerStartOptions) obey(cmd *cobra.Command, s *spool.Spool, pool *runner.Pool, signals <-chan os.Signal, ended <-chan struct{}) {
	for n := 1; ; n++ {
		select {
		case <-ended:
			return
		case sig := <-signals:
			switch n {
			case 1:
				if s := o.waitsFor(s, pool.Name()); s != "" {
					o.say(cmd, "%v: %s", sig, s)
				}
				pool.Stop()
			case 2:
				o.say(cmd, "%v: ends running jobs now; a third signal kills them", sig)
				pool.StopNow()
			default:
				o.say(cmd, "%v: kills running jobs", sig)
				pool.StopNow()
			}
		}
	}
}

// waitsFor says what a soft stop waits for, "" where there is nothing.
func (o *workerStartOptions) waitsFor(s *spool.Spool, name string) string {
	pools, err := s.Pools()
	if err != nil {
		return ""
	}
	for _, p := range pools {
		if p.Name == name && p.Busy > 0 {
			return fmt.Sprintf("waits up to %s for %s; a second signal hurries",
				spool.FormatDuration(time.Duration(o.grace)), plural(p.Busy, "running job", "running jobs"))
		}
	}
	return ""
}
