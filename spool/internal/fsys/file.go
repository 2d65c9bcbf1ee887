//go:build unix

package fsys

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

type osFile struct {
	fd   int
	path string
	os   *os.File
}

func (f *osFile) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: f.path, Err: err}
}

func (f *osFile) ReadAt(b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) {
		m, err := unix.Pread(f.fd, b[n:], off+int64(n))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return n, f.wrap("read", err)
		}
		if m == 0 {
			return n, io.EOF
		}
		n += m
	}
	return n, nil
}

func (f *osFile) WriteAt(b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) {
		m, err := unix.Pwrite(f.fd, b[n:], off+int64(n))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return n, f.wrap("write", err)
		}
		n += m
	}
	return n, nil
}

func (f *osFile) Write(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		m, err := unix.Write(f.fd, b[n:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return n, f.wrap("write", err)
		}
		n += m
	}
	return n, nil
}

func (f *osFile) Truncate(size int64) error {
	return f.wrap("truncate", retry(func() error { return unix.Ftruncate(f.fd, size) }))
}

func (f *osFile) Sync() error {
	return f.wrap("sync", retry(func() error { return fsync(f.fd) }))
}

func (f *osFile) Stat() (Info, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(f.fd, &st) }); err != nil {
		return Info{}, f.wrap("stat", err)
	}
	return info(&st), nil
}

func (f *osFile) TryLock() error {
	err := retry(func() error { return unix.Flock(f.fd, unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrWouldBlock
	}
	return f.wrap("lock", err)
}

func (f *osFile) Unlock() error {
	return f.wrap("unlock", retry(func() error { return unix.Flock(f.fd, unix.LOCK_UN) }))
}

func (f *osFile) NoWriter() (bool, error) { return noWriter(f.fd) }

func (f *osFile) Sole() (bool, error) { return sole(f.fd) }

func (f *osFile) OS() *os.File {
	if f.os == nil {
		f.os = os.NewFile(uintptr(f.fd), f.path)
	}
	return f.os
}

func (f *osFile) Close() error {
	if f.fd < 0 {
		return nil
	}
	fd := f.fd
	f.fd = -1
	if f.os != nil {
		return f.os.Close()
	}
	return f.wrap("close", closeFD(fd))
}

func info(st *unix.Stat_t) Info {
	mode := fs.FileMode(st.Mode & 0o777)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	case unix.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		mode |= fs.ModeSocket
	case unix.S_IFBLK:
		mode |= fs.ModeDevice
	case unix.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	}
	if st.Mode&unix.S_ISVTX != 0 {
		mode |= fs.ModeSticky
	}
	return Info{
		Dev: uint64(st.Dev), Ino: uint64(st.Ino), //nolint:unconvert // differs by system
		Mode: mode, Size: st.Size, Nlink: uint64(st.Nlink), //nolint:unconvert // differs by system
		UID: st.Uid, GID: st.Gid,
		Mtime: time.Unix(st.Mtim.Unix()),
	}
}
