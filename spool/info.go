package spool

import (
	"errors"
	"io/fs"
	"iter"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"queuectl/spool/internal/fsys"
)

// A JobInfo is what is known of a job.
type JobInfo struct {
	ID         string
	State      State
	Priority   int
	Due        time.Time // zero in completed and dead
	Attempts   int       // of the present round
	MaxRetries int
	Command    string
	Argv       []string
	Kind       string
	CreatedAt  time.Time
	EndedAt    time.Time // in completed and dead
	LastError  string    // why the last attempt failed, or a drop was refused
	File       string    // absolute path
	Log        string    // absolute path, "" where there is none
	WaitingFor *Waiting
	Refused    bool    // a drop that could be no job; it has only ID, State, EndedAt, LastError and File
	Dropped    bool    // a drop of which no pool has made a job yet; it has only State, File and, if it can be none, LastError
	History    []Entry // nil in lists
	Raw        []byte  // the whole file; nil in lists
}

// A Waiting says what keeps a job from its next attempt although it is due.
type Waiting struct {
	Reason string `json:"reason"`
	PID    int    `json:"pid"` // of the process, 0 where it cannot be told
}

// MarshalJSON writes the form that docs/format.md promises.
func (j JobInfo) MarshalJSON() ([]byte, error) {
	return marshal(struct {
		ID         string   `json:"id"`
		State      State    `json:"state"`
		Priority   int      `json:"priority"`
		Due        *Stamp   `json:"due"`
		Attempts   int      `json:"attempts"`
		MaxRetries int      `json:"max_retries"`
		Command    string   `json:"command,omitempty"`
		Argv       []string `json:"argv,omitempty"`
		Kind       string   `json:"kind,omitempty"`
		CreatedAt  *Stamp   `json:"created_at"`
		EndedAt    *Stamp   `json:"ended_at"`
		LastError  *string  `json:"last_error"`
		File       string   `json:"file"`
		Log        *string  `json:"log"`
		WaitingFor *Waiting `json:"waiting_for"`
		Refused    bool     `json:"refused,omitempty"`
		Dropped    bool     `json:"dropped,omitempty"`
		History    []Entry  `json:"history,omitempty"`
	}{
		j.ID, j.State, j.Priority, stampOrNull(j.Due), j.Attempts, j.MaxRetries, j.Command, j.Argv, j.Kind,
		stampOrNull(j.CreatedAt), stampOrNull(j.EndedAt), orNull(j.LastError), j.File, orNull(j.Log),
		j.WaitingFor, j.Refused, j.Dropped, j.History,
	})
}

func stampOrNull(t time.Time) *Stamp {
	if t.IsZero() {
		return nil
	}
	return &Stamp{t}
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// Job returns all that is known of a job. ErrNotFound: there is none with
// this id.
func (s *Spool) Job(id string) (*JobInfo, error) {
	for range 3 { // it may move on while we look
		p, _, err := s.locate(id)
		if err != nil {
			return nil, jobErr(id, err)
		}
		j, err := s.inspect(p, true)
		if !notExist(err) {
			return j, jobErr(id, err)
		}
	}
	return nil, jobErr(id, ErrNotFound)
}

// List lists the jobs of some states, state by state and each in the order of
// its names, at most limit of them (0: all). After those that are pending come
// the files that were dropped there and are no jobs yet. A file that cannot be
// read gives an error and no job, and the walk goes on.
func (s *Spool) List(states []State, limit int) iter.Seq2[*JobInfo, error] {
	return func(yield func(*JobInfo, error) bool) {
		n := 0
		for _, st := range states {
			paths, err := s.entries(st, max(0, limit-n))
			if err != nil && !yield(nil, err) {
				return
			}
			for _, p := range paths {
				j, err := s.inspect(p, false)
				if notExist(err) {
					continue // it has moved on
				}
				if !yield(j, err) {
					return
				}
				if n++; limit > 0 && n >= limit {
					return
				}
			}
		}
	}
}

// inspect reads the job's file at a path in a state directory.
func (s *Spool) inspect(p string, whole bool) (*JobInfo, error) {
	n, canonical := ParseName(path.Base(p))
	if !canonical {
		return s.dropInfo(p)
	}
	j := &JobInfo{ID: n.ID, State: stateOf(p), Priority: n.Priority, File: s.abs(p)}
	if j.State == Completed || j.State == Dead {
		j.EndedAt = n.Time
	} else {
		j.Due = n.Time
	}
	if _, err := s.fs.Lstat(logPath(n.ID)); err == nil {
		j.Log = s.abs(logPath(n.ID))
	}
	dec, info, err := s.peek(p)
	if notExist(err) {
		return nil, fs.ErrNotExist
	}
	if s.refused(p, n, dec) {
		j.Refused, j.LastError = true, s.refusal(n.ID)
		return j, nil
	}
	if err == nil && j.State == Dead {
		err = dec.isOf(n.ID) // for which it is there
	}
	if err != nil {
		return s.unreadableInfo(j, err)
	}
	j.Command, j.Argv, j.Kind, j.CreatedAt = dec.Command, dec.Argv, dec.Kind, dec.CreatedAt
	j.MaxRetries, j.Attempts = s.maxRetries(dec), attempts(dec.history, j.EndedAt != time.Time{})
	j.LastError = lastError(dec.history)
	if j.WaitingFor = s.waitingFor(p, n, dec, info); j.WaitingFor == nil && s.orphaned(p, n) {
		j.WaitingFor = &Waiting{Reason: workerIsDead}
	}
	if whole {
		j.History, j.Raw = dec.history, dec.data
	}
	return j, nil
}

// dropInfo is what can be said of a drop: what it will be is found out when it is
// adopted.
func (s *Spool) dropInfo(p string) (*JobInfo, error) {
	info, err := s.fs.Lstat(p)
	if err != nil {
		return nil, err
	}
	j := &JobInfo{State: Pending, File: s.abs(p), Dropped: true}
	if info.Mode.IsDir() {
		j.LastError = "is a directory"
	}
	return j, nil
}

// unreadableInfo is what can be said of a known job whose file a person has
// made unreadable.
func (s *Spool) unreadableInfo(j *JobInfo, err error) (*JobInfo, error) {
	var invalid *InvalidError
	var untrusted *UntrustedError
	if j.LastError = s.refusal(j.ID); j.LastError == "" {
		why := " " + reason(err)
		if errors.As(err, &invalid) {
			why = " " + invalid.Reason
			if invalid.Member != "" {
				why = ": " + invalid.Error()
			}
		}
		j.LastError = "its file" + why
	}
	if errors.As(err, &invalid) || errors.As(err, &untrusted) || errors.Is(err, errNotPlain) || notPlain(err) {
		return j, nil
	}
	return nil, jobErr(j.ID, err)
}

// rereads bounds how often a reader without the lock reads a file again whose
// tail is just being written (seen: 70 of 1.4 million looks).
const rereads = 5

// peek reads a job's file without its lock.
func (s *Spool) peek(p string) (*decoded, fsys.Info, error) {
	info, err := s.fs.Lstat(p)
	if err != nil {
		return nil, info, err
	}
	if !info.Mode.IsRegular() {
		return nil, info, errNotPlain
	}
	var dec *decoded
	for range rereads {
		var data []byte
		if data, err = s.readIf(p, maxFile, func(now fsys.Info) error { return s.linkOfTheirs(p, now) }); err != nil {
			return nil, info, err
		}
		if dec, err = decodeFile(data, maxFile); err == nil && !dec.torn {
			break
		}
	}
	return dec, info, err
}

// refused reports whether a file in dead/ is a drop that could be no job:
// those have no second name.
func (s *Spool) refused(p string, n Name, dec *decoded) bool {
	if stateOf(p) != Dead || !strings.Contains(n.ID, "~") {
		return false
	}
	if dec != nil && dec.ID == n.ID && dec.history != nil {
		return false
	}
	_, err := s.fs.Lstat(idPath(n.ID))
	return notExist(err)
}

// refusal is the reason with which a file was refused, from its log.
func (s *Spool) refusal(id string) string {
	_, why := s.refusedAs(id)
	return why
}

// refusedAs reads the original name of a refused file and the reason.
func (s *Spool) refusedAs(id string) (name, why string) {
	f, err := s.readLog(id)
	if err != nil {
		return "", ""
	}
	defer f.Close()
	b := make([]byte, 8<<10)
	n, _ := f.ReadAt(b, 0)
	line, _, _ := strings.Cut(string(b[:n]), "\n")
	rest, ok := strings.CutPrefix(line, refusedPrefix)
	if !ok {
		return "", ""
	}
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return "", rest
	}
	name, _ = strconv.Unquote(quoted)
	return name, strings.TrimPrefix(rest[len(quoted):], ": ")
}

// Counts counts the files in each state by their names alone. A file that a
// person has just dropped counts as pending.
func (s *Spool) Counts() (map[State]int, error) {
	v, err := s.survey()
	if err != nil {
		return nil, err
	}
	return v.counts, nil
}

// A survey is what one look at all names tells.
type survey struct {
	counts       map[State]int
	oldest, next time.Time         // the first that is due, and the first that is not
	first        map[State]*firsts // of those that wait
}

// lookedAt bounds how many due jobs are asked for what they wait for.
const lookedAt = 200

func (s *Spool) survey() (*survey, error) {
	now := s.sys.now()
	parts, errs := make([]*survey, len(States)), make([]error, len(States))
	var all sync.WaitGroup
	for i, st := range States {
		look := func() { parts[i], errs[i] = s.surveyOf(st, now) }
		if s.atOnce {
			all.Go(look)
		} else {
			look()
		}
	}
	all.Wait()
	v := &survey{counts: make(map[State]int, len(States)), first: make(map[State]*firsts, len(States))}
	for i, part := range parts {
		if errs[i] != nil {
			return nil, errs[i]
		}
		maps.Copy(v.counts, part.counts)
		maps.Copy(v.first, part.first)
		v.oldest, v.next = earlier(v.oldest, part.oldest), earlier(v.next, part.next)
	}
	return v, nil
}

// surveyOf looks at one state.
func (s *Spool) surveyOf(st State, now time.Time) (*survey, error) {
	v, n, first := &survey{}, 0, &firsts{limit: lookedAt}
	waits := st == Pending || st == Failed
	err := s.names(st, func(dir, name string, nm Name, canonical bool) bool {
		if canonical || st == Pending {
			n++
		}
		if canonical && waits {
			first.add(dir, name)
			v.due(nm.Time, now)
		}
		return true
	})
	v.counts, v.first = map[State]int{st: n}, map[State]*firsts{st: first}
	return v, err
}

func (v *survey) due(t, now time.Time) {
	if t.After(now) {
		v.next = earlier(v.next, t)
	} else {
		v.oldest = earlier(v.oldest, t)
	}
}

// earlier is the earlier one of two times, of which one may be zero: none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// A PoolInfo is one pool that lives, or of which that cannot be told.
type PoolInfo struct {
	Name      string `json:"name"`
	Host      string `json:"host"`
	PID       int    `json:"pid"`
	Slots     int    `json:"slots"`
	Busy      int    `json:"busy"`
	StartedAt Stamp  `json:"started_at"`
	Stopping  bool   `json:"stopping"`
}

// Pools lists the pools that live, or of which that cannot be told.
func (s *Spool) Pools() ([]PoolInfo, error) {
	busy := make(map[string]int)
	for _, o := range s.processing() {
		busy[o.name.Pool]++
	}
	names, err := s.poolNames()
	if err != nil {
		return nil, err
	}
	pools := []PoolInfo{}
	for _, name := range names {
		if alive, err := s.poolAlive(name); err == nil && !alive {
			continue
		}
		f, err := s.readPool(name)
		if err != nil {
			continue
		}
		pools = append(pools, PoolInfo{
			Name: name, Host: f.Host, PID: f.PID, Slots: f.Slots, Busy: busy[name],
			StartedAt: Stamp{f.StartedAt}, Stopping: f.Stopping,
		})
	}
	return pools, nil
}

// A Status is a spool at a glance.
type Status struct {
	Spool     string        `json:"spool"`
	Paused    bool          `json:"paused"`
	Jobs      map[State]int `json:"jobs"`
	Pools     []PoolInfo    `json:"pools"`
	OldestDue *Stamp        `json:"oldest_due"` // of what waits and could run now
	NextDue   *Stamp        `json:"next_due"`   // of what waits for its time
	Problems  []Problem     `json:"problems"`
}

// Status looks at the spool. Where a pool
// lives, it opens no job's file but those of dead pools.
func (s *Spool) Status() (*Status, error) {
	st := &Status{Spool: s.dir, Paused: s.Paused(), Problems: []Problem{}}
	v, err := s.survey()
	if err != nil {
		return nil, err
	}
	st.Jobs, st.OldestDue, st.NextDue = v.counts, stampOrNull(v.oldest), stampOrNull(v.next)
	if st.Pools, err = s.Pools(); err != nil {
		return nil, err
	}
	alive := make(map[string]bool)
	for _, p := range st.Pools {
		alive[p.Name] = true
		st.Problems = append(st.Problems, s.problemsOf(p.Name)...)
	}
	for _, o := range s.processing() {
		pool := o.name.Pool
		if _, known := alive[pool]; !known {
			lives, err := s.poolAlive(pool)
			alive[pool] = lives || err != nil // there must be no doubt
		}
		if !alive[pool] {
			st.Problems = append(st.Problems, s.orphanProblem(o))
		}
	}
	if len(st.Pools) == 0 {
		s.waitingProblems(st, v)
	}
	if _, err := s.Config(); err != nil {
		st.Problems = append(st.Problems, Problem{Reason: oneLine(err.Error())})
	}
	if why := s.checkOwner(); why != nil {
		st.Problems = slices.Insert(st.Problems, 0, Problem{Reason: oneLine(why.Error())})
	}
	if lack := s.lack(); lack != "" {
		st.Problems = slices.Insert(st.Problems, 0, Problem{Reason: lack})
	}
	return st, nil
}

// waitingProblems names due jobs that a process of an earlier attempt keeps
// waiting. Where a pool lives, it has found that out and written it down.
func (s *Spool) waitingProblems(st *Status, v *survey) {
	now := s.sys.now()
	for _, state := range []State{Failed, Pending} {
		for _, p := range v.first[state].list() {
			n, _ := ParseName(path.Base(p))
			if n.Time.After(now) {
				break
			}
			if w := s.WaitingFor(p); w != nil {
				st.Problems = append(st.Problems, Problem{ID: n.ID, Reason: w.Reason, PID: w.PID})
			}
		}
	}
}

const workerIsDead = "its worker is dead; a pool, or \"queuectl recover\", takes it over"

// orphaned reports whether what lies in processing/ is of a pool that is dead.
func (s *Spool) orphaned(p string, n Name) bool {
	if stateOf(p) != Processing {
		return false
	}
	alive, err := s.poolAlive(n.Pool)
	return !alive && err == nil
}

func (s *Spool) orphanProblem(o orphan) Problem {
	p := Problem{ID: o.name.ID, Reason: workerIsDead}
	if w := s.WaitingFor(o.path); w != nil {
		p.Reason, p.PID = w.Reason, w.PID
	}
	return p
}
