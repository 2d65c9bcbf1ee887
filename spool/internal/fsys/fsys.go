// Package fsys is the only door between the queue and a file system.
//
// FS has just the operations that the protocol is made of. Two implementations
// exist: OS, the real one, which holds a handle on every directory of the
// spool; and package simfs, which keeps everything in memory, knows what was
// synced and what was not, and can stop before any operation. What the queue
// does with its files is therefore a sequence of numbered steps, and tests can
// end a process, or give the turn to another one, between any two of them.
package fsys

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// ErrWouldBlock is returned where a lock is held by somebody else.
var ErrWouldBlock = errors.New("locked by another process")

// An FS is a tree of files below one directory.
//
// Paths are relative to that directory, slash-separated and clean, for example
// "pending/20261123T180000.123456Z-5-job-A.json". No operation follows a
// symbolic link: not in the last element, and not in those before it, which are
// looked at when they are first used. Errors are *os.PathError or
// *os.LinkError and answer errors.Is for the fs.Err values and for errno
// values. All methods may be called at once from many goroutines.
type FS interface {
	// Open opens a file or a directory. The flag is os.O_RDONLY, or os.O_RDWR,
	// or os.O_WRONLY|os.O_APPEND, with os.O_CREATE and os.O_EXCL where wanted;
	// new files have mode 0600. It never blocks (on a FIFO, say).
	Open(path string, flag int) (File, error)
	// OpenPlain is Open of what exists and is to be a plain file. What is none
	// is not opened at all where the system can do that, and looked at first
	// where it cannot; the error is ELOOP, EISDIR or ENXIO.
	OpenPlain(path string, flag int) (File, error)
	// Mkdir makes a directory with mode 0700.
	Mkdir(path string) error
	Lstat(path string) (Info, error)
	// HasACL reports whether an access control list says who may write to the
	// file or directory, beside its mode. The group's bits of the mode are then
	// the most that the list gives to anybody.
	HasACL(path string) bool
	// Link gives the file at oldpath a second name. It fails with fs.ErrExist
	// where newpath is taken.
	Link(oldpath, newpath string) error
	// Rename moves a file or a directory, and replaces what is at newpath.
	// Between two names of one inode it does nothing and succeeds (POSIX).
	Rename(oldpath, newpath string) error
	// RenameNoReplace is Rename, but fails with fs.ErrExist where newpath is
	// taken. It is atomic where the system can do it; elsewhere it looks first.
	RenameNoReplace(oldpath, newpath string) error
	// Unlink removes a name that is not a directory.
	Unlink(path string) error
	// Rmdir removes an empty directory.
	Rmdir(path string) error
	// List calls fn with every name in a directory, in no order and without
	// "." and "..", until fn returns false. A name that is renamed meanwhile
	// may be missed or seen twice.
	List(path string, fn func(name string) bool) error
	// SyncDir makes the names in a directory durable.
	SyncDir(path string) error
	// SyncAll is Sync of each of the files and SyncDir of each directory, which
	// it makes durable together where it can.
	SyncAll(files []File, dirs []string) error
	// SyncFS makes everything durable that was done in the file system.
	SyncFS() error
	// Lock opens the plain file at path, which must exist, to be locked by its
	// path.
	Lock(path string) (Lock, error)
	// Space tells what is left on the file system.
	Space() (Space, error)
	// Network says whether the files lie on another host or come from a
	// source that sends no events, so that one has to look at intervals.
	Network() bool
	// SyncsNames says that a Sync of a file makes durable all that led to its
	// names, too: where it has them, and the directories in which they are.
	SyncsNames() bool
	// Subdirs is how many directories there are in a directory, if that can be
	// known without listing it.
	Subdirs(path string) (n int, known bool)
	// Moved reports whether the directory is at its path no more: it was moved
	// or removed, or something else has its place. What is done here still
	// happens in the directory that is held open.
	Moved() bool
	// Refresh gives up the handles of sub-directories that were moved away or
	// removed. What is done next happens in those that have their names then.
	Refresh()
	// Close gives back the directory handles.
	Close() error
}

// A File is one open file description. Its lock (BSD flock) belongs to the
// description: it is shared with processes that inherit it, follows the file
// through a rename, and is free when Unlock is called by any of them or when
// the last of them has closed it.
type File interface {
	io.ReaderAt
	io.WriterAt
	// Write appends to a file opened with os.O_APPEND.
	io.Writer
	Truncate(size int64) error
	Sync() error
	Stat() (Info, error)
	// TryLock takes the exclusive lock; ErrWouldBlock where it is held.
	TryLock() error
	// Unlock frees the lock, also for those who inherited the description.
	Unlock() error
	// NoWriter says whether it is certain that nobody has the file open for
	// writing: errors.ErrUnsupported where the system cannot tell.
	NoWriter() (bool, error)
	// Sole says whether it is certain that the file is open nowhere else:
	// errors.ErrUnsupported where the system cannot tell.
	Sole() (bool, error)
	// OS is the file to hand to a child process; nil in a simulation. It is
	// closed by Close.
	OS() *os.File
	Close() error
}

// A Lock is a lock on a path of its own: a pool's file, the configuration.
type Lock interface {
	// TryLock takes the lock for this process alone; false where it is held.
	TryLock() (bool, error)
	// TryRLock takes it shared; false where somebody holds it alone.
	TryRLock() (bool, error)
	// RLock waits for the shared lock. The wait cannot be broken off.
	RLock() error
	// Close frees the lock and closes the file.
	Close() error
}

// Info is what lstat tells.
type Info struct {
	Dev, Ino uint64
	Mode     fs.FileMode
	Size     int64 // bytes
	Nlink    uint64
	UID, GID uint32
	Mtime    time.Time
}

// NotPlain is the error of opening what is no plain file.
func NotPlain(mode fs.FileMode) error {
	switch {
	case mode.IsRegular():
		return nil
	case mode&fs.ModeSymlink != 0:
		return syscall.ELOOP
	case mode.IsDir():
		return syscall.EISDIR
	}
	return syscall.ENXIO
}

// Same reports whether both are one inode.
func (i Info) Same(o Info) bool { return i.Ino == o.Ino && i.Dev == o.Dev }

// Space is what is left on a file system.
type Space struct {
	FreeBytes, TotalBytes uint64
	FreeFiles, TotalFiles uint64 // both 0 where the file system has no such limit
	ReadOnly              bool
}

// SyncEach is SyncAll of an FS that syncs one after the other.
func SyncEach(f FS, files []File, dirs []string) error {
	for _, file := range files {
		if err := file.Sync(); err != nil {
			return err
		}
	}
	for _, d := range dirs {
		if err := f.SyncDir(d); err != nil {
			return err
		}
	}
	return nil
}
