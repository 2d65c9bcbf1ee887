//go:build !windows

package main

import (
	"github.com/spf13/cobra"

	"queuectl/spool"
)

func newCancel(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel ID…",
		Short: "Give jobs up",
		Long: `Give jobs up: they end in the dead letter queue, with the outcome "cancelled".
One that waits is dead at once. One that runs gets SIGTERM, and SIGKILL 5 seconds
later, from its pool. Where that pool is dead and a process of the job still
lives, it takes effect when that process has ended.`,
		Args:              someIDs,
		ValidArgsFunction: c.completeIDs(spool.Pending, spool.Processing, spool.Failed, spool.Held),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return c.on(cmd, func(s *spool.Spool) error {
				return c.each(cmd, s, ids, func(id string) error { return c.cancel(cmd, s, id) })
			})
		},
	}
}

func (c *cli) cancel(cmd *cobra.Command, s *spool.Spool, id string) error {
	rep, err := s.Cancel(cmd.Context(), id)
	if err != nil {
		return err
	}
	how := "is cancelled"
	switch {
	case rep.Waiting != nil:
		how = "is cancelled when its last process has ended: " + waitText(rep.Waiting.Reason, rep.Waiting.PID)
	case rep.Requested:
		how = "runs; its worker was asked to end it"
	}
	return c.did(id, how)
}
