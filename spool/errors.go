package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"queuectl/spool/internal/fsys"
)

// What a caller decides by. Every error of this package that stands for one of
// these answers errors.Is.
var (
	ErrNotFound  = errors.New("no such job")
	ErrTaken     = errors.New("the id is taken")
	ErrBusy      = errors.New("busy")
	ErrAmbiguous = errors.New("the short id fits several jobs")
	ErrState     = errors.New("not possible in this state")
	ErrUnusable  = errors.New("the spool cannot be used")
	// Of an enqueue that has made its jobs, and could not sync them: it returns
	// their ids, too.
	ErrUnsynced = errors.New("may not survive a power cut")

	// Of a claim or an adoption.

	ErrGone       = errors.New("somebody else has it")
	ErrHeld       = errors.New("its lock is held")
	ErrNotDue     = errors.New("not due yet")
	ErrDrop       = errors.New("a dropped file, to be adopted first")
	ErrUnfinished = errors.New("not yet whole")
	ErrRefused    = errors.New("refused")
)

// A TakenError says which job has the id.
type TakenError struct {
	ID    string
	State State // "" where it could not be told
}

func (e *TakenError) Error() string {
	if e.State == "" {
		return fmt.Sprintf("id %q is taken", e.ID)
	}
	return fmt.Sprintf("id %q is taken (%s)", e.ID, e.State)
}

// Is makes it an ErrTaken.
func (e *TakenError) Is(target error) bool { return target == ErrTaken }

// A RefusedError says why a file was moved to dead/.
type RefusedError struct {
	Name   string // of the file
	Reason string
}

func (e *RefusedError) Error() string { return fmt.Sprintf("%q was refused: %s", e.Name, e.Reason) }

// Is makes it an ErrRefused.
func (e *RefusedError) Is(target error) bool { return target == ErrRefused }

// A SpoolError says why a spool cannot be used, and the way out.
type SpoolError struct {
	Dir, Reason, Hint string
	Err               error // the cause, where there is one
}

func (e *SpoolError) Error() string {
	s := fmt.Sprintf("spool %s: %s", e.Dir, e.Reason)
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// Is makes it an ErrUnusable.
func (e *SpoolError) Is(target error) bool { return target == ErrUnusable }

func (e *SpoolError) Unwrap() error { return e.Err }

// A BatchError says which job of a batch was refused. Nothing of the batch was
// enqueued.
type BatchError struct {
	Index int // counted from 0
	Err   error
}

func (e *BatchError) Error() string { return fmt.Sprintf("job %d: %v", e.Index+1, e.Err) }

func (e *BatchError) Unwrap() error { return e.Err }

// A JobError says which job an error is about.
type JobError struct {
	ID  string
	Err error
}

func (e *JobError) Error() string { return fmt.Sprintf("job %q: %v", e.ID, e.Err) }

func (e *JobError) Unwrap() error { return e.Err }

// jobErr names the job in an error that does not name it yet.
func jobErr(id string, err error) error {
	var known *JobError
	if err == nil || errors.As(err, &known) && known.ID == id {
		return err
	}
	return &JobError{ID: id, Err: err}
}

// stateErr says that a command does not fit a job's state, and what does.
type stateErr struct{ msg string }

func (e *stateErr) Error() string { return e.msg }

func (e *stateErr) Is(target error) bool { return target == ErrState }

func notExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
func exists(err error) bool   { return errors.Is(err, fs.ErrExist) }

// elsewhere reports errors that mean "somebody else has it" at a step of a
// claim or a settle: the file moved on, or a network file system lost sight of
// it.
func elsewhere(err error) bool {
	if notExist(err) {
		return true
	}
	for _, e := range []error{syscall.ESTALE, syscall.EBADF, syscall.ENOTCONN, syscall.ESHUTDOWN} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// noHardLinks reports errors with which a file system without hard links
// refuses link(2).
func noHardLinks(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, errors.ErrUnsupported)
}

// FileSystemWide reports whether an error of a claim or a settle concerns the
// whole file system and not one file: it is full, or cannot be written to, or
// the process has no descriptors left.
func FileSystemWide(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EROFS) ||
		errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.EMFILE)
}

// notPlain reports errors of opening what is no plain file: a symbolic link, a
// directory, a socket.
func notPlain(err error) bool {
	return errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENXIO) ||
		errors.Is(err, syscall.EMLINK)
}

func held(err error) bool { return errors.Is(err, fsys.ErrWouldBlock) }
