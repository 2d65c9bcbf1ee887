//go:build !windows

package torture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"queuectl/spool"
)

// The accounting compares three books: the ledger, which says what was promised
// and what was done to whom; the records, which say what queuectl believes; and
// the marks, which say what really ran.

// books are what is known of one job.
type books struct {
	id      string
	entry   *entry
	places  []string // its files in state directories
	state   spool.State
	history []spool.Entry
	marks   []mark
	killed  map[string]time.Time // pools
}

// rules are what must hold for each job. A rule returns what is wrong, or "".
var rules = []func(*books) string{
	oneState,
	atRest,
	oneAcknowledgement,
	notBeside,
	onceEach,
	effectThere,
	notAgain,
	deadForAReason,
	lostWithItsPool,
}

// Account counts. It is called when all has come to rest.
func (t *Torture) Account(ctx context.Context) error {
	all, err := t.books()
	if err != nil {
		return err
	}
	for _, b := range all {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, rule := range rules {
			if wrong := rule(b); wrong != "" {
				t.l.fault(b.id, "%s", wrong)
			}
		}
	}
	t.wholeBatches(all)
	t.refusedAndHalves()
	if err := t.check(ctx); err != nil {
		return err
	}
	t.sum(all)
	return nil
}

// books collects what is known of all jobs, in the order of their ids.
func (t *Torture) books() ([]*books, error) {
	marks, err := readMarks(filepath.Join(t.dir, marksFile))
	if err != nil {
		return nil, err
	}
	places, err := Places(t.s)
	if err != nil {
		return nil, err
	}
	var all []*books
	for id, e := range t.l.jobs {
		b := &books{id: id, entry: e, places: places[id], marks: marks[id], killed: t.l.deaths}
		if len(b.places) > 0 {
			b.state = StateOf(b.places[0])
			info, err := t.s.Job(id)
			if err != nil {
				t.l.fault(id, "its record cannot be read: %v", err)
			} else {
				b.history = info.History
			}
		}
		all = append(all, b)
	}
	for id, at := range places { // what was refused has a ~ in its id
		if t.l.jobs[id] == nil && !strings.Contains(id, "~") {
			t.l.fault(id, "nobody has asked for it: %s", strings.Join(at, ", "))
		}
	}
	slices.SortFunc(all, func(a, b *books) int { return strings.Compare(a.id, b.id) })
	return all, nil
}

// Places finds the files of all jobs in the state directories: of each job
// there is to be one.
func Places(s *spool.Spool) (map[string][]string, error) {
	found := make(map[string][]string)
	var errs []error
	for _, st := range spool.States {
		errs = append(errs, s.Scan(st, func(path string, n spool.Name, _ bool) bool {
			found[n.ID] = append(found[n.ID], path)
			return true
		}))
	}
	return found, errors.Join(errs...)
}

// StateOf is the state that a path in the spool is in.
func StateOf(path string) spool.State {
	st, _, _ := strings.Cut(path, "/")
	return spool.State(st)
}

func oneState(b *books) string {
	switch n := len(b.places); {
	case n > 1:
		return "it is in several states: " + strings.Join(b.places, ", ")
	case n == 0 && b.entry.acks > 0:
		return "it was acknowledged, and is in no state"
	case n == 0 && len(b.marks) > 0:
		return "it ran, and is in no state"
	}
	return ""
}

func atRest(b *books) string {
	switch b.state {
	case "", spool.Completed, spool.Dead:
		return ""
	}
	return fmt.Sprintf("it does not come to rest: it is in %s", b.state)
}

func oneAcknowledgement(b *books) string {
	if b.entry.acks > 1 {
		return fmt.Sprintf("its id was given %d times", b.entry.acks)
	}
	return ""
}

func notBeside(b *books) string {
	if tally(b.marks, markBeside, "") > 0 {
		return "it was started while a copy of it lived"
	}
	return ""
}

// onceEach demands that an attempt of the history is at most one run, and a run
// an attempt: also that nothing ran of which nobody knows.
func onceEach(b *books) string {
	unknown := 0 // attempts of which nobody could write down the process any more
	known := make(map[string]bool)
	for _, h := range b.history {
		switch {
		case h.Claim == "":
		case h.PID == 0:
			unknown++
		default:
			known[strconv.Itoa(h.PID)] = true
		}
	}
	for _, m := range b.marks {
		if m.word != markBegin {
			continue
		}
		if n := tally(b.marks, markBegin, m.key); n > 1 {
			return fmt.Sprintf("process %s ran %d times", m.key, n)
		}
		if !known[m.key] {
			unknown--
		}
	}
	if unknown < 0 {
		return "it ran more often than its history says"
	}
	return ""
}

// effectThere demands that an outcome is what the process has noted.
func effectThere(b *books) string {
	if b.state == spool.Completed && tally(b.marks, markDone, "") == 0 {
		return "it is completed, and has had no effect"
	}
	for _, h := range b.history {
		key := strconv.Itoa(h.PID)
		switch {
		case h.Outcome == spool.Succeeded && tally(b.marks, markDone, key) != 1:
			return fmt.Sprintf("attempt %d by process %s succeeded, and has had %d effects", h.Attempt, key, tally(b.marks, markDone, key))
		case h.Outcome == spool.FailedOutcome && h.Exit != nil && *h.Exit == 1 && tally(b.marks, markFailed, key) != 1:
			return fmt.Sprintf("attempt %d by process %s failed, and has not said so", h.Attempt, key)
		}
	}
	return ""
}

// notAgain demands that a success runs again only where somebody moved the job
// to pending by hand.
func notAgain(b *books) string {
	again := -1
	for _, h := range b.history {
		if h.Outcome == spool.Succeeded {
			again++
		}
	}
	byHand := 0
	for _, act := range []string{actAgain, actRunning, actRevive, actFailed, actFailedNow} {
		byHand += b.entry.moves[act]
	}
	if again > byHand {
		return fmt.Sprintf("it succeeded %d times, and was moved by hand %d times", again+1, byHand)
	}
	return ""
}

// deadForAReason demands that a job is dead only if it failed, or its workers
// died, or somebody buried it.
func deadForAReason(b *books) string {
	if b.state != spool.Dead || b.entry.moves[actBury] > 0 {
		return ""
	}
	for _, h := range slices.Backward(b.history) {
		if h.Claim == "" {
			continue
		}
		switch h.Outcome {
		case spool.Succeeded, "", spool.Interrupted:
			return fmt.Sprintf("it is dead after an attempt that ended as %q", h.Outcome)
		}
		return ""
	}
	return "it is dead without having run"
}

// lostWithItsPool demands that an attempt died with its worker only where that
// was killed.
func lostWithItsPool(b *books) string {
	for _, h := range b.history {
		if h.Outcome != spool.WorkerDied && h.Outcome != spool.WorkerLost {
			continue
		}
		if _, killed := b.killed[poolOf(h.Claim)]; !killed {
			return fmt.Sprintf("attempt %d is said to have died with pool %s, which was not killed", h.Attempt, poolOf(h.Claim))
		}
	}
	return ""
}

// poolOf is the pool of a claim POOL.K.
func poolOf(claim string) string {
	if i := strings.LastIndexByte(claim, '.'); i >= 0 {
		return claim[:i]
	}
	return claim
}

// wholeBatches demands that of a batch whose enqueuer was killed there are all
// jobs or none.
func (t *Torture) wholeBatches(all []*books) {
	there := make(map[string]bool, len(all))
	for _, b := range all {
		there[b.id] = len(b.places) > 0
	}
	for _, batch := range t.l.batches {
		n := 0
		for _, id := range batch {
			if there[id] {
				n++
			}
		}
		if n != 0 && n != len(batch) {
			t.l.fault(batch[0], "of its batch of %d jobs there are %d", len(batch), n)
		}
	}
}

// refusedAndHalves demands that what could be no job lies in dead/ byte for
// byte, and that half a file was never run.
func (t *Torture) refusedAndHalves() {
	for name, want := range t.l.refused {
		paths, _ := filepath.Glob(filepath.Join(t.dir, spoolDir, "dead", "*-"+strings.TrimSuffix(name, ".json")+"~*.json"))
		if len(paths) != 1 {
			t.l.fault(name, "it can be no job, and lies in dead/ %d times", len(paths))
			continue
		}
		if text, err := os.ReadFile(paths[0]); err != nil || string(text) != want {
			t.l.fault(name, "it was refused, and is not what it was: %q, %v", text, err)
		}
	}
	for id := range t.l.halves {
		if exists(filepath.Join(t.dir, aliveDir, id)) {
			t.l.fault(id, "half of its file was run")
		}
	}
}

// check does what "queuectl check" does.
func (t *Torture) check(ctx context.Context) error {
	rep, err := t.s.Check(ctx, false)
	if err != nil {
		return err
	}
	for _, f := range rep.Findings {
		if !f.Note {
			t.l.fault(f.ID, "check: %s: %s", f.Path, f.Text)
		}
	}
	t.Report.Checked = rep.Jobs
	return nil
}
