package spool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestEnqueue(t *testing.T) {
	b := newBench(t)
	now := b.clk.freeze()
	p := b.enqueue("job-A", `"priority":7`)
	want := "pending/" + Name{Time: now, Priority: 7, ID: "job-A"}.String()
	if p != want || b.only(Pending) != want {
		t.Errorf("lies at %s; want %s", p, want)
	}
	if b.inode(p) != b.inode("ids/03/job-A.json") {
		t.Error("its second name is another file")
	}
	j := b.job("job-A")
	if len(j.History) != 1 {
		t.Fatalf("history is %+v", j.History)
	}
	e := j.History[0]
	if e.Event != EventEnqueued || e.To != want || !e.At.Equal(now) || !generatedID(e.Life) || e.From != "" || e.UID != nil {
		t.Errorf("the first line is %+v", e)
	}
	if !j.CreatedAt.Equal(now) || !j.Due.Equal(now) {
		t.Errorf("created at %s, due %s", j.CreatedAt, j.Due)
	}
	const file = `{"id":"job-A","command":"true","priority":7,"created_at":"`
	if got := b.read(p); !strings.HasPrefix(got, file) || !strings.HasSuffix(got, "}\n]}\n") {
		t.Errorf("the file is %s", got)
	}
	b.clk.thaw()
}

// A user's own created_at decides nothing.
func TestCreatedAtDecidesNothing(t *testing.T) {
	b := newBench(t)
	now := b.clk.freeze()
	b.enqueue("x", `"created_at":"2001-01-01T00:00:00+01:00"`)
	j := b.job("x")
	if !j.Due.Equal(now) || !j.History[0].At.Equal(now) || j.CreatedAt.Year() != 2001 {
		t.Errorf("due %s, created %s, %+v", j.Due, j.CreatedAt, j.History)
	}
	if n := strings.Count(b.read(b.path("x")), "created_at"); n != 1 {
		t.Errorf("created_at stands %d times", n)
	}
	b.clk.thaw()
}

func TestEnqueueDue(t *testing.T) {
	b := newBench(t)
	now := b.clk.freeze()
	b.enqueue("later", `"delay":"90s"`)
	b.enqueue("at", `"run_at":"2030-01-02T03:04:05.1234567+01:00"`)
	if due := b.job("later").Due; !due.Equal(now.Add(90 * time.Second)) {
		t.Errorf("due %s after %s", due, now)
	}
	if due := b.job("at").Due; !due.Equal(time.Date(2030, 1, 2, 2, 4, 5, 123456000, time.UTC)) {
		t.Errorf("due %s", due)
	}
	b.clk.thaw()
}

func TestGeneratedIDs(t *testing.T) {
	b := newBench(t)
	seen := make(map[string]bool)
	for range 20 {
		id, err := b.EnqueueJSON(ctx, []byte(`{"command":"true"}`))
		must(t, err)
		if !generatedID(id) || seen[id] {
			t.Errorf("id %q", id)
		}
		seen[id] = true
		if j := b.wantState(id, Pending); j.ID != id || !strings.Contains(string(j.Raw), `"id":"`+id+`"`) {
			t.Errorf("job is %+v", j)
		}
	}
}

// A generated id that is taken is seen, and another one tried.
func TestGeneratedIDClash(t *testing.T) {
	b := newBench(t)
	b.enqueue("aaaaaaaaaaaa")
	b.sys.rands = []string{"aaaaaaaaaaaa", "bbbbbbbbbbbb"}
	id, err := b.EnqueueJSON(ctx, []byte(`{"command":"true"}`))
	must(t, err)
	if !strings.HasPrefix(id, "bbbbbbbbbb") { // its end says in which directory it lies
		t.Errorf("id is %q", id)
	}
	b.sys.rands = []string{"aaaaaaaaaaaa"}
	ids, err := b.EnqueueBatch(ctx, [][]byte{[]byte(`{"command":"true"}`)})
	if err != nil {
		t.Errorf("a batch with a clash: %v, %v", ids, err)
	}
}

// What is over before it began does nothing.
func TestContextIsHeeded(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	done, cancel := context.WithCancel(ctx)
	cancel()
	_, err := b.EnqueueJSON(done, []byte(jobText("y")))
	wantErr(t, err, context.Canceled)
	for _, do := range []func(context.Context, string) error{b.Retry, b.Delete, func(ctx context.Context, id string) error { _, err := b.Cancel(ctx, id); return err }} {
		wantErr(t, do(done, "x"), context.Canceled)
	}
	if len(b.ls(Pending)) != 1 {
		t.Errorf("pending are %q", b.ls(Pending))
	}
	c := b.claim(b.pool(), "x")
	_, err = b.Cancel(done, "x")
	wantErr(t, err, context.Canceled)
	if c.CancelRequested() {
		t.Error("it was asked for all the same")
	}
	b.settle(c, Result{Outcome: Succeeded}, Completed)
	_, err = b.Enqueue(ctx, Job{Kind: "k", Args: json.RawMessage(`{bad`)})
	wantErr(t, err, ErrInvalid)
	wantText(t, err, "args")
}

func TestEnqueueRefuses(t *testing.T) {
	b := newBench(t)
	for data, member := range map[string]string{
		`{"command":"a","id":"a~b"}`:                       "id",
		`{"command":"a","id":""}`:                          "id",
		`{"command":"a","id":"../x"}`:                      "id",
		`{"command":"a",` + someHistory + `}`:              "history",
		`{"command":"a","Priority":1}`:                     "Priority",
		`{"command":"a"`:                                   "",
		`{"command":"a","run_at":"9999-01-01T00:00:00Z"}`:  "run_at", // a batch adds to it
		`{"command":"` + strings.Repeat("x", 1<<20) + `"}`: "",
	} {
		_, err := b.EnqueueJSON(ctx, []byte(data))
		var invalid *InvalidError
		if !errors.As(err, &invalid) || invalid.Member != member {
			t.Errorf("%.60s: %v; want member %q", data, err, member)
		}
	}
	if l := b.ls(Pending); len(l) != 0 {
		t.Errorf("pending holds %q", l)
	}
}

func TestTakenSaysTheState(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	states := map[State]func(id string){
		Pending:    func(string) {},
		Processing: func(id string) { b.claim(p, id) },
		Failed: func(id string) {
			b.settle(b.claim(p, id), Result{Outcome: FailedOutcome, RetryAt: time.Now().Add(time.Hour)}, Failed)
		},
		Completed: func(id string) { b.settle(b.claim(p, id), Result{Outcome: Succeeded}, Completed) },
		Dead:      func(id string) { b.settle(b.claim(p, id), Result{Outcome: FailedOutcome}, Dead) },
		Held:      func(id string) { b.mvInto(b.path(id), Held) },
	}
	for _, st := range States {
		id := "x-" + string(st)
		b.enqueue(id)
		states[st](id)
		_, err := b.EnqueueJSON(ctx, []byte(jobText(id)))
		var taken *TakenError
		if !errors.As(err, &taken) || !errors.Is(err, ErrTaken) || taken.State != st || taken.ID != id {
			t.Errorf("%s: %v", st, err)
		}
		b.wantState(id, st)
	}
}

// Eight processes enqueue one id at once: one has it, seven are told that it
// is taken, and there is one job.
func TestOneIDAtOnce(t *testing.T) {
	b := newBench(t)
	rounds := 150
	if testing.Short() {
		rounds = 20
	}
	var spools [8]*bench
	for i := range spools {
		spools[i] = b.another()
	}
	for r := range rounds {
		id := fmt.Sprintf("r%d", r)
		var won, taken atomic.Int32
		var group sync.WaitGroup
		for i, s := range spools {
			group.Go(func() {
				var err error
				if i%4 == 3 { // some as a batch
					_, err = s.EnqueueBatch(ctx, [][]byte{[]byte(jobText(id))})
				} else {
					_, err = s.EnqueueJSON(ctx, []byte(jobText(id)))
				}
				switch {
				case err == nil:
					won.Add(1)
				case errors.Is(err, ErrTaken):
					taken.Add(1)
				default:
					t.Errorf("%s: %v", id, err)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 || taken.Load() != 7 {
			t.Fatalf("%s: %d have it, %d were told it is taken", id, won.Load(), taken.Load())
		}
	}
	if n := len(b.ls(Pending)); n != rounds {
		t.Errorf("%d jobs; want %d", n, rounds)
	}
}

// Many who enqueue at one time sync pending/ together.
func TestGroupCommit(t *testing.T) {
	b := newBench(t)
	b.faults.syncsNames = new(bool)
	must(t, b.SetConfig("sync", "full"))
	const many, each = 64, 3
	b.faults.record()
	var group sync.WaitGroup
	for i := range many {
		group.Go(func() {
			for k := range each {
				if _, err := b.EnqueueJSON(ctx, []byte(jobText(fmt.Sprintf("x-%d-%d", i, k)))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if n := len(b.ls(Pending)); n != many*each {
		t.Errorf("%d jobs", n)
	}
	syncs := 0
	for _, op := range b.faults.recorded() {
		if op == "syncdir pending" {
			syncs++
		}
	}
	if syncs == 0 || syncs > many*each/2 {
		t.Errorf("pending is synced %d times for %d jobs: they do not share", syncs, many*each)
	}
	must(t, b.SetConfig("sync", "off"))
}

// What is acknowledged was synced before: where a sync of the file counts for
// its names, by one after it has them; elsewhere the file before it has a name
// that counts, and the names before the enqueue returns.
func TestEnqueueSyncsFirst(t *testing.T) {
	for _, once := range []bool{true, false} {
		b := newBench(t)
		b.faults.syncsNames = &once
		must(t, b.SetConfig("sync", "full"))
		b.enqueue("first")
		b.faults.record()
		b.enqueue("x")
		ops := b.faults.recorded()
		order := []string{"write tmp/", "sync tmp/", "link tmp/", "rename tmp/", "syncdir"}
		if once {
			order = []string{"write tmp/", "link tmp/", "sync tmp/", "rename tmp/"}
		}
		at := 0
		for _, want := range order {
			i := slices.IndexFunc(ops[at:], func(op string) bool { return strings.HasPrefix(op, want) })
			if i < 0 {
				t.Fatalf("no %q after %q in\n%s", want, ops[:at], strings.Join(ops, "\n"))
			}
			at += i + 1
		}
		for _, dir := range []string{string(Pending), path.Dir(idPath("x"))} {
			if slices.Contains(ops, "syncdir "+dir) == once {
				t.Errorf("one sync for all is %v:\n%s", once, strings.Join(ops, "\n"))
			}
		}
		must(t, b.SetConfig("sync", "off"))
		b.faults.record()
		b.enqueue("y")
		for _, op := range b.faults.recorded() {
			if strings.HasPrefix(op, "sync") {
				t.Errorf("with sync off: %s", op)
			}
		}
	}
}

// A failed sync means no job.
func TestEnqueueSyncFails(t *testing.T) {
	b := newBench(t)
	must(t, b.SetConfig("sync", "full"))
	b.faults.before("sync", "tmp/", func() error { return syscall.EIO })
	_, err := b.EnqueueJSON(ctx, []byte(jobText("x")))
	wantErr(t, err, syscall.EIO)
	b.wantNoJob("x")
	b.clean()
	b.enqueue("x")
	must(t, b.SetConfig("sync", "off"))
}

// Whatever step fails, there is no job, and the id can be used at once.
func TestEnqueueFails(t *testing.T) {
	for _, step := range []struct{ op, match string }{
		{"write", "tmp/"}, {"link", "ids/"}, {"rename", "pending/"}, {"open", "-x.json"},
	} {
		b := newBench(t)
		b.faults.before(step.op, step.match, func() error { return syscall.EIO })
		_, err := b.EnqueueJSON(ctx, []byte(jobText("x")))
		wantErr(t, err, syscall.EIO)
		b.wantNoJob("x")
		b.clean()
		b.enqueue("x")

		b.faults.before(step.op, step.match, func() error { return syscall.ENOSPC })
		_, err = b.EnqueueBatch(ctx, [][]byte{[]byte(jobText("y")), []byte(jobText("x-x"))})
		if step.op != "rename" {
			wantErr(t, err, syscall.ENOSPC)
			wantErr(t, err, ErrUnusable)
			b.wantNoJob("y")
		}
		b.recover()
	}
}

// The rollback of an enqueue may fail too: then the error says that the job may
// come into being, and it does.
func TestEnqueueRollbackFails(t *testing.T) {
	b := newBench(t)
	b.faults.fail("rename", "pending/", syscall.EIO)
	b.faults.fail("unlink", "ids/", syscall.EIO)
	_, err := b.EnqueueJSON(ctx, []byte(jobText("x")))
	wantErr(t, err, syscall.EIO)
	wantText(t, err, "may be enqueued all the same")
	b.faults.clear()
	b.enqueue("y")
	if rep := b.recover(); rep.Rolled != 1 {
		t.Errorf("rolled %d\n%s", rep.Rolled, b.tree())
	}
	b.wantState("x", Pending)
}

// An id of a job that was removed by hand can be used again.
func TestOrphanIDIsFree(t *testing.T) {
	b := newBench(t)
	p := b.enqueue("x")
	b.rm(p)
	b.wantNoJob("x")
	b.enqueue("x")
	b.rm(b.path("x"))
	if _, err := b.EnqueueBatch(ctx, [][]byte{[]byte(jobText("x"))}); err != nil {
		t.Fatal(err)
	}
	b.wantState("x", Pending)
}

// The name of an id moves from one directory to another while whoHas lists
// them: one listing misses it, two do not.
func TestOrphanLooksTwice(t *testing.T) {
	b := newBench(t)
	p := b.enqueue("x")
	b.exchangeFile(p, b.read(p)) // sed -i: both names have a link count of 1
	held := b.mvInto(p, Held)
	b.faults.before("list", "held", func() error {
		b.mv(held, p) // pending/ has been listed by now
		return nil
	})
	_, err := b.EnqueueJSON(ctx, []byte(jobText("x")))
	wantErr(t, err, ErrTaken)
	if !b.there(idPath("x")) || !b.faults.spent() {
		t.Error("the second name of a job was removed")
	}
	b.adopt(p, "x")
}

// sed -i leaves a job's two names at a link count of 1 each: its id is taken.
func TestExchangedJobsIDIsTaken(t *testing.T) {
	b := newBench(t)
	p := b.enqueue("x")
	b.exchangeFile(p, b.read(p))
	_, err := b.EnqueueJSON(ctx, []byte(jobText("x")))
	wantErr(t, err, ErrTaken)
	b.adopt(p, "x")
}

// A spool that was closed is used no more: the numbers of its directories may be
// those of somebody else's by then.
func TestUseAfterClose(t *testing.T) {
	s, err := Open(t.TempDir()+"/s", Options{Create: true})
	must(t, err)
	_, err = s.EnqueueJSON(ctx, []byte(`{"command":"true"}`))
	must(t, err)
	must(t, s.Close())
	other := t.TempDir()
	for range 30 { // they get those numbers
		d, err := os.Open(other)
		must(t, err)
		defer d.Close()
	}
	if id, err := s.EnqueueJSON(ctx, []byte(`{"command":"true"}`)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("enqueued %q, %v", id, err)
	}
	if err := s.Pause(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("paused: %v", err)
	}
	if err := s.SyncNow(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("synced: %v", err)
	}
	if names, err := os.ReadDir(other); err != nil || len(names) > 0 {
		t.Errorf("in another directory: %v, %v", names, err)
	}
}

// A close waits for what is at work.
func TestCloseWhileUsed(t *testing.T) {
	for range 20 {
		s, err := Open(t.TempDir()+"/s", Options{Create: true})
		must(t, err)
		must(t, s.SetConfig("sync", "off"))
		var all sync.WaitGroup
		atWork := make(chan bool, 8)
		for range 8 {
			all.Go(func() {
				for {
					if _, err := s.EnqueueJSON(ctx, []byte(`{"command":"true"}`)); err != nil {
						if !errors.Is(err, fs.ErrClosed) || strings.Contains(err.Error(), "may be enqueued") {
							t.Error(err)
						}
						return
					}
					select {
					case atWork <- true:
					default:
					}
				}
			})
		}
		for range cap(atWork) {
			<-atWork
		}
		must(t, s.Close())
		all.Wait()
		if left, err := filepath.Glob(s.Dir() + "/tmp/*" + oneByOne); err != nil || len(left) > 0 {
			t.Errorf("left in tmp/: %v, %v", left, err)
		}
	}
}
