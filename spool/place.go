package spool

import (
	"errors"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"queuectl/spool/internal/fsys"
)

// A state directory that has grown too big goes on in sub-directories named 1,
// 2 and so on; what is in them is in that state.

// fullDir is the length in bytes at which a writer goes on in the next
// sub-directory. A default ext4 directory refuses some inserts for good from
// about 5.9 million names of our length on; 64 MiB are about a million.
const fullDir = 64 << 20

// room remembers where in a state there is room, so that one lstat in a
// thousand moves is enough.
type room struct {
	sub   int // 0: the state directory itself
	moves int
}

const lookEvery = 1000

// place is the directory into which a file of this state goes now.
func (s *Spool) place(st State) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.room[st]
	if r == nil {
		r = &room{}
		s.room[st] = r
	}
	if r.moves%lookEvery == 0 {
		for {
			info, err := s.fs.Lstat(subDir(st, r.sub))
			if err != nil || info.Size < fullDir {
				break
			}
			r.sub++
		}
	}
	r.moves++
	return subDir(st, r.sub)
}

// nextPlace is where to go on when dir refused a name although the file system
// has room.
func (s *Spool) nextPlace(st State) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.room[st]
	r.sub++
	return subDir(st, r.sub)
}

// numbered calls fn with a state's overflow directories, until it returns false,
// and reports whether these are all directories in the state. It does not list
// the state, which may be long.
func (s *Spool) numbered(st State, fn func(dir string) bool) bool {
	n, known := s.fs.Subdirs(string(st))
	for i := 1; known && i <= n; i++ {
		info, err := s.fs.Lstat(subDir(st, i))
		if err != nil || !info.Mode.IsDir() {
			return false // somebody has given one another name
		}
		if !fn(subDir(st, i)) {
			break
		}
	}
	return known
}

func subDir(st State, n int) string {
	if n == 0 {
		return string(st)
	}
	return string(st) + "/" + strconv.Itoa(n)
}

// overflowDir reports whether a name in a state directory is one of its
// sub-directories' names. It is asked of every name that is listed, and
// allocates nothing.
func overflowDir(name string) bool {
	return name != "" && name[0] != '0' && len(name) < 10 && strings.Trim(name, "0123456789") == ""
}

// stateOf is the state of a path such as "pending/NAME" or "pending/1/NAME".
func stateOf(p string) State {
	st, _, _ := strings.Cut(p, "/")
	return State(st)
}

// moveTo renames a file into a state under the first free name from n on, and
// never over another file (rule 2). Where the same inode has the name already,
// the old name is removed. It returns the new path.
func (s *Spool) moveTo(from string, st State, n Name) (string, error) {
	dir, made := s.place(st), false
	for tries := 0; ; tries++ {
		to := dir + "/" + n.String()
		if to == from {
			return to, nil
		}
		err := s.fs.RenameNoReplace(from, to)
		switch {
		case err == nil:
			return to, nil
		case exists(err):
			same, err := s.sameFile(from, to)
			if err != nil {
				return "", err
			}
			if same {
				return to, s.fs.Unlink(from)
			}
			n.Time = n.Time.Add(time.Microsecond)
		case notExist(err) && !made:
			made = true // by us, or by somebody who was faster
			if _, err := s.madeDir(dir); err != nil {
				return "", err
			}
		case errors.Is(err, syscall.ENOSPC) && tries < 3 && s.hasRoom():
			dir = s.nextPlace(st)
			if _, err := s.madeDir(dir); err != nil {
				return "", err
			}
		default:
			return "", err
		}
	}
}

// putBack renames a file to the very path that it came from, or where that is
// occupied by another file, to one beside it: a person may have put something
// new there.
func (s *Spool) putBack(from, to string) error {
	for n, ok := ParseName(path.Base(to)); ; {
		err := s.fs.RenameNoReplace(from, to)
		if notExist(err) {
			if _, err = s.madeDir(path.Dir(to)); err == nil {
				err = s.fs.RenameNoReplace(from, to)
			}
		}
		if !exists(err) {
			return err
		}
		same, err := s.sameFile(from, to)
		if err != nil {
			return err
		}
		if same {
			return s.fs.Unlink(from)
		}
		if ok {
			n.Time = n.Time.Add(time.Microsecond)
			to = path.Dir(to) + "/" + n.String()
			continue
		}
		base := strings.TrimSuffix(path.Base(to), ".json")
		to = path.Dir(to) + "/" + base[:min(len(base), 200)] + "~" + s.sys.rand(6) + ".json"
	}
}

// madeDir makes a directory that may be missing: held, an overflow directory,
// or one that a person has removed. It reports whether it was missing and we
// made it; somebody else may be faster. Where it cannot be made, that is the
// reason to tell, and not that something below it does not exist.
func (s *Spool) madeDir(dir string) (made bool, err error) {
	err = s.fs.Mkdir(dir)
	if parent := path.Dir(dir); notExist(err) && parent != "." {
		if _, err = s.madeDir(parent); err == nil {
			err = s.fs.Mkdir(dir)
		}
	}
	if exists(err) {
		return false, nil
	}
	return err == nil, err
}

// Full reports whether the file system says that it has no room for what a job
// prints. Some keep a reserve, so TryRoom tells for certain.
func (s *Spool) Full() bool {
	sp, err := s.fs.Space()
	return err == nil && sp.FreeBytes == 0
}

// TryRoom makes, and removes again, what the start of a job needs: a directory,
// and a file with something in it. The error says what is lacking.
func (s *Spool) TryRoom() error {
	g, err := s.stage()
	if err != nil {
		return err
	}
	err = s.writeNew(g.path+"/"+spareLog+"0", make([]byte, 4096), false)
	return errors.Join(err, g.finish())
}

func (s *Spool) sameFile(a, b string) (bool, error) {
	ia, err := s.fs.Lstat(a)
	if err != nil {
		return false, err
	}
	ib, err := s.fs.Lstat(b)
	if notExist(err) {
		return false, nil
	}
	return err == nil && ia.Same(ib), err
}

// hasRoom tells a directory that can take no more names from a full disk.
func (s *Spool) hasRoom() bool {
	sp, err := s.fs.Space()
	return err == nil && sp.FreeBytes > 1<<20 && (sp.TotalFiles == 0 || sp.FreeFiles > 16)
}

// lack says why the file system takes no new jobs: a pool that would write it
// down for status can not. "" where it does take them.
func (s *Spool) lack() string {
	sp, err := s.fs.Space()
	switch {
	case err != nil:
		return ""
	case sp.ReadOnly:
		return "the file system of the spool is read-only"
	case sp.FreeBytes == 0:
		return "the file system of the spool is full: no space left"
	case sp.TotalFiles > 0 && sp.FreeFiles == 0:
		return "the file system of the spool is full: no inodes left"
	}
	return ""
}

// same reports whether path is the inode that info tells of. An error says that
// it cannot be told now.
func (s *Spool) same(path string, info fsys.Info) (bool, error) {
	now, err := s.fs.Lstat(path)
	if notExist(err) {
		return false, nil
	}
	return err == nil && now.Same(info), err
}

// is reports whether path is known to be the inode that info tells of.
func (s *Spool) is(path string, info fsys.Info) bool {
	same, err := s.same(path, info)
	return same && err == nil
}
