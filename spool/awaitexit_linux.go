package spool

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// awaitExit returns when the process pid, which started at start, has ended.
// It sleeps in poll(2) on a pidfd and on a pipe that ctx closes.
func awaitExit(ctx context.Context, pid int, start uint64) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return errors.ErrUnsupported
	}
	defer unix.Close(fd)
	if processStart(pid) != start {
		return nil // its number is somebody else's now
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	stop := context.AfterFunc(ctx, func() { _ = w.Close() })
	defer func() {
		if stop() {
			_ = w.Close()
		}
	}()
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(r.Fd()), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if fds[0].Revents != 0 {
			return nil
		}
		return context.Cause(ctx)
	}
}
