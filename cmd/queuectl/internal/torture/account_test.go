//go:build !windows

package torture

import (
	"strings"
	"testing"
	"time"

	"queuectl/spool"
)

func attempt(pid int, o spool.Outcome) spool.Entry {
	return spool.Entry{Attempt: 1, Claim: "host-1-abc.1", PID: pid, Outcome: o}
}

// TestRules gives each rule a story that breaks it, and one that does not.
func TestRules(t *testing.T) {
	died := map[string]time.Time{"host-1-abc": time.Now()}
	twice := []spool.Entry{attempt(7, spool.Succeeded), attempt(8, spool.Succeeded)}
	for name, c := range map[string]struct {
		rule func(*books) string
		b    books
		says string
	}{
		"given twice":        {oneAcknowledgement, books{entry: &entry{acks: 2}}, "given 2 times"},
		"given once":         {oneAcknowledgement, books{entry: &entry{acks: 1}}, ""},
		"never acknowledged": {oneState, books{entry: &entry{}}, ""},
		"ran, and is not":    {oneState, books{entry: &entry{}, marks: []mark{{word: markBegin}}}, "in no state"},
		"success again":      {notAgain, books{entry: &entry{}, history: twice}, "succeeded 2 times"},
		"again by hand":      {notAgain, books{entry: &entry{moves: map[string]int{actAgain: 1}}, history: twice}, ""},
		"one process, two runs": {onceEach, books{
			marks: []mark{{key: "7", word: markBegin}, {key: "7", word: markBegin}}, history: twice,
		}, "process 7 ran 2 times"},
		"a run that nobody could write down": {onceEach, books{
			marks: []mark{{key: "7", word: markBegin}}, history: []spool.Entry{attempt(0, spool.WorkerDied)},
		}, ""},
		"failed, and no mark": {effectThere, books{history: []spool.Entry{exited(7)}}, "has not said so"},
		"dead of nothing":     {deadForAReason, books{entry: &entry{}, state: spool.Dead}, "without having run"},
		"dead of success":     {deadForAReason, books{entry: &entry{}, state: spool.Dead, history: twice}, "ended as \"succeeded\""},
		"buried":              {deadForAReason, books{entry: &entry{moves: map[string]int{actBury: 1}}, state: spool.Dead}, ""},
		"a pool that lives":   {lostWithItsPool, books{history: []spool.Entry{attempt(7, spool.WorkerDied)}}, "which was not killed"},
		"a pool that died":    {lostWithItsPool, books{history: []spool.Entry{attempt(7, spool.WorkerDied)}, killed: died}, ""},
	} {
		got := c.rule(&c.b)
		if !strings.Contains(got, c.says) || (c.says == "") != (got == "") {
			t.Errorf("%s: %q, want %q", name, got, c.says)
		}
	}
}

func exited(pid int) spool.Entry {
	one := 1
	h := attempt(pid, spool.FailedOutcome)
	h.Exit = &one
	return h
}

func TestRecoveryOf(t *testing.T) {
	var waits []time.Duration
	for ms := 200; ms > 0; ms-- {
		waits = append(waits, time.Duration(ms)*time.Millisecond)
	}
	if got, want := recoveryOf(waits), (Recovery{Jobs: 200, P50: 100, P99: 198, Max: 200}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
