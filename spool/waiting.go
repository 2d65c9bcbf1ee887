package spool

import (
	"errors"
	"fmt"
	"path"

	"queuectl/spool/internal/fsys"
)

// WaitingFor says which process keeps the job at this path from its next
// attempt: one that an earlier attempt has left behind, which holds the job's
// lock or is still in its process group; or the attempt that runs, where a
// person has moved the file meanwhile. It is nil where there is none, and for a
// job that simply runs.
func (s *Spool) WaitingFor(p string) *Waiting {
	n, ok := ParseName(path.Base(p))
	dec, info, err := s.peek(p)
	if !ok || err != nil {
		return nil
	}
	return s.waitingFor(p, n, dec, info)
}

func (s *Spool) waitingFor(p string, n Name, dec *decoded, info fsys.Info) *Waiting {
	last := lastAttempt(dec.history)
	switch st := stateOf(p); {
	case last == nil || (st != Pending && st != Failed && st != Processing):
		return nil
	case st == Processing && n.Pool != "":
		if alive, err := s.poolAlive(n.Pool); alive || err != nil {
			return nil
		}
	}
	f, _, err := s.lockJob(p)
	if err == nil {
		_ = f.Unlock()
		_ = f.Close()
		return s.groupWaits(p, n, last, dec.history)
	}
	if !errors.Is(err, ErrHeld) {
		return nil
	}
	who, pid := s.heldBy(info, last)
	if pool := s.runsIn(last); pool != "" {
		return &Waiting{PID: pid, Reason: s.movedMeanwhile(pool, pid, p, n, dec.history)}
	}
	return &Waiting{PID: pid, Reason: s.stillLives(who, p, n, dec.history)}
}

// runsIn is the living pool that an attempt without an outcome runs in, "" where
// there is none.
func (s *Spool) runsIn(e *Entry) string {
	pool, _, ok := parseClaim(e.Claim)
	if !ok || e.Outcome != "" {
		return ""
	}
	if alive, err := s.poolAlive(pool); !alive || err != nil {
		return ""
	}
	return pool
}

// movedMeanwhile says what keeps a job waiting that a person has moved while it
// ran. "recover --force" is refused there: its worker is alive.
func (s *Spool) movedMeanwhile(pool string, pid int, p string, n Name, h []Entry) string {
	as := ""
	if pid != 0 {
		as = fmt.Sprintf(" as process %d", pid)
	}
	then := "runs once more"
	if s.cancelAsked(n.ID, h) {
		then = "is cancelled"
	}
	way := ""
	if hasID(p, n) && then != "is cancelled" {
		way = fmt.Sprintf("; \"queuectl cancel %s\" ends both", n.ID)
	}
	return fmt.Sprintf("it was moved by hand while it ran, and pool %s still runs it%s; it %s when that has ended%s", pool, as, then, way)
}

// hasID reports whether the job is found by its id under this name: outside
// processing/ not by that of a claim.
func hasID(p string, n Name) bool { return n.Pool == "" || stateOf(p) == Processing }

// heldBy names the process that an attempt has left behind with the lock.
func (s *Spool) heldBy(info fsys.Info, last *Entry) (who string, pid int) {
	pid = s.sys.holder(info)
	if pid == 0 && s.sys.groupAlive(last.PID, last.PIDStart) {
		pid = last.PID
	}
	if pid == 0 {
		return "a process of its last attempt", 0
	}
	return fmt.Sprintf("process %d of its last attempt", pid), pid
}

// groupWaits is for a job in processing/ whose lock is free although its
// process group lives: a program that closes what it inherits.
func (s *Spool) groupWaits(p string, n Name, last *Entry, h []Entry) *Waiting {
	if n.Pool == "" || last.Claim != claimKey(n) || last.Outcome != "" {
		return nil
	}
	pool, err := s.readPool(n.Pool)
	if err != nil || !pool.near(s.sys.self()) || !s.sys.groupAlive(last.PID, last.PIDStart) {
		return nil
	}
	return &Waiting{PID: last.PID, Reason: s.stillLives(fmt.Sprintf("its worker is dead, but its process %d", last.PID), p, n, h)}
}

// stillLives says what keeps the job at this path waiting, and what comes
// afterwards.
func (s *Spool) stillLives(who, p string, n Name, h []Entry) string {
	then := "it runs again"
	if s.cancelAsked(n.ID, h) {
		then = "it is cancelled"
	}
	way := ""
	if hasID(p, n) {
		way = fmt.Sprintf(", or after \"queuectl recover --force %s\"", n.ID)
	}
	return fmt.Sprintf("%s still lives; %s when that has ended%s", who, then, way)
}

// cancelAsked reports whether a request to cancel means the job with this
// history.
func (s *Spool) cancelAsked(id string, h []Entry) bool {
	q, info, ok := s.request(id + cancelSuffix)
	return ok && q.means(h, info)
}

// lastAttempt is the last line that is an attempt.
func lastAttempt(h []Entry) *Entry {
	for i := len(h) - 1; i >= 0; i-- {
		if h[i].Claim != "" {
			return &h[i]
		}
	}
	return nil
}
