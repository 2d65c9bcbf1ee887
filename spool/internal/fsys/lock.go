//go:build unix

package fsys

import (
	"errors"
	"os"
	"syscall"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"
)

// Lock opens a path to be locked. The file is never created: an empty file
// under a name that was just moved away would be worse than none.
func (o *OS) Lock(path string) (Lock, error) {
	info, err := o.Lstat(path)
	if err != nil {
		return nil, err
	}
	if err := NotPlain(info.Mode); err != nil {
		return nil, &os.PathError{Op: "lock", Path: o.abs(path), Err: err}
	}
	return &osLock{lockOf(o.abs(path), unix.O_RDWR), o, path}, nil
}

func lockOf(path string, access int) *flock.Flock {
	return flock.New(path, flock.SetFlag(access|unix.O_NOFOLLOW|unix.O_NONBLOCK))
}

type osLock struct {
	f    *flock.Flock
	o    *OS
	path string
}

func (l *osLock) TryLock() (bool, error) { return l.try((*flock.Flock).TryLock) }

func (l *osLock) TryRLock() (bool, error) { return l.try((*flock.Flock).TryRLock) }

// try asks for a lock. Network file systems want the file open for writing for
// that; where that is not allowed, to read it will do.
func (l *osLock) try(lock func(*flock.Flock) (bool, error)) (ok bool, err error) {
	ask := func() (err error) { ok, err = lock(l.f); return err }
	if err = retry(ask); errors.Is(err, unix.EACCES) || errors.Is(err, unix.EROFS) {
		_ = l.f.Close()
		l.f = lockOf(l.f.Path(), unix.O_RDONLY)
		err = retry(ask)
	}
	return ok, l.here(err)
}

func (l *osLock) RLock() error { return l.here(retry(l.f.RLock)) }

func (l *osLock) Close() error { return l.f.Close() }

// here tells a file that is gone from one that was moved with the whole tree:
// the lock is taken by a path, and all else by handles. An error of the lock
// itself comes without the path.
func (l *osLock) here(err error) error {
	if errors.Is(err, unix.ENOENT) {
		if _, still := l.o.Lstat(l.path); still == nil {
			err = unix.ESTALE
		}
	}
	if _, bare := err.(syscall.Errno); bare { // nothing has wrapped it
		return &os.PathError{Op: "lock", Path: l.o.abs(l.path), Err: err}
	}
	return err
}
