package spool

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"queuectl/spool/internal/fsys"
)

// A staging is one directory in tmp/ in which files are prepared unseen. Its
// owner holds a lock on the directory; one whose lock is free was left behind
// by a dead process, and whoever finds it rolls it forward or back (roll.go).
//
//	tmp/RAND/DUE-P-ID.json      a new job, goes to pending/
//	tmp/RAND/STATE/NAME         a file taken from STATE/NAME, goes back there until the commit
//	tmp/RAND/new/STATE/NAME     the file that takes its place
//	tmp/RAND/new/ids/ID.json    the same file, goes over ids/HH/ID.json
//	tmp/RAND/log-N              an empty log, to be used for another job
//
// The rename of tmp/RAND to tmp/RAND.go commits all that is in it. In
// tmp/RAND.each, where a process enqueues one job after the other, each of them
// is committed by its second name, if it is whole.
type staging struct {
	s    *Spool
	path string // tmp/RAND
	dir  fsys.File

	taken []string // directories that a file was taken from and into
	users int      // enqueues that are at work in it; guarded by Spool.mu
}

const (
	committed = ".go"
	oneByOne  = ".each"
)

// stage makes a staging directory and proves that it is ours.
func (s *Spool) stage() (*staging, error) { return s.stageAs("") }

func (s *Spool) stageAs(suffix string) (*staging, error) {
	for {
		path := "tmp/" + s.sys.rand(12) + suffix
		err := s.fs.Mkdir(path)
		if exists(err) {
			continue
		}
		if notExist(err) {
			if _, err = s.madeDir("tmp"); err == nil {
				continue
			}
		}
		if err != nil {
			return nil, s.unwritable(err)
		}
		dir, err := s.lockDir(path)
		if err != nil {
			return nil, err
		}
		if dir != nil {
			return &staging{s: s, path: path, dir: dir}, nil
		}
	}
}

// lockDir locks a directory and proves that the name still means what is
// locked. It returns nil where somebody else was faster.
func (s *Spool) lockDir(path string) (fsys.File, error) {
	dir, err := s.fs.Open(path, os.O_RDONLY)
	if notExist(err) || notPlain(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	info, err := dir.Stat()
	if err == nil && !info.Mode.IsDir() {
		_ = dir.Close()
		return nil, nil
	}
	if err == nil {
		err = dir.TryLock()
	}
	if err == nil && s.is(path, info) {
		return dir, nil
	}
	_ = dir.Close()
	if err != nil && !held(err) {
		return nil, err
	}
	return nil, nil
}

// commit makes what is staged final: from here on everybody rolls it forward,
// also where the error is ErrUnsynced.
func (g *staging) commit(sync bool) error {
	if err := g.s.fs.RenameNoReplace(g.path, g.path+committed); err != nil {
		return err
	}
	g.path += committed
	if !sync {
		return nil
	}
	if err := g.s.group.sync(nil, "tmp"); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsynced, err)
	}
	return nil
}

// finish rolls the staging to its end, as anybody would who found it, and
// gives up its lock. A network file system, and FUSE, keeps what was removed
// while it is open under a hidden name; whoever rolls next removes the
// directory.
func (g *staging) finish() error {
	err := g.s.rollLocked(g.path)
	if g.s.network && errors.Is(err, syscall.ENOTEMPTY) {
		err = nil
	}
	g.leave()
	return err
}

// leave gives up the lock; others may roll what is left.
func (g *staging) leave() {
	_ = g.dir.Unlock()
	_ = g.dir.Close()
}

// discard removes an empty staging directory.
func (g *staging) discard() {
	_ = g.s.fs.Rmdir(g.path)
	g.leave()
}

// stagedID is the id of the job to which a file in a staging directory
// belongs, "" where it belongs to none.
func stagedID(name string) string {
	if n, ok := ParseName(name); ok {
		return n.ID
	}
	return strings.TrimSuffix(name, ".json")
}
