//go:build !windows

package main

import (
	"errors"

	"github.com/spf13/cobra"

	"queuectl/spool"
)

type recoverOptions struct {
	*cli
	force string
}

func newRecover(c *cli) *cobra.Command {
	o := &recoverOptions{cli: c}
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Take over what killed workers left behind",
		Long: `Take over what killed workers left behind. Pools do this by themselves; without
one it is done here.

A job of which a process still lives is left alone: it would run twice. With
--force it is not: that process is left behind, and the job may run again.`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	cmd.Flags().StringVar(&o.force, "force", "", "no longer wait for the process that job `ID` left behind")
	_ = cmd.RegisterFlagCompletionFunc("force", c.completeIDs(spool.Processing))
	return cmd
}

func (o *recoverOptions) run(cmd *cobra.Command) error {
	return o.on(cmd, func(s *spool.Spool) error {
		if cmd.Flags().Changed("force") {
			return o.each(cmd, s, []string{o.force}, func(id string) error {
				if err := s.ForceRecover(cmd.Context(), id); err != nil {
					return err
				}
				return o.did(id, "is recovered")
			})
		}
		rep, err := s.Recover(cmd.Context())
		for _, id := range rep.Recovered {
			err = errors.Join(err, o.did(id, "is recovered"))
		}
		for _, p := range rep.Waiting {
			o.say(cmd, "%s waits: %s", p.ID, waitText(p.Reason, p.PID))
		}
		if rep.Rolled > 0 {
			o.say(cmd, "%s finished or undone", plural(rep.Rolled, "half-made change", "half-made changes"))
		}
		if err == nil && len(rep.Recovered)+len(rep.Waiting)+rep.Rolled == 0 {
			o.say(cmd, "nothing to recover")
		}
		return err
	})
}
