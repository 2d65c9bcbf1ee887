//go:build !windows

package torture

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
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
