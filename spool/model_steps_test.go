package spool

import (
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"pgregory.net/rapid"
)

// What processes do. Each step says first what must come of it.

var modelIDs = []string{"a", "b", "c", "d"}

func (m *model) enqueue(t *rapid.T) {
	id := rapid.SampledFrom(modelIDs).Draw(t, "id")
	j, p := m.jobs[id], m.proc(t)
	if j != nil && j.dropped() {
		t.Skip("its edited file has a name of a person's own: the id is free, and the file a drop")
	}
	mark := m.mark()
	_, err := p.EnqueueJSON(ctx, []byte(jobText(id, `"mark":"`+mark+`"`)))
	switch {
	case j != nil && (j.path != "" || m.copyOf(id) != ""):
		m.want(err, ErrTaken, "enqueue of %q, which is there", id)
	case j != nil && j.holder != nil:
		m.want(err, ErrBusy, "enqueue of %q, which was removed while it runs", id)
	case m.copyOf(id) != "" && err == nil, err == nil:
		m.jobs[id] = &modelJob{id: id, mark: mark, own: true, fresh: true, lines: []string{EventEnqueued}}
		m.moved(m.jobs[id], Pending)
	default:
		t.Fatalf("enqueue of %q: %v", id, err)
	}
}

func (m *model) claim(t *rapid.T) {
	j := m.pick(t, func(j *modelJob) bool { return (j.state() == Pending || j.state() == Failed) && j.proper() })
	p := m.proc(t)
	if m.paused != p.Paused() {
		t.Fatalf("paused: %v; want %v", p.Paused(), m.paused)
	}
	if m.paused {
		t.Skip("paused: a pool claims nothing")
	}
	m.claimBy(p, j)
}

func (m *model) claimBy(p *modelProcess, j *modelJob) {
	c, err := p.pool.Claim(j.path)
	switch {
	case !j.own:
		m.want(err, ErrDrop, "claim of the edited %s", j.path)
	case j.holder != nil:
		m.want(err, ErrHeld, "claim of %s, which runs", j.path)
	case m.notDue(j):
		m.want(err, ErrNotDue, "claim of %s", j.path)
	default:
		m.want(err, nil, "claim of %s", j.path)
		if c.Attempt != j.attempts+1 {
			m.t.Fatalf("attempt %d of %q; want %d", c.Attempt, j.id, j.attempts+1)
		}
		if n := len(j.lines); n > 0 && j.lines[n-1] == "open" {
			j.deaths = 0 // a person has moved it away from its attempt: the row of deaths is broken
		}
		j.holder, j.claim, j.fresh, j.lines = p, c, false, append(j.lines, "open")
		m.moved(j, Processing)
	}
}

func (m *model) settle(t *rapid.T) {
	j := m.pick(t, func(j *modelJob) bool { return j.holder != nil })
	there := j.path == j.claim.Path()
	outcome, want := Succeeded, Completed
	var err error
	switch rapid.SampledFrom([]string{"success", "failure", "bury", "release"}).Draw(t, "how") {
	case "success":
		_, err = j.claim.Settle(success)
	case "failure":
		outcome, want = FailedOutcome, Failed
		_, err = j.claim.Settle(Result{Outcome: outcome, RetryAt: m.mach.now().Add(30*time.Minute + 10*time.Second)})
	case "bury":
		outcome, want = TimedOut, Dead
		_, err = j.claim.Settle(Result{Outcome: outcome})
	case "release":
		outcome, want = Interrupted, Pending
		err = j.claim.Release("the pool stops", false)
	}
	j.holder, j.claim = nil, nil
	if !there {
		m.want(err, ErrGone, "settle of %q, which a person has moved to %q", j.id, j.path)
		j.end(outcome, "")
		return
	}
	m.want(err, nil, "settle of %q", j.id)
	j.end(outcome, want)
	m.moved(j, want)
}

// adopt has a pool look at what lies in pending/ or failed/ and is no job's
// own file under its proper name.
func (m *model) adopt(t *rapid.T) {
	var paths []string
	for p, f := range m.foreign {
		if !m.unclear(f) {
			paths = append(paths, p)
		}
	}
	for _, j := range m.jobs {
		if st := j.state(); (st == Pending || st == Failed) && (!j.own || !j.proper()) {
			paths = append(paths, j.path)
		}
	}
	if len(paths) == 0 {
		t.Skip("nothing to adopt")
	}
	slices.Sort(paths)
	p := rapid.SampledFrom(paths).Draw(t, "path")
	old := m.passed(p, unfinishedTime)
	to, err := m.proc(t).pool.Adopt(ctx, p)
	if f := m.foreign[p]; f != nil && f.kind == half && old {
		m.want(err, ErrRefused, "adoption of half a file after an hour")
		m.wasRefused(p)
		return
	} else if f != nil {
		m.adoptedForeign(t, p, f, to, err)
		return
	}
	for _, j := range m.jobs {
		if j.path == p {
			m.adoptedJob(j, err)
		}
	}
}

// unclear reports whether a drop asks for an id that is nobody's for a while:
// whichever of two drops is adopted first has it.
func (m *model) unclear(f *foreign) bool {
	id := f.id
	if id == "" {
		id = idFromFileName(f.name)
	}
	j := m.jobs[id]
	return f.kind == valid && j != nil && (j.dropped() || f.id == "" && j.path == "" && j.holder != nil)
}

// adoptedJob: a job whose file a person has edited, or given a name.
func (m *model) adoptedJob(j *modelJob, err error) {
	if j.holder != nil {
		m.want(err, ErrHeld, "adoption of %s, which runs", j.path)
		return
	}
	m.want(err, nil, "adoption of %s", j.path)
	if !j.own {
		st := j.state()
		if !j.proper() {
			st = Pending
		}
		m.exchanged(j)
		m.moved(j, st)
		return
	}
	j.event(EventMoved)
	m.moved(j, Pending)
}

func (m *model) adoptedForeign(t *rapid.T, p string, f *foreign, to string, err error) {
	old := m.jobs[f.id]
	switch f.kind {
	case odd:
		m.want(err, syscall.EISDIR, "adoption of the directory %s", p)
	case link, garbage:
		m.want(err, ErrRefused, "adoption of %s", p)
		m.wasRefused(p)
	case half:
		m.want(err, ErrUnfinished, "adoption of half a file")
	case copied:
		m.adoptedCopy(p, f, old, err)
	default:
		m.adoptedDrop(t, p, f, to, err)
	}
}

func (m *model) adoptedCopy(p string, f *foreign, old *modelJob, err error) {
	switch {
	case old != nil && old.holder != nil:
		m.want(err, ErrHeld, "adoption of a copy of a job that runs")
	case old != nil && old.path != "":
		m.want(err, ErrRefused, "adoption of a copy of a job that is there")
		m.wasRefused(p)
	default: // it is all that is left of the job
		m.want(err, nil, "adoption of the last copy of a job")
		delete(m.foreign, p)
		j := *f.of
		j.path, j.own, j.lines = p, true, slices.Clone(j.lines)
		if old == nil {
			j.event(EventAdopted)
		} else {
			j.event(EventReplaced)
		}
		m.jobs[j.id] = &j
		m.moved(&j, Pending)
	}
}

func (m *model) adoptedDrop(t *rapid.T, p string, f *foreign, to string, err error) {
	old := m.jobs[f.id]
	switch {
	case f.id != "" && old != nil && (old.path != "" || m.copyOf(f.id) != ""):
		m.want(err, ErrRefused, "adoption of a drop whose id %q is taken", f.id)
		m.wasRefused(p)
		return
	case f.id != "" && old != nil && old.holder != nil:
		m.want(err, ErrBusy, "adoption of a drop whose id %q was removed while it runs", f.id)
		return
	}
	m.want(err, nil, "adoption of %s", p)
	n, _ := ParseName(path.Base(to))
	if base := strings.TrimSuffix(f.name, ".json"); f.id == "" && !strings.HasPrefix(n.ID, idFromFileName(base)) || f.id != "" && n.ID != f.id {
		t.Fatalf("%s became %q", p, n.ID)
	}
	if there := m.jobs[n.ID]; there != nil && there.path != "" {
		t.Fatalf("%s became the job %q, which there was", p, n.ID)
	}
	delete(m.foreign, p)
	j := &modelJob{id: n.ID, mark: f.of.mark, own: true, fresh: true, lines: []string{EventAdopted}}
	m.jobs[j.id] = j
	m.moved(j, Pending)
}

// command says how a command that changes the job must end, and does to the
// model what it does first: recover a dead pool's job, adopt an edited one.
func (m *model) command(j *modelJob) error {
	if j.state() == Processing {
		if j.holder != nil {
			return ErrState
		}
		m.tookOver(j)
	}
	if j.holder != nil {
		return ErrBusy
	}
	if !j.own {
		m.exchanged(j)
	}
	return nil
}

// retry is "queuectl dlq retry", of a job or of what was refused.
func (m *model) retry(t *rapid.T) {
	if len(m.refused) > 0 && rapid.Bool().Draw(t, "refused") {
		m.retryRefused(t)
		return
	}
	j := m.pick(t, func(j *modelJob) bool { return j.path != "" && j.proper() })
	err := m.proc(t).Retry(ctx, j.id)
	if want := m.command(j); want != nil {
		m.want(err, want, "retry of %s", j.path)
		return
	}
	if j.state() == Pending {
		m.want(err, ErrState, "retry of %s", j.path)
		m.moved(j, Pending)
		return
	}
	m.want(err, nil, "retry of %s", j.path)
	j.event(EventRetried)
	m.moved(j, Pending)
}

func (m *model) retryRefused(t *rapid.T) {
	var paths []string
	for p, f := range m.refused {
		if !m.occupied("pending/" + f.name) {
			paths = append(paths, p)
		}
	}
	if len(paths) == 0 {
		t.Skip("its name is taken")
	}
	slices.Sort(paths)
	p := rapid.SampledFrom(paths).Draw(t, "refused file")
	f := m.refused[p]
	n, _ := ParseName(path.Base(p))
	if f.kind == copied && (m.copyOf(f.id) != "" || m.jobs[f.id] != nil && !m.jobs[f.id].own) {
		t.Skip("one copy is enough")
	}
	m.want(m.proc(t).Retry(ctx, n.ID), nil, "retry of the refused %q", n.ID)
	delete(m.refused, p)
	m.foreign["pending/"+f.name] = f
}

// remove is "queuectl delete".
func (m *model) remove(t *rapid.T) {
	j := m.pick(t, func(j *modelJob) bool { return j.path != "" && j.proper() })
	err := m.proc(t).Delete(ctx, j.id)
	if want := m.command(j); want != nil {
		m.want(err, want, "delete of %s", j.path)
		return
	}
	m.want(err, nil, "delete of %s", j.path)
	delete(m.jobs, j.id)
}

func (m *model) pause(*rapid.T) {
	do := m.eye.Pause
	if m.paused {
		do = m.eye.Resume
	}
	m.must(do())
	m.paused = !m.paused
}

// crash kills a process and starts another one.
func (m *model) crash(t *rapid.T) {
	m.kill(rapid.IntRange(0, len(m.procs)-1).Draw(t, "process"))
}

// die kills who runs a job, which another process takes over, up to as often
// as buries it.
func (m *model) die(t *rapid.T) {
	j := m.pick(t, func(j *modelJob) bool { return j.holder != nil })
	for range rapid.IntRange(1, modelDeaths).Draw(t, "times") {
		m.kill(slices.Index(m.procs, j.holder))
		m.recover(t)
		if j.state() != Pending || !j.proper() || m.paused {
			return
		}
		if m.claimBy(m.proc(t), j); j.holder == nil {
			return
		}
	}
}

func (m *model) kill(i int) {
	p := m.procs[i]
	if p.single != nil {
		m.stale = append(m.stale, p.single.path)
	}
	m.deadIDs = append(m.deadIDs, p.pool.Name())
	for _, j := range m.jobs {
		if j.holder == p {
			j.holder, j.claim = nil, nil
		}
	}
	p.kill()
	m.procs[i] = m.newProcess()
}

func (m *model) recover(t *rapid.T) {
	rep, err := m.proc(t).pool.Recover(ctx)
	m.must(err)
	var want []string
	for _, j := range m.jobs {
		if j.state() == Processing && j.holder == nil {
			want = append(want, j.id)
			m.tookOver(j)
			m.moved(j, j.state())
		}
	}
	slices.Sort(want)
	slices.Sort(rep.Recovered)
	if !slices.Equal(rep.Recovered, want) || len(rep.Waiting) > 0 || rep.Rolled != len(m.stale) {
		t.Fatalf("recovered %+v; want %q, and %d rolled", rep, want, len(m.stale))
	}
	m.stale, m.deadIDs = nil, nil
}

// clock puts the clock forward or back.
func (m *model) clock(t *rapid.T) {
	m.mach.advance(rapid.SampledFrom([]time.Duration{20 * time.Minute, time.Hour, -20 * time.Minute, -time.Hour}).Draw(t, "by"))
}
