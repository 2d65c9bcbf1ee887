package spool

import (
	"errors"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"queuectl/spool/internal/fsys"
)

func TestSettle(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	one := 1
	retryAt := b.clk.freeze().Add(2 * time.Second)
	for _, c := range []struct {
		res  Result
		want State
		out  Outcome
	}{
		{Result{Outcome: Succeeded}, Completed, Succeeded},
		{Result{Outcome: Succeeded, RetryAt: retryAt}, Completed, Succeeded},
		{Result{Outcome: FailedOutcome, Exit: &one, Reason: "exit status 1", RetryAt: retryAt}, Failed, FailedOutcome},
		{Result{Outcome: TimedOut, Signal: "killed", RetryAt: retryAt}, Failed, TimedOut},
		{Result{Outcome: FailedOutcome, Exit: &one, Reason: "exit status 1"}, Dead, FailedOutcome},
		{Result{Outcome: Cancelled}, Dead, Cancelled},
	} {
		b.enqueue("x", `"priority":2`)
		cl := b.claim(p, "x")
		b.settle(cl, c.res, c.want)
		now := b.clk.now()
		n, _ := ParseName(path.Base(b.only(c.want)))
		due := now
		if c.want == Failed {
			due = retryAt
		}
		if n.Priority != 2 || n.ID != "x" || n.Pool != "" || !n.Time.Equal(due) {
			t.Errorf("%+v: it lies as %s", c.res, n)
		}
		e := b.last("x")
		if e.Outcome != c.out || e.To != b.only(c.want) || !e.Ended.Equal(now) || e.Claim == "" || e.Reason != c.res.Reason || e.Signal != c.res.Signal {
			t.Errorf("%+v: its line is %+v", c.res, e)
		}
		if (e.Exit == nil) != (c.res.Exit == nil) {
			t.Errorf("%+v: exit is %v", c.res, e.Exit)
		}
		if l, _, err := b.lockJob(b.only(c.want)); err != nil {
			t.Errorf("%+v: it is locked still: %v", c.res, err)
		} else {
			must(t, l.Close())
		}
		if _, err := cl.Settle(c.res); err == nil {
			t.Errorf("%+v: settled twice", c.res)
		}
		must(t, b.Delete(ctx, "x"))
	}
	b.clk.thaw()
}

func TestRelease(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	from := b.enqueue("x", `"priority":2`)
	c := b.claim(p, "x")
	must(t, c.Release("the pool stops", true))
	if b.only(Pending) != from {
		t.Errorf("it lies at %s; want its old place %s", b.only(Pending), from)
	}
	j := b.job("x")
	if j.Attempts != 0 || b.last("x").Outcome != Interrupted || b.last("x").Reason != "the pool stops" || j.LastError != "" {
		t.Errorf("job is %+v", j)
	}

	b.settle(b.claim(p, "x"), Result{Outcome: FailedOutcome, Reason: "no", RetryAt: b.clk.now().Add(-time.Second)}, Failed)
	due := b.job("x").Due
	c = b.claim(p, "x")
	if c.Attempt != 2 {
		t.Errorf("attempt %d; want 2", c.Attempt)
	}
	must(t, c.Release("again", false))
	if j := b.wantState("x", Pending); !j.Due.Equal(due) || j.Attempts != 1 || j.LastError != "no" {
		t.Errorf("due %s, before %s; %d attempts; %q", j.Due, due, j.Attempts, j.LastError)
	}
}

// A job that a pool does not accept stays where it is, untouched.
func TestNotAccepted(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	b.enqueue("x")
	b.settle(b.claim(p, "x"), Result{Outcome: FailedOutcome, RetryAt: b.clk.now().Add(-time.Second)}, Failed)
	at, before := b.path("x"), b.read(b.path("x"))
	no := errors.New("not for me")
	p.Accept(func(*Job) error { return no })
	_, err := p.Claim(at)
	wantErr(t, err, no)
	if b.only(Failed) != at || b.read(at) != before {
		t.Errorf("it lies at %s: %s", b.only(Failed), b.read(at))
	}
	p.Accept(func(*Job) error { return nil })
	b.settle(b.claim(p, "x"), Result{Outcome: Succeeded}, Completed)
}

func TestLongAndOddReasons(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	b.settle(b.claim(b.pool(), "x"), Result{Outcome: FailedOutcome, Reason: "\xff\n\"<" + strings.Repeat("ü\xfe", maxReason)}, Dead)
	r := b.last("x").Reason
	if len(r) > maxReason || len(r) < maxReason-3 || !strings.HasPrefix(r, "\uFFFD\n\"<ü\uFFFDü") {
		t.Errorf("%d bytes: %.30q", len(r), r)
	}
}

// Rule 2: a name that is occupied by another file is left alone, and the next
// microsecond taken.
func TestSettleIntoAnOccupiedName(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	now := b.clk.freeze()
	b.enqueue("x")
	occupied := "completed/" + Name{Time: now, Priority: 5, ID: "x"}.String()
	b.put(occupied, "a person's")
	b.settle(b.claim(p, "x"), Result{Outcome: Succeeded}, Completed)
	want := "completed/" + Name{Time: now.Add(time.Microsecond), Priority: 5, ID: "x"}.String()
	if b.path("x") != want || b.read(occupied) != "a person's" {
		t.Errorf("it lies at %s\n%s", b.path("x"), b.tree())
	}
	b.rm(occupied)
	b.wantState("x", Completed) // although the history says the other name
	b.clk.thaw()
}

// Where the same inode has the name already, the old name is removed: rename
// between two names of one file does nothing.
func TestSettleOntoItself(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	now := b.clk.freeze()
	b.enqueue("x")
	c := b.claim(p, "x")
	to := "completed/" + Name{Time: now, Priority: 5, ID: "x"}.String()
	must(t, os.Link(b.at(c.Path()), b.at(to)))
	b.settle(c, Result{Outcome: Succeeded}, Completed)
	if b.path("x") != to || len(b.ls(Processing)) != 0 {
		t.Errorf("it lies at %s\n%s", b.path("x"), b.tree())
	}
	b.clk.thaw()
}

// A settle that comes late says when the attempt ended.
func TestSettleLate(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	c := b.claim(b.pool(), "x")
	ended := time.Now().Add(-time.Minute)
	b.settle(c, Result{Outcome: Succeeded, Ended: ended}, Completed)
	if want := ended.UTC().Truncate(time.Microsecond); !b.last("x").Ended.Equal(want) || !b.job("x").EndedAt.Equal(want) {
		t.Errorf("it ended at %v, in %s; want %v", b.last("x").Ended, b.path("x"), want)
	}
}

// A job that a person has moved while it ran stays where it was put.
func TestSettleOfAMovedJob(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for i, end := range []func(*Claim) error{
		func(c *Claim) error { _, err := c.Settle(Result{Outcome: Succeeded}); return err },
		func(c *Claim) error { return c.Release("", false) },
	} {
		from := b.enqueue("x")
		c := b.claim(p, "x")
		inode := b.inode(c.Path())
		b.mv(c.Path(), from)
		wantErr(t, end(c), ErrGone)
		if b.only(Pending) != from || b.inode(from) != inode {
			t.Fatalf("case %d: it is not where it was put\n%s", i, b.tree())
		}
		if e := b.last("x"); e.Outcome == "" || e.To != "" {
			t.Errorf("case %d: its record does not tell how it ended, or says where it went: %+v", i, e)
		}
		if len(p.held) != 0 {
			t.Errorf("case %d: the claim is kept", i)
		}
		c = b.claim(p, "x") // runs once more
		if c.Attempt != 1 {
			t.Errorf("case %d: attempt %d", i, c.Attempt)
		}
		b.settle(c, Result{Outcome: Succeeded}, Completed)
		must(t, b.Delete(ctx, "x"))
	}
}

// mv processing/X pending/ of a running job starts no second copy: its lock is
// held.
func TestMovedRunningJobIsNotStartedTwice(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	from := b.enqueue("x")
	c := b.claim(p, "x")
	for _, to := range []string{from, "pending/mine.json", "pending/" + path.Base(c.Path())} {
		b.mv(c.Path(), to)
		if _, err := p.Claim(to); err == nil {
			t.Fatalf("%s was started twice", to)
		}
		_, err := b.Spool.adopt(ctx, to)
		wantErr(t, err, ErrHeld)
		b.mv(to, c.Path())
	}
	b.settle(c, Result{Outcome: Succeeded}, Completed)
}

// What a person put in the place of a running job's file is not overwritten.
func TestSettleOfAnExchangedJob(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	b.enqueue("x")
	c := b.claim(p, "x")
	edited := strings.Replace(b.read(c.Path()), "true", "edited", 1)
	b.exchangeFile(c.Path(), edited)
	_, err := c.Settle(Result{Outcome: Succeeded})
	wantErr(t, err, ErrGone)
	if got := b.read(b.only(Processing)); got != edited {
		t.Errorf("the person's file is %s", got)
	}
	rep, err := p.Recover(ctx)
	must(t, err)
	if len(rep.Recovered) != 1 || b.wantState("x", Pending).Command != "edited" {
		t.Errorf("recovered %+v", rep)
	}
}

// A running job's file was written over, and the one that replaces it cannot be
// opened for the moment: the claim can still be settled.
func TestSettleOfAnOverwrittenJob(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	c := b.claim(b.pool(), "x")
	b.put(c.Path(), `{"id":"x","command":"edited"}`)
	b.faults.nth("open", "processing/", 0, func() error { return syscall.EMFILE })
	must(t, c.Started(1234))
	if !b.faults.spent() {
		t.Fatal("nothing was opened")
	}
	b.settle(c, Result{Outcome: Succeeded}, Completed)
	if e := b.last("x"); e.PID != 1234 || e.Outcome != Succeeded {
		t.Errorf("its line is %+v", e)
	}
}

// An editor that has held a job's file since before the claim saves it: what it
// says then counts, and so does what we know of the attempt.
func TestSettleAfterAnOldSave(t *testing.T) {
	for _, st := range []State{Pending, Failed} {
		b := newBench(t)
		p := b.pool()
		old := strings.Replace(b.read(b.inState(p, "x", st)), `"true"`, `"edited"`, 1)
		b.clk.add(2 * time.Hour)
		c := b.claim(p, "x")
		b.put(c.Path(), old)
		must(t, c.Started(1234))
		b.put(c.Path(), old)
		b.faults.before("mkdir", "tmp/", func() error { return syscall.ENOSPC }) // and it cannot be mended at once
		_, err := c.Settle(Result{Outcome: Succeeded})
		wantErr(t, err, syscall.ENOSPC)
		b.settle(c, Result{Outcome: Succeeded}, Completed)
		j := b.wantState("x", Completed)
		if e := b.last("x"); j.Command != "edited" || e.Outcome != Succeeded || e.PID != 1234 || e.Claim != c.key {
			t.Errorf("%s: job %q, last line %+v", st, j.Command, e)
		}
		if rep, err := p.Recover(ctx); err != nil || len(rep.Recovered) > 0 {
			t.Errorf("recovered %+v, %v", rep, err)
		}
	}
}

// What ends a claim gives up its lock, whatever it was that ended it.
func TestGoneIsGivenUp(t *testing.T) {
	for name, disturb := range map[string]func(*bench, *Claim){
		"an outcome was written into it": func(b *bench, c *Claim) {
			text := b.read(c.Path())
			at := strings.LastIndex(text, "}\n]}")
			b.put(c.Path(), text[:at]+`,"ended":"2026-11-23T18:00:00Z","outcome":"failed"`+text[at:])
		},
		"it was written over, and moved": func(b *bench, c *Claim) {
			b.put(c.Path(), `{"id":"x","command":"edited"}`)
			b.faults.before("rename", c.Path()+" tmp/", func() error {
				b.mv(c.Path(), "held/"+path.Base(c.from.String()))
				return nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			p := b.pool()
			b.enqueue("x")
			c := b.claim(p, "x")
			disturb(b, c)
			_, err := c.Settle(Result{Outcome: Succeeded})
			wantErr(t, err, ErrGone)
			if len(p.held) != 0 {
				t.Error("the claim is kept")
			}
			if lock, _, err := b.lockJob(b.path("x")); err != nil {
				t.Errorf("its lock is kept: %v", err)
			} else {
				must(t, lock.Close())
			}
		})
	}
}

// A job that is removed while it runs: nothing is recorded.
func TestSettleOfARemovedJob(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	b.enqueue("x")
	c := b.claim(p, "x")
	b.rm(c.Path())
	b.faults.nth("trylock", "ids/", 1, func() error {
		b.clk.add(2 * waitForStager)
		return nil
	})
	_, err := b.EnqueueJSON(ctx, []byte(jobText("x")))
	wantErr(t, err, ErrBusy) // its id is not used again while it runs
	_, err = c.Settle(Result{Outcome: Succeeded})
	wantErr(t, err, ErrGone)
	b.wantNoJob("x")
	b.enqueue("x")
	b.clean()
}

// Between the look and the rename a person moves the file.
func TestSettleRacesAMove(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	from := b.enqueue("x")
	c := b.claim(p, "x")
	b.faults.before("rename", "completed/", func() error {
		b.mv(c.Path(), "held/"+path.Base(from))
		return nil
	})
	_, err := c.Settle(Result{Outcome: Succeeded})
	wantErr(t, err, ErrGone)
	b.wantState("x", Held)
	if _, err := c.Settle(Result{Outcome: Succeeded}); err == nil {
		t.Error("settled after that")
	}
}

// A settle that fails can be called again, when the reason is gone.
func TestSettleAgain(t *testing.T) {
	for _, step := range []struct{ op, match string }{{"lstat", "processing/"}, {"write", "pending/"}, {"rename", "completed/"}} {
		b := newBench(t)
		p := b.pool()
		b.enqueue("x")
		c := b.claim(p, "x")
		b.faults.fail(step.op, step.match, syscall.ENOSPC)
		for range 3 {
			_, err := c.Settle(Result{Outcome: Succeeded})
			wantErr(t, err, syscall.ENOSPC)
			if _, _, err := b.lockJob(c.Path()); err == nil {
				t.Fatal("its lock is free")
			}
		}
		b.faults.clear()
		b.settle(c, Result{Outcome: Succeeded}, Completed)
		if h := b.job("x").History; len(h) != 2 || attempts(h, true) != 1 {
			t.Errorf("after %s: history is %s", step.op, line2(h))
		}
	}
}

// Once the outcome is written, that is how the attempt ended, also where the
// rename comes later and something else is asked.
func TestSettleAgainEndsTheSame(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	b.enqueue("x")
	c := b.claim(p, "x")
	b.faults.before("rename", "completed/", func() error { return syscall.EIO })
	_, err := c.Settle(Result{Outcome: Succeeded})
	wantErr(t, err, syscall.EIO)
	b.settle(c, Result{Outcome: FailedOutcome}, Completed)

	// And where the pool dies instead.
	b.enqueue("y")
	c = b.claim(p, "y")
	b.faults.fail("rename", "failed/", syscall.EIO)
	_, err = c.Settle(Result{Outcome: FailedOutcome, RetryAt: b.clk.now().Add(time.Hour)})
	wantErr(t, err, syscall.EIO)
	b.faults.clear()
	b.kill(p)
	b.recover()
	b.wantState("y", Failed)
}

// The target directory cannot be written to, then it can.
func TestSettleIntoAClosedDirectory(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	b := newBench(t)
	b.enqueue("x")
	c := b.claim(b.pool(), "x")
	must(t, os.Chmod(b.at("completed"), 0o500))
	_, err := c.Settle(Result{Outcome: Succeeded})
	wantErr(t, err, syscall.EACCES)
	must(t, os.Chmod(b.at("completed"), 0o700))
	b.settle(c, Result{Outcome: Succeeded}, Completed)
}

// A short write is taken back; what is on disk decodes at every moment.
func TestShortWriteIsTakenBack(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	c := b.claim(b.pool(), "x")
	before := b.read(c.Path())
	b.faults.before("write", "", func() error {
		f, err := os.OpenFile(b.at(c.Path()), os.O_WRONLY, 0)
		must(t, err)
		defer f.Close()
		_, err = f.WriteAt([]byte(",\n{\"attem"), int64(len(before)-5))
		must(t, err)
		return syscall.ENOSPC
	})
	wantErr(t, c.Started(4711), syscall.ENOSPC)
	if got := b.read(c.Path()); got != before {
		t.Errorf("the file is\n%s\nwant\n%s", got, before)
	}
	must(t, c.Started(4711))
	b.settle(c, Result{Outcome: Succeeded}, Completed)
}

// What is edited in place while it runs is read again before the next line is
// written; what does not parse is replaced by what we know.
func TestEditInPlaceWhileItRuns(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	b.enqueue("x")
	c := b.claim(p, "x")
	b.put(c.Path(), strings.Replace(b.read(c.Path()), `"true"`, `"edited and longer"`, 1))
	b.settle(c, Result{Outcome: Succeeded}, Completed)
	if j := b.job("x"); j.Command != "edited and longer" || len(j.History) != 2 || j.Attempts != 1 {
		t.Errorf("job is %+v", j)
	}

	// A file of the same length with the same tail has room for the line.
	must(t, b.Delete(ctx, "x"))
	b.enqueue("x")
	c = b.claim(p, "x")
	b.put(c.Path(), strings.Replace(b.read(c.Path()), `"true"`, `"edit"`, 1))
	b.settle(c, Result{Outcome: Succeeded}, Completed)
	if j := b.job("x"); j.Command != "edit" || j.Attempts != 1 {
		t.Errorf("job is %+v", j)
	}

	for i, rubbish := range []string{"", "rubbish", `{"command":"a"}`, jobText("y"), "as long"} {
		must(t, b.Delete(ctx, "x"))
		b.enqueue("x")
		c = b.claim(p, "x")
		life := c.Life
		if rubbish == "as long" {
			rubbish = strings.Repeat("x", len(b.read(c.Path())))
		}
		b.put(c.Path(), rubbish)
		b.settle(c, Result{Outcome: Succeeded}, Completed)
		j := b.job("x")
		if got, _ := lifeOf(j.History); j.Command != "true" || j.Attempts != 1 || got != life {
			t.Errorf("case %d: job is %+v", i, j)
		}
		b.clean()
	}
}

// So is the file of an earlier life of the job, which would be a record of it.
func TestEarlierLifeInPlaceWhileItRuns(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	earlier := b.read(b.enqueue("x"))
	must(t, b.Delete(ctx, "x"))
	b.enqueue("x")
	c := b.claim(p, "x")
	b.put(c.Path(), earlier)
	b.settle(c, Result{Outcome: Succeeded}, Completed)
	j := b.job("x")
	if life, _ := lifeOf(j.History); life != c.Life || j.Attempts != 1 {
		t.Errorf("job is %+v", j)
	}
}

// LOCK_UN only when the job ended by itself: after a kill, who escaped it
// keeps the lock, and the next attempt waits.
func TestWhoEscapesAKillKeepsTheLock(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	b.enqueue("x")
	for _, killed := range []bool{false, true} {
		c := b.claim(p, "x")
		pid, end := child(t, c.File())
		must(t, c.Started(pid))
		b.settle(c, Result{Outcome: TimedOut, RetryAt: b.clk.now().Add(-time.Second), Killed: killed}, Failed)
		next, err := p.Claim(b.path("x"))
		if !killed {
			must(t, err)
			must(t, next.Release("", false))
			end()
			continue
		}
		wantErr(t, err, ErrHeld)
		j := b.wantState("x", Failed)
		if j.WaitingFor == nil || j.WaitingFor.PID != pid || !strings.Contains(j.WaitingFor.Reason, "recover --force x") {
			t.Errorf("it waits for %+v; want %d", j.WaitingFor, pid)
		}
		end()
		must(t, b.claim(p, "x").Release("", false))
	}
}

// A claim that is given up frees the lock also for a child of another slot
// that has just inherited the descriptor, between fork and exec.
func TestReleaseFreesInheritedLocks(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	from := b.enqueue("x")
	edited := b.read(from)
	b.faults.before("rename", from+" processing/", func() error {
		b.exchangeFile(from, edited)
		return nil
	})
	unlocks := 0
	b.faults.nth("unlock", from, 0, func() error { unlocks++; return nil })
	_, err := p.Claim(from)
	wantErr(t, err, ErrGone)
	if unlocks == 0 {
		t.Error("the claim was closed, not unlocked")
	}
	b.adopt(from, "x")
}

// So does one that is given up before the rename, for whatever reason.
func TestRefusedClaimUnlocks(t *testing.T) {
	for name, spoil := range map[string]func(b *bench, p *Pool, at string){
		"not due":      func(b *bench, _ *Pool, _ string) { b.clk.add(-time.Hour) },
		"not accepted": func(_ *bench, p *Pool, _ string) { p.Accept(func(*Job) error { return errBoom }) },
		"not trusted":  func(b *bench, _ *Pool, at string) { must(b.t, os.Chmod(b.at(at), 0o666)) },
		"not readable": func(b *bench, _ *Pool, at string) { b.faults.fail("read", at, errBoom) },
		"a drop":       func(b *bench, _ *Pool, _ string) { b.rm(idPath("x")) },
		"exchanged": func(b *bench, _ *Pool, at string) {
			b.faults.before("trylock", at, func() error { b.exchangeFile(at, b.read(at)); return nil })
		},
	} {
		b := newBench(t)
		b.unasked = true
		at, p := b.enqueue("x", `"delay":"1s"`), b.pool()
		b.clk.add(time.Minute)
		spoil(b, p, at)
		b.faults.record()
		if _, err := p.Claim(at); err == nil {
			t.Errorf("%s: claimed", name)
		}
		if ops := b.faults.recorded(); !slices.Contains(ops, "trylock "+at) || !slices.Contains(ops, "unlock "+at) {
			t.Errorf("%s: the claim was closed, not unlocked: %q", name, ops)
		}
	}
}

func TestSyncAlways(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	p := b.pool()
	c := b.claim(p, "x")
	must(t, b.SetConfig("sync", "always"))
	b.faults.record()
	var before []string
	c.Moved = func() { before = b.faults.recorded() }
	b.settle(c, Result{Outcome: Succeeded}, Completed)
	ops := b.faults.recorded()
	after := strings.Join(ops[len(before):], "\n")
	if !strings.Contains("\n"+after, "\nsync ") || !strings.Contains(after, "\nsyncdir completed") {
		t.Errorf("a settle was not synced:\n%s", strings.Join(ops, "\n"))
	}
	if moved := strings.Join(before, "\n"); !strings.Contains(moved, " completed/") || strings.Contains(moved, "sync") {
		t.Errorf("when it was called moved:\n%s", moved)
	}
	must(t, b.SetConfig("sync", "off"))
	b.enqueue("y")
	c = b.claim(p, "y")
	c.Moved = func() { t.Error("a disk is waited for without sync") }
	b.settle(c, Result{Outcome: Succeeded}, Completed)
	must(t, b.SyncNow())
}

func TestLogs(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	c := b.claim(b.pool(), "x")
	if b.job("x").Log != "" {
		t.Error("a log before anything was printed")
	}
	for range 2 {
		f, err := c.OpenLog()
		must(t, err)
		c.DropEmptyLog()
		must(t, f.Close())
		if b.there(logPath("x")) {
			t.Error("an empty log is kept")
		}
	}
	for range 2 {
		f, err := c.OpenLog()
		must(t, err)
		_, err = f.WriteString("hello\n")
		must(t, err)
		must(t, f.Close())
		c.DropEmptyLog()
	}
	if b.read(logPath("x")) != "hello\nhello\n" || b.job("x").Log != b.at(logPath("x")) {
		t.Errorf("log %s is %q", b.job("x").Log, b.read(logPath("x")))
	}
	b.settle(c, Result{Outcome: Succeeded}, Completed)
}

// Where the directory of a log cannot be made, that is the reason told, and
// not that the log does not exist.
func TestLogWithoutRoom(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	c := b.claim(b.pool(), "x")
	b.faults.fail("mkdir", "logs", syscall.ENOSPC)
	_, err := c.OpenLog()
	wantErr(t, err, syscall.ENOSPC)
	b.faults.clear()
	f, err := c.OpenLog()
	must(t, err)
	must(t, f.Close())
}

// A settle is never kept in processing/ for want of room in a directory.
func TestFullDirectoryOverflows(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	b.enqueue("x")
	b.enqueue("y")
	b.faults.before("rename", " completed/2", func() error { return syscall.ENOSPC })
	for _, id := range []string{"x", "y"} {
		b.settle(b.claim(p, id), Result{Outcome: Succeeded}, Completed)
		if got := b.path(id); !strings.HasPrefix(got, "completed/1/") {
			t.Errorf("%s lies at %s", id, got)
		}
		b.wantState(id, Completed)
	}
	counts, err := b.Counts()
	must(t, err)
	if counts[Completed] != 2 {
		t.Errorf("counts are %v", counts)
	}
	b.clean()
	must(t, b.Retry(ctx, "x"))
	must(t, b.Delete(ctx, "y"))
	must(t, b.claim(p, "x").Release("", false))
}

// A fullFS says what is full.
type fullFS struct {
	fsys.FS
	dir   string
	space fsys.Space
}

func (f *fullFS) Lstat(p string) (fsys.Info, error) {
	info, err := f.FS.Lstat(p)
	if p == f.dir {
		info.Size = 64 << 20
	}
	return info, err
}

func (f *fullFS) Space() (fsys.Space, error) { return f.space, nil }

// A directory that has grown too big takes no more names, although it could.
func TestBigDirectoryOverflows(t *testing.T) {
	b := newBench(t)
	b.faults.FS = &fullFS{FS: b.faults.FS, dir: "completed"}
	b.enqueue("x")
	b.settle(b.claim(b.pool(), "x"), Result{Outcome: Succeeded}, Completed)
	if got := b.path("x"); !strings.HasPrefix(got, "completed/1/") {
		t.Errorf("it lies at %s", got)
	}
}

// A full disk is no full directory: nothing is tried elsewhere.
func TestFullDiskDoesNotOverflow(t *testing.T) {
	b := newBench(t)
	b.faults.FS = &fullFS{FS: b.faults.FS}
	b.enqueue("x")
	c := b.claim(b.pool(), "x")
	b.faults.before("rename", " completed/", func() error { return syscall.ENOSPC })
	_, err := c.Settle(Result{Outcome: Succeeded})
	wantErr(t, err, syscall.ENOSPC)
	if b.there("completed/1") {
		t.Error("completed/ goes on in a sub-directory")
	}
	b.settle(c, Result{Outcome: Succeeded}, Completed)
}

// An end that fails after the job lies in its new state, too, leaves the claim
// as it is: it is tried again, and the job stays locked until then.
func TestEndFailsLate(t *testing.T) {
	eio := &os.PathError{Op: "x", Path: "x", Err: syscall.EIO}
	for what, c := range map[string]struct {
		op, match string
		res       Result
		want      State
	}{
		"sync":              {"sync", "", Result{Outcome: FailedOutcome, RetryAt: time.Now().Add(time.Hour)}, Failed},
		"sync of a success": {"sync", "", Result{Outcome: Succeeded}, Completed},
		"request to cancel": {"unlink", "control/", Result{Outcome: Succeeded}, Completed},
	} {
		t.Run(what, func(t *testing.T) {
			b := newBench(t)
			once := true
			b.faults.syncsNames = &once
			must(t, b.SetConfig("sync", "always"))
			b.enqueue("x")
			cl := b.claim(b.pool(), "x")
			moved := 0
			cl.Moved = func() { moved++ }
			b.faults.before(c.op, c.match, func() error { return eio })
			if _, err := cl.Settle(c.res); !errors.Is(err, syscall.EIO) {
				t.Fatalf("the first end: %v", err)
			}
			if _, _, err := b.lockJob(cl.Path()); !errors.Is(err, ErrHeld) {
				t.Errorf("its lock after the first end: %v", err)
			}
			b.settle(cl, c.res, c.want)
			b.wantState("x", c.want)
			if moved != 1 {
				t.Errorf("said to be moved %d times", moved)
			}
		})
	}
}
