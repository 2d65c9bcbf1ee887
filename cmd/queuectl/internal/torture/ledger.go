//go:build !windows

package torture

import (
	"fmt"
	"sync"
	"time"
)

// A ledger is what this process knows: which jobs it asked for, which were
// acknowledged, and what it did to whom.
type ledger struct {
	mu      sync.Mutex
	jobs    map[string]*entry
	batches [][]string
	notes   []note
	deaths  map[string]time.Time // of pools that were killed, by name
	refused map[string]string    // names of files that can be no job, and what is in them
	halves  map[string]bool      // ids of files that never became whole
	counts  map[string]int
	faults  []fault
}

// An entry is one job.
type entry struct {
	plan  planned
	acks  int
	moves map[string]int // how often by hand, by act
}

// A note is what was done, and when; to a job, or to a pool.
type note struct {
	at   time.Time
	what string // an id or the name of a pool
	text string
}

// A fault is a promise that was not kept.
type fault struct{ id, text string }

func newLedger() *ledger {
	return &ledger{
		jobs: make(map[string]*entry), deaths: make(map[string]time.Time), refused: make(map[string]string),
		halves: make(map[string]bool), counts: make(map[string]int),
	}
}

func (l *ledger) ask(jobs []planned) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := make([]string, len(jobs))
	for i, j := range jobs {
		ids[i] = j.ID
		l.jobs[j.ID] = &entry{plan: j, moves: make(map[string]int)}
	}
	if len(ids) > 1 {
		l.batches = append(l.batches, ids)
	}
}

func (l *ledger) acknowledge(jobs []planned, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, j := range jobs {
		l.jobs[j.ID].acks++
		l.notes = append(l.notes, note{time.Now(), j.ID, text})
	}
}

func (l *ledger) acknowledged(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.jobs[id].acks > 0
}

func (l *ledger) note(what, format string, a ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notes = append(l.notes, note{time.Now(), what, fmt.Sprintf(format, a...)})
}

func (l *ledger) count(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[what]++
}

// moved writes down that a job was moved by hand.
func (l *ledger) moved(id, act, from, to string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[act]++
	l.notes = append(l.notes, note{time.Now(), id, fmt.Sprintf("by hand: mv %s %s", from, to)})
	if e := l.jobs[id]; e != nil {
		e.moves[act]++
	}
}

// died writes down when a pool was killed, the first time that it was.
func (l *ledger) died(pool string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaths[pool] = at
	l.notes = append(l.notes, note{at, pool, "pool " + pool + " is killed"})
}

func (l *ledger) fault(id, format string, a ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, fault{id, fmt.Sprintf(format, a...)})
}
