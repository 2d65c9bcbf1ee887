//go:build unix && !linux

package spool

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"queuectl/spool/internal/fsys"
)

// bootID is the time of the boot, which no two boots of a host share.
func bootID() string {
	tv, err := unix.SysctlTimeval("kern.boottime")
	if err != nil {
		return ""
	}
	return strconv.FormatInt(int64(tv.Sec), 10) //nolint:unconvert // differs by system
}

// pidNamespace: every process of such a host sees the same pids.
func pidNamespace() string { return "host" }

func processStart(int) uint64 { return 0 }

// groupAlive asks with the null signal. A group of nothing but zombies counts
// as alive until they are reaped.
func groupAlive(pid int, _ uint64) bool {
	return pid > 1 && !errors.Is(unix.Kill(-pid, 0), unix.ESRCH)
}

// holder cannot be told here.
func holder(fsys.Info) int { return 0 }
