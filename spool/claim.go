package spool

import (
	"context"
	"errors"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
)

// A Claim is one attempt at one job. Its methods are for one goroutine at a
// time.
type Claim struct {
	ID         string
	Job        Job
	Attempt    int // 1 for the first of this round
	MaxRetries int
	Life       string
	// AsOwner says that the job is to run as the user Owner and not as ours.
	AsOwner bool
	Owner   uint32
	// Moved, where set, is called once the job lies in its new state and only
	// the disk is waited for, which sync = always asks for.
	Moved func()

	pool *Pool
	rec  *record
	from Name // the name under which it waited
	key  string

	ending *ending // once the outcome is written
}

// Claim takes the job that waits at path ("pending/NAME" or "failed/NAME") for
// this pool, by lock first and rename second. Errors that decide what to do
// next: ErrGone, ErrHeld, ErrNotDue, ErrDrop, ErrUnfinished, ErrRefused.
func (p *Pool) Claim(pathname string) (*Claim, error) {
	s := p.s
	r, err := s.openRecordIf(pathname, p.lockFor, s.trusted)
	if err != nil {
		return nil, s.unreadable(pathname, err)
	}
	if err := s.dueNow(r); err != nil {
		r.close()
		return nil, err
	}
	if p.accept != nil {
		if err := p.accept(&r.dec.Job); err != nil {
			r.close()
			return nil, err
		}
	}
	uid, asOwner, err := s.runsAs(r)
	if err != nil {
		r.close()
		return nil, err
	}
	p.mu.Lock()
	p.claims++
	n := r.name
	n.Pool, n.Claim = p.name, p.claims
	c := &Claim{ID: r.id, AsOwner: asOwner, Owner: uid, pool: p, rec: r, from: r.name, key: claimKey(n)}
	p.held[c.key] = c
	p.mu.Unlock()
	if err := c.begin(n); err != nil {
		p.forget(c)
		r.close()
		return nil, err
	}
	return c, nil
}

// dueNow lets a job begin whose time has come by its name, or by its file: a
// job that was enqueued without delay on a host whose clock is ahead is due.
func (s *Spool) dueNow(r *record) error {
	if !r.name.Time.After(s.sys.now()) {
		return nil
	}
	last := r.dec.history[len(r.dec.history)-1]
	if last.Life != "" && last.At.Equal(r.name.Time) {
		return nil
	}
	return ErrNotDue
}

// begin renames the file to the claim's own name, proves that the rename moved
// what we hold, and writes the attempt's line.
func (c *Claim) begin(n Name) error {
	s, r := c.pool.s, c.rec
	to := string(Processing) + "/" + n.String()
	err := s.fs.RenameNoReplace(r.path, to)
	if notExist(err) && s.is(r.path, r.info) { // somebody has removed processing/
		if _, err = s.madeDir(string(Processing)); err == nil {
			err = s.fs.RenameNoReplace(r.path, to)
		}
	}
	if err != nil {
		if elsewhere(err) {
			return ErrGone
		}
		return err
	}
	if !s.is(to, r.info) {
		// Another file had the name when we moved it: it goes back.
		return errors.Join(ErrGone, s.putBack(to, r.path))
	}
	back := r.path
	r.path, r.name = to, n
	life, _ := lifeOf(r.dec.history)
	c.Job, c.Life = r.dec.Job, life
	c.Job.ID = c.ID
	c.MaxRetries = s.maxRetries(r.dec)
	c.Attempt = attempts(r.dec.history, false) + 1
	e := Entry{Attempt: c.Attempt, Claim: c.key, Started: s.stamp()}
	if err := r.add(e); err != nil {
		return errors.Join(err, s.putBack(r.path, back))
	}
	return nil
}

func (s *Spool) maxRetries(dec *decoded) int {
	if dec != nil && dec.MaxRetries != nil {
		return *dec.MaxRetries
	}
	return s.cfg().MaxRetries
}

// unreadable moves a known job whose file was made unreadable to dead/, with
// the reason in its log. One that may be in the middle of being edited waits.
func (s *Spool) unreadable(p string, err error) error {
	if errors.Is(err, errNotPlain) || notPlain(err) {
		return ErrDrop // a FIFO, say, which the adoption refuses
	}
	var invalid *InvalidError
	if !errors.As(err, &invalid) {
		return err
	}
	lock, info, lockErr := s.lockJob(p)
	if lockErr != nil {
		return lockErr
	}
	defer lock.Close()
	defer lock.Unlock()
	if errors.Is(err, errIncomplete) && s.sys.now().Sub(info.Mtime) < unfinishedTime {
		return ErrUnfinished
	}
	n, ok := ParseName(path.Base(p))
	if !ok {
		return err
	}
	if err := s.appendLog(n.ID, refusedPrefix+strconv.Quote(path.Base(p))+": "+oneLine(err.Error())+"\n"); err != nil {
		return err
	}
	if _, err := s.moveTo(p, Dead, Name{Time: s.sys.now(), Priority: n.Priority, ID: n.ID}); err != nil {
		return err
	}
	return &RefusedError{Name: path.Base(p), Reason: oneLine(err.Error())}
}

// Adopt makes a job of the dropped file at path and returns where it waits.
func (p *Pool) Adopt(ctx context.Context, path string) (string, error) { return p.s.adopt(ctx, path) }

// File is the locked description of the job's file, for the job to inherit:
// while any process has it, the job counts as alive. It is nil in simulations.
func (c *Claim) File() *os.File { return c.rec.lock.OS() }

// JobFile is the absolute path of the job's file that never changes.
func (c *Claim) JobFile() string { return c.pool.s.abs(idPath(c.ID)) }

// Path is where the file lies now, "processing/…".
func (c *Claim) Path() string { return c.rec.path }

// Started fills in the process group that runs the attempt.
func (c *Claim) Started(pid int) error {
	return c.rec.complete(Entry{PID: pid, PIDStart: c.pool.s.sys.startOf(pid)})
}

// GroupLives reports whether the process group that runs the attempt has a member
// that is no zombie. Where zombies cannot be told from others, they count.
func (c *Claim) GroupLives(pid int) bool { return c.pool.s.sys.groupAlive(pid, 0) }

// A Result is how an attempt ended.
type Result struct {
	Outcome Outcome
	Exit    *int
	Signal  string
	Reason  string // of a failure, for people; cut to 1 KiB
	// Ended is when the attempt ended; without it, that is now.
	Ended time.Time
	// RetryAt is when a failed job runs again; without it, it is buried.
	RetryAt time.Time
	// Killed says that we killed the attempt. What escaped the kill keeps the
	// lock, and the next attempt waits for it.
	Killed bool
}

const maxReason = 1 << 10

// Settle writes the outcome and moves the job to the state that follows from
// it, which it returns. A job that a person has moved meanwhile stays where it
// was put: ErrGone. Any other error leaves the claim as it is, to be settled
// once the reason is gone (a full disk).
func (c *Claim) Settle(res Result) (State, error) {
	now := res.Ended.UTC().Truncate(time.Microsecond)
	if res.Ended.IsZero() {
		now = c.pool.s.sys.now()
	}
	st, n := Dead, Name{Time: now, Priority: c.from.Priority, ID: c.ID}
	switch {
	case res.Outcome == Succeeded:
		st = Completed
	case c.CancelRequested():
		res.Outcome, res.RetryAt = Cancelled, time.Time{}
	case !res.RetryAt.IsZero():
		st, n.Time = Failed, res.RetryAt.UTC().Truncate(time.Microsecond)
	}
	e := Entry{Ended: Stamp{now}, Outcome: res.Outcome, Exit: res.Exit, Signal: res.Signal, Reason: cutReason(res.Reason)}
	return c.end(e, st, n, res.Killed)
}

func cutReason(r string) string {
	if r = toValidUTF8(r); len(r) > maxReason {
		r = strings.ToValidUTF8(r[:maxReason], "") // without half a character
	}
	return r
}

// Release gives the job back unfinished: it waits again under its old due time
// and priority, and is not charged.
func (c *Claim) Release(reason string, killed bool) error {
	if c.CancelRequested() {
		_, err := c.Settle(Result{Outcome: Cancelled, Reason: reason, Killed: killed})
		return err
	}
	e := Entry{Ended: c.pool.s.stamp(), Outcome: Interrupted, Reason: cutReason(reason)}
	_, err := c.end(e, Pending, c.from, killed)
	return err
}

// end writes the last members of the attempt's line and renames the file. An
// error leaves the claim as it was, so that it can be ended later (the disk is
// full, say); only ErrGone ends it.
func (c *Claim) end(e Entry, st State, n Name, killed bool) (_ State, err error) {
	s, r := c.pool.s, c.rec
	if r.lock == nil {
		return st, ErrGone // ended before
	}
	defer func() {
		if err == nil || errors.Is(err, ErrGone) {
			c.leave(killed)
		}
	}()
	if c.ending == nil {
		err := r.still()
		if errors.Is(err, ErrGone) {
			_ = r.complete(e) // its record may tell at least
		}
		if err == nil {
			e.To = string(st) + "/" + n.String()
			err = r.complete(e)
		}
		if err != nil {
			return st, err
		}
		c.ending = &ending{st, n}
	}
	// Once the line is written, that is how it ended.
	st, n = c.ending.st, c.ending.n
	if err := r.move(st, n); err != nil {
		return st, err
	}
	if st == Completed || st == Dead {
		err = s.dropCancel(c.ID)
	}
	if err == nil && s.cfg().Sync == SyncAlways {
		if c.Moved != nil {
			c.Moved()
			c.Moved = nil
		}
		err = s.acknowledge(r)
	}
	return st, err
}

// An ending is where a settled job goes.
type ending struct {
	st State
	n  Name
}

// leave gives up the lock. After a kill it closes our descriptors only: what
// escaped the kill keeps the lock, and the next attempt waits for it.
func (c *Claim) leave(killed bool) {
	if killed {
		c.rec.abandon()
	} else {
		c.rec.close()
	}
	c.pool.forget(c)
}

// acknowledge makes durable what a record says and where it lies, unless
// nothing is to be.
func (s *Spool) acknowledge(r *record) error {
	if !s.syncing() || r.rw == nil {
		return nil
	}
	if s.fs.SyncsNames() {
		return s.group.sync(r.rw)
	}
	return s.group.sync(r.rw, path.Dir(r.path))
}

// SyncNow makes all state changes so far durable. Pools call it every
// sync_interval in which they settled something.
func (s *Spool) SyncNow() error { return s.fs.SyncFS() }

func (p *Pool) forget(c *Claim) {
	p.mu.Lock()
	delete(p.held, c.key)
	p.mu.Unlock()
}

// holds reports whether a slot of this pool holds the claim.
func (p *Pool) holds(n Name) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.held[claimKey(n)]
	return ok
}
