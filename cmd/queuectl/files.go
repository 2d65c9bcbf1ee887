//go:build !windows

package main

import (
	"os"
	"strconv"
	"syscall"
)

// keepFiles has no process that is started from now on, neither a worker in the
// background nor a job, inherit what our caller had open: the lock of a script,
// say.
func keepFiles() {
	open, err := os.ReadDir("/dev/fd")
	if err != nil {
		return
	}
	for _, f := range open {
		if fd, err := strconv.Atoi(f.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}
