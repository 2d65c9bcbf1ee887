package simfs

import (
	"cmp"
	"hash/fnv"
	"io/fs"
	"slices"
	"strings"
	"syscall"
)

// What follows are the operations on names themselves, as the kernel does
// them. They return errno values, and are called with the disk locked.

// parent finds the directory of a path's last element.
func (d *Disk) parent(path string) (dir *inode, name string, err error) {
	dir = d.inodes[root]
	for {
		elem, rest, more := strings.Cut(path, "/")
		if len(elem) > maxName {
			return nil, "", syscall.ENAMETOOLONG
		}
		if !more {
			return dir, elem, nil
		}
		dir = d.child(dir, elem)
		switch {
		case dir == nil:
			return nil, "", syscall.ENOENT
		case !dir.isDir():
			return nil, "", syscall.ENOTDIR
		}
		path = rest
	}
}

// child is what has a name in a directory, or nil.
func (d *Disk) child(dir *inode, name string) *inode {
	if name == "." {
		return dir
	}
	return d.inodes[dir.names[name]] // slot 0 is nil
}

// find is what a path names.
func (d *Disk) find(path string) (*inode, error) {
	dir, name, err := d.parent(path)
	if err != nil {
		return nil, err
	}
	if n := d.child(dir, name); n != nil {
		return n, nil
	}
	return nil, syscall.ENOENT
}

// findDir is find for directories only.
func (d *Disk) findDir(path string) (*inode, error) {
	n, err := d.find(path)
	if err == nil && !n.isDir() {
		return nil, syscall.ENOTDIR
	}
	return n, err
}

func (d *Disk) writable() error {
	if d.space.ReadOnly {
		return syscall.EROFS
	}
	return nil
}

// create makes a new inode under a name that must be free.
func (d *Disk) create(path string, mode fs.FileMode) (*inode, error) {
	dir, name, err := d.parent(path)
	switch {
	case err != nil:
		return nil, err
	case d.child(dir, name) != nil:
		return nil, syscall.EEXIST
	case d.writable() != nil:
		return nil, d.writable()
	case d.space.TotalFiles > 0 && d.space.FreeFiles == 0:
		return nil, syscall.ENOSPC
	}
	n := d.newInode(mode)
	n.nlink = 1
	if n.isDir() {
		n.parent = dir
	}
	d.space.FreeFiles -= min(d.space.FreeFiles, 1)
	d.change(edit{dir.ino, name, n.ino})
	return n, nil
}

func (d *Disk) mkdir(path string) error {
	_, err := d.create(path, fs.ModeDir|0o700)
	return err
}

func (d *Disk) link(from, to string) error {
	n, err := d.find(from)
	if err != nil {
		return err
	}
	dir, name, err := d.parent(to)
	switch {
	case err != nil:
		return err
	case d.child(dir, name) != nil:
		return syscall.EEXIST
	case d.writable() != nil:
		return d.writable()
	case n.isDir():
		return syscall.EPERM
	}
	n.nlink++
	d.change(edit{dir.ino, name, n.ino})
	return nil
}

func (d *Disk) rename(from, to string, replace bool) error {
	fdir, fname, err := d.parent(from)
	if err != nil {
		return err
	}
	tdir, tname, err := d.parent(to)
	if err != nil {
		return err
	}
	if fname == "." || tname == "." {
		return syscall.EBUSY
	}
	if err := d.writable(); err != nil {
		return err
	}
	n, old := d.child(fdir, fname), d.child(tdir, tname)
	switch {
	case n == nil:
		return syscall.ENOENT
	case old != nil && !replace:
		return syscall.EEXIST
	case tdir.within(n):
		return syscall.EINVAL
	case old == n:
		return nil // POSIX: two names of one inode, both stay
	case old != nil:
		if err := replaceable(n, old, fdir); err != nil {
			return err
		}
		old.nlink--
	}
	if n.isDir() {
		n.parent = tdir
	}
	d.change(edit{fdir.ino, fname, 0}, edit{tdir.ino, tname, n.ino})
	return nil
}

// within reports whether dir is anc or below it.
func (dir *inode) within(anc *inode) bool {
	for ; dir != nil; dir = dir.parent {
		if dir == anc {
			return true
		}
	}
	return false
}

// replaceable says whether n, from fdir, may take the place of old.
func replaceable(n, old, fdir *inode) error {
	switch {
	case fdir.within(old):
		return syscall.ENOTEMPTY
	case n.isDir() && !old.isDir():
		return syscall.ENOTDIR
	case !n.isDir() && old.isDir():
		return syscall.EISDIR
	case len(old.names) > 0:
		return syscall.ENOTEMPTY
	}
	return nil
}

func (d *Disk) unlink(path string) error {
	dir, name, err := d.parent(path)
	if err != nil {
		return err
	}
	if err := d.writable(); err != nil {
		return err
	}
	switch n := d.child(dir, name); {
	case n == nil:
		return syscall.ENOENT
	case n.isDir():
		return syscall.EISDIR
	default:
		n.nlink--
	}
	d.change(edit{dir.ino, name, 0})
	return nil
}

func (d *Disk) rmdir(path string) error {
	dir, name, err := d.parent(path)
	if err != nil {
		return err
	}
	if err := d.writable(); err != nil {
		return err
	}
	switch n := d.child(dir, name); {
	case n == nil:
		return syscall.ENOENT
	case name == ".":
		return syscall.EINVAL
	case !n.isDir():
		return syscall.ENOTDIR
	case len(n.names) > 0:
		return syscall.ENOTEMPTY
	default:
		n.nlink = 0
	}
	d.change(edit{dir.ino, name, 0})
	return nil
}

// list returns a directory's names in an order that looks like none but is
// always the same, as that of hashed directories.
func (d *Disk) list(path string) ([]string, error) {
	dir, err := d.findDir(path)
	if err != nil {
		return nil, err
	}
	type entry struct {
		hash uint32
		name string
	}
	entries := make([]entry, 0, len(dir.names))
	for name := range dir.names {
		h := fnv.New32a()
		_, _ = h.Write([]byte(name))
		entries = append(entries, entry{h.Sum32(), name})
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), strings.Compare(a.name, b.name))
	})
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.name
	}
	return names, nil
}
