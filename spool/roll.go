package spool

import (
	"errors"
	"path"
	"strings"

	"queuectl/spool/internal/fsys"
)

// walk lists all files below a directory that are not directories, by their
// paths relative to it, and the directories, parents first.
func (s *Spool) walk(dir string) (files, dirs []string, err error) {
	var names []string
	if err := s.fs.List(dir, func(n string) bool { names = append(names, n); return true }); err != nil {
		return nil, nil, err
	}
	for _, n := range names {
		info, err := s.fs.Lstat(dir + "/" + n)
		if notExist(err) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if !info.Mode.IsDir() {
			files = append(files, n)
			continue
		}
		f, d, err := s.walk(dir + "/" + n)
		if err != nil && !notExist(err) {
			return nil, nil, err
		}
		dirs = append(dirs, n)
		for _, x := range f {
			files = append(files, n+"/"+x)
		}
		for _, x := range d {
			dirs = append(dirs, n+"/"+x)
		}
	}
	return files, dirs, nil
}

// rollAll rolls every dead staging in tmp/ forward or back, and returns how
// many it rolled.
func (s *Spool) rollAll() (rolled int, err error) {
	var names []string
	if err := s.fs.List("tmp", func(n string) bool { names = append(names, n); return true }); err != nil {
		return 0, err
	}
	var errs []error
	for _, n := range names {
		ok, err := s.roll("tmp/" + n)
		if ok {
			rolled++
		}
		errs = append(errs, err)
	}
	return rolled, errors.Join(errs...)
}

// roll rolls one staging if its owner is dead, or goes on with a removal.
func (s *Spool) roll(dir string) (rolled bool, err error) {
	if id, ok := isGone(dir); ok {
		return s.rollGone(dir, id)
	}
	lock, err := s.lockDir(dir)
	if lock == nil || err != nil {
		return false, err
	}
	defer lock.Close()
	defer lock.Unlock()
	err = s.rollLocked(dir)
	return err == nil, err
}

// lockStaged locks what is in tmp/ if its owner is dead.
func (s *Spool) lockStaged(p string) (fsys.File, error) {
	if _, ok := isGone(p); ok {
		return s.lockGone(p)
	}
	return s.lockDir(p)
}

// rollLocked does so under the lock of the directory. Each step may be the
// last one of this process: whoever comes next goes on where it ended.
func (s *Spool) rollLocked(dir string) error {
	files, dirs, err := s.walk(dir)
	if err != nil {
		return err
	}
	step := s.rollBack
	switch {
	case strings.HasSuffix(dir, committed):
		step = s.rollForward
	case strings.HasSuffix(dir, oneByOne):
		step = s.rollEach
	}
	if err := step(dir, files); err != nil {
		return err
	}
	for i := len(dirs) - 1; i >= 0; i-- {
		_ = s.fs.Rmdir(dir + "/" + dirs[i])
	}
	err = s.fs.Rmdir(dir)
	if notExist(err) {
		return nil
	}
	return err
}

// The kinds of files in a staging, by their paths.
type stagedKind int

const (
	stagedJob    stagedKind = iota // DUE-P-ID.json
	stagedSecond                   // new/ids/ID.json
	stagedNew                      // new/STATE/NAME
	stagedTaken                    // STATE/NAME
	stagedLog                      // log-N
	stagedOther                    // nothing of ours
)

func kindOf(p string) stagedKind {
	top, rest, below := strings.Cut(p, "/")
	switch {
	case !below:
		if n, ok := ParseName(p); ok && n.Pool == "" {
			return stagedJob
		}
		if strings.HasPrefix(p, spareLog) {
			return stagedLog
		}
		return stagedOther
	case top == "new" && strings.HasPrefix(rest, "ids/"):
		return stagedSecond
	case top == "new" && isState(stateOf(rest)):
		return stagedNew
	case isState(State(top)):
		return stagedTaken
	}
	return stagedOther
}

// rollForward: the second name first, then the names in the state
// directories, and what was taken is removed last.
func (s *Spool) rollForward(dir string, files []string) error {
	for _, kind := range []stagedKind{stagedSecond, stagedNew, stagedJob, stagedTaken} {
		for _, f := range files {
			if kindOf(f) != kind {
				continue
			}
			if err := s.forward(kind, dir, f); err != nil && !notExist(err) {
				return err
			}
		}
	}
	return nil
}

func (s *Spool) forward(kind stagedKind, dir, f string) error {
	from := dir + "/" + f
	switch kind {
	case stagedSecond:
		to := idPath(stagedID(path.Base(f)))
		err := s.fs.Rename(from, to)
		if notExist(err) {
			if _, err = s.madeDir(path.Dir(to)); err == nil {
				err = s.fs.Rename(from, to)
			}
		}
		return err
	case stagedNew:
		return s.putBack(from, strings.TrimPrefix(f, "new/"))
	case stagedJob:
		n, _ := ParseName(f)
		_, err := s.moveTo(from, Pending, n)
		return err
	default:
		return s.fs.Unlink(from)
	}
}

// rollBack: what was promised to nobody goes, and what was taken goes back to
// the directory and name that it came from.
func (s *Spool) rollBack(dir string, files []string) error {
	for _, kind := range []stagedKind{stagedJob, stagedSecond, stagedNew, stagedTaken, stagedLog} {
		for _, f := range files {
			if kindOf(f) != kind {
				continue
			}
			if err := s.back(kind, dir, f); err != nil && !notExist(err) {
				return err
			}
		}
	}
	return nil
}

// rollEach rolls each job forward that has its second name and is whole, and
// the others back.
func (s *Spool) rollEach(dir string, files []string) error {
	for _, f := range files {
		kind, step := kindOf(f), s.back
		switch {
		case kind == stagedOther:
			continue
		case kind == stagedJob && s.wholeAndNamed(dir+"/"+f):
			step = s.forward
		}
		if err := step(kind, dir, f); err != nil && !notExist(err) {
			return err
		}
	}
	return nil
}

// wholeAndNamed reports whether a staged job has its second name, and all of
// the content that it was made with, which ends with the line of its birth:
// after a power cut it may have one without the other. Its tail may be torn all
// the same: the content of a file may be ahead of its names on disk, and then
// it was in pending/ already, and claimed, and its attempt was being written.
func (s *Spool) wholeAndNamed(staged string) bool {
	id := stagedID(path.Base(staged))
	if same, err := s.sameFile(staged, idPath(id)); !same || err != nil {
		return false
	}
	data, err := s.readFile(staged, maxFile)
	if err != nil {
		return false
	}
	dec, err := decodeFile(data, maxFile)
	return err == nil && dec.ID == id && len(dec.history) > 0 && dec.history[0].Life != ""
}

func (s *Spool) back(kind stagedKind, dir, f string) error {
	from := dir + "/" + f
	switch kind {
	case stagedJob, stagedNew:
		return s.rollBackJob(from, stagedID(path.Base(f)), true)
	case stagedTaken:
		return s.putBack(from, f)
	default:
		return s.fs.Unlink(from)
	}
}
