//go:build !windows

package main

import (
	"github.com/spf13/cobra"

	"queuectl/spool"
)

func newDelete(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:               "delete ID…",
		Short:             "Remove jobs with their logs",
		Long:              `Remove jobs with their logs. A job that runs is refused: cancel it first.`,
		Args:              someIDs,
		ValidArgsFunction: c.completeIDs(spool.Pending, spool.Failed, spool.Completed, spool.Dead, spool.Held),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return c.on(cmd, func(s *spool.Spool) error {
				return c.each(cmd, s, ids, func(id string) error { return c.remove(cmd, s, id) })
			})
		},
	}
}

// remove removes a job.
func (c *cli) remove(cmd *cobra.Command, s *spool.Spool, id string) error {
	if err := s.Delete(cmd.Context(), id); err != nil {
		return err
	}
	return c.did(id, "is deleted")
}
