//go:build !windows

package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"queuectl/spool"
)

type workerListOptions struct {
	*cli
	json bool
}

func newWorkerList(c *cli) *cobra.Command {
	o := &workerListOptions{cli: c}
	cmd := &cobra.Command{
		Use:               "list",
		Short:             "List the pools that are alive",
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	jsonFlag(cmd, &o.json, "one JSON object per pool and line")
	return cmd
}

func (o *workerListOptions) run(cmd *cobra.Command) error {
	return o.look(cmd, func(s *spool.Spool) error {
		pools, err := s.Pools()
		if err != nil {
			return err
		}
		if o.json {
			return lines(o.Out, func(w io.Writer) error {
				for _, p := range pools {
					if err := writeJSON(w, p); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if len(pools) == 0 {
			o.say(cmd, `no worker runs; "queuectl worker start" starts one`)
			return nil
		}
		t := o.table()
		t.head("POOL", "PID", "BUSY", "STARTED")
		for _, p := range pools {
			t.row(poolRow(p, o.Now())...)
		}
		return t.flush()
	})
}

func poolRow(p spool.PoolInfo, now time.Time) []string {
	started := when(p.StartedAt.Time, now)
	if p.Stopping {
		started += ", stopping"
	}
	return []string{p.Name, fmt.Sprint(p.PID), fmt.Sprintf("%d/%d", p.Busy, p.Slots), started}
}
