//go:build !windows

package torture

import (
	"slices"
	"time"

	"queuectl/spool"
)

// A Report is what came of it all.
type Report struct {
	Sound        bool           `json:"ok"` // every promise was kept
	Seed         uint64         `json:"seed"`
	Dir          string         `json:"dir"`
	Probes       []Probe        `json:"probes"`
	Acknowledged int            `json:"acknowledged"` // jobs
	Unknown      int            `json:"unknown"`      // jobs whose enqueuer was killed before it could say, and which are there
	Completed    int            `json:"completed"`
	Dead         int            `json:"dead"`
	Attempts     int            `json:"attempts"`
	Effects      int            `json:"effects"`
	Checked      int            `json:"checked"` // jobs that check has looked at
	Did          map[string]int `json:"did"`     // what was done to them, and how often
	Recovery     Recovery       `json:"recovery"`
	Violations   []Violation    `json:"violations"`
}

// Recovery is how long jobs of killed pools waited to be taken over, from the
// moment when nothing of the attempt lived any more.
type Recovery struct {
	Jobs int     `json:"jobs"`
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
	Max  float64 `json:"max_ms"`
}

// A Violation is a promise that was not kept.
type Violation struct {
	ID       string   `json:"id"` // the job, where it is one
	Text     string   `json:"text"`
	Timeline []string `json:"timeline"`
}

// OK reports whether every promise was kept.
func (r *Report) OK() bool {
	return len(r.Violations) == 0 && !slices.ContainsFunc(r.Probes, func(p Probe) bool { return !p.OK })
}

// sum adds all up.
func (t *Torture) sum(all []*books) {
	r := &t.Report
	r.Did = t.l.counts
	var waits []time.Duration
	for _, b := range all {
		switch {
		case b.entry.acks > 0:
			r.Acknowledged++
		case len(b.places) > 0:
			r.Unknown++
		}
		switch b.state {
		case spool.Completed:
			r.Completed++
		case spool.Dead:
			r.Dead++
		}
		for _, h := range b.history {
			switch {
			case h.Claim == "":
				continue
			case h.Signal == "SIGKILL" || h.Signal == "killed":
				r.Did[didKillJob]++
			case h.Outcome == spool.TimedOut:
				r.Did[didTimeOut]++
			}
			r.Attempts++
		}
		r.Effects += tally(b.marks, markDone, "")
		waits = append(waits, recoveries(b)...)
	}
	r.Recovery = recoveryOf(waits)
	r.Violations = []Violation{}
	for _, f := range t.l.faults {
		r.Violations = append(r.Violations, Violation{f.id, f.text, t.timeline(all, f.id)})
	}
	r.Sound = r.OK()
}

// recoveries are the times from when an attempt of a killed pool had nothing
// alive any more to when a recovery wrote down its end.
func recoveries(b *books) (waits []time.Duration) {
	for _, h := range b.history {
		if h.Outcome != spool.WorkerDied && h.Outcome != spool.WorkerLost {
			continue
		}
		from, ok := b.killed[poolOf(h.Claim)]
		if !ok {
			continue
		}
		for _, at := range b.signs() {
			if at.After(from) && at.Before(h.Ended.Time) {
				from = at
			}
		}
		waits = append(waits, h.Ended.Sub(from))
	}
	return waits
}

// signs are the times at which something of the job lived, or was killed: who
// kills itself leaves no mark.
func (b *books) signs() (signs []time.Time) {
	for _, m := range b.marks {
		signs = append(signs, m.at)
		if m.word == markBegin && b.entry.plan.Task.Dies > 0 {
			signs = append(signs, m.at.Add(time.Duration(b.entry.plan.Task.Dies)*time.Millisecond))
		}
	}
	return signs
}

func recoveryOf(waits []time.Duration) Recovery {
	if len(waits) == 0 {
		return Recovery{}
	}
	slices.Sort(waits)
	at := func(percent int) float64 {
		d := waits[(len(waits)-1)*percent/100]
		return float64(d.Round(100*time.Microsecond)) / float64(time.Millisecond)
	}
	return Recovery{Jobs: len(waits), P50: at(50), P99: at(99), Max: at(100)}
}
