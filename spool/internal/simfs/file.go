package simfs

import (
	"errors"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"queuectl/spool/internal/fsys"
)

// A description is an open file description: what open(2) makes and what
// processes share when one inherits from the other. The lock belongs to it.
type description struct {
	ino   *inode
	flag  int
	pos   int64
	files []*file // the descriptors that share it
	lock  lockKind
}

// A file is one process's descriptor.
type file struct {
	p    *Process
	of   *description // nil once closed
	path string
}

var _ fsys.File = (*file)(nil)

// Open opens a file or directory.
func (p *Process) Open(path string, flag int) (fsys.File, error) {
	var f *file
	err := p.on("open", path, func() (err error) {
		f, err = p.open(path, flag)
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// OpenPlain opens an existing plain file.
func (p *Process) OpenPlain(path string, flag int) (fsys.File, error) {
	var f *file
	err := p.on("open", path, func() (err error) {
		n, err := p.disk.find(path)
		if err == nil {
			err = fsys.NotPlain(n.mode)
		}
		if err == nil {
			f, err = p.open(path, flag)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (p *Process) open(path string, flag int) (*file, error) {
	d := p.disk
	n, err := d.find(path)
	switch {
	case err == nil && flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0:
		err = syscall.EEXIST
	case err == nil:
		err = d.openable(n, flag)
	case errors.Is(err, syscall.ENOENT) && flag&os.O_CREATE != 0:
		n, err = d.create(path, 0o600)
	}
	if err != nil {
		return nil, err
	}
	p.saw(n.label)
	of := &description{ino: n, flag: flag}
	n.open = append(n.open, of)
	return p.descriptor(of, path), nil
}

// openable says whether what is there may be opened so.
func (d *Disk) openable(n *inode, flag int) error {
	writing := flag&(os.O_WRONLY|os.O_RDWR) != 0
	switch {
	case n.isSymlink():
		return syscall.ELOOP // as with O_NOFOLLOW
	case n.isDir() && (writing || flag&os.O_CREATE != 0):
		return syscall.EISDIR
	case n.mode&fs.ModeNamedPipe != 0 && flag&os.O_WRONLY != 0 && !slices.ContainsFunc(n.open, (*description).reads):
		return syscall.ENXIO // as with O_NONBLOCK
	case n.mode&fs.ModeSocket != 0:
		return syscall.ENXIO
	case writing && n.mode.IsRegular():
		return d.writable()
	}
	return nil
}

func (p *Process) descriptor(of *description, path string) *file {
	f := &file{p: p, of: of, path: path}
	of.files = append(of.files, f)
	p.files[f] = struct{}{}
	return f
}

// Inherit gives a child the description of an open file, as fork or a passed
// descriptor does: its lock stays until both have closed it, or until one of
// them unlocks it. It is no step of its own.
func (p *Process) Inherit(f fsys.File, child *Process) fsys.File {
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	p.mustLive()
	return child.descriptor(f.(*file).of, f.(*file).path)
}

// drop closes the descriptor; the last one to go frees the lock.
func (f *file) drop() {
	of := f.of
	if of == nil {
		return
	}
	f.of = nil
	delete(f.p.files, f)
	of.files = slices.DeleteFunc(of.files, func(o *file) bool { return o == f })
	if len(of.files) > 0 {
		return
	}
	n := of.ino
	n.open = slices.DeleteFunc(n.open, func(o *description) bool { return o == of })
	f.p.disk.changed.Broadcast()
}

// Holders are the processes that have an inode open, each once.
func (d *Disk) Holders(ino uint64) (all []*Process) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ino >= uint64(len(d.inodes)) || d.inodes[ino] == nil {
		return nil
	}
	for _, of := range d.inodes[ino].open {
		for _, f := range of.files {
			if !slices.Contains(all, f.p) {
				all = append(all, f.p)
			}
		}
	}
	return all
}

func (of *description) reads() bool  { return of.flag&os.O_WRONLY == 0 }
func (of *description) writes() bool { return of.flag&(os.O_WRONLY|os.O_RDWR) != 0 }

// on is a step on an open file, with its error.
func (f *file) on(op string, fn func(of *description) error) error {
	return f.p.on(op, f.path, func() error {
		if f.of == nil {
			return syscall.EBADF
		}
		return fn(f.of)
	})
}

// ReadAt reads; io.EOF where there is less than asked for.
func (f *file) ReadAt(b []byte, off int64) (n int, err error) {
	eof := false
	err = f.on("read", func(of *description) error {
		switch {
		case !of.reads():
			return syscall.EBADF
		case of.ino.isDir():
			return syscall.EISDIR
		case !of.ino.mode.IsRegular():
			return syscall.ESPIPE
		case off < 0:
			return syscall.EINVAL
		}
		n = copy(b, of.ino.data[min(off, int64(len(of.ino.data))):])
		eof = n < len(b)
		f.p.saw(maphash.Bytes(seed, b[:n]))
		return nil
	})
	if eof {
		return n, io.EOF
	}
	return n, err
}

// WriteAt writes at an offset, or at the end of a file opened with O_APPEND,
// as pwrite(2) of Linux does.
func (f *file) WriteAt(b []byte, off int64) (n int, err error) {
	err = f.on("write", func(of *description) error {
		if !of.ino.mode.IsRegular() && of.writes() {
			return syscall.ESPIPE
		}
		if off < 0 {
			return syscall.EINVAL
		}
		n, err = f.p.disk.write(of, b, off)
		return err
	})
	return n, err
}

// Write appends, or writes where the last Write ended.
func (f *file) Write(b []byte) (n int, err error) {
	err = f.on("write", func(of *description) error {
		n, err = f.p.disk.write(of, b, of.pos)
		of.pos += int64(n)
		return err
	})
	return n, err
}

// write is short where the disk has no more room.
func (d *Disk) write(of *description, b []byte, off int64) (int, error) {
	n := of.ino
	if !of.writes() {
		return 0, syscall.EBADF
	}
	if err := d.writable(); err != nil {
		return 0, err
	}
	size := int64(len(n.data))
	if of.flag&os.O_APPEND != 0 {
		off = size
	}
	var full error
	if grow := off + int64(len(b)) - size; grow > 0 && uint64(grow) > d.space.FreeBytes {
		full = syscall.ENOSPC
		b = b[:max(0, size+int64(d.space.FreeBytes)-off)]
	}
	if len(b) == 0 {
		return 0, full
	}
	data := make([]byte, max(size, off+int64(len(b))))
	copy(data, n.data)
	copy(data[off:], b)
	d.space.FreeBytes -= uint64(int64(len(data)) - size)
	d.setData(n, data)
	return len(b), full
}

// setData gives a file new contents that are not synced.
func (d *Disk) setData(n *inode, data []byte) {
	n.unsynced = append(n.unsynced, n.data)
	n.data = data
	n.mtime = d.clock()
}

// Truncate cuts or extends the file.
func (f *file) Truncate(size int64) error {
	return f.on("truncate", func(of *description) error {
		if !of.writes() || !of.ino.mode.IsRegular() || size < 0 {
			return syscall.EINVAL
		}
		if err := f.p.disk.writable(); err != nil {
			return err
		}
		data := make([]byte, size)
		copy(data, of.ino.data)
		f.p.disk.setData(of.ino, data)
		return nil
	})
}

// Sync makes the content durable; of a directory, its names.
func (f *file) Sync() error {
	return f.on("sync", func(of *description) error {
		f.p.disk.sync(of.ino)
		return nil
	})
}

// Stat tells about the open file.
func (f *file) Stat() (info fsys.Info, err error) {
	err = f.on("stat", func(of *description) error {
		info = f.p.disk.info(of.ino)
		f.p.saw(of.ino.label, facts(info))
		return nil
	})
	return info, err
}

// NoWriter reports whether no description of the file is open for writing.
func (f *file) NoWriter() (none bool, err error) {
	return f.lease("nowriter", func(of *description) bool { return !slices.ContainsFunc(of.ino.open, (*description).writes) })
}

// Sole reports whether this is the only description of the file.
func (f *file) Sole() (sole bool, err error) {
	return f.lease("sole", func(of *description) bool { return len(of.ino.open) == 1 })
}

func (f *file) lease(op string, possible func(*description) bool) (ok bool, err error) {
	err = f.on(op, func(of *description) error {
		n := of.ino
		if !n.mode.IsRegular() || (os.Geteuid() != 0 && n.uid != uint32(os.Geteuid())) {
			return errors.ErrUnsupported
		}
		ok = possible(of)
		f.p.saw(yes(ok))
		return nil
	})
	if errors.Is(err, errors.ErrUnsupported) {
		err = errors.ErrUnsupported
	}
	return ok, err
}

// OS is nil: there is no such file.
func (f *file) OS() *os.File { return nil }

// Close closes the descriptor. A second call does nothing.
func (f *file) Close() error {
	return f.p.on("close", f.path, func() error {
		f.drop()
		return nil
	})
}
