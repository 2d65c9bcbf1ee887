package runner

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"queuectl/spool"
)

const (
	// How long a file is passed over that cannot be claimed for a reason of
	// its own, and a job that this pool cannot run. Both double.
	badFileMin  = time.Second
	passOverMin = 30 * time.Second
	passOverMax = 5 * time.Minute
	// maxProblems is how many are written down for status, and reportSoon how soon
	// those that come one after the other are.
	maxProblems = 100
	reportSoon  = 250 * time.Millisecond
)

// A problem is why a job is passed over for a while, or why it waits.
type problem struct {
	id     string // "" of a drop
	reason string
	pid    int // of the process that keeps the job waiting
	until  time.Time
	pause  time.Duration // 0: it is not passed over, its lock is held
	unable bool          // this pool cannot run it
}

// problems are kept by path: what a person has dropped under the name of a job
// is no reason to pass over the job. at is the path of a job's problem by its id,
// since the job may move on to where it has none.
type problems struct {
	of map[string]*problem
	at map[string]string
}

func newProblems() problems {
	return problems{make(map[string]*problem), make(map[string]string)}
}

// add has an item have a problem, unless there are so many.
func (ps problems) add(it *item, pr *problem, limit int) {
	if len(ps.of) >= limit {
		return
	}
	ps.of[it.path] = pr
	if pr.id != "" {
		ps.at[pr.id] = it.path
	}
}

// drop forgets a problem, and reports whether there was one.
func (ps problems) drop(path string) bool {
	pr := ps.of[path]
	if pr == nil {
		return false
	}
	delete(ps.of, path)
	if ps.at[pr.id] == path {
		delete(ps.at, pr.id)
	}
	return true
}

// called is how a job, or a drop, is called in messages.
func called(id, path string) string {
	if id == "" {
		return path
	}
	return id
}

// passOver keeps the pool from trying an item for a while.
func (d *dispatcher) passOver(it *item, reason string, first time.Duration) {
	pr := d.problems.of[it.path]
	if pr == nil {
		pr = &problem{id: it.id()}
		d.problems.add(it, pr, d.order.limit)
		d.log.Warn("passed over", "id", called(pr.id, it.path), "reason", reason)
	} else if pr.id != "" && d.problems.at[pr.id] == "" { // that of another file of its id has gone
		d.problems.at[pr.id] = it.path
	}
	if pr.pause < first {
		pr.pause = first
	} else {
		pr.pause = min(2*pr.pause, passOverMax)
	}
	pr.unable, pr.pid = first == passOverMin, 0
	pr.reason, pr.until = reason, d.now.Add(pr.pause)
	d.order.putOff(it, pr.until)
	d.wantAt(reporting, d.now.Add(reportSoon)) // many may follow
}

// noProblem forgets what was wrong with an item, and with its job where that lay
// before.
func (d *dispatcher) noProblem(it *item) {
	if len(d.problems.of) == 0 {
		return
	}
	here := d.problems.drop(it.path)
	if there := d.problems.drop(d.problems.at[it.id()]); here || there {
		d.want(reporting)
	}
}

// block pauses all claims for an error of the whole file system.
func (d *dispatcher) block(err error) {
	if d.blocked == nil {
		d.log.Error("nothing is started until the file system takes changes again", "error", err)
		d.want(reporting)
	}
	d.blocked, d.mayTry, d.tryAt = err, false, d.now.Add(retryFull)
}

func (d *dispatcher) unblock() {
	if d.blocked != nil {
		d.blocked = nil
		d.log.Info("the file system takes changes again")
		d.want(reporting)
	}
}

// list is what status shows: the first ones, and how many there are more. Of a job
// it is what it has where it lies now.
func (ps problems) list(blocked error) (list []spool.Problem) {
	all := 0
	first := func() {
		slices.SortFunc(list, func(a, b spool.Problem) int { return strings.Compare(a.ID+a.Reason, b.ID+b.Reason) })
		list = list[:min(len(list), maxProblems)]
	}
	for path, pr := range ps.of {
		switch {
		case pr.id == "": // the path of a drop may hold anything
			list = append(list, spool.Problem{Reason: strconv.Quote(path) + ": " + pr.reason})
		case ps.at[pr.id] == path:
			list = append(list, spool.Problem{ID: pr.id, Reason: pr.reason, PID: pr.pid})
		default:
			continue
		}
		if all++; len(list) >= 10*maxProblems { // there may be very many
			first()
		}
	}
	first()
	if more := all - len(list); more > 0 {
		list = append(list, spool.Problem{Reason: fmt.Sprintf("and %d more jobs", more)})
	}
	if blocked != nil {
		list = slices.Insert(list, 0, spool.Problem{Reason: "nothing is started: " + blocked.Error()})
	}
	return list
}

// passed is the set of the paths that are passed over at a time, for who reads
// directories beside the dispatcher; of all times where it is zero. What waits
// for a lock is not among them: it is to be run.
func (ps problems) passed(at time.Time) map[string]struct{} {
	set := make(map[string]struct{}, len(ps.of))
	for path, pr := range ps.of {
		if pr.pause > 0 && pr.until.After(at) {
			set[path] = struct{}{}
		}
	}
	return set
}

// expire forgets problems of what was not tried for long after its time: it is
// not there any more. It reports whether there were any.
func (ps problems) expire(now time.Time) (any bool) {
	for path, pr := range ps.of {
		if now.Sub(pr.until) > passOverMax {
			ps.drop(path)
			any = true
		}
	}
	return any
}
