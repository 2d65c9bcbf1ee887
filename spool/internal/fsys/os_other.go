//go:build unix && !linux

package fsys

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// syncfs does not exist here; sync(2) starts a sync of all file systems, and
// the sync of our own directory that follows waits for its journal.
func syncfs(fd int) error {
	if err := unix.Sync(); err != nil {
		return err
	}
	return fsync(fd)
}

func noWriter(int) (bool, error) { return false, errors.ErrUnsupported }

// OpenPlain looks first. What is exchanged in that moment is opened, but never
// waited for, and whoever reads it looks again.
func (o *OS) OpenPlain(path string, flag int) (File, error) {
	info, err := o.Lstat(path)
	if err != nil {
		return nil, err
	}
	if err := NotPlain(info.Mode); err != nil {
		return nil, &os.PathError{Op: "open", Path: filepath.Join(o.dir, path), Err: err}
	}
	return o.Open(path, flag)
}

func sole(int) (bool, error) { return false, errors.ErrUnsupported }

// HasACL is not looked at here.
func HasACL(string) bool { return false }

// HasACL is not looked at here.
func (o *OS) HasACL(string) bool { return false }

func syncsNames(int) bool { return false }

func syncsTogether(int) bool { return false }

// Subdirs is not known here.
func (o *OS) Subdirs(string) (n int, known bool) { return 0, false }

func (o *OS) syncTogether(files []File, dirs []string) error { return SyncEach(o, files, dirs) }

// Network cannot be told apart here; the slow scan finds what no event tells.
func (o *OS) Network() bool { return false }
