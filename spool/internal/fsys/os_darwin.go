package fsys

import (
	"errors"

	"golang.org/x/sys/unix"
)

func renameNoReplace(ofd int, oname string, nfd int, nname string) error {
	return unix.RenameatxNp(ofd, oname, nfd, nname, unix.RENAME_EXCL)
}

// fsync asks the drive as well: macOS' fsync(2) stops at the drive's cache.
func fsync(fd int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_FULLFSYNC, 0)
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) {
		return unix.Fsync(fd)
	}
	return err
}
