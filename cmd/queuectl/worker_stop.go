//go:build !windows

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"queuectl/spool"
)

type workerStopOptions struct {
	*cli
	timeout duration
	now     bool
}

func newWorkerStop(c *cli) *cobra.Command {
	o := &workerStopOptions{cli: c}
	cmd := &cobra.Command{
		Use:   "stop",
		Short: "Stop every pool of this spool and wait until they are gone",
		Long: `Ask every pool of this spool to stop, and return when they are gone. They start
nothing new and give running jobs the grace of their "worker start --grace";
what does not end by then is ended, and runs again later, uncharged.`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	cmd.Flags().Var(&o.timeout, "timeout", "wait no longer than `D` (default: without limit)")
	cmd.Flags().BoolVar(&o.now, "now", false, "without grace: end running jobs at once")
	return cmd
}

func (o *workerStopOptions) run(cmd *cobra.Command) error {
	return o.on(cmd, func(s *spool.Spool) error {
		pools, err := s.Pools()
		if err != nil {
			return err
		}
		if len(pools) == 0 {
			o.say(cmd, "no worker runs")
			return nil
		}
		for _, p := range pools {
			if err := s.RequestStop(p.Name, o.now); err != nil {
				return err
			}
			if p.Busy > 0 && !o.now {
				o.say(cmd, "%s ends %s first", p.Name, plural(p.Busy, "running job", "running jobs"))
			}
		}
		ctx := cmd.Context()
		if cmd.Flags().Changed("timeout") { // 0: it only looks
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, time.Duration(o.timeout))
			defer cancel()
		}
		return o.await(ctx, s, pools)
	})
}

// await waits until the pools are gone and names each.
func (o *workerStopOptions) await(ctx context.Context, s *spool.Spool, pools []spool.PoolInfo) error {
	var left []string
	for _, p := range pools {
		err := s.AwaitPool(ctx, p.Name)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			left = append(left, p.Name)
		case err != nil:
			return err
		default:
			fmt.Fprintln(o.Out, escape(p.Name), "stopped")
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("after %s still there: %s; they stop when their jobs have ended (--now hurries them)",
			spool.FormatDuration(time.Duration(o.timeout)), strings.Join(left, ", "))
	}
	return nil
}
