//go:build !windows

package main

import "github.com/spf13/cobra"

func newWorker(c *cli) *cobra.Command {
	return family("worker", "Start, stop and list the processes that run jobs",
		`Start, stop and list pools: processes that run jobs. Any number of them may work
on one spool; they may be started, stopped and killed at any moment.`,
		newWorkerStart(c), newWorkerStop(c), newWorkerList(c))
}
