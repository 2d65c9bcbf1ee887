package spool

import (
	"context"
	"errors"
	"os"
	"path"
	"time"
)

// remove takes a job out of the spool: its name in the state directory first,
// then its log and requests, and its second name last, and only if that is the
// last name of what we hold locked (rule 3). ErrGone: it was moved or replaced
// meanwhile.
func (r *record) remove() error {
	s := r.s
	if !r.still() {
		return ErrGone
	}
	if err := s.fs.Unlink(r.path); err != nil {
		if notExist(err) {
			return ErrGone
		}
		return err
	}
	if err := errors.Join(s.removeIfThere(logPath(r.id)), s.dropCancel(r.id)); err != nil {
		return err
	}
	return s.dropSecond(r)
}

func (s *Spool) dropSecond(r *record) error {
	info, err := r.lock.Stat()
	if err != nil {
		return err
	}
	if info.Nlink != 1 || !s.is(idPath(r.id), info) {
		return ErrGone
	}
	return s.removeIfThere(idPath(r.id))
}

// Prune removes the records of completed and dead jobs that are kept no
// longer, and what crashed processes left in tmp/. It returns how many jobs it
// removed.
func (s *Spool) Prune(ctx context.Context) (int, error) {
	c := s.cfg()
	n, err := s.pruneOld(ctx, Completed, c.KeepCompleted)
	if err != nil {
		return n, err
	}
	m, err := s.pruneMany(ctx, Completed, c.KeepCompletedCount)
	if n += m; err != nil {
		return n, err
	}
	m, err = s.pruneOld(ctx, Dead, c.KeepDead)
	return n + m, errors.Join(err, s.pruneTmp())
}

// pruneOld removes what ended longer than keep ago, by its name and by the
// time of its last change: a clock may have been wrong once.
func (s *Spool) pruneOld(ctx context.Context, st State, keep time.Duration) (n int, err error) {
	if keep == 0 {
		return 0, nil
	}
	before := s.sys.now().Add(-keep)
	var old []string
	err = s.Scan(st, func(p string, n Name, canonical bool) bool {
		if canonical && n.Time.Before(before) {
			old = append(old, p)
		}
		return ctx.Err() == nil
	})
	for _, p := range old {
		if err != nil || ctx.Err() != nil {
			break
		}
		info, statErr := s.fs.Lstat(p)
		if statErr != nil || !info.Mtime.Before(before) {
			continue
		}
		var ok bool
		if ok, err = s.pruneOne(p); ok {
			n++
		}
	}
	return n, err
}

// pruneMany removes the oldest of more than keep records.
func (s *Spool) pruneMany(ctx context.Context, st State, keep int) (n int, err error) {
	if keep == 0 {
		return 0, nil
	}
	total := 0
	err = s.Scan(st, func(_ string, _ Name, canonical bool) bool {
		if canonical {
			total++
		}
		return ctx.Err() == nil
	})
	if err != nil || total <= keep {
		return 0, err
	}
	paths, err := s.entries(st, total-keep)
	for _, p := range paths {
		if err != nil || ctx.Err() != nil {
			break
		}
		var ok bool
		if ok, err = s.pruneOne(p); ok {
			n++
		}
	}
	return n, err
}

// pruneOne removes one record, unless somebody is at work with it.
func (s *Spool) pruneOne(p string) (bool, error) {
	r, err := s.openRecord(p)
	var untrusted *UntrustedError
	switch {
	case errors.As(err, &untrusted):
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
		if info, err := s.fs.Lstat(p); err == nil && info.Mode&os.ModeType == 0 && info.Mtime.Before(before) && name != "config.lock" {
			_ = s.fs.Unlink(p)
		}
		return true
	})
}
