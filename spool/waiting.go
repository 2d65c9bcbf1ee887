package spool

import (
	"errors"
	"fmt"
	"path"

	"queuectl/spool/internal/fsys"
)

// WaitingFor says which process keeps the job at this path from its next
// attempt: one that an earlier attempt has left behind, which holds the job's
// lock or is still in its process group. It is nil where there is none, and
// for a job that simply runs.
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
		return s.groupWaits(n, last, dec.history)
	}
	if !errors.Is(err, ErrHeld) {
		return nil
	}
	who, pid := s.heldBy(info, last)
	return &Waiting{PID: pid, Reason: s.stillLives(who, n.ID, dec.history)}
}

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
func (s *Spool) groupWaits(n Name, last *Entry, h []Entry) *Waiting {
	if n.Pool == "" || last.Claim != claimKey(n) || last.Outcome != "" {
		return nil
	}
	pool, err := s.readPool(n.Pool)
	if err != nil || !pool.near(s.sys.self()) || !s.sys.groupAlive(last.PID, last.PIDStart) {
		return nil
	}
	return &Waiting{PID: last.PID, Reason: s.stillLives(fmt.Sprintf("its worker is dead, but its process %d", last.PID), n.ID, h)}
}

// stillLives says what keeps a job waiting, and what comes afterwards.
func (s *Spool) stillLives(who, id string, h []Entry) string {
	then := "it runs again"
	if q, info, ok := s.request(id + cancelSuffix); ok && q.means(h, info) {
		then = "it is cancelled"
	}
	return fmt.Sprintf("%s still lives; %s when that has ended, or after \"queuectl recover --force %s\"", who, then, id)
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
