package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"queuectl/spool/internal/fsys"
)

// Who may write a job, or into a directory on the way to it, may run commands
// as the pool. So what somebody untrusted could have written is not worked on.

const (
	groupWrites = 0o020
	othersWrite = 0o002
	othersReach = 0o011 // search permission of group and others
)

// An UntrustedError says why something in the spool is left alone that
// somebody else could have written, and the way out.
type UntrustedError struct {
	Path, Reason, Hint string
	cause              error
}

func (e *UntrustedError) Unwrap() error { return e.cause }

func (e *UntrustedError) Error() string { return e.Reason + "; " + e.Hint }

// ours reports whether a user is trusted with anything: we and root are.
func (s *Spool) ours(uid uint32) bool { return uid == s.me || uid == 0 }

// distrust says why a file or directory could have been written by somebody
// who is neither ours nor allowed by the configuration; "" where it could not.
func (s *Spool) distrust(path string, info fsys.Info, c *Config) string {
	allowedGroup := c.AllowGroup >= 0 && int64(info.GID) == c.AllowGroup
	mode := info.Mode.Perm()
	switch {
	case info.Mode&fs.ModeSymlink != 0:
		return "is a symbolic link" // whose mode says nothing
	case !s.ours(info.UID) && !slices.Contains(c.AllowUsers, info.UID):
		return fmt.Sprintf("belongs to user %d", info.UID)
	case mode&othersWrite != 0:
		return fmt.Sprintf("may be written to by everybody (mode %04o)", mode)
	case mode&groupWrites == 0:
		return ""
	case !allowedGroup && !s.privateGroup(info):
		return fmt.Sprintf("may be written to by group %d (mode %04o)", info.GID, mode)
	case s.fs.HasACL(path):
		return fmt.Sprintf("may be written to by whom its access list names (mode %04o; see getfacl)", mode)
	}
	return ""
}

// privateGroup reports a plain file of ours in the group that is ours alone,
// by the custom that it has our number: with it goes a umask of 002. Root's is
// the group of administrators on some systems.
func (s *Spool) privateGroup(info fsys.Info) bool {
	return info.Mode.IsRegular() && info.UID == s.me && info.GID == s.me && s.me != 0
}

// allowed says by which setting something is trusted that would not be without
// it; "" where none is needed.
func (s *Spool) allowed(path string, info fsys.Info, c *Config) string {
	nobody := defaults
	switch {
	case s.distrust(path, info, &nobody) == "" || s.distrust(path, info, c) != "":
		return ""
	case !s.ours(info.UID):
		return fmt.Sprintf("belongs to user %d, which allow_users allows", info.UID)
	}
	return fmt.Sprintf("may be written to by group %d (mode %04o), which allow_group allows", info.GID, info.Mode.Perm())
}

// wayOut is what makes distrust end.
func (s *Spool) wayOut(path string, info fsys.Info) string {
	if path == "." || path == configFile {
		return s.ownWayOut(path, info)
	}
	return s.anyWayOut(path, info)
}

func (s *Spool) anyWayOut(path string, info fsys.Info) string {
	p, look := s.abs(path), "see whether it is as it should be, then "
	mode := info.Mode.Perm()
	switch {
	case info.Mode&fs.ModeSymlink != 0:
		return "put what it means in its place"
	case !s.ours(info.UID):
		return look + fmt.Sprintf("\"chown %d %s\", or name the user in config allow_users", s.me, p)
	case mode&othersWrite != 0:
		return look + "\"chmod go-w " + p + "\""
	case s.fs.HasACL(path):
		return look + "\"setfacl -b " + p + "\" and \"chmod go-w " + p + "\""
	}
	return look + "\"chmod go-w " + p + "\", or name the group in config allow_group"
}

// trusted returns an UntrustedError for what is not to be worked on.
func (s *Spool) trusted(path string, info fsys.Info) error {
	c := s.cfg()
	if why := s.distrust(path, info, &c); why != "" {
		return &UntrustedError{Path: path, Reason: why + ": others could run commands as you", Hint: s.wayOut(path, info)}
	}
	return nil
}

// trustDrop is trusted for a drop. What lies in the drop box was put there by
// a member of its group, whoever owns it.
func (s *Spool) trustDrop(path string, info fsys.Info) error {
	if err := s.ownersOnly(path, info); err != nil {
		return err
	}
	if !s.ours(info.UID) && info.Mode.Perm()&othersWrite == 0 && stateOf(path) == Pending && s.dropBox() {
		info.UID = s.me
	}
	return s.trusted(path, info)
}

// trustLinks refuses a file in the drop box that has other names: any member
// may have linked a file of somebody else there, or one of ours.
func (s *Spool) trustLinks(path string, info fsys.Info) error {
	if info.Nlink > 1 && stateOf(path) == Pending && (s.foreign(info) || s.dropBox()) {
		return &InvalidError{Reason: "has other names (hard links), and in a drop box it may be the file of somebody else; drop a copy"}
	}
	return nil
}

// foreign reports a file that can be no job's of ours: it belongs to somebody
// whom no setting allows to own one.
func (s *Spool) foreign(info fsys.Info) bool {
	return !s.ours(info.UID) && !slices.Contains(s.cfg().AllowUsers, info.UID)
}

// notForeign says why a foreign file is not touched. ErrHeld: a setting has begun
// to allow it this very moment.
func (s *Spool) notForeign(path string, info fsys.Info) error {
	if !s.foreign(info) {
		return nil
	}
	return cmp.Or(s.trusted(path, info), ErrHeld)
}

// linkOfTheirs refuses to read what may be anything of somebody else's: they, or
// whoever may link it, gave it a name in the spool.
func (s *Spool) linkOfTheirs(path string, info fsys.Info) error {
	if info.Nlink > 1 && s.foreign(info) {
		return s.trusted(path, info)
	}
	return nil
}

// dropBox reports whether the group that the configuration allows may write
// into pending/.
func (s *Spool) dropBox() bool {
	c := s.cfg()
	info, err := s.fs.Lstat(string(Pending))
	return err == nil && c.AllowGroup >= 0 && int64(info.GID) == c.AllowGroup && info.Mode.Perm()&groupWrites != 0
}

// closedFile explains a file that we may not open. What is no plain file is
// refused all the same.
func (s *Spool) closedFile(path string, err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	info, lstatErr := s.fs.Lstat(path)
	switch {
	case lstatErr != nil:
		return err
	case !info.Mode.IsRegular():
		return errNotPlain
	}
	why := fmt.Sprintf("belongs to user %d, and user %d may not read it", info.UID, s.me)
	hint := fmt.Sprintf("its owner lets it be read with \"setfacl -m u:%d:r %s\"", s.me, s.abs(path))
	if info.UID == s.me {
		why, hint = fmt.Sprintf("may not be opened (mode %04o)", info.Mode.Perm()), "see \"chmod u+rw "+s.abs(path)+"\""
	}
	return &UntrustedError{path, why, hint, err}
}

// checkOwner refuses a spool into which somebody untrusted could write. The
// spool itself and its config.json come first, and no setting allows them to
// others: who writes there could allow himself everything.
func (s *Spool) checkOwner() error {
	nobody := defaults
	for _, path := range []string{".", configFile} {
		info, err := s.fs.Lstat(path)
		if path != "." && notExist(err) {
			continue
		}
		if err != nil {
			return &SpoolError{Dir: s.dir, Reason: path + ": " + reason(err), Err: err}
		}
		if why := s.distrust(path, info, &nobody); why != "" {
			return s.untrustedOwn(path, info, why)
		}
	}
	c := s.cfg()
	for path, info := range s.ownDirs(false) {
		if why := s.distrust(path, info, &c); why != "" {
			return &SpoolError{
				Dir: s.dir, Reason: fmt.Sprintf("its directory %s %s: others could run commands as you", path, why),
				Hint: s.wayOut(path, info),
			}
		}
	}
	return nil
}

// untrustedOwn is the error about the spool itself or its configuration.
func (s *Spool) untrustedOwn(path string, info fsys.Info, why string) error {
	what := ""
	if path != "." {
		what = "its " + path + " "
	}
	if !s.ours(info.UID) {
		return &SpoolError{
			Dir: s.dir, Reason: fmt.Sprintf("%s%s, and you are user %d: its owner could run commands as you", what, why, s.me),
			Hint: s.dropHint(fmt.Sprintf("work on it as its owner (sudo -u '#%d' queuectl ...), or name another with --spool", info.UID)),
		}
	}
	return &SpoolError{
		Dir: s.dir, Reason: fmt.Sprintf("%s%s: others could run commands as you", what, why),
		Hint: s.ownWayOut(path, info),
	}
}

// ownWayOut is wayOut where no setting is one.
func (s *Spool) ownWayOut(path string, info fsys.Info) string {
	hint, _, _ := strings.Cut(s.anyWayOut(path, info), ", or name")
	return hint
}

// ownDirs are the directories of the spool, as they are now. Those below ids and
// logs are left out, unless all are wanted, where nobody else can reach them.
func (s *Spool) ownDirs(all bool) iter.Seq2[string, fsys.Info] {
	return func(yield func(string, fsys.Info) bool) {
		for _, top := range directories {
			info, ok := s.isDir(top)
			if !ok {
				continue
			}
			if !yield(top, info) {
				return
			}
			if top == "tmp" || !all && (top == string(Pending) || info.Mode.Perm()&othersReach == 0) {
				continue
			}
			more := true
			_ = s.fs.List(top, func(name string) bool {
				if len(name) == 2 && (top == "ids" || top == "logs") || overflowDir(name) {
					if info, ok := s.isDir(top + "/" + name); ok {
						more = yield(top+"/"+name, info)
					}
				}
				return more
			})
			if !more {
				return
			}
		}
	}
}

func (s *Spool) isDir(path string) (fsys.Info, bool) {
	info, err := s.fs.Lstat(path)
	return info, err == nil && info.Mode.IsDir()
}

// dropHint leads whoever may not work on a spool to its drop box, if it has
// one.
func (s *Spool) dropHint(otherwise string) string {
	if s.me == 0 {
		return otherwise // root can be its owner
	}
	return dropHint(s.dir, otherwise)
}

func dropHint(dir, otherwise string) string {
	pending := filepath.Join(dir, string(Pending))
	info, err := os.Lstat(pending)
	if err != nil || !info.IsDir() || info.Mode().Perm()&groupWrites == 0 || info.Mode()&fs.ModeSticky == 0 {
		return otherwise
	}
	return "members of its group drop jobs as files: cp job.json " + pending + "/"
}

// checkWay refuses a spool reached through a directory in which somebody
// untrusted could put another in its place. Where the path has symbolic links,
// the way to each and to its target counts; where it does not exist yet, the
// way up to where it ends.
func (s *Spool) checkWay(dir string) error { return s.checkPath(dir, new(int)) }

// maxLinks is how many symbolic links a path may have, as in Linux.
const maxLinks = 40

func (s *Spool) checkPath(dir string, links *int) error {
	at, rest := "/", strings.Split(dir, "/")
	for i, name := range rest {
		switch name {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at)
			continue
		}
		if err := s.trustParent(at); notExist(err) {
			return nil
		} else if err != nil {
			return err
		}
		here := at
		at = filepath.Join(at, name)
		target, err := os.Readlink(at)
		if err != nil {
			continue // no link
		}
		if *links++; *links > maxLinks {
			return &SpoolError{Dir: s.dir, Reason: "is reached through too many symbolic links", Hint: "name its real path with --spool"}
		}
		if _, err := s.trustOwner(at, "the symbolic link"); err != nil {
			return err
		}
		if !filepath.IsAbs(target) {
			target = here + "/" + target
		}
		return s.checkPath(target+"/"+strings.Join(rest[i+1:], "/"), links)
	}
	return nil
}

func (s *Spool) trustParent(dir string) error {
	info, err := s.trustOwner(dir, "the directory")
	if err != nil {
		return err
	}
	// With a umask of 002, by custom, goes a group that is its user's alone.
	uid, gid, _ := fsys.Owner(info)
	private := uid == s.me && gid == s.me && s.me != 0 && info.Mode().Perm()&othersWrite == 0 && !fsys.HasACL(dir)
	if info.Mode().Perm()&(groupWrites|othersWrite) != 0 && info.Mode()&fs.ModeSticky == 0 && !private {
		return &SpoolError{
			Dir: s.dir, Reason: fmt.Sprintf("is reached through %s, to which others may write (mode %04o): they could put another in its place", dir, info.Mode().Perm()),
			Hint: "chmod go-w " + dir + ", or move the spool",
		}
	}
	return nil
}

func (s *Spool) trustOwner(path, what string) (fs.FileInfo, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, &SpoolError{Dir: s.dir, Reason: reason(err), Err: err}
	}
	if uid, _, ok := fsys.Owner(info); ok && !s.ours(uid) && !ownsRoot(uid) {
		return nil, &SpoolError{
			Dir: s.dir, Reason: fmt.Sprintf("is reached through %s %s, which belongs to user %d: its owner could put another in its place", what, path, uid),
			Hint: "work on it as its owner, or move the spool",
		}
	}
	return info, nil
}

// ownsRoot reports whether the user owns the root directory. That is nobody
// but root, except in a chroot and in a container that does not map root: there
// its owner provides every program that we run, and so is trusted on the way.
func ownsRoot(uid uint32) bool {
	info, err := os.Lstat("/")
	if err != nil {
		return false
	}
	owner, _, ok := fsys.Owner(info)
	return ok && owner == uid
}
