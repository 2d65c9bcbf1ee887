//go:build !windows

package main

import (
	"github.com/spf13/cobra"

	"queuectl/spool"
)

type retryOptions struct {
	*cli
	all bool
}

func newRetry(c *cli) *cobra.Command {
	o := &retryOptions{cli: c}
	cmd := &cobra.Command{
		Use:   "retry {ID… | --all}",
		Short: "Run jobs again, now",
		Long: `Run jobs again, now and with all their retries: those that failed and wait, that
are dead, completed or held. --all means the failed and the dead ones.`,
		DisableFlagsInUseLine: true,
		Args:                  idsOr(&o.all),
		ValidArgsFunction:     c.completeIDs(spool.Failed, spool.Dead, spool.Completed, spool.Held),
		RunE:                  func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) },
	}
	cmd.Flags().BoolVar(&o.all, "all", false, "all jobs that failed or are dead")
	return cmd
}

func (o *retryOptions) run(cmd *cobra.Command, ids []string) error {
	return o.on(cmd, func(s *spool.Spool) error {
		retry := func(id string) error { return o.retry(cmd, s, id) }
		if o.all {
			return o.cli.all(cmd, s, []spool.State{spool.Failed, spool.Dead}, "no job has failed", retry)
		}
		return o.each(cmd, s, ids, retry)
	})
}

// retry puts a job back in line.
func (c *cli) retry(cmd *cobra.Command, s *spool.Spool, id string) error {
	if err := s.Retry(cmd.Context(), id); err != nil {
		return err
	}
	return c.did(id, "is pending")
}
