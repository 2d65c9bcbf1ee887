package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
)

// How many deaths of its worker in a row bury a job: those that may be its own
// doing, and those that are nobody's (a stop, a crash of the machine).
const (
	chargedDeaths   = 3
	unchargedDeaths = 20
)

// RecoverReport is what a recovery found.
type RecoverReport struct {
	Recovered []string  // ids that were taken over from dead pools
	Waiting   []Problem // jobs of dead pools of which a process still lives
	Rolled    int       // dead stagings that were rolled forward or back
}

// Recover takes over what dead pools left behind. Pools do it by themselves.
func (s *Spool) Recover(ctx context.Context) (RecoverReport, error) { return s.recoverAll(ctx, nil) }

// Recover takes over what dead pools left behind, and names of this pool that
// none of its slots holds.
func (p *Pool) Recover(ctx context.Context) (RecoverReport, error) { return p.s.recoverAll(ctx, p) }

func (s *Spool) recoverAll(ctx context.Context, self *Pool) (rep RecoverReport, err error) {
	rep.Rolled, err = s.rollAll()
	errs := []error{err}
	alive := make(map[string]bool)
	for _, o := range s.processing() {
		if ctx.Err() != nil {
			return rep, ctx.Err()
		}
		lives, known := alive[o.name.Pool]
		if !known && o.name.Pool != "" {
			if lives, err = s.poolAlive(o.name.Pool); err != nil {
				lives = true // not to be told: leave it alone
				errs = append(errs, err)
			}
			alive[o.name.Pool] = lives
		}
		if self != nil && o.name.Pool == self.name {
			lives = self.holds(o.name)
		}
		if lives {
			continue
		}
		errs = append(errs, s.recoverInto(ctx, o, &rep))
	}
	errs = append(errs, s.obeyCancels(ctx), s.dropDeadPools(self))
	return rep, errors.Join(errs...)
}

// An orphan is a name in processing/.
type orphan struct {
	path string
	name Name
}

func (s *Spool) processing() (list []orphan) {
	_ = s.Scan(Processing, func(p string, n Name, canonical bool) bool {
		if canonical {
			list = append(list, orphan{p, n})
		}
		return true
	})
	return list
}

func (s *Spool) recoverInto(ctx context.Context, o orphan, rep *RecoverReport) error {
	err := s.recoverOne(ctx, o)
	var alive *aliveError
	switch {
	case err == nil:
		rep.Recovered = append(rep.Recovered, o.name.ID)
	case errors.As(err, &alive):
		rep.Waiting = append(rep.Waiting, alive.problem(o.name.ID))
	case errors.Is(err, ErrGone):
	default:
		return jobErr(o.name.ID, err)
	}
	return nil
}

// An aliveError says that a process of the job still lives, or may.
type aliveError struct {
	reason string
	pid    int
}

func (e *aliveError) Error() string { return e.reason }

func (e *aliveError) problem(id string) Problem {
	return Problem{ID: id, Reason: e.reason, PID: e.pid}
}

// recoverOne takes one job over. One question decides, asked of the kernel and
// not of a clock: is its lock free? A second one follows, because programs
// exist that close what they inherit: does its process group live?
func (s *Spool) recoverOne(ctx context.Context, o orphan) error {
	r, err := s.openRecord(o.path)
	for range 2 {
		if !errors.Is(err, ErrDrop) {
			break
		}
		// A copied tree, or an editor: the file is made the job's own first.
		to, e := s.adopt(ctx, o.path)
		if e != nil {
			return e
		}
		if to != o.path {
			return nil
		}
		r, err = s.openRecord(o.path)
	}
	if errors.Is(err, ErrHeld) {
		return s.aliveError(o)
	}
	if err != nil {
		return s.unreadable(o.path, err)
	}
	defer r.close()
	pool, poolErr := s.readPool(o.name.Pool)
	if poolErr != nil && !notExist(poolErr) {
		return poolErr // it would tell whether its process may live
	}
	if e := openAttempt(r.dec.history); e != nil && e.Claim == claimKey(o.name) && e.PID != 0 && poolErr == nil &&
		pool.near(s.sys.self()) && s.sys.groupAlive(e.PID, e.PIDStart) {
		return &aliveError{reason: s.stillLives(fmt.Sprintf("its worker is dead, but its process %d", e.PID), o.path, o.name, r.dec.history), pid: e.PID}
	}
	return s.takeOver(r, pool, poolErr == nil)
}

// aliveError tells who holds the lock of a dead pool's job.
func (s *Spool) aliveError(o orphan) error {
	w := s.WaitingFor(o.path)
	if w == nil {
		if _, err := s.fs.Lstat(o.path); notExist(err) {
			return ErrGone
		}
		return &aliveError{reason: "its lock is held for the moment"}
	}
	return &aliveError{reason: w.Reason, pid: w.PID}
}

// hostOf is the host that stands in a pool's name, HOST-PID-RAND: its file may
// be gone.
func hostOf(pool string) string {
	for range 2 {
		pool = pool[:max(0, strings.LastIndexByte(pool, '-'))]
	}
	return pool
}

func claimKey(n Name) string { return n.Pool + "." + strconv.FormatUint(n.Claim, 10) }

// takeOver moves a dead pool's job on. It believes the last line of the
// history only if its claim is the one in the file's name (rule 1).
func (s *Spool) takeOver(r *record, pool poolFile, known bool) error {
	n := Name{Time: r.name.Time, Priority: r.name.Priority, ID: r.id}
	last := r.dec.history[len(r.dec.history)-1]
	if r.name.Pool == "" || last.Claim != claimKey(r.name) {
		return r.move(Pending, n) // the attempt never began
	}
	if last.Outcome != "" {
		st, to := destination(last.To, n)
		return errors.Join(r.move(st, to), s.dropCancelIn(st, r.id))
	}
	st, to, e := s.verdict(r, n, pool, known)
	if hostOf(r.name.Pool) != s.sys.self().Host {
		return r.replaceAway(e, st, to)
	}
	if err := r.complete(e); err != nil {
		return err
	}
	s.logLost(r.id, last.Attempt, e) // before another attempt can begin
	if err := r.move(st, to); err != nil {
		return err
	}
	return s.dropCancelIn(st, r.id)
}

func (s *Spool) dropCancelIn(st State, id string) error {
	if st == Completed || st == Dead {
		return s.dropCancel(id)
	}
	return nil
}

// verdict is how an attempt ended whose worker died.
func (s *Spool) verdict(r *record, n Name, pool poolFile, known bool) (State, Name, Entry) {
	now := s.sys.now()
	e := Entry{Ended: Stamp{now}, Outcome: WorkerLost, Reason: "its worker was lost"}
	charged, uncharged := deathsInRow(r.dec.history)
	bury := uncharged+1 >= unchargedDeaths
	if known && !pool.Stopping && pool.Boot == s.sys.self().Boot {
		e.Outcome, e.Reason = WorkerDied, "its worker died"
		bury = charged+1 >= chargedDeaths || r.dec.history[len(r.dec.history)-1].Attempt > s.maxRetries(r.dec)
	}
	if s.cancelled(r.id, r.dec.history) {
		e.Outcome, bury = Cancelled, true
		e.Reason = "cancelled (" + e.Reason + ")"
	}
	st := Pending
	if bury {
		st, n = Dead, Name{Time: now, Priority: n.Priority, ID: n.ID}
	}
	e.To = string(st) + "/" + n.String()
	return st, n, e
}

// destination is where a settled line says that the file goes.
func destination(to string, fallback Name) (State, Name) {
	st := stateOf(to)
	n, ok := ParseName(path.Base(to))
	if !ok || !isState(st) || n.ID != fallback.ID {
		return Pending, fallback
	}
	return st, n
}

// replaceAway gives another host's job a new file, which no late write of its
// old worker reaches.
func (r *record) replaceAway(e Entry, st State, n Name) error {
	h := append([]Entry(nil), r.dec.history...)
	h[len(h)-1] = merge(h[len(h)-1], e)
	f, err := r.s.replace(r.id, r.path, r.info, fileOf(r.dec, r.id, r.s.sys.now(), r.owned(h)), string(st)+"/"+n.String())
	if err != nil {
		return err
	}
	r.s.logLost(r.id, h[len(h)-1].Attempt, e)
	_ = f.Unlock()
	return errors.Join(f.Close(), r.s.dropCancelIn(st, r.id))
}

// dropDeadPools removes the files of dead pools to which nothing refers.
func (s *Spool) dropDeadPools(self *Pool) error {
	names, err := s.poolNames()
	if err != nil {
		return err
	}
	if s.noProcessing() {
		return nil // what refers to them may come back with it
	}
	for _, name := range names {
		if self != nil && name == self.name {
			continue
		}
		alive, err := s.poolAlive(name)
		if err != nil || alive {
			continue
		}
		if err := s.dropPoolFile(name); err != nil {
			return err
		}
	}
	return nil
}

// ForceRecover replaces the file of a job whose lock is held by a process that
// its worker left behind, and so leaves that process and its lock behind. The
// job may then run beside it: this is a person's decision.
func (s *Spool) ForceRecover(_ context.Context, id string) error {
	err := s.forceRecover(id)
	for tries := 0; errors.Is(err, ErrGone) && tries < 3; tries++ {
		err = s.forceRecover(id) // it has moved meanwhile
	}
	return jobErr(id, err)
}

func (s *Spool) forceRecover(id string) error {
	p, info, err := s.locate(id)
	if err != nil {
		return err
	}
	n, _ := ParseName(path.Base(p))
	if err := s.runsNot(id, n.Pool); err != nil {
		return err
	}
	r := &record{s: s, id: id, path: p, name: n, info: info}
	if r.rw, err = s.fs.OpenPlain(p, os.O_RDWR); err != nil {
		if elsewhere(err) {
			return ErrGone
		}
		return err
	}
	defer r.abandon()
	if err := s.notForeign(p, info); err != nil {
		return err
	}
	if stateOf(p) != Processing {
		err := r.rw.TryLock()
		if err == nil {
			_ = r.rw.Unlock()
			return &stateErr{"is held by no process: there is nothing to recover"}
		}
		if !held(err) {
			return err
		}
	}
	if err := r.read(); err != nil {
		return err
	}
	r.dec.history = r.history()
	if last := r.dec.history[len(r.dec.history)-1]; last.Outcome == "" {
		// It may be running although a person has moved it out of processing/.
		pool, _, _ := parseClaim(last.Claim)
		if err := s.runsNot(id, pool); err != nil {
			return err
		}
	}
	st, to, h, lost := s.forced(r)
	f, err := s.replace(id, p, info, fileOf(r.dec, id, s.sys.now(), r.owned(h)), string(st)+"/"+to.String())
	if err != nil {
		return err
	}
	if lost != nil {
		s.logLost(id, lost.Attempt, *lost)
	}
	_ = f.Unlock()
	return errors.Join(f.Close(), s.dropCancelIn(st, id))
}

// runsNot is an error where the pool that has claimed a job is alive.
func (s *Spool) runsNot(id, pool string) error {
	if pool == "" {
		return nil
	}
	alive, err := s.poolAlive(pool)
	if alive {
		err = &stateErr{"runs in pool " + pool + ", which is alive; use \"queuectl cancel " + id + "\""}
	}
	return err
}

// forced is where a job goes whose last process is left behind, and its
// history then: what a recovery would do, had that process ended. lost is how that
// would say that the attempt ended, nil where it had.
func (s *Spool) forced(r *record) (st State, to Name, h []Entry, lost *Entry) {
	st, to, h = stateOf(r.path), r.name, append([]Entry(nil), r.dec.history...)
	if last := h[len(h)-1]; st == Processing {
		st, to = Pending, Name{Time: to.Time, Priority: to.Priority, ID: r.id}
		switch {
		case last.Claim != claimKey(r.name):
		case last.Outcome != "":
			st, to = destination(last.To, to)
		default:
			pool, err := s.readPool(r.name.Pool)
			var end Entry
			st, to, end = s.verdict(r, to, pool, err == nil)
			h[len(h)-1] = merge(last, end)
			lost = &h[len(h)-1]
		}
	}
	return st, to, append(h[:len(h):len(h)], Entry{Event: EventReplaced, At: s.stamp(), By: "recover --force", To: string(st) + "/" + to.String()}), lost
}
