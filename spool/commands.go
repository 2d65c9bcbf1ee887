package spool

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
)

// How long a command waits for a lock that somebody holds for a moment.
const commandPatience = time.Second

// withJob finds the job and runs f with it locked. What a person exchanged is
// adopted first, what a dead pool left behind is recovered first, and where
// the job moves on meanwhile all begins anew.
func (s *Spool) withJob(ctx context.Context, id string, f func(*record) error) error {
	if err := ctx.Err(); err != nil {
		return jobErr(id, err)
	}
	waited := time.Duration(0) // by no clock, which may be set
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := s.tryJob(ctx, id, f)
		if !errors.Is(err, ErrHeld) && !errors.Is(err, ErrGone) && !errors.Is(err, ErrUnfinished) {
			return jobErr(id, s.unwritable(err))
		}
		switch {
		case waited <= commandPatience:
		case errors.Is(err, ErrUnfinished):
			return jobErr(id, &InvalidError{Reason: "is not a whole JSON object, or somebody still writes it: mend it, or \"queuectl delete " + id + "\""})
		default:
			return jobErr(id, s.busyWith(id))
		}
		if err := s.sys.sleep(ctx, pause); err != nil {
			return jobErr(id, err)
		}
		waited += pause
	}
}

func (s *Spool) tryJob(ctx context.Context, id string, f func(*record) error) error {
	p, _, err := s.locate(id)
	if err != nil {
		return err
	}
	n, ok := ParseName(path.Base(p))
	if stateOf(p) == Processing && ok {
		return s.freeRunning(ctx, orphan{p, n})
	}
	r, err := s.openRecord(p)
	if errors.Is(err, ErrDrop) || errors.Is(err, errNotPlain) || notPlain(err) {
		return s.ownFirst(ctx, p, n)
	}
	if err != nil {
		return err
	}
	defer r.close()
	return f(r)
}

// errRefusedDrop: the id is that of a refused drop, which is no job.
var errRefusedDrop = errors.New("is a refused file, not a job")

// ownFirst makes a file our own that is not the inode of the id's second name.
func (s *Spool) ownFirst(ctx context.Context, p string, n Name) error {
	dec, _, err := s.peek(p)
	if notExist(err) {
		return ErrGone
	}
	if s.refused(p, n, dec) {
		return errRefusedDrop
	}
	if errors.Is(err, errNotPlain) {
		return err
	}
	if _, err := s.adopt(ctx, p); err != nil {
		return err
	}
	return ErrGone // look again
}

// freeRunning refuses to touch a job that runs, and recovers one whose pool is
// dead.
func (s *Spool) freeRunning(ctx context.Context, o orphan) error {
	if o.name.Pool != "" {
		alive, err := s.poolAlive(o.name.Pool)
		if err != nil {
			return err
		}
		if alive {
			return &stateErr{`is running in pool ` + o.name.Pool + `; "queuectl cancel ` + o.name.ID + `" ends it`}
		}
	}
	err := s.recoverOne(ctx, o)
	var alive *aliveError
	if errors.As(err, &alive) {
		return &stateErr{alive.reason}
	}
	if err != nil {
		return err
	}
	return ErrGone // it has moved: look again
}

// busyWith says who keeps a job locked.
func (s *Spool) busyWith(id string) error {
	p, _, err := s.locate(id)
	if err != nil {
		return err
	}
	if w := s.WaitingFor(p); w != nil {
		return &busyError{w.Reason}
	}
	if dec, info, err := s.peek(p); err == nil {
		if last := lastAttempt(dec.history); last != nil {
			if who, pid := s.heldBy(info, last); pid != 0 {
				return &busyError{"is locked: " + who + " still lives; \"queuectl recover --force " + id + "\" leaves that behind"}
			}
		}
	}
	return &busyError{"is being worked on by another process"}
}

type busyError struct{ msg string }

func (e *busyError) Error() string        { return e.msg }
func (e *busyError) Is(target error) bool { return target == ErrBusy }

// Retry makes a failed, completed, dead or held job pending and due now, with
// a new round of attempts. A refused drop goes back to pending/ under its old
// name. ErrUnsynced: it is retried, but a power cut may undo that.
func (s *Spool) Retry(ctx context.Context, id string) error {
	err := s.withJob(ctx, id, func(r *record) error {
		switch st := stateOf(r.path); st {
		case Pending:
			return &stateErr{"is pending already"}
		case Failed, Completed, Dead, Held:
		default:
			return &stateErr{"is " + string(st)}
		}
		n := Name{Time: s.sys.now(), Priority: r.name.Priority, ID: r.id}
		e := Entry{Event: EventRetried, At: Stamp{n.Time}, By: "cli", To: string(Pending) + "/" + n.String()}
		err := r.addThen(e, func() error {
			if err := s.dropCancel(r.id); err != nil {
				return err
			}
			return r.move(Pending, n)
		})
		if err != nil {
			return err
		}
		return s.acknowledgeOf(r, "is retried")
	})
	if errors.Is(err, errRefusedDrop) {
		return jobErr(id, s.retryRefused(id))
	}
	return err
}

// retryRefused gives a refused drop its old name and place.
func (s *Spool) retryRefused(id string) error {
	p, _, err := s.locateUnlinked(id)
	if err != nil {
		return err
	}
	name, _ := s.refusedAs(id)
	if name == "" || strings.ContainsRune(name, '/') || ignored(name) {
		name = id + ".json"
	}
	if err := s.putBack(p, string(Pending)+"/"+name); err != nil {
		return err
	}
	return s.removeIfThere(logPath(id))
}

func (s *Spool) removeIfThere(p string) error {
	if err := s.fs.Unlink(p); err != nil && !notExist(err) {
		return err
	}
	return nil
}

// acknowledgeOf is acknowledge of what was done on demand. ErrUnsynced: it is
// done, and a power cut may undo it.
func (s *Spool) acknowledgeOf(r *record, done string) error {
	if err := s.acknowledge(r); err != nil {
		return fmt.Errorf("%s, but %w: %w", done, ErrUnsynced, err)
	}
	return nil
}

// Delete removes a job for good; its id is free then. One that runs is
// refused: ErrState.
func (s *Spool) Delete(ctx context.Context, id string) error {
	err := s.withJob(ctx, id, func(r *record) error { return r.remove() })
	var untrusted *UntrustedError
	switch {
	case errors.Is(err, errRefusedDrop):
		return jobErr(id, s.deleteRefused(id))
	case errors.Is(err, ErrInvalid), errors.As(err, &untrusted):
		return jobErr(id, s.deleteUnreadable(id))
	}
	return err
}

// deleteUnreadable removes a job whose file a person has made unreadable, or
// which is not read because it is somebody else's.
func (s *Spool) deleteUnreadable(id string) error {
	p, _, err := s.locate(id)
	if err != nil {
		return err
	}
	lock, info, err := s.lockJob(p)
	if errors.Is(err, ErrHeld) {
		return s.busyWith(id)
	}
	if err != nil {
		return s.closedFile(p, err)
	}
	r := &record{s: s, id: id, path: p, lock: lock, info: info}
	defer r.close()
	if s.is(idPath(id), info) {
		return r.remove()
	}
	// An editor has exchanged it: the id's second name is all that there is else.
	tmp, err := r.takeAway()
	if err == nil {
		err = s.removeIfThere(tmp)
	}
	if err == nil {
		_, err = s.freeID(id)
	}
	return err
}

func (s *Spool) deleteRefused(id string) error {
	p, _, err := s.locateUnlinked(id)
	if err != nil {
		return err
	}
	if err := s.removeIfThere(p); err != nil {
		return err
	}
	return s.removeIfThere(logPath(id))
}

// A CancelReport says what came of a cancel.
type CancelReport struct {
	Done      bool     // it was waiting, and is dead now
	Requested bool     // it runs, and its pool was asked to end it
	Waiting   *Waiting // it is cancelled once this process has ended
}

// Cancel ends a job for good: one that waits goes to dead/; one that runs is
// ended by its pool, which first sends TERM to its process group and 5 seconds
// later KILL. ErrUnsynced: it is dead, but a power cut may undo that.
func (s *Spool) Cancel(ctx context.Context, id string) (CancelReport, error) {
	if err := ctx.Err(); err != nil {
		return CancelReport{}, jobErr(id, err)
	}
	var asked request
	for range 10 {
		rep, again, err := s.tryCancel(ctx, id, &asked)
		if over := new(overError); errors.As(err, &over) {
			if over.outcome == Cancelled {
				return CancelReport{Done: true}, nil // by who ran it
			}
			return CancelReport{}, jobErr(id, &stateErr{"has ended already"})
		}
		if !again {
			return rep, jobErr(id, err)
		}
	}
	return CancelReport{}, jobErr(id, s.busyWith(id))
}

// An overError says that the job has come to rest since a request to cancel it
// was made. Where it has been put back meanwhile, that is none of the request's
// concern.
type overError struct{ outcome Outcome }

func (e *overError) Error() string { return "has ended: " + string(e.outcome) }

// notOver is an overError where the request is over.
func (q request) notOver(history []Entry) error {
	if o, over := q.over(history); over {
		return &overError{o}
	}
	return nil
}

// tryCancel writes the request first where the job runs or its lock is held,
// and then looks where it is: whoever moves it on meanwhile sees the request,
// which is asked.
func (s *Spool) tryCancel(ctx context.Context, id string, asked *request) (rep CancelReport, again bool, err error) {
	p, _, err := s.locate(id)
	if err != nil {
		return rep, false, err
	}
	n, _ := ParseName(path.Base(p))
	switch st := stateOf(p); st {
	case Completed, Dead:
		_ = s.dropCancel(id)
		dec, _, err := s.peek(p)
		if elsewhere(err) {
			return rep, true, nil
		}
		if err == nil {
			err = asked.notOver(dec.history)
		}
		if over := new(overError); errors.As(err, &over) {
			return rep, false, err
		}
		return rep, false, &stateErr{"is " + string(st) + " already"}
	case Processing:
		return s.cancelRunning(ctx, orphan{p, n}, asked)
	}
	err = s.withJob(ctx, id, func(r *record) error {
		if err := asked.notOver(r.dec.history); err != nil {
			return err
		}
		return s.cancelWaiting(r)
	})
	if errors.Is(err, ErrBusy) {
		if w := s.WaitingFor(p); w != nil { // left behind by an earlier attempt
			err := s.askCancel(p, id, asked)
			w = s.WaitingFor(p) // which tells of the request, too
			return CancelReport{Waiting: w}, err == nil && w == nil, err
		}
	}
	if errors.Is(err, ErrState) {
		return rep, true, nil // it has begun to run, or ended, meanwhile
	}
	var inner *JobError
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return CancelReport{Done: err == nil || errors.Is(err, ErrUnsynced)}, false, err
}

func (s *Spool) cancelWaiting(r *record) error {
	switch st := stateOf(r.path); st {
	case Pending, Failed, Held:
	default:
		return &stateErr{"is " + string(st)}
	}
	n := Name{Time: s.sys.now(), Priority: r.name.Priority, ID: r.id}
	e := Entry{Event: EventCancelled, At: Stamp{n.Time}, By: "cli", Outcome: Cancelled, Reason: "cancelled", To: string(Dead) + "/" + n.String()}
	if err := r.addThen(e, func() error { return r.move(Dead, n) }); err != nil {
		return err
	}
	return errors.Join(s.dropCancel(r.id), s.acknowledgeOf(r, "is cancelled"))
}

// askCancel writes the request, unless the one before is over; it names the life
// that the job has now, and how far that has come.
func (s *Spool) askCancel(p, id string, asked *request) error {
	dec, _, err := s.peek(p)
	if err == nil {
		err = asked.notOver(dec.history)
	}
	if err != nil {
		return err
	}
	life, _ := lifeOf(dec.history)
	ended := len(dec.history)
	if openAttempt(dec.history) != nil {
		ended--
	}
	*asked = request{Life: life, At: s.stamp(), Ended: &ended}
	return s.ask(id+cancelSuffix, *asked)
}

func (s *Spool) cancelRunning(ctx context.Context, o orphan, asked *request) (rep CancelReport, again bool, err error) {
	if err := s.askCancel(o.path, o.name.ID, asked); err != nil {
		return rep, notExist(err), err
	}
	if _, err := s.fs.Lstat(o.path); err != nil {
		return CancelReport{Requested: true}, true, nil
	}
	if o.name.Pool != "" {
		if alive, err := s.poolAlive(o.name.Pool); alive || err != nil {
			return CancelReport{Requested: true}, false, err
		}
	}
	err = s.recoverOne(ctx, o)
	var alive *aliveError
	switch {
	case errors.As(err, &alive):
		return CancelReport{Waiting: &Waiting{alive.reason, alive.pid}}, false, nil
	case errors.Is(err, ErrGone):
		return CancelReport{Requested: true}, true, nil
	}
	return CancelReport{Done: err == nil}, false, err
}

// AwaitPool returns when the pool has ended. Its process may live on.
func (s *Spool) AwaitPool(ctx context.Context, pool string) error {
	for {
		alive, err := s.poolAlive(pool)
		if err != nil || !alive {
			return err
		}
		if err := s.sys.sleep(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}
