package spool

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestCancelWaiting(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for _, st := range []State{Pending, Failed, Held} {
		b.enqueue("x", `"priority":3`)
		switch st {
		case Failed:
			b.settle(b.claim(p, "x"), Result{Outcome: FailedOutcome, Reason: "no", RetryAt: b.clk.now()}, Failed)
		case Held:
			b.mvInto(b.path("x"), Held)
		}
		rep, err := b.Cancel(ctx, "x")
		if err != nil || !rep.Done || rep.Requested || rep.Waiting != nil {
			t.Fatalf("%s: %+v, %v", st, rep, err)
		}
		j := b.wantState("x", Dead)
		e := b.last("x")
		if e.Event != EventCancelled || e.Outcome != Cancelled || e.By != "cli" || j.Priority != 3 || j.LastError != "cancelled" {
			t.Errorf("%s: its line is %+v; last error %q", st, e, j.LastError)
		}
		if b.there("control/x.cancel") {
			t.Errorf("%s: the request is left", st)
		}
		_, err = b.Cancel(ctx, "x")
		wantErr(t, err, ErrState)
		must(t, b.Delete(ctx, "x"))
	}
	_, err := b.Cancel(ctx, "none")
	wantErr(t, err, ErrNotFound)
}

func TestCancelRunning(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	b.enqueue("x")
	c := b.claim(p, "x")
	if c.CancelRequested() {
		t.Error("nobody asked")
	}
	rep, err := b.Cancel(ctx, "x")
	if err != nil || rep.Done || !rep.Requested || rep.Waiting != nil {
		t.Fatalf("%+v, %v", rep, err)
	}
	if !strings.Contains(b.read("control/x.cancel"), c.Life) || !c.CancelRequested() {
		t.Errorf("the request is %q", b.read("control/x.cancel"))
	}
	st, err := c.Settle(Result{Outcome: FailedOutcome, Signal: "terminated", RetryAt: b.clk.now().Add(time.Hour), Killed: true})
	if st != Dead || err != nil {
		t.Fatalf("settled %s, %v", st, err)
	}
	b.wantState("x", Dead)
	if e := b.last("x"); e.Outcome != Cancelled || e.Signal != "terminated" {
		t.Errorf("its line is %+v", e)
	}
	if b.there("control/x.cancel") {
		t.Error("the request is left")
	}
}

// A job that succeeds before it is told keeps its success.
func TestCancelComesTooLate(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	c := b.claim(b.pool(), "x")
	_, err := b.Cancel(ctx, "x")
	must(t, err)
	b.settle(c, Result{Outcome: Succeeded}, Completed)
	if b.there("control/x.cancel") {
		t.Error("the request is left")
	}
	_, err = b.Cancel(ctx, "x")
	wantErr(t, err, ErrState)
}

// Who releases looks for a request first: the pool stops, and the cancel
// outlives it.
func TestReleaseOfACancelledJob(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	c := b.claim(b.pool(), "x")
	_, err := b.Cancel(ctx, "x")
	must(t, err)
	must(t, c.Release("stop", true))
	b.wantState("x", Dead)
	if b.there("control/x.cancel") {
		t.Error("the request is left")
	}
}

// Who recovers does so too.
func TestCancelOutlivesItsPool(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	p := b.pool()
	c := b.claim(p, "x")
	_, err := b.Cancel(ctx, "x")
	must(t, err)
	_ = c
	b.kill(p)
	b.recovered("x")
	b.wantState("x", Dead)
	// By the recovery itself: it never waits as one that could be claimed.
	if e := b.last("x"); e.Outcome != Cancelled || e.Claim == "" || b.there("control/x.cancel") {
		t.Errorf("its line is %+v", b.last("x"))
	}
}

// The pool is dead, and a process of the job lives: the cancel waits for it.
func TestCancelWaits(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	p := b.pool()
	c := b.claim(p, "x")
	pid, end := child(t, c.File())
	must(t, c.Started(pid))
	b.kill(p)
	rep, err := b.Cancel(ctx, "x")
	if err != nil || rep.Done || rep.Requested || rep.Waiting == nil || rep.Waiting.PID != pid {
		t.Fatalf("%+v, %v", rep, err)
	}
	end()
	b.recovered("x")
	b.wantState("x", Dead)
}

// The same where it waits already, and what escaped a kill has its lock.
func TestCancelOfAWaitingJobThatIsHeld(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	p := b.pool()
	c := b.claim(p, "x")
	pid, end := child(t, c.File())
	must(t, c.Started(pid))
	b.settle(c, Result{Outcome: TimedOut, RetryAt: b.clk.now(), Killed: true}, Failed)
	b.faults.nth("trylock", "failed/", 2, func() error { b.clk.add(2 * commandPatience); return nil })
	rep, err := b.Cancel(ctx, "x")
	if err != nil || rep.Done || rep.Waiting == nil || rep.Waiting.PID != pid {
		t.Fatalf("%+v, %v", rep, err)
	}
	if !strings.Contains(rep.Waiting.Reason, "it is cancelled when that has ended") {
		t.Errorf("it says %q", rep.Waiting.Reason)
	}
	end()
	c = b.claim(p, "x")
	if !c.CancelRequested() {
		t.Error("the request is gone")
	}
	must(t, c.Release("", false))
	b.wantState("x", Dead)
}

// A request names the life that it means; another one's is ignored and
// removed.
func TestStaleCancelIsIgnored(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	b.enqueue("x")
	must(t, b.askCancel(b.path("x"), "x", new(request)))
	stale := b.read("control/x.cancel")
	must(t, b.Delete(ctx, "x"))
	if b.there("control/x.cancel") {
		t.Error("delete leaves the request")
	}
	b.enqueue("x")
	b.put("control/x.cancel", stale)
	c := b.claim(p, "x")
	if c.CancelRequested() {
		t.Error("a request for another life counts")
	}
	if b.there("control/x.cancel") {
		t.Error("it is left")
	}
	b.put("control/x.cancel", stale)
	b.settle(c, Result{Outcome: FailedOutcome, RetryAt: b.clk.now()}, Failed)
	b.put("control/x.cancel", stale)
	b.claim(p, "x")
	b.kill(p)
	b.recovered("x")
	b.wantState("x", Pending)
}

// A request that was obeyed, and whose file is still there because who obeyed it
// was killed, does not mean a job that a person puts back.
func TestObeyedCancelIsOver(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for _, outcome := range []Outcome{FailedOutcome, Succeeded} { // of the second it came too late
		b.enqueue("x")
		c := b.claim(p, "x")
		must(t, b.askCancel(c.Path(), "x", new(request)))
		obeyed := b.read("control/x.cancel")
		b.settle(c, Result{Outcome: outcome}, map[Outcome]State{FailedOutcome: Dead, Succeeded: Completed}[outcome])
		b.put("control/x.cancel", obeyed)
		b.mvInto(b.path("x"), Pending)
		b.recover()
		b.wantState("x", Pending)
		b.put("control/x.cancel", obeyed)
		c = b.claim(p, "x")
		if c.CancelRequested() {
			t.Errorf("%s: it is cancelled again", outcome)
		}
		must(t, b.askCancel(c.Path(), "x", new(request)))
		b.settle(c, Result{Outcome: FailedOutcome, RetryAt: b.clk.now()}, Dead)
		must(t, b.Delete(ctx, "x"))
	}
}

// Nor does the command that has made it cancel the job again, which a person has
// put back before the command could see that it was obeyed.
func TestCancelOfWhatIsPutBackMeanwhile(t *testing.T) {
	for _, outcome := range []Outcome{FailedOutcome, Succeeded} {
		b := newBench(t)
		b.enqueue("x")
		c := b.claim(b.pool(), "x")
		b.faults.before("replace", "control/x.cancel", func() error {
			b.faults.before("lstat", c.Path(), func() error { // once it is there
				st, err := c.Settle(Result{Outcome: outcome})
				b.mvInto(b.only(st), Pending)
				return err
			})
			return nil
		})
		rep, err := b.Cancel(ctx, "x")
		if outcome == Succeeded { // it came too late
			wantErr(t, err, ErrState)
		} else if must(t, err); !rep.Done {
			t.Errorf("reported %+v", rep)
		}
		b.wantState("x", Pending)
	}
}

// What did not come about is not in the job's history: it would count.
func TestCommandThatFails(t *testing.T) {
	for name, do := range map[string]func(*bench) error{
		"retry":  func(b *bench) error { return b.Retry(ctx, "x") },
		"cancel": func(b *bench) error { _, err := b.Cancel(ctx, "x"); return err },
		"adopt":  func(b *bench) error { _, err := b.Spool.adopt(ctx, b.mv(b.path("x"), "pending/now.json")); return err },
	} {
		b := newBench(t)
		at := b.inState(b.pool(), "x", Failed)
		before := b.read(at)
		stopped := 0
		b.faults.before("truncate", "failed/", func() error { // were it killed there
			dec, _, err := b.peek(at)
			must(t, err)
			if stopped = attempts(dec.history, false); stopped != 1 || !dec.torn {
				t.Errorf("%s: half taken back, it has %d attempts", name, stopped)
			}
			return nil
		})
		b.faults.fail("rename", "Z-5-x.json", errBoom)
		wantErr(t, do(b), errBoom)
		b.faults.clear()
		if name != "adopt" && stopped == 0 {
			t.Errorf("%s: nothing was taken back", name)
		}
		if b.there("pending/now.json") {
			b.mv("pending/now.json", at)
		}
		if got := b.read(at); got != before {
			t.Errorf("%s: it says\n%s\nand said\n%s", name, got, before)
		}
		if j := b.wantState("x", Failed); j.Attempts != 1 {
			t.Errorf("%s: it has %d attempts", name, j.Attempts)
		}
		must(t, b.Retry(ctx, "x"))
	}
}

// Nor is anything taken back that somebody else has written meanwhile.
func TestCommandThatFailsLeavesAnEdit(t *testing.T) {
	b := newBench(t)
	at := b.inState(b.pool(), "x", Failed)
	edited := strings.Replace(b.read(at), `"true"`, `"`+strings.Repeat("edited", 100)+`"`, 1)
	b.faults.before("rename", "Z-5-x.json", func() error {
		b.put(at, edited)
		return errBoom
	})
	wantErr(t, b.Retry(ctx, "x"), errBoom)
	if got := b.read(at); got != edited {
		t.Errorf("it says\n%s", got)
	}
}

// touch control/ID.cancel means a job that is older than the file.
func TestCancelByHand(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	b.enqueue("x")
	c := b.claim(p, "x")
	old := time.Now().Add(-time.Minute)
	b.put("control/x.cancel", "")
	must(t, os.Chtimes(b.at("control/x.cancel"), old, old))
	if c.CancelRequested() || b.there("control/x.cancel") {
		t.Error("a file that is older than the job counts, or is left")
	}
	b.put("control/x.cancel", "")
	if !c.CancelRequested() {
		t.Error("a newer one does not count")
	}
	b.settle(c, Result{Outcome: FailedOutcome, RetryAt: b.clk.now()}, Dead)
}

// Odd requests are no requests, or ones made by hand.
func TestOddRequests(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	c := b.claim(b.pool(), "x")
	must(t, os.Symlink("/etc/passwd", b.at("control/x.cancel")))
	if c.CancelRequested() {
		t.Error("a symbolic link counts")
	}
	b.rm("control/x.cancel")
	must(t, os.Mkdir(b.at("control/x.cancel"), 0o700))
	if c.CancelRequested() {
		t.Error("a directory counts")
	}
	b.rm("control/x.cancel")
	b.put("control/x.cancel", strings.Repeat("x", 5000))
	if c.CancelRequested() {
		t.Error("a big file counts")
	}
	b.put("control/x.cancel", "please\n")
	if !c.CancelRequested() {
		t.Error("a note does not count")
	}
	must(t, c.Release("", false))
	b.wantState("x", Dead)
}

// A pid that stands in a file is signalled by nobody: it may be another
// process's. Here it is.
func TestRequestsSignalNobody(t *testing.T) {
	b := newBench(t)
	stranger := exec.Command("cat")
	stranger.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := stranger.StdinPipe()
	must(t, err)
	must(t, stranger.Start())
	p := b.pool()
	b.enqueue("x")
	must(t, b.claim(p, "x").Started(stranger.Process.Pid))
	b.editPool(p, func(f *poolFile) { f.PID = stranger.Process.Pid })
	must(t, b.RequestStop(p.Name(), true))
	_, err = b.Cancel(ctx, "x")
	must(t, err)
	b.kill(p)
	b.recover()
	must(t, b.ForceRecover(ctx, "x"))
	must(t, in.Close())
	if err := stranger.Wait(); err != nil {
		t.Errorf("the stranger: %v", err)
	}
	b.recover()
}

// Retry unlinks the request, under the lock and before its rename: else it
// would hit the new round, whose life is the same.
func TestRetryRemovesTheRequest(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	b.enqueue("x")
	b.settle(b.claim(p, "x"), Result{Outcome: FailedOutcome}, Dead)
	must(t, b.askCancel(b.path("x"), "x", new(request)))
	at := b.path("x")
	b.faults.before("rename", at, func() error {
		if b.there("control/x.cancel") {
			t.Error("the request is there at the rename")
		}
		if _, _, err := b.lockJob(at); err == nil {
			t.Error("the job is not locked")
		}
		return nil
	})
	must(t, b.Retry(ctx, "x"))
	if c := b.claim(p, "x"); c.CancelRequested() || c.Attempt != 1 {
		t.Errorf("claim is %+v", c)
	} else {
		must(t, c.Release("", false))
	}
}

// Who acts on a request unlinks it after the rename into the last state: a
// crash between the two must not lose it.
func TestRequestIsUnlinkedLast(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for _, how := range []string{"settle", "recover"} {
		b.enqueue("x")
		c := b.claim(p, "x")
		must(t, b.askCancel(c.Path(), "x", new(request)))
		b.faults.before("unlink", "control/x", func() error {
			b.wantState("x", Dead)
			return nil
		})
		if how == "settle" {
			b.settle(c, Result{Outcome: FailedOutcome}, Dead)
		} else {
			b.kill(p)
			b.recovered("x")
		}
		b.wantState("x", Dead)
		if !b.faults.spent() {
			t.Errorf("%s: the request was not unlinked", how)
		}
		must(t, b.Delete(ctx, "x"))
	}
}

func TestRetry(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	ends := map[State]Result{
		Failed:    {Outcome: FailedOutcome, RetryAt: b.clk.now().Add(time.Hour)},
		Completed: {Outcome: Succeeded},
		Dead:      {Outcome: FailedOutcome},
	}
	for _, st := range []State{Failed, Completed, Dead, Held} {
		b.enqueue("x", `"priority":8`)
		if st == Held {
			b.mvInto(b.path("x"), Held)
		} else {
			b.settle(b.claim(p, "x"), ends[st], st)
		}
		now := b.clk.freeze()
		must(t, b.Retry(ctx, "x"))
		b.clk.thaw()
		j := b.wantState("x", Pending)
		if !j.Due.Equal(now) || j.Attempts != 0 || j.Priority != 8 {
			t.Errorf("%s: job is %+v", st, j)
		}
		if e := b.last("x"); e.Event != EventRetried || e.By != "cli" || e.To != b.only(Pending) {
			t.Errorf("%s: its line is %+v", st, e)
		}
		wantErr(t, b.Retry(ctx, "x"), ErrState)
		c := b.claim(p, "x")
		wantErr(t, b.Retry(ctx, "x"), ErrState)
		if c.Attempt != 1 {
			t.Errorf("%s: attempt %d", st, c.Attempt)
		}
		b.settle(c, Result{Outcome: Succeeded}, Completed)
		must(t, b.Delete(ctx, "x"))
	}
	wantErr(t, b.Retry(ctx, "none"), ErrNotFound)
}

// A command waits a while for a lock, and then says who has it.
func TestCommandOnAHeldJob(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	f, _, err := b.lockJob(b.path("x"))
	must(t, err)
	b.faults.nth("trylock", "pending/", 2, func() error { b.clk.add(2 * commandPatience); return nil })
	wantErr(t, b.Delete(ctx, "x"), ErrBusy)
	b.faults.nth("trylock", "pending/", 2, func() error { return f.Unlock() })
	must(t, b.Delete(ctx, "x"))
	_ = f.Close()
}

// A request to stop names the pool that it means. One that means another, or was
// made by hand for what is younger than it, is removed.
func TestStopOfAnother(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	at := "control/" + p.Name() + ".stop"
	for text, want := range map[string]bool{
		`{"life":"` + p.Name() + `"}`:  true,
		`{"life":"other-4711-abcdef"}`: false,
		``:                             true,
	} {
		b.put(at, text)
		if stop, _ := p.StopRequested(); stop != want || b.there(at) != want {
			t.Errorf("%q: stops %v, is kept %v; want %v", text, stop, b.there(at), want)
		}
	}
	b.put(at, "")
	old := p.file.StartedAt.Add(-time.Minute)
	must(t, os.Chtimes(b.at(at), old, old))
	if stop, _ := p.StopRequested(); stop || b.there(at) {
		t.Errorf("older than the pool: stops %v, is kept %v", stop, b.there(at))
	}
}

// On a full disk a pool can be asked to stop, and a job be cancelled: with an
// empty request, which says as much. That it is to hurry, none of those says.
func TestAskWithoutRoom(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	b.enqueue("x")
	c := b.claim(p, "x")
	b.faults.fail("write", "tmp/", syscall.ENOSPC)
	if err := b.RequestStop(p.Name(), true); !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), "make room there") {
		t.Errorf("to hurry: %v", err)
	}
	var rep CancelReport
	for range 2 { // it is asked already the second time
		must(t, b.RequestStop(p.Name(), false))
		var err error
		rep, err = b.Cancel(ctx, "x")
		must(t, err)
	}
	b.faults.clear()
	if stop, now := p.StopRequested(); !stop || now {
		t.Errorf("the pool was asked to stop: %v, at once: %v", stop, now)
	}
	if !rep.Requested || !c.CancelRequested() {
		t.Errorf("the job was asked to end: %+v", rep)
	}
	must(t, c.Release("", false))
}
