package spool

import (
	"errors"
	"os"
	"path"
	"slices"
	"strings"

	"queuectl/spool/internal/fsys"
)

// Scan calls fn with every name in a state, those in overflow sub-directories
// too, in no order, until fn returns false. canonical is false for a name that
// a person gave, which counts only in pending/ (a drop). A name that is moved
// meanwhile may be missed: draw no conclusion from one absence.
func (s *Spool) Scan(st State, fn func(path string, n Name, canonical bool) bool) error {
	return s.names(st, func(dir, name string, n Name, canonical bool) bool { return fn(dir+"/"+name, n, canonical) })
}

// names is Scan for who looks at many names and wants the paths of few.
func (s *Spool) names(st State, fn func(dir, name string, n Name, canonical bool) bool) error {
	more := true
	var subs []string
	err := s.fs.List(string(st), func(name string) bool {
		if overflowDir(name) {
			subs = append(subs, name)
			return true
		}
		more = s.scanName(string(st), name, fn)
		return more
	})
	if notExist(err) && (st == Held || s.Here() == nil) {
		return nil // somebody has removed it; who moves something there makes it
	}
	for _, sub := range subs {
		if err != nil || !more {
			return err
		}
		dir := string(st) + "/" + sub
		err = s.fs.List(dir, func(name string) bool {
			more = s.scanName(dir, name, fn)
			return more
		})
		if notExist(err) {
			err = nil
		}
	}
	return err
}

func (s *Spool) scanName(dir, name string, fn func(string, string, Name, bool) bool) bool {
	if ignored(name) {
		return true
	}
	n, ok := ParseName(name)
	if ok && n.Pool != "" && !strings.HasPrefix(dir, string(Processing)) {
		ok = false
	}
	return fn(dir, name, n, ok)
}

// entries lists the canonical names of a state in order, and then the drops, at
// most limit of them (0: all).
func (s *Spool) entries(st State, limit int) ([]string, error) {
	jobs, drops := &firsts{limit: limit}, &firsts{limit: limit}
	err := s.names(st, func(dir, name string, _ Name, canonical bool) bool {
		if canonical {
			jobs.add(dir, name)
		} else if st == Pending {
			drops.add(dir, name)
		}
		return true
	})
	return append(jobs.list(), drops.list()...), err
}

// firsts are the paths with the first names of many, at most limit (0: all).
type firsts struct {
	limit int
	paths []string
	last  string // no name after it is wanted any more; "" for any
}

func (f *firsts) add(dir, name string) {
	if f.last != "" && name >= f.last {
		return
	}
	f.paths = append(f.paths, dir+"/"+name)
	if f.limit > 0 && len(f.paths) >= 2*f.limit+1024 {
		f.list()
	}
}

// list returns them in the order of their names.
func (f *firsts) list() []string {
	slices.SortFunc(f.paths, func(a, b string) int { return strings.Compare(path.Base(a), path.Base(b)) })
	if f.limit > 0 && len(f.paths) >= f.limit {
		f.paths = f.paths[:f.limit]
		f.last = path.Base(f.paths[f.limit-1])
	}
	return f.paths
}

// locate finds where a job's file lies: by the last line of its history, and
// only if a person has moved it by listing the directories. ErrNotFound: there
// is no job with this id.
func (s *Spool) locate(id string) (string, fsys.Info, error) {
	if !validID(id) {
		return "", fsys.Info{}, ErrNotFound
	}
	for range 3 {
		f, err := s.fs.OpenPlain(idPath(id), os.O_RDONLY)
		if notExist(err) {
			return s.locateUnlinked(id)
		}
		if err != nil {
			return "", fsys.Info{}, s.closedFile(idPath(id), err)
		}
		p, info, err := s.follow(f, id)
		_ = f.Close()
		if err == nil || !errors.Is(err, ErrGone) {
			return p, info, err
		}
	}
	return "", fsys.Info{}, ErrNotFound
}

// follow goes where the history says, else where the listing says.
func (s *Spool) follow(f fsys.File, id string) (string, fsys.Info, error) {
	info, err := f.Stat()
	if err != nil {
		return "", info, err
	}
	for _, p := range s.hints(f, info) {
		if p = s.inOverflow(p, info); p != "" {
			return p, info, nil
		}
	}
	for range 2 {
		paths, err := s.namesOf(id)
		if err != nil {
			return "", info, err
		}
		for _, p := range paths {
			if s.is(p, info) {
				return p, info, nil
			}
		}
		if !s.is(idPath(id), info) {
			break // replaced meanwhile: what is listed may be a copy
		}
		if len(paths) > 0 && !s.is(paths[0], info) { // exchanged by an editor
			if now, err := s.fs.Lstat(paths[0]); err == nil {
				return paths[0], now, nil
			}
		}
	}
	return "", info, ErrGone
}

// inOverflow is the path at which a file lies that is at p, or in an overflow
// directory beside it; "" where it is in none of them.
func (s *Spool) inOverflow(p string, info fsys.Info) (at string) {
	if s.is(p, info) {
		return p
	}
	s.numbered(stateOf(p), func(dir string) bool {
		if q := dir + "/" + path.Base(p); s.is(q, info) {
			at = q
		}
		return at == ""
	})
	return at
}

// hints are the paths at which the history says that the file may lie.
func (s *Spool) hints(f fsys.File, info fsys.Info) []string {
	if s.linkOfTheirs(".", info) != nil {
		return nil
	}
	data, err := readAll(f, min(info.Size, maxFile))
	if err != nil {
		return nil
	}
	dec, err := decodeFile(data, maxFile)
	if err != nil || len(dec.history) == 0 {
		return nil
	}
	var hints []string
	last := dec.history[len(dec.history)-1]
	if n, ok := ParseName(path.Base(last.To)); ok && isState(stateOf(last.To)) && path.Clean(last.To) == last.To && n.Pool == "" {
		hints = append(hints, last.To) // what stands there may have been written by hand
	}
	for i := len(dec.history) - 1; i >= 0 && last.Claim != ""; i-- {
		if n, ok := ParseName(path.Base(dec.history[i].To)); ok && i < len(dec.history)-1 {
			hints = append(hints, string(Processing)+"/"+n.String()[:len(n.String())-len(".json")]+"@"+last.Claim+".json")
			break
		}
	}
	return hints
}

// locateUnlinked finds a file without a second name: a refused drop, or one of
// a copied tree.
func (s *Spool) locateUnlinked(id string) (string, fsys.Info, error) {
	for range 2 {
		paths, err := s.namesOf(id)
		if err != nil {
			return "", fsys.Info{}, err
		}
		for _, p := range paths {
			if info, err := s.fs.Lstat(p); err == nil {
				return p, info, nil
			}
		}
	}
	return "", fsys.Info{}, ErrNotFound
}

// minShort is the least length of a shortened id.
const minShort = 4

// Resolve returns the id that a person means: the id itself, or, for generated
// ids only, its first 4 or more characters. ErrAmbiguous: it fits several.
func (s *Spool) Resolve(id string) (string, error) {
	if _, _, err := s.locate(id); err == nil || !errors.Is(err, ErrNotFound) {
		return id, err
	}
	if len(id) < minShort || !validID(id) {
		return "", jobErr(id, ErrNotFound)
	}
	full, several := "", false
	for _, st := range States {
		err := s.Scan(st, func(_ string, n Name, canonical bool) bool {
			if canonical && n.ID != full && strings.HasPrefix(n.ID, id) && generatedID(n.ID) && s.generated(n.ID) {
				full, several = n.ID, full != ""
			}
			return !several
		})
		switch {
		case err != nil:
			return "", err
		case several:
			return "", jobErr(id, ErrAmbiguous)
		}
	}
	if full == "" {
		return "", jobErr(id, ErrNotFound)
	}
	return full, nil
}

// generated reports whether the id of a job is one that nobody chose.
func (s *Spool) generated(id string) bool {
	for range 3 { // it may move on while we look
		p, _, err := s.locate(id)
		if err != nil {
			return false
		}
		dec, _, err := s.peek(p)
		if notExist(err) {
			continue
		}
		return err == nil && len(dec.history) > 0 && dec.history[0].Life == id
	}
	return false
}
