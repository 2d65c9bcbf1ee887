package spool

import (
	"context"
	"path"
	"strings"
	"time"

	"queuectl/spool/internal/fsys"
)

// waitForStager bounds how long an enqueuer waits for another one that is just
// about to publish, or to give up, the same id.
const waitForStager = 2 * time.Second

// linkID gives a staged file its id. ErrTaken: a job has it. ErrBusy: somebody
// is about to make one with it, and may still fail.
func (s *Spool) linkID(ctx context.Context, staged, id string, fresh bool) error {
	return s.linkIDThen(ctx, staged, id, s.syncing(), fresh)
}

// linkIDThen is linkID for those who sync the whole file system afterwards: a
// new directory below ids/ is made durable only where sync says so. For a fresh
// job the log goes of one that was removed by hand; what is adopted with a history,
// or where nothing runs from, may be that very job.
func (s *Spool) linkIDThen(ctx context.Context, staged, id string, sync, fresh bool) error {
	to, made := idPath(id), false
	waited := time.Duration(0)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := s.fs.Link(staged, to)
		if notExist(err) && !made {
			made = true // by us, or by somebody who was faster
			if _, err := s.madeDir(path.Dir(to)); err != nil {
				return err
			}
			if sync {
				if err := s.group.sync(nil, "ids"); err != nil {
					return err
				}
			}
			continue
		}
		if !exists(err) {
			return s.linkError(err)
		}
		verdict, err := s.whoHas(id, stagingOf(staged), fresh)
		if err != nil {
			return err
		}
		switch verdict {
		case idTaken:
			return s.takenError(id)
		case idFree:
			continue
		}
		if waited > waitForStager {
			return &busyID{id}
		}
		if err := s.sys.sleep(ctx, pause); err != nil {
			return err
		}
		waited += pause
	}
}

// stagingOf is the staging directory, tmp/RAND, in which a path lies.
func stagingOf(p string) string {
	parts := strings.SplitN(p, "/", 3)
	return parts[0] + "/" + parts[1]
}

type busyID struct{ id string }

func (e *busyID) Error() string {
	return "id \"" + e.id + "\" is just being used by another process"
}
func (e *busyID) Is(target error) bool { return target == ErrBusy }

func (s *Spool) linkError(err error) error {
	if err == nil || !noHardLinks(err) {
		return err
	}
	return &SpoolError{Dir: s.dir, Reason: "its file system has no hard links", Hint: "put the spool on a local file system", Err: err}
}

func (s *Spool) takenError(id string) error {
	e := &TakenError{ID: id}
	if j, err := s.Job(id); err == nil {
		e.State = j.State
	}
	return e
}

type idVerdict int

const (
	idTaken idVerdict = iota
	idFree            // it was an orphan or a dead staging's: try again
	idBusy            // somebody is at work with it: wait
)

// whoHas finds out what an id that cannot be linked stands for. The order of
// the looks matters: the second name is opened first, then its lock is tried,
// and only then comes tmp/, so that whoever published or gave up meanwhile is
// seen. own is the staging directory of who asks, and fresh as for linkIDThen.
func (s *Spool) whoHas(id, own string, fresh bool) (idVerdict, error) {
	f, err := s.fs.OpenPlain(idPath(id), s.lockFor)
	if notExist(err) {
		return idFree, nil
	}
	if notPlain(err) {
		return idTaken, nil
	}
	if err != nil {
		return idTaken, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return idTaken, err
	}
	locked := f.TryLock() == nil
	if locked {
		defer f.Unlock()
	}
	rolled, living, err := s.stagers(id, own, info)
	switch {
	case err != nil:
		return idTaken, err
	case rolled:
		return idFree, nil
	case living:
		return idBusy, nil
	}
	if info, err = f.Stat(); err != nil {
		return idTaken, err
	}
	if info.Nlink == 1 {
		if !locked {
			return idBusy, nil
		}
		orphan, err := s.orphan(id, info, fresh)
		if orphan || err != nil {
			return idFree, err
		}
	}
	if !s.is(idPath(id), info) {
		return idFree, nil
	}
	return idTaken, nil
}

// stagers rolls the dead stagings that have to do with the id, and tells
// whether a living one has.
func (s *Spool) stagers(id, own string, info fsys.Info) (rolled, living bool, err error) {
	var dirs []string
	if err := s.fs.List("tmp", func(n string) bool { dirs = append(dirs, n); return true }); err != nil {
		return false, false, err
	}
	for _, d := range dirs {
		dir := "tmp/" + d
		concerned, err := s.concerns(dir, id, info, dir == own)
		if err != nil || !concerned {
			continue // gone meanwhile, or nothing of ours
		}
		ok, err := s.roll(dir)
		if err != nil {
			return rolled, living, err
		}
		rolled = rolled || ok
		living = living || !ok
	}
	return rolled, living, nil
}

// concerns reports whether a staging has this inode, or has taken a file of
// this id, or the file is that of a job that is being removed. What the asker itself has taken does not count.
func (s *Spool) concerns(dir, id string, info fsys.Info, own bool) (bool, error) {
	if gone, ok := isGone(dir); ok {
		return gone == id, nil
	}
	files, _, err := s.walk(dir)
	if err != nil {
		return false, err
	}
	for _, f := range files {
		if stagedID(path.Base(f)) != id {
			continue
		}
		if (strings.Contains(f, "/") && !own) || s.is(dir+"/"+f, info) {
			return true, nil
		}
	}
	return false, nil
}

// freeID makes an orphan's id free, unless somebody is at work with it.
func (s *Spool) freeID(id string) (bool, error) {
	f, err := s.fs.OpenPlain(idPath(id), s.lockFor)
	if err != nil {
		return false, nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || f.TryLock() != nil {
		return false, nil
	}
	defer f.Unlock()
	if info.Nlink != 1 {
		return false, nil
	}
	return s.orphan(id, info, true)
}

// orphan removes the second name of a job whose file a person has removed, and
// its log, if that is to go too. The caller holds its lock and has seen a link
// count of 1; one listing can miss a name that is being moved, so it takes two.
func (s *Spool) orphan(id string, info fsys.Info, log bool) (bool, error) {
	for range 2 {
		paths, err := s.namesOf(id)
		if err != nil || len(paths) > 0 {
			return false, err
		}
	}
	if !s.is(idPath(id), info) {
		return true, nil
	}
	if log { // first: the next one who has the id begins its own
		if err := s.removeIfThere(logPath(id)); err != nil {
			return false, err
		}
	}
	err := s.removeIfThere(idPath(id))
	return err == nil, err
}

// namesOf lists every name of the id in the state directories.
func (s *Spool) namesOf(id string) (paths []string, err error) {
	for _, st := range States {
		err := s.Scan(st, func(p string, n Name, canonical bool) bool {
			if canonical && n.ID == id {
				paths = append(paths, p)
			}
			return true
		})
		if err != nil && !notExist(err) {
			return nil, err
		}
	}
	return paths, nil
}
