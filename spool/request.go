package spool

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"queuectl/spool/internal/fsys"
)

// Requests to what runs are files in control/. Each names the life that it
// means, so that one which comes late never hits another: the job's life, or
// the pool's name. An empty one, made by hand, means what is older than it.
const (
	stopSuffix   = ".stop"
	cancelSuffix = ".cancel"
)

// coarseClock is how far the time that a file system gives to a file may lie
// behind the clock: a timer tick, at most 10 ms.
const coarseClock = 10 * time.Millisecond

type request struct {
	Life string `json:"life"`
	At   Stamp  `json:"at"`
	Now  bool   `json:"now,omitempty"`
	// Ended is how many lines of the job's history had ended by then. Where a
	// later one has brought the job to rest, the request is over, and only still
	// there because who obeyed it, or came too late, was killed.
	Ended *int `json:"ended,omitempty"`
}

// ask writes a request. Where there is no room for what it says, an empty one, as
// a person makes it, means nearly the same; but not that a pool is to hurry.
func (s *Spool) ask(name string, q request) error {
	err := s.askInWords(name, q)
	if FileSystemWide(err) && !q.Now {
		made := s.writeNew("control/"+name, nil, false)
		if made == nil || exists(made) && s.asked(name, q) {
			return nil
		}
	}
	return s.unwritable(err)
}

// asked reports whether there is a request that means what this one does.
func (s *Spool) asked(name string, q request) bool {
	there, _, ok := s.request(name)
	sameEnd := there.Ended == nil && q.Ended == nil || there.Ended != nil && q.Ended != nil && *there.Ended == *q.Ended
	return ok && (there.Life == "" || there.Life == q.Life && sameEnd)
}

func (s *Spool) askInWords(name string, q request) error {
	data, err := json.Marshal(q)
	if err != nil {
		return err
	}
	if _, err := s.madeDir("control"); err != nil {
		return err
	}
	return s.writeOver("control/"+name, append(data, '\n'))
}

// request reads a request; ok is false where there is none.
func (s *Spool) request(name string) (q request, info fsys.Info, ok bool) {
	p := "control/" + name
	info, err := s.fs.Lstat(p)
	if err != nil || !info.Mode.IsRegular() {
		return q, info, false
	}
	b, err := s.readFile(p, 4096)
	if err != nil {
		return q, info, false
	}
	_ = json.Unmarshal(b, &q) // an empty or odd one is one made by hand
	return q, info, true
}

// RequestStop asks a pool to stop: softly, or with now without grace.
func (s *Spool) RequestStop(pool string, now bool) error {
	return s.ask(pool+stopSuffix, request{Life: pool, At: s.stamp(), Now: now})
}

// StopRequested reports whether somebody asked this pool to stop. A request that
// means another one is removed.
func (p *Pool) StopRequested() (stop, now bool) {
	q, info, ok := p.s.request(p.name + stopSuffix)
	switch {
	case !ok:
		return false, false
	case q.Life == p.name, q.Life == "" && !info.Mtime.Add(coarseClock).Before(p.file.StartedAt):
		return true, q.Now
	}
	_ = p.s.removeIfThere("control/" + p.name + stopSuffix)
	return false, false
}

// cancelled reports whether a request to cancel means the job with this
// history, and removes one that means another life, or is over.
func (s *Spool) cancelled(id string, history []Entry) bool {
	q, info, ok := s.request(id + cancelSuffix)
	if !ok {
		return false
	}
	if q.means(history, info) {
		return true
	}
	_ = s.dropCancel(id)
	return false
}

// means reports whether a request to cancel means this life, and is not over.
// One that a person made by hand names none, and means a job that is not younger
// than it.
func (q request) means(history []Entry, info fsys.Info) bool {
	life, since := lifeOf(history)
	if q.Life == "" {
		return !info.Mtime.Add(coarseClock).Before(since)
	}
	_, over := q.over(history)
	return q.Life == life && !over
}

// over reports whether the job has come to rest since the request was made, and
// with which outcome.
func (q request) over(history []Entry) (o Outcome, over bool) {
	if q.Ended == nil || *q.Ended < 0 || *q.Ended > len(history) {
		return "", false // as after a compaction
	}
	since := history[*q.Ended:]
	i := slices.IndexFunc(since, func(e Entry) bool {
		st := stateOf(e.To)
		return st == Completed || st == Dead
	})
	if i < 0 {
		return "", false
	}
	return since[i].Outcome, true
}

// CancelRequested reports whether somebody asked to cancel this job.
func (c *Claim) CancelRequested() bool { return c.pool.s.cancelled(c.ID, c.rec.dec.history) }

func (s *Spool) dropCancel(id string) error { return s.removeIfThere("control/" + id + cancelSuffix) }

// strayStops lists the pools that somebody asked to stop and that are no more.
func (s *Spool) strayStops() []string {
	var pools []string
	if _, err := s.fs.Lstat("workers"); err != nil {
		return nil // nothing tells
	}
	_ = s.fs.List("control", func(n string) bool {
		if pool, ok := strings.CutSuffix(n, stopSuffix); ok && n[0] != '.' {
			if _, err := s.fs.Lstat(workerPath(pool)); notExist(err) {
				pools = append(pools, pool)
			}
		}
		return true
	})
	return pools
}

// cancelRequests lists the ids that somebody asked to cancel.
func (s *Spool) cancelRequests() []string {
	var ids []string
	_ = s.fs.List("control", func(n string) bool {
		if id, ok := strings.CutSuffix(n, cancelSuffix); ok && validID(id) {
			ids = append(ids, id)
		}
		return true
	})
	return ids
}

// obeyCancels acts on requests that nobody acts on who runs the job: for one
// that waits, a person has made it by hand; one that has ended needs none.
func (s *Spool) obeyCancels(ctx context.Context) error {
	var errs []error
	for _, id := range s.cancelRequests() {
		p, _, err := s.locate(id)
		if err != nil || stateOf(p) == Processing {
			continue
		}
		err = s.tryJob(ctx, id, s.obeyCancel)
		if err == nil || elsewhere(err) || errors.Is(err, ErrHeld) || errors.Is(err, ErrGone) || errors.Is(err, ErrState) {
			continue // done, or somebody is at work with it, who looks too
		}
		errs = append(errs, jobErr(id, err))
	}
	return errors.Join(errs...)
}

func (s *Spool) obeyCancel(r *record) error {
	if st := stateOf(r.path); st == Completed || st == Dead {
		return s.dropCancel(r.id)
	}
	if !s.cancelled(r.id, r.dec.history) {
		return nil
	}
	return s.cancelWaiting(r)
}

// exclusively runs f under the lock of a file that is made for it.
func (s *Spool) exclusively(path string, f func() error) error {
	if err := s.writeNew(path, nil, false); err != nil && !exists(err) {
		return err
	}
	l, err := s.fs.Lock(path)
	if err != nil {
		return err
	}
	defer l.Close()
	for {
		ok, err := l.TryLock()
		if err != nil {
			return err
		}
		if ok {
			return f()
		}
		if err := s.sys.sleep(context.Background(), time.Millisecond); err != nil {
			return err
		}
	}
}
