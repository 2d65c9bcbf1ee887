//go:build unix && !linux && !darwin

package fsys

import (
	"errors"

	"golang.org/x/sys/unix"
)

func renameNoReplace(int, string, int, string) error { return errors.ErrUnsupported }

func fsync(fd int) error { return unix.Fsync(fd) }
