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

// recovered has the jobs of dead pools be taken over, and wants it to be these.
func (b *bench) recovered(ids ...string) {
	b.t.Helper()
	rep := b.recover()
	slices.Sort(rep.Recovered)
	if !slices.Equal(rep.Recovered, ids) || len(rep.Waiting) != 0 {
		b.t.Fatalf("recovered %+v; want %q\n%s", rep, ids, b.tree())
	}
}

// An attempt that its pool took with it is charged, has no back-off, and goes
// back to its place in line.
func TestWorkerDied(t *testing.T) {
	b := newBench(t)
	from := b.enqueue("x", `"priority":7`)
	p := b.pool()
	b.claim(p, "x")
	b.recovered() // not from a living pool
	if w := b.job("x").WaitingFor; w != nil {
		t.Errorf("it waits: %s", w.Reason)
	}
	b.kill(p)
	if w := b.job("x").WaitingFor; w == nil || w.Reason != workerIsDead {
		t.Errorf("until it is recovered, it waits: %+v", w)
	}
	b.recovered("x")
	if b.only(Pending) != from {
		t.Errorf("it lies at %s; want %s", b.only(Pending), from)
	}
	e := b.last("x")
	if e.Outcome != WorkerDied || e.To != from || e.Ended.IsZero() || e.Reason == "" {
		t.Errorf("its line is %+v", e)
	}
	if n := b.job("x").Attempts; n != 1 {
		t.Errorf("%d attempts", n)
	}
	if b.there(workerPath(p.Name())) {
		t.Error("the dead pool's file is still there")
	}
	if c := b.claim(b.pool(), "x"); c.Attempt != 2 {
		t.Errorf("attempt %d", c.Attempt)
	} else {
		must(t, c.Release("", false))
	}
}

// From failed/ too it goes to pending/, under the same due time.
func TestWorkerDiedOnARetry(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	p := b.pool()
	b.settle(b.claim(p, "x"), Result{Outcome: FailedOutcome, RetryAt: b.clk.now().Add(-time.Hour)}, Failed)
	due := b.job("x").Due
	b.claim(p, "x")
	b.kill(p)
	b.recovered("x")
	if j := b.wantState("x", Pending); !j.Due.Equal(due) || j.Attempts != 2 {
		t.Errorf("due %s, before %s; %d attempts", j.Due, due, j.Attempts)
	}
}

// dieWith has a pool claim the job and die, changed as a test likes.
func (b *bench) dieWith(id string, change func(*poolFile)) {
	b.t.Helper()
	p := b.pool()
	b.claim(p, id)
	if change != nil {
		b.editPool(p, change)
	}
	b.kill(p)
	b.recovered(id)
}

func TestDeathsBury(t *testing.T) {
	otherBoot := func(f *poolFile) { f.Boot = "another boot" }
	stopping := func(f *poolFile) { f.Stopping = true }
	for name, c := range map[string]struct {
		change  func(*poolFile)
		more    []string
		deaths  int
		outcome Outcome
	}{
		"three in a row":         {nil, []string{`"max_retries":100`}, 3, WorkerDied},
		"max_retries used up":    {nil, []string{`"max_retries":1`}, 2, WorkerDied},
		"no retries":             {nil, []string{`"max_retries":0`}, 1, WorkerDied},
		"with the machine":       {otherBoot, []string{`"max_retries":0`}, 20, WorkerLost},
		"while the pool stopped": {stopping, []string{`"max_retries":0`}, 20, WorkerLost},
	} {
		b := newBench(t)
		b.enqueue("x", c.more...)
		for i := 1; i <= c.deaths; i++ {
			b.wantState("x", Pending)
			b.dieWith("x", c.change)
			if e := b.last("x"); e.Outcome != c.outcome {
				t.Fatalf("%s: death %d is %+v", name, i, e)
			}
		}
		j := b.wantState("x", Dead)
		if want := map[Outcome]int{WorkerDied: c.deaths, WorkerLost: 0}[c.outcome]; j.Attempts != want || j.EndedAt.IsZero() {
			t.Errorf("%s: %d attempts; want %d", name, j.Attempts, want)
		}
	}
}

// An attempt that ended in a living pool breaks the row.
func TestDeathsNotInARow(t *testing.T) {
	b := newBench(t)
	b.enqueue("x", `"max_retries":100`)
	for range 3 {
		b.dieWith("x", nil)
		b.dieWith("x", nil)
		b.settle(b.claim(b.pool(), "x"), Result{Outcome: FailedOutcome, RetryAt: b.clk.now()}, Failed)
	}
	if j := b.job("x"); j.Attempts != 9 {
		t.Errorf("%d attempts", j.Attempts)
	}
}

// Stopping is written down in the very file, over "false".
func TestStoppingPoolChargesNothing(t *testing.T) {
	b := newBench(t)
	b.enqueue("x", `"max_retries":0`)
	p := b.pool()
	b.claim(p, "x")
	must(t, p.Stopping())
	b.kill(p)
	b.recovered("x")
	if j := b.wantState("x", Pending); j.Attempts != 0 || b.last("x").Outcome != WorkerLost {
		t.Errorf("job is %+v", j)
	}
}

// Rule 1: recovery believes a line only if its claim is the one in the name.
func TestRecoverBelievesOnlyItsClaim(t *testing.T) {
	setup := func(t *testing.T) (*bench, *Pool, *Claim) {
		b := newBench(t)
		b.enqueue("x", `"max_retries":5`)
		p := b.pool()
		return b, p, b.claim(p, "x")
	}

	t.Run("ended: its rename is finished", func(t *testing.T) {
		b, p, c := setup(t)
		b.faults.before("rename", "completed/", func() error { return errBoom })
		_, err := c.Settle(Result{Outcome: Succeeded})
		wantErr(t, err, errBoom)
		b.kill(p)
		b.recovered("x")
		if j := b.wantState("x", Completed); b.last("x").To != b.path("x") || j.Attempts != 1 {
			t.Errorf("job is %+v", j)
		}
	})

	t.Run("open: charged", func(t *testing.T) {
		b, p, _ := setup(t)
		b.kill(p)
		b.recovered("x")
		if b.wantState("x", Pending).Attempts != 1 {
			t.Error("not charged")
		}
	})

	// The claim's rename was made, and its line not yet.
	t.Run("not begun: uncharged", func(t *testing.T) {
		b := newBench(t)
		from := b.enqueue("x")
		p := b.pool()
		b.faults.fail("write", from, errBoom)
		b.faults.fail("rename", " "+from, errBoom)
		_, err := p.Claim(from)
		wantErr(t, err, errBoom)
		b.faults.clear()
		b.kill(p)
		b.recovered("x")
		if j := b.wantState("x", Pending); j.Attempts != 0 || len(j.History) != 1 {
			t.Errorf("job is %+v", j)
		}
	})

	// The last line is of an earlier claim, which ended in a state to which
	// the job does not belong any more.
	for _, o := range []Outcome{Succeeded, FailedOutcome, ""} {
		t.Run("the line of another claim, "+string(o), func(t *testing.T) {
			b, p, c := setup(t)
			if o != "" {
				st, err := c.Settle(Result{Outcome: o})
				must(t, err)
				b.mvInto(b.only(st), Pending)
			}
			n, _ := ParseName(path.Base(b.path("x")))
			n.Pool, n.Claim = p.Name(), 99
			b.mv(b.path("x"), "processing/"+n.String())
			before := b.job("x").History
			b.kill(p)
			b.recovered("x")
			j := b.wantState("x", Pending)
			if len(j.History) != len(before) || j.Attempts != attempts(before, false) {
				t.Errorf("history is %s\nwas %s", line2(j.History), line2(before))
			}
		})
	}
}

// Rule 6: a name in processing/ without a claim counts as a dead pool's.
func TestProcessingWithoutAClaim(t *testing.T) {
	b := newBench(t)
	p := b.mvInto(b.enqueue("x"), Processing)
	b.recovered("x")
	if b.only(Pending) != "pending/"+path.Base(p) || b.job("x").Attempts != 0 {
		t.Errorf("it lies at %s", b.only(Pending))
	}
}

// A pool's file stays while a name in processing/ carries it: it tells the
// boot, and that the pool was stopping.
func TestPoolFileIsKept(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	p := b.pool()
	c := b.claim(p, "x")
	pid, end := child(t, c.File())
	must(t, c.Started(pid))
	b.kill(p)
	for range 2 {
		rep := b.recover()
		if len(rep.Waiting) != 1 || !b.there(workerPath(p.Name())) {
			t.Fatalf("recovered %+v; the file is there: %v", rep, b.there(workerPath(p.Name())))
		}
	}
	end()
	b.recovered("x")
	if b.there(workerPath(p.Name())) || b.last("x").Outcome != WorkerDied {
		t.Errorf("its line is %+v", b.last("x"))
	}
}

// The name moves while processing/ is listed: one listing misses it, two do
// not.
func TestPoolFileLooksTwice(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	p := b.pool()
	c := b.claim(p, "x")
	away := string(Held) + "/" + path.Base(c.Path())
	b.faults.before("list", "processing", func() error { b.mv(c.Path(), away); return nil })
	b.faults.before("list", "processing", func() error { b.mv(away, c.Path()); return nil })
	if used, err := b.poolInUse(p.Name()); !used || err != nil {
		t.Fatalf("in use: %v, %v", used, err)
	}
	must(t, c.Release("", false))
}

// While a process that the attempt left behind holds the lock, the job waits,
// and all say for whom.
func TestProcessThatHoldsTheLock(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	p := b.pool()
	c := b.claim(p, "x")
	pid, end := child(t, c.File())
	must(t, c.Started(pid))
	b.kill(p)

	rep := b.recover()
	if len(rep.Recovered) != 0 || len(rep.Waiting) != 1 || rep.Waiting[0].ID != "x" || rep.Waiting[0].PID != pid {
		t.Fatalf("recovered %+v; its process is %d", rep, pid)
	}
	if w := b.wantState("x", Processing).WaitingFor; w == nil || w.PID != pid || !strings.Contains(w.Reason, fmt.Sprint(pid)) {
		t.Errorf("it waits for %+v", w)
	}
	st, err := b.Status()
	must(t, err)
	if len(st.Problems) != 1 || st.Problems[0].PID != pid || st.Problems[0].ID != "x" {
		t.Errorf("problems are %+v", st.Problems)
	}
	check, err := b.Check(ctx, false)
	must(t, err)
	if !check.OK() || !strings.Contains(findings(check), fmt.Sprint(pid)) {
		t.Errorf("check finds\n%s", findings(check))
	}
	for _, err := range []error{b.Delete(ctx, "x"), b.Retry(ctx, "x")} {
		wantErr(t, err, ErrState)
		wantText(t, err, fmt.Sprint(pid))
	}
	end()
	b.recovered("x")
	b.wantState("x", Pending)
}

// A program that closes what it inherits is alive while its process group is.
func TestProcessGroupThatLives(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	p := b.pool()
	c := b.claim(p, "x")
	pid, end := child(t) // inherits nothing
	must(t, c.Started(pid))
	b.kill(p)
	rep := b.recover()
	if len(rep.Waiting) != 1 || rep.Waiting[0].PID != pid {
		t.Fatalf("recovered %+v", rep)
	}
	if w := b.wantState("x", Processing).WaitingFor; w == nil || w.PID != pid {
		t.Errorf("it waits for %+v", w)
	}
	end()
	b.recovered("x")
}

// What a pid means is known only on the same boot and in the same namespace,
// and a leader that started at another time is a recycled number.
func TestStrangersProcessGroups(t *testing.T) {
	for name, change := range map[string]func(*poolFile){
		"boot":      func(f *poolFile) { f.Boot = "another" },
		"namespace": func(f *poolFile) { f.PIDNS = "pid:[1]" },
		"host":      func(f *poolFile) { f.Host = "another" },
	} {
		b := newBench(t)
		b.enqueue("x")
		p := b.pool()
		c := b.claim(p, "x")
		pid, _ := child(t)
		must(t, c.Started(pid))
		b.editPool(p, change)
		b.kill(p)
		if rep := b.recover(); len(rep.Recovered) != 1 {
			t.Errorf("another %s: recovered %+v", name, rep)
		}
	}

	b := newBench(t)
	b.enqueue("x")
	p := b.pool()
	c := b.claim(p, "x")
	pid, _ := child(t)
	must(t, c.rec.complete(Entry{PID: pid, PIDStart: processStart(pid) + 1}))
	b.kill(p)
	b.recovered("x")
}

func TestGroupAlive(t *testing.T) {
	pid, end := child(t)
	start := processStart(pid)
	if start == 0 || !groupAlive(pid, start) || !groupAlive(pid, 0) {
		t.Errorf("%d, started %d, is not alive", pid, start)
	}
	if groupAlive(pid, start+1) {
		t.Error("a recycled number is alive")
	}
	end()
	if groupAlive(pid, start) || groupAlive(0, 0) || groupAlive(1, 0) || groupAlive(-1, 0) {
		t.Error("alive")
	}
}

// The job of another host's pool gets a new file, which no late write of its
// old worker reaches.
func TestAnotherHostsJobIsReplaced(t *testing.T) {
	b := newBench(t)
	from := b.enqueue("x", `"note":[1, 2]`)
	another := b.sys.self()
	another.Host, another.Boot = "another", "another"
	b.sys.id = &another
	p := b.pool()
	b.sys.id = nil
	c := b.claim(p, "x")
	late, err := b.fs.Open(c.Path(), os.O_RDWR)
	must(t, err)
	defer late.Close()
	old := b.inode(c.Path())
	life := c.Life
	must(t, b.appendLog("x", "a line\n"))
	b.kill(p)
	b.faults.fail("write", "tmp/", syscall.EIO)
	for range 2 { // what fails is tried again, and says so once in the job's log
		if _, err := b.Recover(ctx); err == nil {
			t.Error("it was recovered without a new file")
		}
	}
	b.faults.clear()
	b.recovered("x")
	if log := b.read(logPath("x")); log != "a line\nqueuectl: attempt 1 ended: its worker was lost\n" {
		t.Errorf("its log is %q", log)
	}
	if b.only(Pending) != from || b.inode(from) == old || b.inode(idPath("x")) != b.inode(from) {
		t.Errorf("the file is the old one\n%s", b.tree())
	}
	_, err = late.WriteAt([]byte("rubbish"), 0)
	must(t, err)
	j := b.job("x")
	if got, _ := lifeOf(j.History); got != life || b.last("x").Outcome != WorkerLost || !strings.Contains(string(j.Raw), `"note":[1, 2]`) {
		t.Errorf("job is %+v", j)
	}
}

// A dead pool whose file is gone charges nothing.
func TestPoolWithoutAFile(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	p := b.pool()
	b.claim(p, "x")
	b.kill(p)
	b.rm(workerPath(p.Name()))
	b.recovered("x")
	if b.last("x").Outcome != WorkerLost {
		t.Errorf("its line is %+v", b.last("x"))
	}
}

// The same host name and pid (a container): another pool all the same.
func TestPoolUnderTheSamePID(t *testing.T) {
	b := newBench(t)
	b.sys.id = &identity{Host: "container", PID: 1, Boot: "b", PIDNS: "n"}
	b.enqueue("x")
	p := b.pool()
	b.claim(p, "x")
	b.kill(p)
	q := b.pool()
	rep, err := q.Recover(ctx)
	must(t, err)
	if len(rep.Recovered) != 1 || b.last("x").Outcome != WorkerDied {
		t.Errorf("recovered %+v", rep)
	}
}

// A command that names a job of a dead pool recovers it first.
func TestCommandsRecoverFirst(t *testing.T) {
	for name, command := range map[string]func(*bench) error{
		"delete": func(b *bench) error { return b.Delete(ctx, "x") },
		"cancel": func(b *bench) error {
			rep, err := b.Cancel(ctx, "x")
			if err == nil && !rep.Done {
				err = fmt.Errorf("%+v", rep)
			}
			return err
		},
	} {
		b := newBench(t)
		b.enqueue("x")
		p := b.pool()
		b.claim(p, "x")
		b.kill(p)
		if err := command(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		b.recover()
	}
}

func TestForceRecover(t *testing.T) {
	b := newBench(t)
	from := b.enqueue("x")
	p := b.pool()
	c := b.claim(p, "x")
	wantErr(t, b.ForceRecover(ctx, "x"), ErrState) // its pool lives
	wantErr(t, b.ForceRecover(ctx, "none"), ErrNotFound)
	pid, _ := child(t, c.File())
	must(t, c.Started(pid))
	old := b.inode(c.Path())
	b.kill(p)
	if rep := b.recover(); len(rep.Waiting) != 1 {
		t.Fatalf("recovered %+v", rep)
	}
	must(t, b.ForceRecover(ctx, "x"))
	if b.only(Pending) != from || b.inode(from) == old {
		t.Errorf("it lies at %s\n%s", b.only(Pending), b.tree())
	}
	h := b.job("x").History
	if e := h[len(h)-1]; e.Event != EventReplaced || e.By != "recover --force" || h[len(h)-2].Outcome != WorkerDied {
		t.Errorf("history is %s", line2(h))
	}
	// The process lives on; the job runs beside it.
	next := b.claim(b.pool(), "x")
	if next.Attempt != 2 {
		t.Errorf("attempt %d", next.Attempt)
	}
	b.settle(next, Result{Outcome: Succeeded}, Completed)
	b.recover()
}

// A record that has to be mended while its process is written down has that at
// every moment: without it, a recovery would run the job beside it.
func TestMendedWithItsProcess(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	old := b.read(b.path("x"))
	p := b.pool()
	c := b.claim(p, "x")
	pid, end := child(t, c.File())
	b.put(c.Path(), old)
	b.faults.fail("write", "processing/", errBoom)
	_ = c.Started(pid)
	b.faults.clear()
	b.kill(p)
	if rep := b.recover(); len(rep.Waiting) != 1 || len(rep.Recovered) > 0 {
		t.Errorf("recovered %+v", rep)
	}
	end()
	wait(t, "its recovery", func() bool { return len(b.recover().Recovered) == 1 })
	b.wantState("x", Pending)
}

// The same of a job that a person has written over without its history.
func TestForceRecoverWithoutHistory(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	p := b.pool()
	c := b.claim(p, "x")
	pid, _ := child(t, c.File())
	must(t, c.Started(pid))
	at := c.Path()
	b.kill(p)
	b.put(at, `{"id":"x","command":"edited"}`)
	must(t, b.ForceRecover(ctx, "x"))
	next := b.claim(b.pool(), "x")
	if next.Attempt != 1 || next.Job.Command != "edited" {
		t.Errorf("claimed %+v", next)
	}
	b.settle(next, Result{Outcome: Succeeded}, Completed)
	b.recover()
}

// A job that runs is not left behind, wherever a person has put its file.
func TestForceRecoverOfARunningJobMovedByHand(t *testing.T) {
	b := newBench(t)
	from := b.enqueue("x")
	c := b.claim(b.pool(), "x")
	b.mv(c.Path(), from)
	wantErr(t, b.ForceRecover(ctx, "x"), ErrState)
	if _, err := b.pool().Claim(from); !errors.Is(err, ErrHeld) {
		t.Errorf("it can be claimed beside its attempt: %v", err)
	}
}

// What it waits for is not told with advice that is refused.
func TestMovedWhileItRunsWaits(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	want := func(at, way string) {
		t.Helper()
		w := b.WaitingFor(at)
		if w == nil || !strings.HasPrefix(w.Reason, "it was moved by hand while it ran, and pool "+p.Name()+" still runs it") ||
			!strings.HasSuffix(w.Reason, way) {
			t.Errorf("%s waits for %+v; want %q", at, w, way)
		}
	}
	for _, id := range []string{"x", "y"} {
		from := b.enqueue(id)
		c := b.claim(p, id)
		pid, _ := child(t, c.File())
		must(t, c.Started(pid))
		if id == "y" { // under the claim's name it is not found by its id
			want(b.mvInto(c.Path(), Pending), fmt.Sprintf(" as process %d; it runs once more when that has ended", pid))
			b.mv("pending/"+path.Base(c.Path()), c.Path())
			continue
		}
		b.mv(c.Path(), from)
		want(from, fmt.Sprintf(` as process %d; it runs once more when that has ended; "queuectl cancel x" ends both`, pid))
		b.faults.nth("trylock", "pending/", 2, func() error { b.clk.add(2 * commandPatience); return nil })
		rep, err := b.Cancel(ctx, "x")
		if err != nil || rep.Waiting == nil || !strings.HasSuffix(rep.Waiting.Reason, "; it is cancelled when that has ended") {
			t.Errorf("cancel: %+v, %v", rep, err)
		}
		if !c.CancelRequested() {
			t.Error("its worker is not asked to end it")
		}
		st, err := c.Settle(Result{Outcome: Cancelled, Killed: true})
		if !errors.Is(err, ErrGone) {
			t.Errorf("settle: %s, %v", st, err)
		}
	}
}

// Also where it waits already and what escaped a kill has its lock.
func TestForceRecoverOfAWaitingJob(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	p := b.pool()
	c := b.claim(p, "x")
	pid, _ := child(t, c.File())
	must(t, c.Started(pid))
	b.settle(c, Result{Outcome: TimedOut, RetryAt: b.clk.now(), Killed: true}, Failed)
	at := b.path("x")
	_, err := p.Claim(at)
	wantErr(t, err, ErrHeld)
	must(t, b.ForceRecover(ctx, "x"))
	if b.only(Failed) != at {
		t.Errorf("it lies at %s; want %s", b.only(Failed), at)
	}
	next := b.claim(p, "x")
	if next.Attempt != 2 {
		t.Errorf("attempt %d", next.Attempt)
	}
	must(t, next.Release("", false))
	// What nothing holds is not touched.
	before := b.read(b.path("x"))
	wantErr(t, b.ForceRecover(ctx, "x"), ErrState)
	if now := b.read(b.path("x")); now != before {
		t.Errorf("nothing held it, and it is now %s", now)
	}
}

// The lock of a dead pool's job is held by a prober for a moment: it is not
// gone, and not waited for either.
func TestHeldForTheMoment(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	p := b.pool()
	c := b.claim(p, "x")
	at := c.Path()
	b.kill(p)
	f, _, err := b.lockJob(at)
	must(t, err)
	rep := b.recover()
	if len(rep.Recovered) != 0 || len(rep.Waiting) != 1 {
		t.Errorf("recovered %+v", rep)
	}
	must(t, f.Close())
	b.recovered("x")
}

// One file that cannot be recovered does not keep the others.
func TestRecoverGoesOn(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for _, id := range []string{"a", "b", "c"} {
		b.enqueue(id)
		b.claim(p, id)
	}
	at := b.path("b")
	b.kill(p)
	b.faults.fail("open", at, syscall.EIO)
	rep, err := b.Recover(ctx)
	wantErr(t, err, syscall.EIO)
	var je *JobError
	if len(rep.Recovered) != 2 || !errors.As(err, &je) || je.ID != "b" {
		t.Errorf("recovered %+v, %v", rep, err)
	}
	b.faults.clear()
	b.recovered("b")
}

// What cannot be read for a moment is no reason to give a job back, uncharged,
// or to take it from a process that may live.
func TestRecoverWhatCannotBeTold(t *testing.T) {
	for _, unreadable := range []func(p *Pool) (op, path string){
		func(*Pool) (string, string) { return "lstat", idPath("x") },
		func(p *Pool) (string, string) { return "open", workerPath(p.Name()) },
		func(p *Pool) (string, string) { return "read", workerPath(p.Name()) },
	} {
		b := newBench(t)
		b.enqueue("x")
		p := b.pool()
		b.claim(p, "x")
		b.kill(p)
		op, at := unreadable(p)
		b.faults.before(op, at, func() error { return errBoom })
		_, err := b.Recover(ctx)
		wantErr(t, err, errBoom)
		b.wantState("x", Processing)
		b.recovered("x")
		if e := b.last("x"); e.Outcome != WorkerDied {
			t.Errorf("%s %s: %+v", op, at, e)
		}
	}
}

// What in tmp/ is not ours is not rolled, and not counted as if it were: a pool
// would list the whole spool for it, again and again.
func TestForeignInTmpIsNotRolled(t *testing.T) {
	b := newBench(t)
	b.leave(invTmp)
	must(t, os.MkdirAll(b.at("tmp/foo"), 0o700))
	b.put("tmp/foo/notes.txt", "x")
	if rep, err := b.Recover(ctx); rep.Rolled != 0 || err == nil || !b.there("tmp/foo/notes.txt") {
		t.Errorf("rolled %d, %v", rep.Rolled, err)
	}
}

// A job that cannot be recovered keeps nothing else from being repaired.
func TestRepairGoesOn(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	p := b.pool()
	bad := b.claim(p, "x").Path()
	b.kill(p)
	y := b.enqueue("y")
	b.rm("ids/" + idHash("y") + "/y.json")
	b.faults.fail("open", bad, &os.PathError{Op: "open", Path: bad, Err: syscall.EACCES})
	rep, err := b.Check(ctx, true)
	must(t, err)
	found := func(text string) bool {
		return slices.ContainsFunc(rep.Findings, func(f Finding) bool { return strings.Contains(f.Text, text) })
	}
	if rep.OK() || !found("not all could be repaired") || !found("permission denied") {
		t.Errorf("not told what cannot be repaired: %+v", rep)
	}
	if !found("was made the job's own file") || !b.there("ids/"+idHash("y")+"/y.json") {
		t.Errorf("%s was not mended: %+v", y, rep)
	}
	b.faults.clear()
	b.recovered("x")
}

// While a person has moved processing/ away nothing tells which pools are still
// referred to: their files stay, and with them what tells that a job lives.
func TestProcessingMovedAway(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	p := b.pool()
	c := b.claim(p, "x")
	must(t, c.Started(4711))
	b.sys.groups = map[int]bool{4711: true}
	b.kill(p)
	waiting := func() {
		t.Helper()
		if rep := b.recover(); len(rep.Waiting) != 1 {
			t.Fatalf("%+v; want x to wait for its process", rep)
		}
	}
	waiting()
	must(t, os.Rename(b.at("processing"), b.at("away")))
	if rep := b.recover(); len(rep.Recovered)+len(rep.Waiting) != 0 || !b.there(workerPath(p.Name())) {
		t.Errorf("%+v; the pool's file is there: %v", rep, b.there(workerPath(p.Name())))
	}
	must(t, os.Rename(b.at("away"), b.at("processing")))
	waiting()
	b.sys.groups[4711] = false
	b.recovered("x")

	// So does the file of a pool that leaves a job running meanwhile.
	q := b.pool()
	b.claim(q, "x")
	must(t, os.Rename(b.at("processing"), b.at("away")))
	must(t, q.Leave())
	if !b.there(workerPath(q.Name())) {
		t.Error("the file of the pool that left a job running is gone")
	}
	must(t, os.Rename(b.at("away"), b.at("processing")))
	b.kill(q)
	b.recovered("x")
}

// Who reads a job's log learns of an attempt whose worker could not say it.
func TestLostAttemptIsLogged(t *testing.T) {
	for what, c := range map[string]struct {
		before, after string
		lose          func(*bench, *Pool, *Claim)
	}{
		"its worker died": {"half a line", "half a line\nqueuectl: attempt 1 ended: its worker died\n", func(b *bench, p *Pool, _ *Claim) {
			b.kill(p)
			b.recovered("x")
		}},
		"cancelled": {"a line\n", "a line\nqueuectl: attempt 1 cancelled (its worker died)\n", func(b *bench, p *Pool, _ *Claim) {
			_, err := b.Cancel(ctx, "x")
			must(t, err)
			b.kill(p)
			b.recovered("x")
		}},
		"by force": {"a line\n", "a line\nqueuectl: attempt 1 ended: its worker died\n", func(b *bench, p *Pool, c *Claim) {
			pid, _ := child(t, c.File())
			must(t, c.Started(pid))
			b.kill(p)
			must(t, b.ForceRecover(ctx, "x"))
			b.recover()
		}},
		"nothing printed": {"", "", func(b *bench, p *Pool, _ *Claim) {
			b.kill(p)
			b.recovered("x")
		}},
	} {
		t.Run(what, func(t *testing.T) {
			b := newBench(t)
			b.enqueue("x")
			p := b.pool()
			claim := b.claim(p, "x")
			if c.before != "" {
				must(t, b.appendLog("x", c.before))
			}
			c.lose(b, p, claim)
			if c.after == "" {
				if b.there(logPath("x")) {
					t.Error("a log was made")
				}
			} else if got := b.read(logPath("x")); got != c.after {
				t.Errorf("the log is %q; want %q", got, c.after)
			}
		})
	}
}
