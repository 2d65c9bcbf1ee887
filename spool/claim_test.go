package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestClaim(t *testing.T) {
	b := newBench(t)
	from := b.enqueue("x", `"priority":8`, `"max_retries":4`, `"timeout":"5s"`)
	p := b.pool()
	c, err := p.Claim(from)
	must(t, err)
	n, ok := ParseName(path.Base(b.only(Processing)))
	if !ok || n.Pool != p.Name() || n.Claim != 1 || n.ID != "x" || n.Priority != 8 || c.Path() != b.only(Processing) {
		t.Errorf("it runs as %+v", n)
	}
	if c.ID != "x" || c.Job.Command != "true" || c.Job.ID != "x" || c.Job.Timeout != 5*time.Second || c.Attempt != 1 || c.MaxRetries != 4 || c.Life == "" {
		t.Errorf("claim is %+v", c)
	}
	if c.JobFile() != b.at(idPath("x")) {
		t.Errorf("job file is %s", c.JobFile())
	}
	e := b.last("x")
	if e.Attempt != 1 || e.Claim != fmt.Sprintf("%s.%d", p.Name(), 1) || e.Started.IsZero() || e.Outcome != "" || e.PID != 0 {
		t.Errorf("its line is %+v", e)
	}
	must(t, c.Started(os.Getpid()))
	if e := b.last("x"); e.PID != os.Getpid() || e.PIDStart != processStart(os.Getpid()) || e.Attempt != 1 {
		t.Errorf("its line is %+v", e)
	}
	if _, err := c.File().Write([]byte("x")); err == nil {
		t.Error("a job can write its own file through what it inherits")
	}
	if j := b.wantState("x", Processing); j.WaitingFor != nil {
		t.Errorf("it waits for %+v", j.WaitingFor)
	}
	b.settle(c, Result{Outcome: Succeeded}, Completed)
}

func TestClaimErrors(t *testing.T) {
	b := newBench(t)
	p, q := b.pool(), b.pool()
	path1 := b.enqueue("x")
	c := b.claim(p, "x")

	_, err := q.Claim(path1)
	wantErr(t, err, ErrGone)
	_, err = q.Claim(c.Path()) // its lock is held
	wantErr(t, err, ErrHeld)
	_, err = q.Claim("pending/20261123T180000.123456Z-5-none.json")
	wantErr(t, err, ErrGone)

	later := b.enqueue("later", `"delay":"1h"`)
	_, err = q.Claim(later)
	wantErr(t, err, ErrNotDue)
	if b.path("later") != later || len(b.job("later").History) != 1 {
		t.Error("a job that is not due was touched")
	}
	b.clk.add(time.Hour)
	must(t, b.claim(q, "later").Release("", false))

	b.put("pending/drop.json", `{"command":"true"}`)
	_, err = q.Claim("pending/drop.json")
	wantErr(t, err, ErrDrop)
	b.put("pending/20201123T180000.123456Z-5-y.json", `{"command":"true"}`)
	_, err = q.Claim("pending/20201123T180000.123456Z-5-y.json")
	wantErr(t, err, ErrDrop)
	must(t, c.Release("", false))
	b.rm("pending/20201123T180000.123456Z-5-y.json")
}

// A job that was enqueued without delay is due, also where the clock of the
// host that enqueued it is ahead of ours.
func TestDueByItsFirstLine(t *testing.T) {
	b := newBench(t)
	ahead := b.another()
	ahead.clk.add(time.Hour)
	ahead.enqueue("now")
	ahead.enqueue("delayed", `"delay":"1ms"`)
	p := b.pool()
	b.settle(b.claim(p, "now"), Result{Outcome: FailedOutcome, RetryAt: b.clk.now().Add(time.Hour)}, Failed)
	for _, id := range []string{"delayed", "now"} { // now it waits for its retry
		_, err := p.Claim(b.path(id))
		wantErr(t, err, ErrNotDue)
	}
}

// A look that fails for a moment does not say that somebody else has the job, or
// that it is a drop.
func TestClaimOfWhatCannotBeTold(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	from := b.enqueue("x")
	for _, at := range []string{from, idPath("x")} {
		b.faults.before("lstat", at, func() error { return errBoom })
		_, err := p.Claim(from)
		wantErr(t, err, errBoom)
	}
	b.settle(b.claim(p, "x"), Result{Outcome: Succeeded}, Completed)
}

// No two claims ever have one name, also of one pool.
func TestClaimNamesAreUnique(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	p := b.pool()
	seen := make(map[string]bool)
	for range 3 {
		c := b.claim(p, "x")
		if n := path.Base(c.Path()); seen[n] {
			t.Fatalf("%s twice", n)
		} else {
			seen[n] = true
		}
		must(t, c.Release("", false))
	}
	if q := b.pool(); q.Name() == p.Name() {
		t.Error("two pools have one name")
	}
	b.sys.rands = []string{"probe2", "same22", "probe3", "same22", "same23"}
	if a, c := b.pool(), b.pool(); a.Name() == c.Name() || !strings.HasSuffix(c.Name(), "same23") {
		t.Errorf("pools are %s and %s", a.Name(), c.Name())
	}
}

// The lock is taken before the rename: what is in processing/ is never
// unlocked while its worker lives.
func TestLockBeforeRename(t *testing.T) {
	b := newBench(t)
	from := b.enqueue("x")
	p := b.pool()
	b.faults.before("rename", from, func() error {
		if _, _, err := b.lockJob(from); !errors.Is(err, ErrHeld) {
			t.Errorf("its lock is free at the rename: %v", err)
		}
		return nil
	})
	b.faults.before("write", "processing/", func() error {
		t.Error("the file was opened by its new name")
		return nil
	})
	c := b.claim(p, "x")
	must(t, c.Release("", false))
}

// A file that has been exchanged between the lock and the rename goes back,
// and is not run.
func TestClaimOfAnExchangedFile(t *testing.T) {
	b := newBench(t)
	from := b.enqueue("x")
	p := b.pool()
	edited := strings.Replace(b.read(from), `"command":"true"`, `"command":"false"`, 1)
	b.faults.before("rename", from+" processing/", func() error {
		b.exchangeFile(from, edited)
		return nil
	})
	_, err := p.Claim(from)
	wantErr(t, err, ErrGone)
	if b.only(Pending) != from || b.read(from) != edited {
		t.Fatalf("the new file is not where it was put\n%s", b.tree())
	}
	if len(p.held) != 0 {
		t.Error("the claim is kept")
	}
	b.adopt(from, "x")
	c := b.claim(p, "x")
	if c.Job.Command != "false" {
		t.Errorf("runs %q", c.Job.Command)
	}
	must(t, c.Release("", false))
}

// The same between the open and the lock.
func TestLockIsProved(t *testing.T) {
	b := newBench(t)
	from := b.enqueue("x")
	p := b.pool()
	b.faults.before("trylock", from, func() error {
		b.exchangeFile(from, b.read(from))
		return nil
	})
	_, err := p.Claim(from)
	wantErr(t, err, ErrGone)
	_, err = p.Claim(from)
	wantErr(t, err, ErrDrop)
	b.adopt(from, "x")
}

// A claim whose first line cannot be written is given up, and all is as it was.
func TestClaimWriteFails(t *testing.T) {
	b := newBench(t)
	from := b.enqueue("x")
	before := b.read(from)
	p := b.pool()
	b.faults.before("write", from, func() error { return syscall.ENOSPC })
	_, err := p.Claim(from)
	wantErr(t, err, syscall.ENOSPC)
	if !FileSystemWide(err) || FileSystemWide(syscall.EACCES) {
		t.Errorf("%v is of one file", err)
	}
	if b.only(Pending) != from || b.read(from) != before {
		t.Errorf("it lies at %s with %s", b.only(Pending), b.read(from))
	}
	must(t, b.claim(p, "x").Release("", false))
}

// Its put-back may fail too: then the pool recovers a name of its own that no
// slot holds.
func TestOwnNameThatNoSlotHolds(t *testing.T) {
	b := newBench(t)
	from := b.enqueue("x")
	p := b.pool()
	b.faults.before("write", from, func() error { return syscall.EIO })
	b.faults.before("rename", " "+from, func() error { return syscall.EIO })
	_, err := p.Claim(from)
	wantErr(t, err, syscall.EIO)
	b.only(Processing)
	if rep := b.recover(); len(rep.Recovered) != 0 {
		t.Error("another process took it from a living pool")
	}
	rep, err := p.Recover(ctx)
	must(t, err)
	if len(rep.Recovered) != 1 || b.only(Pending) != from || attempts(b.job("x").History, false) != 0 {
		t.Errorf("recovered %+v\n%s", rep, b.tree())
	}
	c := b.claim(p, "x")
	if rep, err := p.Recover(ctx); err != nil || len(rep.Recovered) != 0 {
		t.Errorf("a pool recovered what its slot holds: %+v, %v", rep, err)
	}
	must(t, c.Release("", false))
}

// Two pools of many slots race for the same jobs: each is run once.
func TestPoolsRace(t *testing.T) {
	b := newBench(t)
	jobs := 2000
	if testing.Short() {
		jobs = 200
	}
	batch := make([][]byte, jobs)
	for i := range batch {
		batch[i] = []byte(jobText(fmt.Sprintf("x%d", i)))
	}
	_, err := b.EnqueueBatch(ctx, batch)
	must(t, err)
	b.clk.add(time.Second)
	paths, err := b.entries(Pending, 0)
	must(t, err)
	var mu sync.Mutex
	runs := make(map[string]int)
	var group sync.WaitGroup
	var pools []*Pool
	for range 2 {
		s := b.another()
		s.clk.add(time.Second)
		p := s.pool()
		pools = append(pools, p)
		for range 8 {
			group.Go(func() {
				for _, at := range paths { // all in one order: they race for each name
					c, err := p.Claim(at)
					if errors.Is(err, ErrGone) || errors.Is(err, ErrHeld) {
						continue // whoever holds it is about to rename it
					}
					if err != nil {
						t.Errorf("%s: %v", at, err)
						return
					}
					mu.Lock()
					runs[c.ID]++
					mu.Unlock()
					if st, err := c.Settle(Result{Outcome: Succeeded}); st != Completed || err != nil {
						t.Errorf("%s: %s, %v", c.ID, st, err)
					}
				}
			})
		}
	}
	group.Wait()
	for _, p := range pools {
		must(t, p.Leave())
	}
	for id, n := range runs {
		if n != 1 {
			t.Errorf("%s ran %d times", id, n)
		}
	}
	if done := len(b.ls(Completed)); len(runs) != jobs || done != jobs {
		t.Errorf("%d of %d jobs ran, %d are completed", len(runs), jobs, done)
	}
}

// What a person has made unreadable in place is buried with the reason, unless
// it may be just being edited.
func TestClaimOfAnUnreadableJob(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	from := b.enqueue("x")
	b.put(from, `{"id":"x","command":7}`)
	_, err := p.Claim(from)
	wantErr(t, err, ErrRefused)
	wantText(t, err, "command")
	j := b.wantState("x", Dead)
	if !strings.Contains(j.LastError, "must be a string") || j.Refused {
		t.Errorf("job is %+v", j)
	}
	if b.read(b.path("x")) != `{"id":"x","command":7}` {
		t.Error("its bytes changed")
	}

	from = b.enqueue("y")
	b.put(from, `{"id":"y","comm`)
	_, err = p.Claim(from)
	wantErr(t, err, ErrUnfinished)
	b.clk.add(2 * time.Hour)
	_, err = p.Claim(from)
	wantErr(t, err, ErrRefused)
	b.wantState("y", Dead)

	from = b.enqueue("z")
	b.put(from, strings.Replace(b.read(from), `"id":"z"`, `"id":"w"`, 1))
	_, err = p.Claim(from)
	wantErr(t, err, ErrRefused)
	wantText(t, err, `says "w"`)
	must(t, b.Delete(ctx, "x"))
	must(t, b.Delete(ctx, "y"))
	must(t, b.Delete(ctx, "z"))
}

// A job that was rewritten in place, in a form to which no line can be added,
// is run as it is now, and keeps its history.
func TestClaimOfAJobRewrittenInPlace(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	b.enqueue("x")
	b.settle(b.claim(p, "x"), Result{Outcome: FailedOutcome, RetryAt: b.clk.now()}, Failed)
	from := b.path("x")
	life, _ := lifeOf(b.job("x").History)
	b.put(from, strings.ReplaceAll(strings.Replace(b.read(from), "true", "echo edited", 1), "\n", " "))
	c := b.claim(p, "x")
	if c.Job.Command != "echo edited" || c.Attempt != 2 || c.Life != life {
		t.Errorf("claim is %+v", c)
	}
	must(t, c.Started(1))
	b.settle(c, Result{Outcome: Succeeded}, Completed)
	if j := b.job("x"); j.Attempts != 2 || j.Command != "echo edited" {
		t.Errorf("job is %+v", j)
	}
}

func TestJoinAndLeave(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	pools, err := b.Pools()
	must(t, err)
	if len(pools) != 1 || pools[0].Name != p.Name() || pools[0].PID != os.Getpid() || pools[0].Slots != 4 || pools[0].Busy != 0 || pools[0].Stopping {
		t.Fatalf("pools are %+v", pools)
	}
	b.enqueue("x")
	c := b.claim(p, "x")
	must(t, p.Stopping())
	pools, err = b.Pools()
	must(t, err)
	if pools[0].Busy != 1 || !pools[0].Stopping {
		t.Errorf("pools are %+v", pools)
	}
	must(t, p.Leave()) // in a hurry: its file stays, for the job it leaves behind
	if !b.there(workerPath(p.Name())) {
		t.Error("its file is gone although a job has its name")
	}
	b.kill(p)
	b.recover()
	if b.there(workerPath(p.Name())) {
		t.Error("its file is still there")
	}
	_ = c

	q := b.pool()
	must(t, q.SetProblems([]Problem{{ID: "x", Reason: "no handler"}}))
	must(t, b.RequestStop(q.Name(), false))
	st, err := b.Status()
	must(t, err)
	if len(st.Problems) != 1 || st.Problems[0].Reason != "no handler" {
		t.Errorf("problems are %+v", st.Problems)
	}
	must(t, q.Leave())
	must(t, b.AwaitPool(ctx, q.Name()))
	for _, d := range []string{"workers", "control"} {
		if l, _ := os.ReadDir(b.at(d)); len(l) != 0 {
			t.Errorf("%s holds %v", d, l)
		}
	}
}

func TestStopRequest(t *testing.T) {
	b := newBench(t)
	p, q := b.pool(), b.pool()
	if stop, now := p.StopRequested(); stop || now {
		t.Error("nobody asked")
	}
	must(t, b.RequestStop(p.Name(), false))
	if stop, now := p.StopRequested(); !stop || now {
		t.Errorf("stop %v, now %v", stop, now)
	}
	must(t, b.RequestStop(p.Name(), true))
	if stop, now := p.StopRequested(); !stop || !now {
		t.Errorf("stop %v, now %v", stop, now)
	}
	b.put("control/"+q.Name()+".stop", "") // by hand
	if stop, now := q.StopRequested(); !stop || now {
		t.Errorf("stop %v, now %v", stop, now)
	}
}

// The ring: a pool notices the death of the one after it, without polling.
func TestWatchNeighbour(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	if ch, err := p.WatchNeighbour(ctx); ch != nil || err != nil {
		t.Errorf("alone, it watches %v, %v", ch, err)
	}
	q := b.pool()
	// In this process both have one pid, and it lives: they watch the lock.
	b.sys.id = &identity{Host: "other", PID: 1}
	for _, pair := range [][2]*Pool{{p, q}, {q, p}} {
		c, cancel := context.WithCancel(ctx)
		ch, err := pair[0].WatchNeighbour(c)
		must(t, err)
		cancel()
		if name, ok := <-ch; ok {
			t.Errorf("%s died, it says", name)
		}
	}
	ch, err := p.WatchNeighbour(ctx)
	must(t, err)
	b.kill(q)
	if name := <-ch; name != q.Name() {
		t.Errorf("%q died, it says", name)
	}
	b.recover()
}

// Of a pool whose process cannot be watched, another one waits for the lock,
// which cannot be broken off: however often it asks, it waits once.
func TestNeighbourIsWaitedForOnce(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	o := b.another()
	far := o.sys.self()
	far.PIDNS = "pid:[1]"
	o.sys.id = &far
	other := o.pool()
	ask := func() <-chan string {
		c, cancel := context.WithCancel(ctx)
		ch, err := p.WatchNeighbour(c)
		must(t, err)
		t.Cleanup(cancel)
		return ch
	}
	before := runtime.NumGoroutine()
	for range 50 {
		c, cancel := context.WithCancel(ctx)
		ch, err := p.WatchNeighbour(c)
		must(t, err)
		for waits, end := false, time.Now().Add(10*time.Second); !waits && time.Now().Before(end); runtime.Gosched() {
			p.waits.Lock()
			waits = len(p.frees) == 1
			p.waits.Unlock()
		}
		cancel()
		if name, ok := <-ch; ok {
			t.Fatalf("%s is said to be dead", name)
		}
	}
	if n := runtime.NumGoroutine() - before; n > 3 {
		t.Errorf("%d goroutines more than before wait for one pool", n)
	}
	first, second := ask(), ask()
	o.kill(other)
	for _, ch := range []<-chan string{first, second} {
		if name := <-ch; name != other.Name() {
			t.Errorf("%q has died, want %q", name, other.Name())
		}
	}
	b.recover()
}

// While a pool writes down what keeps it from its work, its slots go on.
func TestProblemsDoNotStopClaims(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	at := b.enqueue("x")
	in, out := make(chan bool), make(chan bool)
	b.faults.before("sync", "", func() error { close(in); <-out; return nil })
	told := make(chan error)
	go func() { told <- p.SetProblems([]Problem{{Reason: "r"}}) }()
	<-in
	c, err := p.Claim(at) // would wait for ever
	must(t, err)
	b.settle(c, Result{Outcome: Succeeded}, Completed)
	close(out)
	must(t, <-told)
	must(t, p.SetProblems(nil))
}

// A job that is buried because a person has changed its id is listed with that
// reason, also where it had printed something.
func TestChangedIDIsTold(t *testing.T) {
	for _, printed := range []string{"", "printed\n"} {
		b := newBench(t)
		b.leave(invSecond)
		at := b.enqueue("x")
		if printed != "" {
			must(t, b.appendLog("x", printed))
		}
		text := strings.Replace(b.read(at), `"id":"x"`, `"id":"X"`, 1)
		f, err := os.OpenFile(b.at(at), os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteAt([]byte(text), 0)
		must(t, errors.Join(err, f.Close()))
		_, err = b.pool().Claim(at)
		wantErr(t, err, ErrRefused)
		if j := b.wantState("x", Dead); !strings.Contains(j.LastError, `member "id" says "X"`) {
			t.Errorf("after %q: the reason is %q", printed, j.LastError)
		}
	}
}

// An error of the moment is no reason to give a running job another file: its
// process has inherited the lock of the one it has.
func TestReadErrorKeepsTheFile(t *testing.T) {
	for _, n := range []int{1, 2} { // of how it ends, and of the whole
		b := newBench(t)
		b.enqueue("x")
		c := b.claim(b.pool(), "x")
		pid, _ := child(t, c.File())
		if n == 2 { // nor one of how it reads after an edit
			b.put(c.Path(), strings.Replace(b.read(c.Path()), `{"id"`, `{ "id"`, 1))
		}
		file := b.inode(c.Path())
		b.faults.before("read", "pending/", func() error { return syscall.EIO })
		if err := c.Started(pid); !errors.Is(err, syscall.EIO) {
			t.Errorf("it was told %v", err)
		}
		if b.inode(c.Path()) != file {
			t.Error("it has another file")
		}
		b.settle(c, Result{Outcome: Succeeded}, Completed)
	}
}
