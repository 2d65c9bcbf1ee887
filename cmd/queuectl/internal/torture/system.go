//go:build !windows

package torture

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// A system is the operations that are probed. Tests put in one that lies.
type system struct {
	rename    func(from, to string) error
	link      func(from, to string) error
	noReplace func(from, to string) error // errors.ErrUnsupported where there is none
	tryLock   func(*os.File) (bool, error)
	syncDir   func(dir string) error
}

var real = system{
	rename:    os.Rename,
	link:      os.Link,
	noReplace: noReplace,
	tryLock:   tryLock,
	syncDir:   syncDir,
}

// tryLock takes the exclusive lock that queuectl uses; false where it is held.
func tryLock(f *os.File) (bool, error) {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
