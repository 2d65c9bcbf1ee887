package simfs

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"queuectl/spool/internal/fsys"
)

// What a person, or a program that knows nothing of the queue, does to the
// files. None of it is a step; what it changes is as unsynced as anything.

// person does something by hand.
func (d *Disk) person(op, path string, f func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.actor = nil
	d.tick()
	return pathError(op, path, f())
}

// Write makes a file, or gives the one that is there new content, as the
// shell's > does.
func (d *Disk) Write(path string, data []byte) error {
	return d.person("write", path, func() error { return d.put(path, data) })
}

// put is Write with the disk locked.
func (d *Disk) put(path string, data []byte) error {
	n, err := d.find(path)
	if errors.Is(err, syscall.ENOENT) {
		n, err = d.create(path, 0o600)
	}
	if err == nil {
		err = d.openable(n, os.O_RDWR)
	}
	if err == nil {
		d.setData(n, slices.Clone(data))
	}
	return err
}

// Read returns a file's content.
func (d *Disk) Read(path string) (data []byte, err error) {
	err = d.person("read", path, func() error {
		n, err := d.find(path)
		if err == nil {
			data = slices.Clone(n.data)
		}
		return err
	})
	return data, err
}

// Stat tells about a name without following links.
func (d *Disk) Stat(path string) (info fsys.Info, err error) {
	err = d.person("stat", path, func() error {
		n, err := d.find(path)
		if err == nil {
			info = d.info(n)
		}
		return err
	})
	return info, err
}

// Names lists a directory in the order of names; nothing where there is none.
func (d *Disk) Names(path string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, err := d.findDir(path)
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(dir.names))
}

// Rename is mv without a check: it replaces.
func (d *Disk) Rename(from, to string) error {
	return d.person("rename", from, func() error { return d.rename(from, to, true) })
}

// Link is ln.
func (d *Disk) Link(from, to string) error {
	return d.person("link", from, func() error { return d.link(from, to) })
}

// Mkdir is mkdir -p.
func (d *Disk) Mkdir(path string) error {
	return d.person("mkdir", path, func() error {
		for i := range path + "/" {
			if i < len(path) && path[i] != '/' {
				continue
			}
			if err := d.mkdir(path[:i]); err != nil && !errors.Is(err, syscall.EEXIST) {
				return err
			}
		}
		return nil
	})
}

// Remove is rm -r.
func (d *Disk) Remove(path string) error {
	return d.person("remove", path, func() error { return d.remove(path) })
}

func (d *Disk) remove(path string) error {
	n, err := d.find(path)
	if err != nil {
		return err
	}
	if !n.isDir() {
		return d.unlink(path)
	}
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		if err := d.remove(path + "/" + name); err != nil {
			return err
		}
	}
	return d.rmdir(path)
}

// Copy is cp -r: new inodes, hard links not kept.
func (d *Disk) Copy(from, to string) error {
	return d.person("copy", from, func() error { return d.copy(from, to) })
}

func (d *Disk) copy(from, to string) error {
	n, err := d.find(from)
	if err != nil {
		return err
	}
	if !n.isDir() {
		return d.put(to, n.data)
	}
	names := slices.Sorted(maps.Keys(n.names)) // before the copy is among them
	if err := d.mkdir(to); err != nil && !errors.Is(err, syscall.EEXIST) {
		return err
	}
	for _, name := range names {
		if err := d.copy(strings.TrimPrefix(from+"/"+name, "./"), to+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

// Plant makes something odd: a symbolic link (fs.ModeSymlink, target being
// where it leads), a FIFO (fs.ModeNamedPipe) or a socket (fs.ModeSocket).
func (d *Disk) Plant(path string, mode fs.FileMode, target string) error {
	return d.person("plant", path, func() error {
		if mode&fs.ModeSymlink != 0 {
			mode |= 0o777
		} else {
			mode |= 0o600
		}
		n, err := d.create(path, mode)
		if err == nil {
			n.data = []byte(target)
		}
		return err
	})
}

// Chmod sets the permission bits.
func (d *Disk) Chmod(path string, mode fs.FileMode) error {
	return d.alter("chmod", path, func(n *inode) { n.mode = n.mode&fs.ModeType | mode })
}

// Chown sets the owner.
func (d *Disk) Chown(path string, uid, gid uint32) error {
	return d.alter("chown", path, func(n *inode) { n.uid, n.gid = uid, gid })
}

// SetMtime sets the time of the last change.
func (d *Disk) SetMtime(path string, t time.Time) error {
	return d.alter("utime", path, func(n *inode) { n.mtime = t })
}

// SetDirSize makes a directory look big.
func (d *Disk) SetDirSize(path string, size int64) error {
	return d.alter("size", path, func(n *inode) { n.size = size })
}

func (d *Disk) alter(op, path string, f func(*inode)) error {
	return d.person(op, path, func() error {
		n, err := d.find(path)
		if err == nil {
			f(n)
		}
		return err
	})
}
