package spool

import (
	"errors"
	"os"
	"path"

	"queuectl/spool/internal/fsys"
)

// replace puts a new file with this content in the place of the job's file
// old, which lies at from: the one way in which a job's content changes. The
// new file takes the full name dest (a path in a state directory, which may be
// one that a person gave) and the second name of the id.
//
// The caller holds the lock of old (only a forced recovery does not), and gets
// the new file, locked before anybody could see it. ErrGone: the name does not
// mean old any more, and nothing has changed.
func (s *Spool) replace(id, from string, old fsys.Info, content []byte, dest string) (fsys.File, error) {
	g, err := s.stage()
	if err != nil {
		return nil, err
	}
	if err := g.take(from, old); err != nil {
		_ = g.finish()
		return nil, err
	}
	return g.replacement(id, content, dest)
}

// take moves a file into the staging, where it keeps the path that it came
// from, and proves that it is the inode meant.
func (g *staging) take(from string, old fsys.Info) error {
	to := g.path + "/" + from
	if _, err := g.s.madeDir(path.Dir(to)); err != nil {
		return err
	}
	g.taken = append(g.taken, path.Dir(from), path.Dir(to))
	err := g.s.fs.RenameNoReplace(from, to)
	if elsewhere(err) {
		return ErrGone
	}
	if err != nil {
		return err
	}
	if !g.s.is(to, old) {
		return ErrGone // finish puts it back
	}
	return nil
}

// replacement writes the new file under its two names, commits, and finishes.
func (g *staging) replacement(id string, content []byte, dest string) (fsys.File, error) {
	s := g.s
	second := g.path + "/new/ids/" + id + ".json"
	var f fsys.File
	_, err := s.madeDir(path.Dir(second))
	if err == nil {
		_, err = s.madeDir(path.Dir(g.path + "/new/" + dest))
	}
	if err == nil {
		f, err = s.fs.Open(second, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	}
	if err == nil {
		_, err = f.WriteAt(content, 0)
	}
	if err == nil {
		err = s.fs.Link(second, g.path+"/new/"+dest)
	}
	var lock fsys.File
	if err == nil {
		// Of the new file, too, we hold a description that a job can inherit.
		if lock, err = s.fs.Open(second, s.lockFor); err == nil {
			err = lock.TryLock()
		}
	}
	if err == nil {
		err = g.syncAndCommit(f, g.path+"/new/ids", path.Dir(g.path+"/new/"+dest), g.path+"/new")
	}
	if f != nil {
		_ = f.Close()
	}
	if e := g.finish(); err == nil {
		err = e
	}
	if err != nil && lock != nil {
		_ = lock.Close()
		lock = nil
	}
	return lock, err
}

// syncAndCommit makes what is staged durable, then commits it. The directories
// from and into which a file was taken are synced too: if its old name came
// back after a power cut, beside the new file, the job would be there twice.
func (g *staging) syncAndCommit(f fsys.File, dirs ...string) error {
	sync := g.s.syncing()
	if sync {
		if err := g.s.group.sync(f, append(append(dirs, g.taken...), g.path)...); err != nil {
			return err
		}
	}
	if err := g.commit(sync); !errors.Is(err, ErrUnsynced) {
		return err
	}
	return nil // for everybody it is done
}

// syncing reports whether what was acknowledged must survive a power cut.
func (s *Spool) syncing() bool { return s.cfg().Sync != SyncOff }
