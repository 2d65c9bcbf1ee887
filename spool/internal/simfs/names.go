package simfs

import (
	"os"

	"queuectl/spool/internal/fsys"
)

// on is a step on one path, with its error.
func (p *Process) on(op, path string, f func() error) error {
	return pathError(op, path, p.step(op, path, "", f))
}

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: path, Err: err}
}

func linkError(op, from, to string, err error) error {
	if err == nil {
		return nil
	}
	return &os.LinkError{Op: op, Old: from, New: to, Err: err}
}

// Mkdir makes a directory.
func (p *Process) Mkdir(path string) error {
	return p.on("mkdir", path, func() error { return p.disk.mkdir(path) })
}

// Lstat tells about a name.
func (p *Process) Lstat(path string) (info fsys.Info, err error) {
	err = p.on("lstat", path, func() error {
		n, err := p.disk.find(path)
		if err == nil {
			info = p.disk.info(n)
			p.saw(n.label, facts(info))
		}
		return err
	})
	return info, err
}

// Link gives a file a second name.
func (p *Process) Link(from, to string) error {
	err := p.step("link", from, to, func() error { return p.disk.link(from, to) })
	return linkError("link", from, to, err)
}

// Rename moves and replaces.
func (p *Process) Rename(from, to string) error {
	err := p.step("rename", from, to, func() error { return p.disk.rename(from, to, true) })
	return linkError("rename", from, to, err)
}

// RenameNoReplace moves and never replaces.
func (p *Process) RenameNoReplace(from, to string) error {
	err := p.step("renamenoreplace", from, to, func() error { return p.disk.rename(from, to, false) })
	return linkError("rename", from, to, err)
}

// Unlink removes a name.
func (p *Process) Unlink(path string) error {
	return p.on("unlink", path, func() error { return p.disk.unlink(path) })
}

// Rmdir removes an empty directory.
func (p *Process) Rmdir(path string) error {
	return p.on("rmdir", path, func() error { return p.disk.rmdir(path) })
}

// List calls fn with every name that is there at the step.
func (p *Process) List(path string, fn func(string) bool) error {
	var names []string
	err := p.on("list", path, func() (err error) {
		names, err = p.disk.list(path)
		p.saw(texts(names))
		return err
	})
	for _, n := range names {
		if !fn(n) {
			break
		}
	}
	return err
}

// SyncDir makes the names in a directory durable.
func (p *Process) SyncDir(path string) error {
	err := p.step("syncdir", path, "", func() error {
		dir, err := p.disk.findDir(path)
		if err == nil {
			p.disk.sync(dir)
		}
		return err
	})
	return pathError("sync", path, err)
}

// SyncAll makes one after the other durable.
func (p *Process) SyncAll(files []fsys.File, dirs []string) error {
	return fsys.SyncEach(p, files, dirs)
}

// SyncFS makes everything durable.
func (p *Process) SyncFS() error {
	err := p.step("syncfs", ".", "", func() error {
		p.disk.syncAll()
		return nil
	})
	return pathError("sync", ".", err)
}
