//go:build !windows

package torture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"queuectl/spool"
)

// waiting is a path in pending/.
func (t *Torture) waiting(name string) string { return filepath.Join(t.dir, spoolDir, "pending", name) }

// moves are what a person does with mv: from where, to where, and under which
// name.
var moves = map[string]struct {
	from, to spool.State
	name     func(a act, n spool.Name) string
}{
	actHold:      {spool.Pending, spool.Held, asItIs},
	actUnhold:    {spool.Held, spool.Pending, asItIs},
	actBury:      {spool.Pending, spool.Dead, asItIs},
	actRevive:    {spool.Dead, spool.Pending, asItIs},
	actAgain:     {spool.Completed, spool.Pending, asItIs},
	actFailed:    {spool.Failed, spool.Pending, asItIs},
	actFailedNow: {spool.Failed, spool.Pending, func(a act, n spool.Name) string { return "now-" + n.ID + ".json" }},
	actRunning: {spool.Processing, spool.Pending, func(_ act, n spool.Name) string {
		n.Pool, n.Claim = "", 0
		return n.String()
	}},
	actPriority: {spool.Pending, spool.Pending, func(a act, n spool.Name) string {
		n.Priority = int(a.Pick % 10)
		return n.String()
	}},
	// The clock steps: what was due is not, or the other way round.
	actLater:  {spool.Pending, spool.Pending, func(a act, n spool.Name) string { return shifted(n, 4*a.Wait) }},
	actSooner: {spool.Pending, spool.Pending, func(a act, n spool.Name) string { return shifted(n, -10000*a.Wait) }},
}

func asItIs(_ act, n spool.Name) string { return n.String() }

func shifted(n spool.Name, d time.Duration) string {
	n.Time = n.Time.Add(d).Truncate(time.Microsecond)
	return n.String()
}

// byHand moves one of the files that there are. That somebody else was faster
// is part of the game.
func (t *Torture) byHand(a act) error {
	m := moves[a.Kind]
	n, ok, err := t.choose(m.from, a.Pick)
	if err != nil || !ok {
		return err
	}
	return t.move(a.Kind, n, m.from, n.String(), m.to, m.name(a, n))
}

func (t *Torture) move(kind string, n spool.Name, from spool.State, name string, to spool.State, newName string) error {
	dir := filepath.Join(t.dir, spoolDir)
	err := os.Rename(filepath.Join(dir, string(from), name), filepath.Join(dir, string(to), newName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		t.l.moved(n.ID, kind, string(from)+"/"+name, string(to)+"/"+newName)
	}
	return err
}

// choose picks one of the jobs in a state that we know.
func (t *Torture) choose(st spool.State, pick uint64) (n spool.Name, ok bool, err error) {
	var list []spool.Name
	err = t.s.Scan(st, func(_ string, n spool.Name, canonical bool) bool {
		if canonical && t.l.knows(n.ID) {
			list = append(list, n)
		}
		return true
	})
	if err != nil || len(list) == 0 {
		return n, false, err
	}
	slices.SortFunc(list, func(a, b spool.Name) int { return a.Time.Compare(b.Time) })
	return list[pick%uint64(len(list))], true, nil
}

func (l *ledger) knows(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.jobs[id] != nil
}

// unholdAll puts back all that was put aside.
func (t *Torture) unholdAll() {
	_ = t.s.Scan(spool.Held, func(_ string, n spool.Name, canonical bool) bool {
		if canonical {
			_ = t.move(actUnhold, n, spool.Held, n.String(), spool.Pending, n.String())
		}
		return true
	})
}

// drop puts a file into pending/: whole, in two halves with a while between
// them, half and then no more, or what can be no job.
func (t *Torture) drop(a act) error {
	id, name := a.Job.ID, a.Job.ID+".json"
	text := t.encode(a.Job)
	half := len(text) / 2
	t.l.count(a.Kind)
	switch a.Kind {
	case actDrop:
		t.l.ask([]planned{a.Job})
		if err := t.mv(name, text); err != nil {
			return err
		}
	case actTorn:
		t.l.ask([]planned{a.Job})
		if err := write(t.waiting(name), text[:half]); err != nil {
			return err
		}
		time.Sleep(a.Wait)
		if err := write(t.waiting(name), text[half:]); err != nil {
			return err
		}
	case actHalf:
		t.l.half(id)
		if err := write(t.waiting(name), text[:half]); err != nil {
			return err
		}
		time.Sleep(5 * a.Wait)
		return os.Remove(t.waiting(name)) // it is still there
	case actDropRefused:
		wrong := fmt.Sprintf(`{"id":%q,"command":7}`, id)
		t.l.refuse(name, wrong)
		return t.mv(name, []byte(wrong))
	}
	t.l.acknowledge([]planned{a.Job}, "dropped, whole")
	return nil
}

// mv writes a file beside the spool and moves it into pending/.
func (t *Torture) mv(name string, text []byte) error {
	made := filepath.Join(t.dir, name)
	if err := os.WriteFile(made, text, 0o600); err != nil {
		return err
	}
	return os.Rename(made, t.waiting(name))
}

// write adds to a file in place, as a slow writer does.
func write(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

func (l *ledger) half(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.halves[id] = true
}

func (l *ledger) refuse(name, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[name] = text
}
