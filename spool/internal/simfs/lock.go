package simfs

import (
	"os"

	"queuectl/spool/internal/fsys"
)

type lockKind int

const (
	unlocked lockKind = iota
	shared
	exclusive
)

// free reports whether no lock stands against this one. The description itself
// must be unlocked.
func (of *description) free(want lockKind) bool {
	for _, o := range of.ino.open {
		if o.lock != unlocked && (want == exclusive || o.lock == exclusive) {
			return false
		}
	}
	return true
}

// tryLock is flock(2) with LOCK_NB. A change from one kind to the other gives
// the first one up before it asks for the second, and has neither where that
// is refused.
func (d *Disk) tryLock(of *description, want lockKind) bool {
	if of.lock == want {
		return true
	}
	d.unlock(of)
	if !of.free(want) {
		return false
	}
	of.lock = want
	return true
}

func (d *Disk) unlock(of *description) {
	if of.lock != unlocked {
		of.lock = unlocked
		d.changed.Broadcast()
	}
}

// TryLock takes the exclusive lock.
func (f *file) TryLock() error {
	held := false
	err := f.on("lock", func(of *description) error {
		held = !f.p.disk.tryLock(of, exclusive)
		return nil
	})
	if held {
		return fsys.ErrWouldBlock
	}
	return err
}

// Unlock frees the lock for all who share the description.
func (f *file) Unlock() error {
	return f.on("unlock", func(of *description) error {
		f.p.disk.unlock(of)
		return nil
	})
}

// A pathLock opens its file when a lock is first asked for and closes it when
// it was refused, as gofrs/flock does: whatever has the path at that moment is
// locked, and there are two steps between which it can be moved.
type pathLock struct {
	p    *Process
	path string
	f    *file
	// What was asked for and granted. As in gofrs/flock, asking for the other
	// kind as well does not forget the first.
	alone, shared bool
}

var _ fsys.Lock = (*pathLock)(nil)

// Lock makes a lock for a path, which must exist.
func (p *Process) Lock(path string) (fsys.Lock, error) {
	info, err := p.Lstat(path)
	if err == nil {
		err = pathError("lock", path, fsys.NotPlain(info.Mode))
	}
	if err != nil {
		return nil, err
	}
	return &pathLock{p: p, path: path}, nil
}

func (l *pathLock) open() error {
	if l.f != nil {
		return nil
	}
	return pathError("open", l.path, l.p.step("lockopen", l.path, "", func() (err error) {
		l.f, err = l.p.open(l.path, os.O_RDWR)
		return err
	}))
}

// try takes a lock of one kind unless got says that it has been taken before.
func (l *pathLock) try(op string, want lockKind, got *bool) (bool, error) {
	if *got {
		return true, nil
	}
	if err := l.open(); err != nil {
		return false, err
	}
	err := l.p.step(op, l.path, "", func() error {
		*got = l.p.disk.tryLock(l.f.of, want)
		l.p.saw(yes(*got))
		if !l.alone && !l.shared {
			l.drop()
		}
		return nil
	})
	return *got, err
}

func (l *pathLock) drop() {
	l.f.drop()
	l.f = nil
}

// TryLock takes the lock alone.
func (l *pathLock) TryLock() (bool, error) { return l.try("locktry", exclusive, &l.alone) }

// TryRLock takes the lock shared.
func (l *pathLock) TryRLock() (bool, error) { return l.try("locktryshared", shared, &l.shared) }

// RLock waits for the shared lock.
func (l *pathLock) RLock() error {
	if l.shared {
		return nil
	}
	if err := l.open(); err != nil {
		return err
	}
	err := l.p.step("lockwait", l.path, "", func() error {
		l.p.disk.unlock(l.f.of)
		return nil
	})
	if err != nil {
		return err
	}
	of := l.f.of
	l.p.await("the lock of "+l.path, func() bool { return of.free(shared) })
	defer l.p.disk.mu.Unlock()
	l.shared = l.p.disk.tryLock(of, shared)
	return nil
}

// Close frees the lock.
func (l *pathLock) Close() error {
	return l.p.on("lockclose", l.path, func() error {
		if l.f != nil {
			l.p.disk.unlock(l.f.of)
			l.drop()
		}
		l.alone, l.shared = false, false
		return nil
	})
}
