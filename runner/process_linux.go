package runner

import (
	"errors"

	"golang.org/x/sys/unix"
)

// awaitEnd returns when a child has ended, and leaves it a zombie. It reports
// whether it could do that.
func awaitEnd(pid int) bool {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
}
