package spool

import (
	"os"

	"queuectl/spool/internal/fsys"
)

// lookFS is a file system in which nothing is changed: a spool that was opened to
// look at it may be anybody's, and what it says is taken for true.
type lookFS struct {
	fsys.FS
	dir string
}

func (f lookFS) refuse() error {
	return &SpoolError{Dir: f.dir, Reason: "was opened only to look at (Options.Look)", Hint: "to change it, open it without"}
}

func (f lookFS) Open(path string, flag int) (fsys.File, error) {
	return f.open(path, flag, f.FS.Open)
}

func (f lookFS) OpenPlain(path string, flag int) (fsys.File, error) {
	return f.open(path, flag, f.FS.OpenPlain)
}

// open lets through what is opened for writing because a lock needs that.
func (f lookFS) open(path string, flag int, open func(string, int) (fsys.File, error)) (fsys.File, error) {
	if flag&^os.O_RDWR != 0 {
		return nil, f.refuse()
	}
	file, err := open(path, flag)
	if err != nil || flag == os.O_RDONLY {
		return file, err
	}
	return lookFile{file, f}, nil
}

type lookFile struct {
	fsys.File
	fs lookFS
}

func (f lookFile) Write([]byte) (int, error)          { return 0, f.fs.refuse() }
func (f lookFile) WriteAt([]byte, int64) (int, error) { return 0, f.fs.refuse() }
func (f lookFile) Truncate(int64) error               { return f.fs.refuse() }

func (f lookFS) Mkdir(string) error                   { return f.refuse() }
func (f lookFS) Link(string, string) error            { return f.refuse() }
func (f lookFS) Rename(string, string) error          { return f.refuse() }
func (f lookFS) RenameNoReplace(string, string) error { return f.refuse() }
func (f lookFS) Unlink(string) error                  { return f.refuse() }
func (f lookFS) Rmdir(string) error                   { return f.refuse() }
