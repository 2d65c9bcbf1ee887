package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// inState brings a new job into a state.
func (b *bench) inState(p *Pool, id string, st State, more ...string) string {
	b.t.Helper()
	b.enqueue(id, more...)
	switch st {
	case Failed:
		b.settle(b.claim(p, id), Result{Outcome: FailedOutcome, Reason: "no", RetryAt: b.clk.now().Add(time.Hour)}, Failed)
	case Completed:
		b.settle(b.claim(p, id), Result{Outcome: Succeeded}, Completed)
	case Dead:
		b.settle(b.claim(p, id), Result{Outcome: FailedOutcome, Reason: "no"}, Dead)
	case Held:
		b.mvInto(b.path(id), Held)
	}
	return b.path(id)
}

// mv dead/X pending/ and mv completed/X pending/: it runs again, with a fresh
// count of attempts, and needs no adoption.
func TestMoveBackIntoPending(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for _, st := range []State{Dead, Completed} {
		at := b.inState(p, "x", st)
		to := b.mvInto(at, Pending)
		j := b.wantState("x", Pending)
		if j.Attempts != 0 || b.path("x") != to {
			t.Errorf("%s: job is %+v", st, j)
		}
		c := b.claim(p, "x")
		if c.Attempt != 1 {
			t.Errorf("%s: attempt %d", st, c.Attempt)
		}
		b.settle(c, Result{Outcome: Succeeded}, Completed)
		must(t, b.Delete(ctx, "x"))
	}
}

// mv failed/X pending/: it waits for the due time that its name says, and its
// count goes on.
func TestMoveFailedIntoPending(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	to := b.mvInto(b.inState(p, "x", Failed), Pending)
	_, err := p.Claim(to)
	wantErr(t, err, ErrNotDue)
	b.clk.add(2 * time.Hour)
	c := b.claim(p, "x")
	if c.Attempt != 2 {
		t.Errorf("attempt %d", c.Attempt)
	}
	must(t, c.Release("", false))
}

// mv failed/X pending/name.json: it gets its canonical name back, due now; it
// is no drop.
func TestMoveUnderANameOfOnesOwn(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for st, next := range map[State]int{Failed: 2, Dead: 1, Completed: 1, Held: 1, Pending: 1} {
		at := b.inState(p, "x", st, `"priority":8`)
		inode := b.inode(at)
		b.mv(at, "pending/now.json")
		_, err := p.Claim("pending/now.json")
		wantErr(t, err, ErrDrop)
		now := b.clk.freeze()
		b.adopt("pending/now.json", "x")
		b.clk.thaw()
		j := b.wantState("x", Pending)
		if b.inode(b.only(Pending)) != inode || !j.Due.Equal(now) || j.Priority != 8 {
			t.Errorf("%s: job is %+v", st, j)
		}
		if e := b.last("x"); e.Event != EventMoved || e.From != "now.json" || e.To != b.only(Pending) {
			t.Errorf("%s: its line is %+v", st, e)
		}
		c := b.claim(p, "x")
		if c.Attempt != next {
			t.Errorf("%s: attempt %d", st, c.Attempt)
		}
		b.settle(c, Result{Outcome: Succeeded}, Completed)
		must(t, b.Delete(ctx, "x"))
	}
}

// The same of a file that was rewritten in place too: it keeps its id.
func TestMoveOfARewrittenFile(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	at := b.inState(p, "x", Failed)
	life, _ := lifeOf(b.job("x").History)
	b.put(at, strings.ReplaceAll(strings.Replace(b.read(at), `"true"`, `"edited"`, 1), "\n", " "))
	b.mv(at, "pending/now.json")
	b.adopt("pending/now.json", "x")
	b.clean()
	c := b.claim(p, "x")
	if c.Job.Command != "edited" || c.Attempt != 2 || c.Life != life {
		t.Errorf("claim is %+v", c)
	}
	b.settle(c, Result{Outcome: Succeeded}, Completed)
}

// A file that was put in the place of a job which is not to run does not run,
// whatever it says: who removes, cancels or repairs it leaves it where it is.
func TestExchangedWhereNothingRuns(t *testing.T) {
	for name, text := range map[string]func(b *bench, at string) string{
		"no history":  func(*bench, string) string { return `{"id":"x","command":"edited"}` },
		"no id":       func(*bench, string) string { return `{"command":"edited"}` },
		"another id":  func(b *bench, at string) string { return strings.Replace(b.read(at), `"id":"x"`, `"id":"y"`, 1) },
		"another one": func(*bench, string) string { return `{"id":"y","command":"edited"}` },
	} {
		for _, st := range []State{Held, Dead, Completed, Failed} {
			b := newBench(t)
			p := b.pool()
			at := b.inState(p, "x", st)
			b.exchangeFile(at, text(b, at))
			due, _ := ParseName(path.Base(at))
			rep, err := b.Check(ctx, true)
			must(t, err)
			if len(b.ls(Pending)) > 0 {
				t.Errorf("%s in %s: it waits in pending/ after a repair\n%s", name, st, findings(rep))
			}
			got, _ := ParseName(path.Base(b.only(st)))
			if !got.Time.Equal(due.Time) || got.Priority != due.Priority {
				t.Errorf("%s in %s: it lies at %s; it was at %s", name, st, b.only(st), at)
			}
			b.clean()

			at = b.path(got.ID)
			b.exchangeFile(at, fmt.Sprintf(`{"id":%q,"command":"edited"}`, got.ID))
			must(t, b.Delete(ctx, got.ID))
			b.wantNoJob(got.ID)
			b.clean()
		}
	}
}

// The same of a job whose id was made of a file's name, and of one that lies under
// a name of nobody's making.
func TestExchangedKeepsItsID(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for range 2 {
		b.put("pending/hello.json", `{"command":"true"}`)
		_, err := p.Adopt(ctx, "pending/hello.json")
		must(t, err)
	}
	var id string
	for _, at := range b.ls(Pending) {
		if n, _ := ParseName(path.Base(at)); strings.Contains(n.ID, "~") {
			id = n.ID
		}
	}
	b.exchangeFile(b.mvInto(b.path(id), Dead), `{"command":"edited"}`)
	must(t, b.Delete(ctx, id))
	b.wantNoJob(id)

	// Nor does its log go where the adoption fails.
	at := b.inState(p, "x", Dead)
	must(t, b.appendLog("x", "old\n"))
	b.exchangeFile(at, `{"id":"x","command":"edited"}`)
	b.faults.fail("rename", committed, errBoom)
	wantErr(t, b.Retry(ctx, "x"), errBoom)
	b.faults.clear()
	if !b.there(logPath("x")) {
		t.Error("its log is gone")
	}
	must(t, b.Retry(ctx, "x"))
	b.settle(b.claim(p, "x"), Result{Outcome: Succeeded}, Completed)
	must(t, b.Delete(ctx, "x"))

	held := b.mvInto(b.enqueue("x"), Held)
	text := b.read(held)
	b.rm(held)
	b.put("held/mine.json", text)
	to, err := p.Adopt(ctx, "held/mine.json")
	must(t, err)
	if n, ok := ParseName(path.Base(to)); !ok || n.Time.Year() < 2000 || n.Priority != 5 {
		t.Errorf("it was made %s", to)
	}
}

// A job that was written over in place, by who knows nothing of histories, is
// what the file says now, from the beginning.
func TestWrittenOverWithoutHistory(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for i, text := range []string{`{"id":"x","command":"edited"}`, `{"command":"edited"}` + "\n", "\ufeff{\n  \"command\": \"edited\"\n}"} {
		at := b.inState(p, "x", Failed)
		b.put(at, text)
		b.clk.add(time.Hour)
		c := b.claim(p, "x")
		if c.Job.Command != "edited" || c.Attempt != 1 || c.Life == "" {
			t.Errorf("case %d: claim is %+v", i, c)
		}
		b.settle(c, Result{Outcome: FailedOutcome, RetryAt: b.clk.now()}, Failed)
		at = b.mvInto(b.path("x"), Dead)
		b.put(at, text)
		must(t, b.Retry(ctx, "x"))
		c = b.claim(p, "x")
		b.settle(c, Result{Outcome: Succeeded}, Completed)
		if j := b.job("x"); j.History[0].Event != EventAdopted || j.History[0].From != path.Base(at) || j.CreatedAt.IsZero() {
			t.Errorf("case %d: its history is %+v", i, j.History)
		}
		b.clean()
		must(t, b.Delete(ctx, "x"))
	}
}

// mv pending/X dead/: the directory is the truth, whatever the history says.
func TestMoveIntoOtherStates(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for _, st := range []State{Dead, Completed, Held, Failed} {
		at := b.enqueue("x")
		b.mvInto(at, st)
		b.wantState("x", st)
		rep, err := b.Check(ctx, false)
		must(t, err)
		if !rep.OK() || !strings.Contains(findings(rep), "the directory counts") {
			t.Errorf("%s: check finds\n%s", st, findings(rep))
		}
		if st == Failed {
			must(t, b.claim(p, "x").Release("", false))
		} else {
			must(t, b.Retry(ctx, "x"))
		}
		must(t, b.claim(p, "x").Release("", false))
		must(t, b.Delete(ctx, "x"))
	}
}

// mv pending/X held/ and back: as before.
func TestHoldAndBack(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	at := b.enqueue("x")
	h := b.mvInto(at, Held)
	if j := b.wantState("x", Held); j.Due.IsZero() {
		t.Errorf("job is %+v", j)
	}
	_, err := b.EnqueueJSON(ctx, []byte(jobText("x")))
	wantErr(t, err, ErrTaken)
	b.recovered()
	b.mvInto(h, Pending)
	if b.only(Pending) != at {
		t.Errorf("it lies at %s", b.only(Pending))
	}
	c := b.claim(p, "x")
	if c.Attempt != 1 {
		t.Errorf("attempt %d", c.Attempt)
	}
	must(t, c.Release("", false))
}

// Another time or priority in the name is the job's.
func TestRenamedJob(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	at := b.enqueue("x")
	n, _ := ParseName(path.Base(at))
	n.Priority, n.Time = 9, n.Time.Add(-time.Hour)
	to := b.mv(at, "pending/"+n.String())
	if j := b.wantState("x", Pending); j.Priority != 9 || !j.Due.Equal(n.Time) {
		t.Errorf("job is %+v", j)
	}
	c := b.claim(p, "x")
	must(t, c.Release("", false))
	if b.only(Pending) != to {
		t.Errorf("it lies at %s", b.only(Pending))
	}
}

// Under the name of another id it gets its own back where it lies: what has ended
// or is held does not run for that.
func TestRenamedToAnotherID(t *testing.T) {
	for _, st := range []State{Held, Dead, Completed, Failed, Pending} {
		for what, touch := range map[string]func(*bench) error{
			"check --repair": func(b *bench) error { _, err := b.Check(ctx, true); return err },
			"delete":         func(b *bench) error { return b.Delete(ctx, "y") },
		} {
			b := newBench(t)
			at := b.inState(b.pool(), "x", st)
			known := b.job("x").Attempts
			there := b.mv(at, strings.Replace(at, "-x.json", "-y.json", 1))
			rep, err := b.Check(ctx, false)
			must(t, err)
			f := slices.DeleteFunc(rep.Findings, func(f Finding) bool { return f.Note })
			if len(f) != 1 || f[0].Path != there || f[0].ID != "x" || f[0].Invariant != invSecond {
				t.Errorf("%s: check finds %+v", st, f)
			}
			if err := touch(b); err != nil && !errors.Is(err, ErrNotFound) {
				t.Errorf("%s, %s: %v", st, what, err)
			}
			if j := b.wantState("x", st); j.Attempts != known || st != Pending && b.at(at) != j.File {
				t.Errorf("%s, %s: %d attempts, at %s\n%s", st, what, j.Attempts, j.File, j.Raw)
			}
		}
	}
}

// rm in every state: the job is gone, and its id free for the next.
func TestRemoveByHand(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for _, st := range []State{Pending, Failed, Completed, Dead, Held} {
		b.rm(b.inState(p, "x", st))
		b.wantNoJob("x")
		wantErr(t, b.Retry(ctx, "x"), ErrNotFound)
		wantErr(t, b.Delete(ctx, "x"), ErrNotFound)
		b.enqueue("x")
		b.rm(b.path("x"))
		b.put("pending/drop.json", jobText("x")) // and for a drop
		b.adopt("pending/drop.json", "x")
		c := b.claim(p, "x")
		if c.Attempt != 1 {
			t.Errorf("%s: attempt %d", st, c.Attempt)
		}
		must(t, c.Release("", false))
		must(t, b.Delete(ctx, "x"))
	}
}

// cp completed/X pending/: refused while X is kept, run once X is gone.
func TestCopyOfACompletedJob(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for _, st := range []State{Completed, Dead, Failed} {
		at := b.inState(p, "x", st)
		to := "pending/" + path.Base(at)
		b.cp(at, to)
		_, err := p.Claim(to)
		if st == Failed && err == nil {
			t.Error("a copy was claimed")
		}
		id := b.refuse(to, `id "x" is taken (`+string(st)+`)`)
		b.wantState("x", st)
		must(t, b.Delete(ctx, "x"))
		must(t, b.Retry(ctx, id))
		if b.only(Pending) != to {
			t.Errorf("%s: retried as %s", st, b.only(Pending))
		}
		b.adopt(to, "x")
		b.clk.add(2 * time.Hour)
		c := b.claim(p, "x")
		if st != Failed && c.Attempt != 1 {
			t.Errorf("%s: attempt %d", st, c.Attempt)
		}
		b.settle(c, Result{Outcome: Succeeded}, Completed)
		must(t, b.Delete(ctx, "x"))
	}
}

// Also where X has a name of a person's own: it is one inode with its id's
// second name.
func TestCopyOfAMovedJob(t *testing.T) {
	b := newBench(t)
	at := b.enqueue("x")
	data := b.read(at)
	b.mv(at, "pending/mine.json")
	b.put(at, data)
	b.refuse(at, `id "x" is taken`)
	b.adopt("pending/mine.json", "x")
}

// sed -i, jq … > t && mv t, vim: in pending/, failed/ and held/ a pool adopts
// the new file under the same id, with its history and count.
func TestExchangeByHand(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for _, st := range []State{Pending, Failed} {
		at := b.inState(p, "x", st)
		life, _ := lifeOf(b.job("x").History)
		before := b.job("x")
		b.exchangeFile(at, strings.Replace(b.read(at), `"true"`, `"edited"`, 1))
		inode := b.inode(at)
		if j := b.wantState("x", st); j.Command != "edited" {
			t.Errorf("%s: show says %+v", st, j)
		}
		_, err := p.Claim(at)
		wantErr(t, err, ErrDrop)
		to, err := p.Adopt(ctx, at)
		if err != nil || to != at {
			t.Fatalf("%s: adopted as %s, %v", st, to, err)
		}
		j := b.wantState("x", st)
		got, _ := lifeOf(j.History)
		if got != life || j.Attempts != before.Attempts || !j.Due.Equal(before.Due) || b.inode(at) == inode || b.last("x").Event != EventReplaced || b.last("x").By != "hand" {
			t.Errorf("%s: job is %+v", st, j)
		}
		b.clean()
		b.clk.add(2 * time.Hour)
		c := b.claim(p, "x")
		if c.Job.Command != "edited" || c.Attempt != before.Attempts+1 {
			t.Errorf("%s: claim is %+v", st, c)
		}
		b.settle(c, Result{Outcome: Succeeded}, Completed)
		must(t, b.Delete(ctx, "x"))
	}
}

// In completed/ and dead/ nobody passes by: the command that names the job
// does it, or check --repair.
func TestExchangeOfEndedJobs(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for _, st := range []State{Completed, Dead, Held} {
		for name, mend := range map[string]func(){
			"retry": func() { must(t, b.Retry(ctx, "x")) },
			"check": func() {
				rep, err := b.Check(ctx, true)
				if err != nil || !rep.OK() {
					t.Errorf("%v\n%s", err, findings(rep))
				}
				b.clean()
				b.wantState("x", st)
				must(t, b.Retry(ctx, "x"))
			},
		} {
			at := b.inState(p, "x", st)
			b.exchangeFile(at, strings.Replace(b.read(at), `"true"`, `"edited"`, 1))
			mend()
			c := b.claim(p, "x")
			if c.Job.Command != "edited" || c.Attempt != 1 {
				t.Errorf("%s, %s: claim is %+v", st, name, c)
			}
			b.settle(c, Result{Outcome: Succeeded}, Completed)
			must(t, b.Delete(ctx, "x"))
			b.clean()
		}
	}
}

// An exchanged file that can be no job is refused; mended and retried it is
// the job again.
func TestExchangeForRubbish(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	at := b.enqueue("x")
	good := b.read(at)
	b.exchangeFile(at, strings.Replace(good, `"command"`, `"Command"`, 1))
	id := b.refuse(at, "did you mean")
	b.exchangeFile(b.only(Dead), good)
	must(t, b.Retry(ctx, id))
	b.adopt(b.only(Pending), "x")
	must(t, b.claim(p, "x").Release("", false))
}

// The adopter takes the lock of the inode at ids/HH/ID.json first; where it is
// held, nothing is moved.
func TestExchangeWhileItIsHeld(t *testing.T) {
	b := newBench(t)
	at := b.enqueue("x")
	f, _, err := b.lockJob(at)
	must(t, err)
	b.exchangeFile(at, b.read(at))
	inode := b.inode(at)
	_, err = b.Spool.adopt(ctx, at)
	wantErr(t, err, ErrHeld)
	if b.only(Pending) != at || b.inode(at) != inode {
		t.Error("it was moved")
	}
	must(t, f.Close())
	b.adopt(at, "x")
}

// The second name is renamed over, never unlinked and linked: at no moment
// could another have the id.
func TestExchangeNeverFreesTheID(t *testing.T) {
	b := newBench(t)
	at := b.enqueue("x")
	b.exchangeFile(at, b.read(at))
	b.faults.before("unlink", idPath("x"), func() error {
		t.Error("the second name was unlinked")
		return nil
	})
	o := b.another()
	for _, op := range []string{"rename", "replace"} {
		b.faults.before(op, "tmp/", func() error {
			o.faults.nth("trylock", "ids/", 1, func() error { o.clk.add(2 * waitForStager); return nil })
			if id, err := o.EnqueueJSON(ctx, []byte(jobText("x"))); err == nil {
				t.Errorf("before the %s somebody else had the id %s", op, id)
			}
			o.faults.clear()
			return nil
		})
	}
	b.adopt(at, "x")
}

// The exchanged file is moved while another copy looks for it: one listing
// misses it, two do not.
func TestExchangeLooksTwice(t *testing.T) {
	b := newBench(t)
	at := b.enqueue("x")
	b.exchangeFile(at, b.read(at)) // both names have a link count of 1
	b.cp(at, "pending/copy.json")
	held := b.mvInto(at, Held)
	b.faults.before("list", "held", func() error { b.mv(held, at); return nil }) // pending/ has been listed by now
	b.refuse("pending/copy.json", `id "x" is taken`)
	b.adopt(at, "x")
}

// rm -r of a directory: it is made again.
func TestRemovedDirectories(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for _, d := range []string{"ids", "logs", "control", "completed", "pending", "tmp"} {
		must(t, os.RemoveAll(b.at(d)))
	}
	rep, err := b.Check(ctx, true)
	if err != nil || !rep.OK() {
		t.Errorf("%v\n%s", err, findings(rep))
	}
	b.inState(p, "x", Completed)
}

// copyTree is cp -r: every name a file of its own.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	must(t, filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, p)
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o600)
	}))
}

// A copied tree opens, runs, and is mended.
func TestCopiedTree(t *testing.T) {
	for _, withIDs := range []bool{true, false} {
		b := newBench(t)
		p := b.pool()
		for _, st := range []State{Pending, Failed, Completed, Dead, Held} {
			b.inState(p, "x-"+string(st), st, `"priority":3`)
		}
		b.enqueue("x-processing")
		b.claim(p, "x-processing")
		b.put("pending/drop.json", `{"command":"true"}`)
		b.put("pending/bad.json", `{"command":7}`)
		bad := b.refuse("pending/bad.json", "must be")

		open := func() *bench {
			dir := filepath.Join(t.TempDir(), "copy")
			copyTree(t, b.dir, dir)
			if !withIDs {
				must(t, os.RemoveAll(filepath.Join(dir, "ids")))
				must(t, os.Mkdir(filepath.Join(dir, "ids"), 0o700))
			}
			c := openBench(t, dir, false)
			t.Cleanup(c.done)
			return c
		}

		// It is mended at once.
		c := open()
		rep, err := c.Check(ctx, true)
		if err != nil || !rep.OK() {
			t.Fatalf("with ids %v: %v\n%s\n%s", withIDs, err, findings(rep), c.tree())
		}
		c.clean()
		for _, st := range []State{Pending, Failed, Completed, Dead, Held} {
			want, got := b.job("x-"+string(st)), c.wantState("x-"+string(st), st)
			if path.Base(want.File) != path.Base(got.File) || want.Attempts != got.Attempts || want.Command != got.Command {
				t.Errorf("with ids %v: %s is\n%+v\nwas\n%+v", withIDs, st, got, want)
			}
		}
		c.wantState("x-processing", Pending)
		c.wantState("drop", Pending)
		if !c.wantState(bad, Dead).Refused {
			t.Error("the refused file is a job")
		}

		// And it runs without that.
		c = open()
		q := c.pool()
		if rep, err := q.Recover(ctx); err != nil || len(rep.Recovered)+len(rep.Waiting) != 1 {
			t.Errorf("with ids %v: recovered %+v, %v", withIDs, rep, err)
		}
		c.clk.add(2 * time.Hour)
		for _, st := range []State{Pending, Failed} {
			for _, at := range c.ls(st) {
				cl, err := q.Claim(at)
				if err == ErrDrop {
					at, err = q.Adopt(ctx, at)
					must(t, err)
					cl, err = q.Claim(at)
				}
				if err != nil {
					t.Fatalf("with ids %v: %s: %v", withIDs, at, err)
				}
				if cl.ID == "x-failed" && cl.Attempt != 2 {
					t.Errorf("attempt %d of a job that had failed once", cl.Attempt)
				}
				c.settle(cl, Result{Outcome: Succeeded}, Completed)
			}
		}
		must(t, c.Retry(ctx, "x-dead"))
		must(t, c.Delete(ctx, "x-completed"))
		_, err = c.Check(ctx, true)
		must(t, err)
		c.clean()
	}
}

// A state may go on in sub-directories; every reader looks there.
func TestOverflowDirectoriesAreRead(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for _, st := range []State{Pending, Failed, Completed, Dead, Held} {
		at := b.inState(p, "x-"+string(st), st)
		b.mv(at, string(st)+"/2/"+path.Base(at))
		b.wantState("x-"+string(st), st)
	}
	must(t, os.Mkdir(b.at("pending/1"), 0o700))
	b.put("pending/1/drop.json", `{"command":"true"}`)
	b.adopt("pending/1/drop.json", "drop")
	c := b.claim(p, "x-pending")
	b.mv(c.Path(), "processing/1/"+path.Base(c.Path()))
	b.kill(p)
	b.recovered("x-pending")
	counts, err := b.Counts()
	must(t, err)
	for _, st := range []State{Failed, Completed, Dead, Held} {
		if counts[st] != 1 {
			t.Errorf("%d are %s", counts[st], st)
		}
	}
	b.clean()
	must(t, b.Retry(ctx, "x-dead"))
	must(t, b.Delete(ctx, "x-completed"))
	b.enqueue("x-completed")
}

// The words of the messages lead on: what a person reads names the job.
func TestMessagesNameTheJob(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	b.inState(p, "x", Completed)
	_, err := b.Cancel(ctx, "x")
	if !regexp.MustCompile(`"x".*completed`).MatchString(err.Error()) {
		t.Errorf("%v", err)
	}
	errs := []string{b.Retry(ctx, "none").Error(), b.Delete(ctx, "none").Error()}
	if slices.ContainsFunc(errs, func(s string) bool { return !strings.Contains(s, `"none"`) }) {
		t.Errorf("%q", errs)
	}
}
