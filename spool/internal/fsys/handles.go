//go:build unix

package fsys

import (
	"errors"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// at splits a path into the handle of its top-level directory and the rest.
func (o *OS) at(path string) (fd int, rest string, err error) {
	top, rest, found := strings.Cut(path, "/")
	if upwards(path) {
		return -1, "", unix.EINVAL
	}
	if !found {
		return o.root, path, nil
	}
	sub := subOf(path)
	o.mu.RLock()
	fd, ok := o.dirs[top]
	_, seen := o.below[sub]
	o.mu.RUnlock()
	if !ok {
		fd, err = o.reopen(top, -1)
	}
	if err == nil && sub != "" && !seen {
		err = o.look(fd, sub)
	}
	return fd, rest, err
}

// abs is the whole of a path that is clean, as all paths here are.
func (o *OS) abs(path string) string {
	if path == "." {
		return o.dir
	}
	return o.dir + "/" + path
}

// upwards reports whether a path would leave the directory: no path that is
// made here does, but some stand in files.
func upwards(path string) bool {
	if !strings.Contains(path, "..") {
		return strings.HasPrefix(path, "/")
	}
	return strings.HasPrefix(path, "/") || slices.Contains(strings.Split(path, "/"), "..")
}

// subOf is the directory in a top-level one that a path leads through, such as
// "ids/2a"; "" where there is none, and in tmp, where they are many, come and
// go, and are proved by their locks.
func subOf(path string) string {
	end := strings.LastIndexByte(path, '/')
	if end <= strings.IndexByte(path, '/') || strings.HasPrefix(path, "tmp/") {
		return ""
	}
	return path[:end]
}

// look makes sure that a sub-directory is one and no symbolic link. What can be
// put in its place later is for Refresh to find.
func (o *OS) look(fd int, sub string) error {
	var st unix.Stat_t
	_, name, _ := strings.Cut(sub, "/")
	if err := retry(func() error { return unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return unix.ENOTDIR
	}
	o.mu.Lock()
	o.below[sub] = struct{}{}
	o.mu.Unlock()
	return nil
}

// reopen opens a top-level directory again if the handle is still stale.
func (o *OS) reopen(top string, stale int) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if fd, ok := o.dirs[top]; ok && fd != stale {
		return fd, nil
	}
	fd, err := openRetry(o.root, top, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if stale >= 0 {
		// Another goroutine may be inside a call with it: keep it open.
		o.old = append(o.old, stale)
	}
	o.dirs[top] = fd
	return fd, nil
}

// gone reports whether ENOENT came from a handle whose directory was removed,
// and if so opens the directory that now has its name.
func (o *OS) gone(err error, path string) bool {
	if !errors.Is(err, unix.ENOENT) {
		return false
	}
	top, _, found := strings.Cut(path, "/")
	if !found {
		return false
	}
	o.mu.RLock()
	fd, ok := o.dirs[top]
	o.mu.RUnlock()
	var st unix.Stat_t
	if !ok || unix.Fstat(fd, &st) != nil || st.Nlink != 0 {
		return false
	}
	_, err = o.reopen(top, fd)
	return err == nil
}

// Moved looks what the path means now. An error that says nothing of it (a
// server that does not answer) is no move.
func (o *OS) Moved() bool {
	var st unix.Stat_t
	err := retry(func() error { return unix.Stat(o.dir, &st) })
	if err != nil {
		return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)
	}
	return !info(&st).Same(o.self)
}

// Refresh compares every handle with its name, and has sub-directories looked
// at again.
func (o *OS) Refresh() {
	if o.use() != nil {
		return
	}
	defer o.life.RUnlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.below)
	for top, fd := range o.dirs {
		var held, now unix.Stat_t
		if unix.Fstat(fd, &held) != nil {
			continue
		}
		err := retry(func() error { return unix.Fstatat(o.root, top, &now, unix.AT_SYMLINK_NOFOLLOW) })
		if errors.Is(err, unix.ENOENT) || err == nil && !info(&now).Same(info(&held)) {
			o.old = append(o.old, fd) // as in reopen
			delete(o.dirs, top)
		}
	}
}

// do runs an operation on one path.
func (o *OS) do(op, path string, f func(fd int, name string) error) error {
	if err := o.use(); err != nil {
		return &os.PathError{Op: op, Path: o.abs(path), Err: err}
	}
	defer o.life.RUnlock()
	for range 2 {
		fd, name, err := o.at(path)
		if err == nil {
			err = retry(func() error { return f(fd, name) })
		}
		if err == nil {
			return nil
		}
		if !o.gone(err, path) {
			return &os.PathError{Op: op, Path: o.abs(path), Err: err}
		}
	}
	return &os.PathError{Op: op, Path: o.abs(path), Err: unix.ENOENT}
}

// do2 runs an operation on two paths.
func (o *OS) do2(op, oldpath, newpath string, f func(ofd int, oname string, nfd int, nname string) error) error {
	err := o.use()
	if err != nil {
		return &os.LinkError{Op: op, Old: o.abs(oldpath), New: o.abs(newpath), Err: err}
	}
	defer o.life.RUnlock()
	for range 2 {
		var ofd, nfd int
		var oname, nname string
		ofd, oname, err = o.at(oldpath)
		if err == nil {
			nfd, nname, err = o.at(newpath)
		}
		if err == nil {
			err = retry(func() error { return f(ofd, oname, nfd, nname) })
		}
		if err == nil {
			return nil
		}
		if !o.gone(err, newpath) && !o.gone(err, oldpath) {
			break
		}
	}
	return &os.LinkError{Op: op, Old: o.abs(oldpath), New: o.abs(newpath), Err: err}
}
