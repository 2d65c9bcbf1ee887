package spool

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// A modelJob is one job as it must be.
type modelJob struct {
	id       string
	mark     string        // the member by which its content is known
	path     string        // where it lies; "": a person has removed it
	own      bool          // the file is the inode of the second name
	fresh    bool          // its history has one line, and it is due at its time
	holder   *modelProcess // who runs it, if that lives
	claim    *Claim
	lines    []string // the history: events, outcomes, "open"
	attempts int      // charged, in this round
	deaths   int      // of its workers, in a row
}

func (j *modelJob) state() State { return stateOf(j.path) }

// proper reports whether the file has a name that commands know it by.
func (j *modelJob) proper() bool {
	n, ok := ParseName(path.Base(j.path))
	return ok && n.ID == j.id && (n.Pool == "" || j.state() == Processing)
}

// dropped reports whether a person has both edited the file and given it a
// name: till its adoption it is a drop, and its id is free.
func (j *modelJob) dropped() bool { return j.path != "" && !j.own && !j.proper() }

// end completes the last line of the history.
func (j *modelJob) end(o Outcome, st State) {
	j.lines[len(j.lines)-1] = string(o)
	switch {
	case o == WorkerDied:
		j.deaths++
	default:
		j.deaths = 0
	}
	if o.Counts() {
		j.attempts++
	}
	if st == Completed || st == Dead || o == Succeeded {
		j.attempts, j.deaths = 0, 0
	}
}

// event adds a line.
func (j *modelJob) event(e string) {
	j.lines, j.deaths, j.fresh = append(j.lines, e), 0, false
	if e == EventRetried {
		j.attempts = 0
	}
}

// A foreign is a file that is no job, or not yet: a drop, a copy of a job, or
// what was refused.
type foreign struct {
	name string // under which it was dropped
	kind string
	id   string // that its JSON says
	data []byte
	of   *modelJob // of a copy: the job as it was
}

// Kinds of drops.
const (
	valid   = "valid"
	half    = "half"
	odd     = "directory"
	link    = "link"
	garbage = "garbage"
	copied  = "copy"
)

// What the documents say: the default of max_retries, and how many deaths of
// its worker in a row bury a job.
const (
	modelRetries = 3
	modelDeaths  = 3
)

type model struct {
	t       *rapid.T
	mach    machine
	eye     *modelProcess // looks, and does nothing
	procs   []*modelProcess
	jobs    map[string]*modelJob
	foreign map[string]*foreign // by path: in pending/
	refused map[string]*foreign // by path: in dead/
	deadIDs []string            // pools that are dead and have a file
	stale   []string            // stagings of dead processes
	paused  bool
	marks   int
}

func newModel(t *rapid.T, mach machine) *model {
	m := &model{t: t, mach: mach, jobs: make(map[string]*modelJob), foreign: make(map[string]*foreign), refused: make(map[string]*foreign)}
	m.eye = mach.process()
	for range 2 {
		m.procs = append(m.procs, m.newProcess())
	}
	return m
}

// newProcess is a pool.
func (m *model) newProcess() *modelProcess {
	p := m.mach.process()
	var err error
	p.pool, err = p.Join(4)
	m.must(err)
	return p
}

func (m *model) must(err error) {
	if err != nil {
		m.t.Fatalf("%v", err)
	}
}

// want fails unless err is target; nil wants success.
func (m *model) want(err, target error, format string, args ...any) {
	if target == nil && err == nil || target != nil && errors.Is(err, target) {
		return
	}
	m.t.Fatalf("%s: error is %v; want %v", fmt.Sprintf(format, args...), err, target)
}

func (m *model) mark() string {
	m.marks++
	return fmt.Sprintf("mark-%d.", m.marks)
}

// pick draws a job that ok takes, and skips the step where there is none.
func (m *model) pick(t *rapid.T, ok func(*modelJob) bool) *modelJob {
	var ids []string
	for id, j := range m.jobs {
		if ok(j) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		t.Skip("no such job")
	}
	slices.Sort(ids)
	return m.jobs[rapid.SampledFrom(ids).Draw(t, "id")]
}

func (m *model) proc(t *rapid.T) *modelProcess {
	return m.procs[rapid.IntRange(0, len(m.procs)-1).Draw(t, "process")]
}

// copyOf is the path of a copy of the job, "" where there is none.
func (m *model) copyOf(id string) string {
	for p, f := range m.foreign {
		if f.kind == copied && f.id == id {
			return p
		}
	}
	return ""
}

// moved finds the job's file where it must be now: in one state.
func (m *model) moved(j *modelJob, st State) {
	second, err := m.mach.stat(idPath(j.id))
	m.must(err)
	for _, name := range m.mach.names(string(st)) {
		p := string(st) + "/" + name
		if i, err := m.mach.stat(p); err == nil && i.Same(second) {
			j.path = p
			return
		}
	}
	m.t.Fatalf("job %q, which was %s, is not in %s/", j.id, j.path, st)
}

// occupied reports whether a name is there.
func (m *model) occupied(p string) bool {
	_, err := m.mach.stat(p)
	return err == nil
}

// notDue tells what the clock says to a claim.
func (m *model) notDue(j *modelJob) bool {
	n, _ := ParseName(path.Base(j.path))
	return n.Time.After(m.mach.now()) && !j.fresh
}

// tookOver is what a recovery makes of a dead pool's job. Its name there is
// for moved to find.
func (m *model) tookOver(j *modelJob) {
	st := Pending
	if j.deaths+1 >= modelDeaths || j.attempts+1 > modelRetries {
		st = Dead
	}
	j.end(WorkerDied, st)
	j.path = string(st) + "/"
}

// exchanged is what an adoption makes of a job whose file a person has edited.
func (m *model) exchanged(j *modelJob) {
	if j.lines[len(j.lines)-1] != "open" {
		j.event(EventReplaced)
	}
	j.own, j.fresh = true, false
}

// wasRefused finds what is new in dead/, and takes it for that file.
func (m *model) wasRefused(p string) {
	f := m.foreign[p]
	delete(m.foreign, p)
	for _, name := range m.mach.names(string(Dead)) {
		to := string(Dead) + "/" + name
		if m.refused[to] == nil && !m.isJob(to) {
			m.refused[to] = f
			return
		}
	}
	m.t.Fatalf("%s was refused, and is not in dead/", p)
}

func (m *model) isJob(p string) bool {
	for _, j := range m.jobs {
		if j.path == p {
			return true
		}
	}
	return false
}

// passed reports whether so much time has gone by since a file was changed.
func (m *model) passed(p string, d time.Duration) bool {
	i, err := m.mach.stat(p)
	m.must(err)
	return m.mach.now().Sub(i.Mtime) >= d
}

// history is a job's history as the model has it.
func historyLines(h []Entry) (lines []string) {
	for _, e := range h {
		switch {
		case e.Event != "":
			lines = append(lines, e.Event)
		case e.Outcome != "":
			lines = append(lines, string(e.Outcome))
		default:
			lines = append(lines, "open")
		}
	}
	return lines
}

// expected is what check must find, as "number path".
func (m *model) expected() (list []string) {
	add := func(inv int, p string) { list = append(list, fmt.Sprintf("%d %s", inv, p)) }
	for _, j := range m.jobs {
		twin := m.copyOf(j.id)
		switch {
		case twin == "" && (j.path == "" || j.dropped()):
			add(invOwned, idPath(j.id))
		case j.path != "" && j.proper() && twin != "":
			add(invOnce, j.id)
		}
		if j.path != "" && j.proper() && !j.own {
			add(invSecond, j.path)
		}
		if j.state() == Processing && j.holder == nil {
			add(invRunning, j.path)
		}
	}
	for p, f := range m.foreign {
		if f.kind == copied {
			add(invSecond, p)
		}
	}
	for _, s := range m.stale {
		add(invTmp, s)
	}
	for _, pool := range m.deadIDs {
		if !m.inUse(pool) {
			add(invPools, workerPath(pool))
		}
	}
	slices.Sort(list)
	return list
}

func (m *model) inUse(pool string) bool {
	for _, j := range m.jobs {
		if j.state() == Processing && strings.Contains(j.path, "@"+pool+".") {
			return true
		}
	}
	return false
}
