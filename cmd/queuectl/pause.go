//go:build !windows

package main

import (
	"github.com/spf13/cobra"

	"queuectl/spool"
)

func newPause(c *cli) *cobra.Command {
	return switchCmd(c, "pause", "Start nothing new until resumed",
		`Start nothing new until "queuectl resume". What runs goes on, and jobs can be
enqueued as always.`, (*spool.Spool).Pause)
}

func newResume(c *cli) *cobra.Command {
	return switchCmd(c, "resume", "End a pause", "", (*spool.Spool).Resume)
}

func switchCmd(c *cli, use, short, long string, do func(*spool.Spool) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, Args: noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return c.on(cmd, do) },
	}
}
