//go:build !windows

// Command queuectl works a job queue whose only store is a directory.
//
// This package reads flags and writes text. All that is a queue is in the
// packages spool and runner: whatever this command does, a Go program can do.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(int(run(context.Background(), system(), os.Args[1:])))
}
