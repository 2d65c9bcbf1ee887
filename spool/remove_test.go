package spool

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestDelete(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for _, st := range []State{Pending, Failed, Completed, Dead, Held} {
		b.enqueue("x")
		switch st {
		case Failed:
			b.settle(b.claim(p, "x"), Result{Outcome: FailedOutcome, RetryAt: b.clk.now()}, Failed)
		case Completed:
			b.settle(b.claim(p, "x"), Result{Outcome: Succeeded}, Completed)
		case Dead:
			b.settle(b.claim(p, "x"), Result{Outcome: FailedOutcome}, Dead)
		case Held:
			b.mvInto(b.path("x"), Held)
		}
		must(t, b.appendLog("x", "printed\n"))
		must(t, b.askCancel(b.path("x"), "x", new(request)))
		must(t, b.Delete(ctx, "x"))
		b.wantNoJob("x")
		for _, left := range []string{idPath("x"), logPath("x"), "control/x.cancel"} {
			if b.there(left) {
				t.Errorf("%s: %s is left", st, left)
			}
		}
		wantErr(t, b.Delete(ctx, "x"), ErrNotFound)
	}
	b.enqueue("x")
	c := b.claim(p, "x")
	err := b.Delete(ctx, "x")
	wantErr(t, err, ErrState)
	wantText(t, err, "queuectl cancel x")
	must(t, c.Release("", false))
}

// Rule 3: the second name goes last, under the lock, and only if it is the
// last name.
func TestSecondNameGoesLast(t *testing.T) {
	b := newBench(t)
	at := b.enqueue("x")
	must(t, b.appendLog("x", "printed\n"))
	b.faults.before("unlink", idPath("x"), func() error {
		if b.there(at) || b.there(logPath("x")) {
			t.Error("the second name does not go last")
		}
		f, err := b.fs.Open(idPath("x"), os.O_RDONLY)
		must(t, err)
		defer f.Close()
		if f.TryLock() == nil {
			t.Error("its lock is free")
		}
		return nil
	})
	must(t, b.Delete(ctx, "x"))
	if !b.faults.spent() {
		t.Error("the second name was not unlinked")
	}
}

// A file that a person moves while it is being deleted is looked for again.
func TestDeleteOfAMovedJob(t *testing.T) {
	b := newBench(t)
	at := b.enqueue("x")
	to := "held/" + path.Base(at)
	b.faults.before("unlink", at, func() error { b.mv(at, to); return nil })
	must(t, b.Delete(ctx, "x"))
	b.wantNoJob("x")
	if b.there(to) || b.there(idPath("x")) {
		t.Errorf("left\n%s", b.tree())
	}

	// A second name that a person has made meanwhile is found too.
	at = b.enqueue("y")
	to = "held/" + path.Base(at)
	b.faults.before("unlink", at, func() error {
		must(t, os.MkdirAll(b.at("held"), 0o700))
		return os.Link(b.at(at), b.at(to))
	})
	must(t, b.Delete(ctx, "y"))
	if b.there(to) || b.there(idPath("y")) {
		t.Errorf("left\n%s", b.tree())
	}
}

// One that was exchanged for what is no job of ours, or half of one, goes for good,
// too; what it is, the errors of other commands say.
func TestDeleteOfWhatIsNoJob(t *testing.T) {
	for what, c := range map[string]struct {
		exchange func(b *bench, at string)
		says     string
	}{
		"others can write": {func(b *bench, at string) { must(b.t, os.Chmod(b.at(at), 0o666)) }, "others could run commands"},
		"empty":            {func(b *bench, at string) { b.exchangeFile(at, "") }, "not a whole JSON object"},
		"half":             {func(b *bench, at string) { b.exchangeFile(at, `{"id":"x","comm`) }, "not a whole JSON object"},
		"empty in place":   {func(b *bench, at string) { b.put(at, "") }, "not a whole JSON object"},
	} {
		t.Run(what, func(t *testing.T) {
			b := newBench(t)
			at := b.inState(b.pool(), "x", Dead)
			b.exchangeFile(at, b.read(at))
			c.exchange(b, at)
			if what != "others can write" {
				if why := b.job("x").LastError; !strings.Contains(why, c.says) {
					t.Errorf("it is shown as %q", why)
				}
			}
			if err := b.Retry(ctx, "x"); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("a retry says %v", err)
			}
			must(t, b.Delete(ctx, "x"))
			b.wantNoJob("x")
			if b.there(at) || b.there(idPath("x")) {
				t.Errorf("left\n%s", b.tree())
			}
			b.enqueue("x") // its id is free
			must(t, b.Delete(ctx, "x"))
		})
	}
}

// A file that was exchanged is adopted first, and then deleted as one.
func TestDeleteOfAnExchangedJob(t *testing.T) {
	b := newBench(t)
	at := b.enqueue("x")
	b.exchangeFile(at, b.read(at))
	must(t, b.Delete(ctx, "x"))
	b.wantNoJob("x")
	if b.there(idPath("x")) || len(b.ls(Pending)) > 0 {
		t.Errorf("left\n%s", b.tree())
	}

	at = b.enqueue("y")
	edited := b.read(at)
	b.faults.before("unlink", at, func() error { b.exchangeFile(at, edited); return nil })
	err := b.Delete(ctx, "y") // the editor's file is what went; documented
	if err != nil && !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	b.enqueue("y")
}

// ids/HH/ID.json is looked at after the count of links: it may have been
// exchanged.
func TestSecondNameOfAnother(t *testing.T) {
	b := newBench(t)
	at := b.enqueue("x")
	r, err := b.openRecord(at)
	must(t, err)
	must(t, os.Link(b.at(at), b.at("mine.json"))) // so that one name is left
	b.exchangeFile(idPath("x"), b.read(at))
	wantErr(t, r.remove(), ErrGone)
	r.close()
	if !b.there(idPath("x")) {
		t.Error("another file's second name was removed")
	}
	b.rm("mine.json")
	b.leave(invOwned)
}

// done enqueues and completes a job, ended so long ago by its name and by its
// time of change.
func (b *bench) completed(p *Pool, id string, byName, byTime time.Duration) {
	b.t.Helper()
	b.enqueue(id)
	b.settle(b.claim(p, id), Result{Outcome: Succeeded}, Completed)
	b.aged(id, byName, byTime)
}

func (b *bench) aged(id string, byName, byTime time.Duration) {
	b.t.Helper()
	at := b.path(id)
	n, _ := ParseName(path.Base(at))
	n.Time = n.Time.Add(-byName)
	to := b.mv(at, path.Dir(at)+"/"+n.String())
	when := time.Now().Add(-byTime)
	must(b.t, os.Chtimes(b.at(to), when, when))
}

func TestPruneByAge(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	must(t, b.SetConfig("keep_completed", "1h"))
	must(t, b.SetConfig("keep_dead", "3h"))
	const long, short = 2 * time.Hour, 0
	b.completed(p, "old", long, long)
	b.completed(p, "new-by-name", short, long)
	b.completed(p, "new-by-time", long, short)
	b.completed(p, "new", short, short)
	must(t, b.appendLog("old", "printed\n"))
	b.enqueue("dead")
	b.settle(b.claim(p, "dead"), Result{Outcome: FailedOutcome}, Dead)
	b.aged("dead", long, long)
	b.enqueue("dead-long")
	b.settle(b.claim(p, "dead-long"), Result{Outcome: FailedOutcome}, Dead)
	b.aged("dead-long", 2*long, 2*long)
	b.enqueue("pending")
	b.aged("pending", 2*long, 2*long)

	n, err := b.Prune(ctx)
	if err != nil || n != 2 {
		t.Errorf("pruned %d, %v", n, err)
	}
	for _, id := range []string{"old", "dead-long"} {
		b.wantNoJob(id)
		if b.there(idPath(id)) || b.there(logPath(id)) {
			t.Errorf("%s is left", id)
		}
	}
	for _, id := range []string{"new-by-name", "new-by-time", "new"} {
		b.wantState(id, Completed)
	}
	b.wantState("dead", Dead)
	b.wantState("pending", Pending)

	// A clock that was wrong once does not empty the spool.
	o := b.another()
	o.clk.add(-100 * time.Hour)
	if n, err := o.Prune(ctx); n != 0 || err != nil {
		t.Errorf("pruned %d, %v", n, err)
	}
}

func TestPruneKeepsForEver(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for _, k := range []string{"keep_completed", "keep_completed_count", "keep_dead"} {
		must(t, b.SetConfig(k, "0"))
	}
	b.completed(p, "x", 20000*time.Hour, 20000*time.Hour)
	b.enqueue("y")
	b.settle(b.claim(p, "y"), Result{Outcome: FailedOutcome}, Dead)
	b.aged("y", 20000*time.Hour, 20000*time.Hour)
	if n, err := b.Prune(ctx); n != 0 || err != nil {
		t.Errorf("pruned %d, %v", n, err)
	}
}

func TestPruneByCount(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	must(t, b.SetConfig("keep_completed_count", "3"))
	for i := range 7 {
		b.completed(p, fmt.Sprintf("x%d", i), time.Duration(i)*time.Minute, 0)
	}
	n, err := b.Prune(ctx)
	if err != nil || n != 4 {
		t.Errorf("pruned %d, %v", n, err)
	}
	if got, want := b.idsIn(Completed), []string{"x2", "x1", "x0"}; !slices.Equal(got, want) {
		t.Errorf("kept are %q; want %q", got, want)
	}
}

// Of several pools one prunes, and again when its turn is over or the
// configuration has changed.
func TestPruneShared(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	must(t, b.SetConfig("keep_completed_count", "1"))
	other := b.another()
	changed := func(p string, in time.Duration) {
		when := time.Now().Add(in)
		must(t, os.Chtimes(b.at(p), when, when))
	}
	changed(configFile, -time.Hour)
	turn := func(s *Spool, done bool, pruned int) {
		t.Helper()
		if n, ok, err := s.PruneShared(ctx, time.Minute); n != pruned || ok != done || err != nil {
			t.Errorf("pruned %d, done %v, %v; want %d, %v", n, ok, err, pruned, done)
		}
	}
	complete := func(id string) { b.completed(p, id, 0, 0) }
	complete("a")
	complete("b")
	turn(b.Spool, true, 1)
	complete("c")
	turn(other.Spool, false, 0)
	changed(pruneLock, -2*time.Minute)
	f, err := b.fs.Open(pruneLock, os.O_RDWR)
	must(t, err)
	must(t, f.TryLock())
	turn(other.Spool, false, 0) // somebody is at it
	must(t, f.Close())
	turn(other.Spool, true, 1)
	complete("d")
	turn(b.Spool, false, 0)
	must(t, b.SetConfig("keep_completed_count", "2"))
	changed(pruneLock, -time.Second)
	complete("e")
	turn(b.Spool, true, 1)
	complete("f")
	changed(configFile, -time.Hour)
	turn(b.Spool, false, 0)
	changed(pruneLock, time.Hour) // by a clock that was wrong
	turn(b.Spool, true, 1)

	// What was cut short goes on at once.
	changed(pruneLock, -time.Hour)
	complete("cut")
	b.faults.nth("rename", "completed/", 0, func() error { return syscall.EIO })
	if _, _, err := b.PruneShared(ctx, time.Minute); !errors.Is(err, syscall.EIO) {
		t.Errorf("cut short: %v", err)
	}
	turn(b.Spool, true, 1)

	// Where the turn cannot be noted it is taken.
	complete("g")
	b.faults.fail("open", pruneLock, syscall.ENOSPC)
	turn(b.Spool, true, 1)
}

// Prune leaves alone what somebody is at work with, and what was moved.
func TestPruneLeavesAlone(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	must(t, b.SetConfig("keep_completed", "1h"))
	b.completed(p, "locked", 2*time.Hour, 2*time.Hour)
	f, _, err := b.lockJob(b.path("locked"))
	must(t, err)
	b.completed(p, "moved", 2*time.Hour, 2*time.Hour)
	at := b.path("moved")
	b.faults.before("rename", at, func() error { b.mvInto(at, Pending); return nil })
	n, err := b.Prune(ctx)
	if n != 0 || err != nil {
		t.Errorf("pruned %d, %v", n, err)
	}
	b.wantState("locked", Completed)
	b.wantState("moved", Pending)
	if !b.there(idPath("moved")) {
		t.Error("the second name of a job that lives was removed")
	}
	must(t, f.Close())
}

func TestPruneOfRefusedFiles(t *testing.T) {
	b := newBench(t)
	must(t, b.SetConfig("keep_dead", "1h"))
	b.put("pending/bad.json", `{"command":1}`)
	id := b.refuse("pending/bad.json", "must be a string")
	if n, err := b.Prune(ctx); n != 0 || err != nil {
		t.Errorf("pruned %d, %v", n, err)
	}
	at := b.only(Dead)
	n, _ := ParseName(path.Base(at))
	n.Time = n.Time.Add(-2 * time.Hour)
	to := b.mv(at, "dead/"+n.String())
	when := time.Now().Add(-2 * time.Hour)
	must(t, os.Chtimes(b.at(to), when, when))
	if n, err := b.Prune(ctx); n != 1 || err != nil {
		t.Errorf("pruned %d, %v", n, err)
	}
	if len(b.ls(Dead)) > 0 || b.there(logPath(id)) || strings.Contains(b.tree(), "bad") {
		t.Errorf("left\n%s", b.tree())
	}
}

// One record that cannot be opened keeps no other one from being removed, of
// whatever state.
func TestPruneGoesOn(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for _, id := range []string{"a", "b", "c", "d"} {
		b.enqueue(id)
		b.settle(b.claim(p, id), Result{Outcome: Succeeded}, Completed)
	}
	b.enqueue("e")
	b.settle(b.claim(p, "e"), Result{Outcome: FailedOutcome}, Dead)
	must(t, b.SetConfig("keep_completed", "1s"))
	must(t, b.SetConfig("keep_completed_count", "1"))
	must(t, b.SetConfig("keep_dead", "1s"))
	b.clk.add(time.Hour)
	first := ""
	must(t, b.Scan(Completed, func(p string, _ Name, _ bool) bool { first = p; return false }))
	b.faults.fail("open", first, &os.PathError{Op: "open", Path: first, Err: syscall.EACCES})
	if n, err := b.Prune(ctx); n != 4 || !errors.Is(err, syscall.EACCES) {
		t.Errorf("pruned %d, %v; want 4, and what keeps the other one", n, err)
	}
	if left := append(b.ls(Completed), b.ls(Dead)...); len(left) != 1 || left[0] != first {
		t.Errorf("left are %q, want %s", left, first)
	}
}

// A job that a person has linked to elsewhere is deleted whole, and the link is
// theirs; one that they have linked into a state lives on there.
func TestDeleteLinked(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for _, st := range []State{Completed, Dead, Pending} {
		b.enqueue("x")
		switch st {
		case Completed:
			b.settle(b.claim(p, "x"), Result{Outcome: Succeeded}, st)
		case Dead:
			b.settle(b.claim(p, "x"), Result{Outcome: FailedOutcome}, st)
		}
		must(t, b.appendLog("x", "printed\n"))
		keep := t.TempDir() + "/keep"
		must(t, os.Link(b.at(b.path("x")), keep))
		must(t, b.Delete(ctx, "x"))
		b.wantNoJob("x")
		if b.there(idPath("x")) || b.there(logPath("x")) {
			t.Errorf("of a %s job its id or its log is left", st)
		}
		if _, err := os.Stat(keep); err != nil {
			t.Error(err)
		}
	}
	b.enqueue("x")
	must(t, os.Link(b.at(b.path("x")), b.at("pending/again.json")))
	wantErr(t, b.Delete(ctx, "x"), ErrNotFound)
	if !b.there("pending/again.json") || !b.there(idPath("x")) {
		t.Error("the name that was linked in pending/ is no job any more")
	}
	b.adopt("pending/again.json", "x")
}

// What could not be listed whole is not pruned by its number: what was seen need
// not be the oldest.
func TestPruneNeedsAWholeListing(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	must(t, b.fs.Mkdir("completed/1"))
	for i := range 6 {
		id := fmt.Sprint("j", i)
		b.enqueue(id)
		b.settle(b.claim(p, id), Result{Outcome: Succeeded}, Completed)
		if i < 4 {
			at := b.path(id)
			b.mv(at, "completed/1/"+path.Base(at))
		}
	}
	must(t, b.SetConfig("keep_completed_count", "4"))
	b.faults.nth("list", "completed/1", 1, func() error { return syscall.EIO })
	if n, err := b.Prune(ctx); n != 0 || !errors.Is(err, syscall.EIO) {
		t.Errorf("pruned %d, %v", n, err)
	}
	if n, err := b.Prune(ctx); n != 2 || err != nil {
		t.Errorf("pruned %d, %v; want 2", n, err)
	}
	b.wantNoJob("j0")
	b.wantNoJob("j1")
	// A snapshot of hard links keeps its records, until it has gone.
	keep := t.TempDir() + "/keep"
	must(t, os.Link(b.at(b.path("j2")), keep))
	must(t, b.SetConfig("keep_completed_count", "3"))
	if n, err := b.Prune(ctx); n != 0 || err != nil {
		t.Errorf("pruned %d of a snapshot, %v", n, err)
	}
	b.wantState("j2", Completed)
	must(t, os.Remove(keep))
	if n, err := b.Prune(ctx); n != 1 || err != nil {
		t.Errorf("pruned %d, %v; want 1", n, err)
	}
	b.wantNoJob("j2")
}
