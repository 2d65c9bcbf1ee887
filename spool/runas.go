package spool

import (
	"fmt"
	"os"
	"slices"

	"queuectl/spool/internal/fsys"
)

// RunAs says as which user jobs run.
type RunAs string

// The users as which jobs run.
const (
	RunAsWorker RunAs = "worker" // the pool's own
	RunAsOwner  RunAs = "owner"  // who dropped the job; for pools of root
	// runAsUnknown is in force where config.json cannot be read and nothing is
	// known from before: it may say owner, and a pool of root must not run as
	// root what was meant to run as somebody else.
	runAsUnknown RunAs = ""
)

// mayOwn refuses to run jobs as their owners where we are not root, or cannot
// keep them from writing who that is.
func (s *Spool) mayOwn() error {
	switch {
	case s.cfg().RunAs != RunAsOwner:
		return nil
	case s.lockFor != os.O_RDONLY:
		return &SpoolError{
			Dir: s.dir, Reason: "its jobs run as their owners (config run_as), " + ownFileWritable,
			Hint: "put the spool on a local file system",
		}
	case s.me == 0:
		return nil
	}
	return &SpoolError{
		Dir: s.dir, Reason: fmt.Sprintf("its jobs run as their owners (config run_as), which only root can have them do, and you are user %d", s.me),
		Hint: "start the worker as root, on a spool of root",
	}
}

// ownFileWritable: locks need a file that is open for writing there, and the
// job inherits the lock.
const ownFileWritable = "and on a network file system each could write into its own file who that is"

// runsAs decides as whom a job is to run: asOwner says that it is the user and
// not ourselves. An error leaves the job where it is.
func (s *Spool) runsAs(r *record) (uid uint32, asOwner bool, err error) {
	switch s.cfg().RunAs {
	case RunAsWorker:
		return s.me, false, nil
	case runAsUnknown:
		if s.me != 0 {
			return s.me, false, nil
		}
		return 0, false, &UntrustedError{Path: r.path, Reason: "may have to run as its owner: what config run_as says cannot be read", Hint: `see "queuectl config list"`}
	}
	uid = r.owner()
	why := func(reason, hint string) error { return &UntrustedError{Path: r.path, Reason: reason, Hint: hint} }
	switch {
	case s.me != 0:
		err = why(`is to run as its owner (config run_as), and this worker is not root`, "start one as root")
	case s.lockFor != os.O_RDONLY:
		err = why("is to run as its owner (config run_as), "+ownFileWritable, "put the spool on a local file system")
	case r.dec.Kind != "":
		err = why("is to run as its owner (config run_as), and handlers run as their worker", "give it to a worker of another spool")
	case uid == 0:
		err = why("belongs to root, as whom no job runs (config run_as is owner)",
			"have it belong to the user who is meant: install -o USER -m 600 job.json "+s.abs(string(Pending))+"/")
	default:
		err = s.ownersOnly(r.path, r.info)
	}
	return uid, err == nil, err
}

// owner is the user to whom a job belongs. The file of an adopted drop is ours,
// and the line that begins its life tells who owned the drop; nobody but us can
// have written that line. A file of somebody whom allow_users allows is theirs,
// whatever they have written.
func (r *record) owner() uint32 {
	if r.info.UID == r.s.me {
		if uid := dropperOf(r.dec.history); uid != nil {
			return *uid
		}
	}
	return r.info.UID
}

// owned is a history for a new file of the job, which is ours: the owner of the
// one before may have written in its line whom they liked.
func (r *record) owned(h []Entry) []Entry {
	if r.info.UID == r.s.me {
		return h
	}
	for i := len(h) - 1; i >= 0; i-- {
		if h[i].Life != "" {
			h = slices.Clone(h)
			h[i].UID = &r.info.UID
			break
		}
	}
	return h
}

// dropperOf is who owned the drop of which the last life began.
func dropperOf(h []Entry) *uint32 {
	for i := len(h) - 1; i >= 0; i-- {
		if h[i].Life != "" {
			return h[i].UID
		}
	}
	return nil
}

// ownersOnly refuses what others than its owner could have written, although a
// setting allows them to run commands as the pool: it is to run as its owner.
func (s *Spool) ownersOnly(path string, info fsys.Info) error {
	if s.cfg().RunAs != RunAsOwner || info.Mode.Perm()&(groupWrites|othersWrite) == 0 {
		return nil
	}
	return &UntrustedError{
		Path: path, Reason: fmt.Sprintf("would run as user %d, and others may write to it (mode %04o)", info.UID, info.Mode.Perm()),
		Hint: "see whether it is as it should be, then \"chmod go-w " + s.abs(path) + "\"",
	}
}
