package spool

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path"
	"strings"
	"time"

	"queuectl/spool/internal/fsys"
)

// removal ends the name in tmp/ that a file has while its job is being removed.
const removal = ".gone"

// remove takes a job out of the spool. Its name in the state directory first
// becomes one in tmp/: from then on whoever finds that, and its lock free,
// goes on with the removal. Its log and requests follow, then its second name,
// and only if it has no other name but these (rule 3). ErrGone: it was moved
// or replaced meanwhile.
func (r *record) remove() error {
	p, err := r.takeAway()
	if err != nil {
		return err
	}
	return r.s.finishRemoval(p, r.id, r.lock)
}

// takeAway takes the job's file out of its state, and returns where it lies now.
func (r *record) takeAway() (string, error) {
	s := r.s
	if err := r.still(); err != nil {
		return "", err
	}
	info, err := r.lock.Stat()
	if err != nil {
		return "", err
	}
	p := "tmp/" + s.sys.rand(12) + "." + r.id + removal
	if err := s.fs.RenameNoReplace(r.path, p); err != nil {
		if notExist(err) {
			return "", ErrGone
		}
		return "", s.unwritable(err)
	}
	if !s.is(p, info) {
		return "", errors.Join(ErrGone, s.putBack(p, r.path))
	}
	return p, nil
}

// finishRemoval goes on where the name in the state directory is gone.
func (s *Spool) finishRemoval(p, id string, lock fsys.File) error {
	err := s.removeSecond(id, lock)
	if err != nil && !errors.Is(err, ErrGone) {
		return err
	}
	return errors.Join(err, s.removeIfThere(p))
}

// removeSecond removes what the id's second name stands for, if that is our
// file: otherwise the id has a later life.
func (s *Spool) removeSecond(id string, lock fsys.File) error {
	info, err := lock.Stat()
	if err != nil {
		return err
	}
	now, err := s.fs.Lstat(idPath(id))
	if notExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if !now.Same(info) {
		return ErrGone
	}
	if info.Nlink > 2 {
		if lives, err := s.livesOn(id, info); lives || err != nil {
			return cmp.Or(err, ErrGone)
		}
	}
	if err := errors.Join(s.removeIfThere(logPath(id)), s.dropCancel(id)); err != nil {
		return err
	}
	return s.removeIfThere(idPath(id))
}

// livesOn reports whether a job has a further name in a state: a person has
// linked it there. Links elsewhere are copies of theirs.
func (s *Spool) livesOn(id string, info fsys.Info) (lives bool, err error) {
	for range 2 { // one listing can miss a name that is being moved
		for _, st := range States {
			err := s.Scan(st, func(p string, n Name, canonical bool) bool {
				if canonical && n.ID == id || st == Pending && !canonical {
					lives = s.is(p, info)
				}
				return !lives
			})
			if lives || err != nil && !notExist(err) {
				return lives, err
			}
		}
	}
	return false, nil
}

// isGone reports whether a name in tmp/ is that of a job that is being
// removed, and of which.
func isGone(p string) (id string, ok bool) {
	name, ok := strings.CutSuffix(path.Base(p), removal)
	_, id, dot := strings.Cut(name, ".")
	return id, ok && dot
}

// rollGone goes on with a removal whose process is dead.
func (s *Spool) rollGone(p, id string) (rolled bool, err error) {
	lock, err := s.lockGone(p)
	if lock == nil || err != nil {
		return false, err
	}
	defer lock.Close()
	defer lock.Unlock()
	err = s.finishRemoval(p, id, lock)
	if errors.Is(err, ErrGone) {
		err = nil
	}
	return true, err
}

// lockGone is lockDir for the file of a job that is being removed.
func (s *Spool) lockGone(p string) (fsys.File, error) {
	f, err := s.fs.Open(p, s.lockFor)
	if notExist(err) || notPlain(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = f.TryLock()
	}
	if err == nil && s.is(p, info) {
		return f, nil
	}
	_ = f.Close()
	if held(err) {
		err = nil
	}
	return nil, err
}

// pruneLock is locked by who prunes, and its last change is when one was done
// with it.
const pruneLock = "tmp/prune.lock"

// PruneShared is Prune for one of several pools, since all of them would remove
// the same records: it does nothing, and says so, while another one is at it,
// or was done less than every ago and the configuration has not changed since.
func (s *Spool) PruneShared(ctx context.Context, every time.Duration) (n int, done bool, err error) {
	turn, err := s.fs.Open(pruneLock, os.O_RDWR|os.O_CREATE)
	if err != nil { // a full disk, say: this makes room
		n, err = s.Prune(ctx)
		return n, true, err
	}
	defer turn.Close()
	if held(turn.TryLock()) {
		return 0, false, nil
	}
	defer turn.Unlock()
	if s.prunedSince(turn, every) {
		return 0, false, nil
	}
	n, err = s.Prune(ctx)
	if err == nil && ctx.Err() == nil {
		_, _ = turn.WriteAt([]byte("\n"), 0)
	}
	return n, true, err
}

// prunedSince reports whether somebody was done with it so long ago or later,
// and knew the configuration.
func (s *Spool) prunedSince(turn fsys.File, every time.Duration) bool {
	last, err := turn.Stat()
	if err != nil || last.Size == 0 {
		return false
	}
	if ago := s.sys.now().Sub(last.Mtime); ago < 0 || ago >= every {
		return false
	}
	c, err := s.fs.Lstat(configFile)
	return notExist(err) || err == nil && c.Mtime.Before(last.Mtime)
}

// Prune removes the records of completed and dead jobs that are kept no
// longer, and what crashed processes left in tmp/. It returns how many jobs it
// removed.
func (s *Spool) Prune(ctx context.Context) (int, error) {
	c := s.cfg()
	n, err1 := s.pruneState(ctx, Completed, c.KeepCompleted, c.KeepCompletedCount)
	m, err2 := s.pruneState(ctx, Dead, c.KeepDead, 0)
	return n + m, errors.Join(err1, err2, s.pruneTmp())
}

// pruneState removes what ended longer than keep ago, by its name and by the
// time of its last change, since a clock may have been wrong once; and of what
// is left the oldest, where it is more than count. 0 is no limit.
func (s *Spool) pruneState(ctx context.Context, st State, keep time.Duration, count int) (n int, err error) {
	if keep == 0 && count == 0 {
		return 0, nil
	}
	total, before := 0, s.sys.now().Add(-keep)
	var old []string
	err = s.Scan(st, func(p string, n Name, canonical bool) bool {
		if canonical {
			total++
			if keep > 0 && n.Time.Before(before) {
				old = append(old, p)
			}
		}
		return ctx.Err() == nil
	})
	if err != nil {
		return 0, err
	}
	n, err = s.pruneAll(ctx, old, func(info fsys.Info) bool { return info.Mtime.Before(before) })
	if FileSystemWide(err) || ctx.Err() != nil || count == 0 || total-n <= count {
		return n, err
	}
	oldest, listErr := s.entries(st, total-n-count)
	if listErr != nil { // these need not be the oldest
		return n, cmp.Or(err, listErr)
	}
	m, pruneErr := s.pruneAll(ctx, oldest, func(fsys.Info) bool { return true })
	return n + m, cmp.Or(err, pruneErr)
}

// pruneAll removes those records for which that holds, and returns the first
// error: one record that cannot be removed keeps no other one. What is linked
// elsewhere (cp -al) stays: to find out where takes a look at all names.
func (s *Spool) pruneAll(ctx context.Context, paths []string, holds func(fsys.Info) bool) (n int, err error) {
	for _, p := range paths {
		if ctx.Err() != nil || FileSystemWide(err) {
			break
		}
		if info, e := s.fs.Lstat(p); e != nil || info.Nlink > 2 || !holds(info) {
			continue
		}
		ok, oneErr := s.pruneOne(p)
		if ok {
			n++
		}
		if err == nil || FileSystemWide(oneErr) {
			err = oneErr
		}
	}
	return n, err
}

// pruneOne removes one record, unless somebody is at work with it.
func (s *Spool) pruneOne(p string) (bool, error) {
	r, err := s.openRecord(p)
	var untrusted *UntrustedError
	switch {
	case errors.As(err, &untrusted) && untrusted.cause == nil:
		return false, nil
	case errors.Is(err, ErrDrop), errors.Is(err, errNotPlain), notPlain(err):
		return s.pruneRefused(p)
	case errors.Is(err, ErrHeld), errors.Is(err, ErrGone), errors.Is(err, ErrInvalid):
		return false, nil
	case err != nil:
		return false, err
	}
	defer r.close()
	err = r.remove()
	if errors.Is(err, ErrGone) {
		return false, nil
	}
	return err == nil, err
}

func (s *Spool) pruneRefused(p string) (bool, error) {
	n, _ := ParseName(path.Base(p))
	dec, _, err := s.peek(p)
	if notExist(err) || !s.refused(p, n, dec) {
		return false, nil
	}
	return true, errors.Join(s.removeIfThere(p), s.removeIfThere(logPath(n.ID)))
}

// pruneTmp removes plain files in tmp/ that nobody has touched for an hour:
// half of a configuration, say, whose writer was killed.
func (s *Spool) pruneTmp() error {
	before := s.sys.now().Add(-time.Hour)
	return s.fs.List("tmp", func(name string) bool {
		p := "tmp/" + name
		if info, err := s.fs.Lstat(p); err == nil && info.Mode&os.ModeType == 0 && info.Mtime.Before(before) && !strings.HasSuffix(name, ".lock") && !strings.HasSuffix(name, removal) {
			_ = s.fs.Unlink(p)
		}
		return true
	})
}
