package spool

import (
	"bytes"
	"os"
	"path"
	"runtime"
	"strings"

	"queuectl/spool/internal/fsys"
	"queuectl/spool/internal/simfs"
)

// A breach is a rule of the protocol, switched off: a file system and a
// machine on which what the rule asks for has no effect. The code above is the
// product's own, and knows nothing of it.
type breach struct {
	renames  func(f fsys.FS, from, to string) func() error // what is done instead; nil: what was asked for
	grants   func(path string) bool                        // a lock is granted whoever has it
	believes func(op, path string) bool                    // a look at a name after that operation says that it is the file that is held
	links    bool                                          // an id that is taken can be linked
	reads    func(path string, b []byte)                   // changes what is read, in place
	groups   bool                                          // no process group lives
	frees    bool                                          // a lock is freed by whoever closes the file
	hides    func(path string) bool                        // such names are not there
	lists    func(name string) bool                        // names that listings leave out
	keeps    func(path string) bool                        // such names are not removed
	finds    func(f fsys.FS, name string) string           // what a listing of tmp/ says instead of a name
	rand     func() string                                 // what random names are; "": random
	claims   bool                                          // a pool's claims are not counted
	pids     bool                                          // all processes have one number
	hosts    bool                                          // all processes are on one host
	early    func(f fsys.FS, path string)                  // before a file is opened to be locked by its path
}

// door is the file system as a process sees it.
func (b *breach) door(p *simfs.Process) fsys.FS {
	if b == nil {
		return p
	}
	return &breached{FS: p, b: b}
}

// inherit gives a process of the job the locked file.
func (a *actor) inherit(c *Claim, child *simfs.Process) {
	f := c.rec.lock
	if x, ok := f.(*breachedFile); ok {
		f = x.File
	}
	a.p.Inherit(f, child)
}

type breached struct {
	fsys.FS
	b    *breach
	last string    // the last operation
	held fsys.Info // what the last Stat of a file has told
}

func (x *breached) Open(path string, flag int) (fsys.File, error) {
	return x.open(x.FS.Open, path, flag)
}

func (x *breached) OpenPlain(path string, flag int) (fsys.File, error) {
	return x.open(x.FS.OpenPlain, path, flag)
}

func (x *breached) open(open func(string, int) (fsys.File, error), path string, flag int) (fsys.File, error) {
	x.last = "open"
	f, err := open(path, flag)
	if err != nil {
		return nil, err
	}
	return &breachedFile{f, x, path}, nil
}

func (x *breached) Lstat(path string) (fsys.Info, error) {
	info, err := x.FS.Lstat(path)
	switch {
	case x.b.hides != nil && x.b.hides(path):
		err = &os.PathError{Op: "lstat", Path: path, Err: os.ErrNotExist}
	case x.b.believes != nil && x.b.believes(x.last, path):
		info, err = x.held, nil
	}
	x.last = "lstat"
	return info, err
}

func (x *breached) Link(from, to string) error {
	err := x.FS.Link(from, to)
	if x.b.links && exists(err) {
		err = nil
	}
	return err
}

func (x *breached) RenameNoReplace(from, to string) error {
	return x.rename(x.FS.RenameNoReplace, from, to)
}
func (x *breached) Rename(from, to string) error { return x.rename(x.FS.Rename, from, to) }

func (x *breached) rename(as func(from, to string) error, from, to string) error {
	x.last = "rename"
	if x.b.renames != nil {
		if instead := x.b.renames(x.FS, from, to); instead != nil {
			return instead()
		}
	}
	return as(from, to)
}

func (x *breached) Lock(path string) (fsys.Lock, error) {
	if x.b.early != nil {
		x.b.early(x.FS, path)
	}
	return x.FS.Lock(path)
}

func (x *breached) Unlink(path string) error {
	x.last = "unlink"
	if x.b.keeps != nil && x.b.keeps(path) {
		return nil
	}
	return x.FS.Unlink(path)
}

func (x *breached) List(path string, fn func(string) bool) error {
	return x.FS.List(path, func(name string) bool {
		if x.b.finds != nil && path == "tmp" {
			name = x.b.finds(x.FS, name)
		}
		return (x.b.lists != nil && x.b.lists(path+"/"+name)) || fn(name)
	})
}

type breachedFile struct {
	fsys.File
	x    *breached
	path string
}

func (f *breachedFile) Stat() (fsys.Info, error) {
	info, err := f.File.Stat()
	if info.Mode.IsRegular() && f.path != configFile {
		f.x.held = info
	}
	f.x.last = "stat"
	return info, err
}

func (f *breachedFile) TryLock() error {
	err := f.File.TryLock()
	f.x.last = "lock"
	if held(err) && f.x.b.grants != nil && f.x.b.grants(f.path) {
		return nil
	}
	return err
}

func (f *breachedFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	if f.x.b.reads != nil {
		f.x.b.reads(f.path, b[:n])
	}
	return n, err
}

func (f *breachedFile) WriteAt(b []byte, off int64) (int, error) {
	f.x.last = "write"
	return f.File.WriteAt(b, off)
}

func (f *breachedFile) Close() error {
	if f.x.b.frees {
		_ = f.File.Unlock()
	}
	return f.File.Close()
}

// below reports whether a path lies in one of the directories.
func below(dirs ...string) func(path string) bool {
	return func(path string) bool {
		for _, d := range dirs {
			if strings.HasPrefix(path, d+"/") {
				return true
			}
		}
		return false
	}
}

// within reports whether such a function of the spool has led here.
func within(name string) bool {
	pcs := make([]uintptr, 50)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, "."+name) {
			return true
		}
		if !more {
			return false
		}
	}
}

// claimOfName makes all lines of a history be of the claim in the file's name.
func claimOfName(p string, b []byte) {
	n, ok := ParseName(path.Base(p))
	if !ok || n.Pool == "" {
		return
	}
	for rest, member := b, []byte(`"claim":"`); ; {
		i := bytes.Index(rest, member)
		if i < 0 {
			return
		}
		rest = rest[i+len(member):]
		if end := bytes.IndexByte(rest, '"'); end == len(claimKey(n)) {
			copy(rest, claimKey(n))
		}
	}
}
