package spool

import (
	"os"
	"path"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// staged makes what an enqueuer leaves behind that dies before it publishes:
// a staging with a job file, whose id may be linked.
func (b *bench) staged(id string, linked bool) *staging {
	b.t.Helper()
	dec, err := b.decodeNew([]byte(jobText(id)))
	must(b.t, err)
	g, err := b.stage()
	must(b.t, err)
	birth := b.newBirth(dec, id, b.sys.now(), Entry{Event: EventEnqueued})
	p, f, err := g.writeJob(&birth)
	must(b.t, err)
	must(b.t, f.Close())
	if linked {
		must(b.t, b.linkID(ctx, p, id, true))
	}
	return g
}

// dies ends the owner of a staging as kill -9 does.
func (g *staging) dies() { _ = g.dir.Close() }

func TestDeadStagingIsRolledBack(t *testing.T) {
	b := newBench(t)
	b.staged("unlinked", false).dies()
	b.staged("linked", true).dies()
	b.enqueue("other")
	if rep := b.recover(); rep.Rolled != 2 {
		t.Errorf("rolled %d", rep.Rolled)
	}
	for _, id := range []string{"unlinked", "linked"} {
		b.wantNoJob(id)
		if b.there(idPath(id)) {
			t.Errorf("the id %s is left taken", id)
		}
		b.enqueue(id)
	}
}

func TestCommittedStagingIsRolledForward(t *testing.T) {
	b := newBench(t)
	g := b.staged("x", true)
	must(t, g.commit(false))
	g.dies()
	b.wantNoJob("x") // not yet in a state directory
	_, err := b.EnqueueJSON(ctx, []byte(jobText("x")))
	wantErr(t, err, ErrTaken) // who meets the id rolls it forward
	b.wantState("x", Pending)
}

// A dead enqueuer's id is free at once for who wants it.
func TestDeadStagersIDIsFree(t *testing.T) {
	b := newBench(t)
	b.staged("x", true).dies()
	b.enqueue("x")
	b.clean()
}

// A living one may still fail: its id is busy, not taken.
func TestLivingStagersIDIsBusy(t *testing.T) {
	b := newBench(t)
	g := b.staged("x", true)
	late := b.another()
	late.faults.nth("trylock", "ids/", 1, func() error {
		late.clk.add(2 * waitForStager)
		return nil
	})
	_, err := late.EnqueueJSON(ctx, []byte(jobText("x")))
	wantErr(t, err, ErrBusy)
	must(t, g.finish()) // gives up
	b.enqueue("x")
}

// Who waits for a living enqueuer gets the id when that gives up, and is told
// that it is taken when that publishes.
func TestWaitsForLivingStager(t *testing.T) {
	for _, publishes := range []bool{false, true} {
		b := newBench(t)
		g := b.staged("x", true)
		waiter := b.another()
		waiting := make(chan struct{})
		var once sync.Once
		waiter.faults.before("list", "tmp", func() error { once.Do(func() { close(waiting) }); return nil })
		done := make(chan error)
		go func() {
			_, err := waiter.EnqueueJSON(ctx, []byte(jobText("x")))
			done <- err
		}()
		<-waiting
		if publishes {
			must(t, g.commit(false))
		}
		must(t, g.finish())
		err := <-done
		if publishes {
			wantErr(t, err, ErrTaken)
		} else if err != nil {
			t.Errorf("the id was given up: %v", err)
		}
		b.wantState("x", Pending)
	}
}

// The second name is opened before tmp/ is looked through: an enqueuer that
// published in between is seen, and the id is not taken for an orphan's.
func TestWhoHasLooksAtTmpLast(t *testing.T) {
	b := newBench(t)
	g := b.staged("x", true)
	o := b.another()
	o.faults.before("list", "tmp", func() error {
		must(t, g.commit(false))
		return g.finish()
	})
	_, err := o.EnqueueJSON(ctx, []byte(jobText("x")))
	wantErr(t, err, ErrTaken)
	b.wantState("x", Pending)
}

// Only a staging whose lock is free is rolled, and only after the proof that
// the name still means what was locked.
func TestLivingStagingIsLeftAlone(t *testing.T) {
	b := newBench(t)
	g := b.staged("x", true)
	if rep := b.recover(); rep.Rolled != 0 {
		t.Errorf("rolled %d", rep.Rolled)
	}
	must(t, g.commit(false))
	must(t, g.finish())
	b.wantState("x", Pending)

	g = b.staged("y", true)
	g.dies()
	b.faults.before("trylock", g.path, func() error {
		b.mv(g.path, g.path+"x") // by its owner's heir, who made a new one
		must(t, os.Mkdir(b.at(g.path), 0o700))
		return nil
	})
	if lock, err := b.lockDir(g.path); lock != nil || err != nil {
		t.Errorf("locked another directory than is named: %v, %v", lock, err)
	}
	b.faults.clear()
	b.recover()
}

// A staging directory that a roller removes before its maker has locked it is
// made anew.
func TestStageIsProved(t *testing.T) {
	b := newBench(t)
	b.faults.before("trylock", "tmp/", func() error {
		b.another().recover()
		return nil
	})
	g, err := b.stage()
	must(t, err)
	if !b.there(g.path) {
		t.Fatal("the staging directory is gone")
	}
	must(t, g.finish())
}

// What was taken goes back to where it came from.
func TestTakenFileGoesBack(t *testing.T) {
	b := newBench(t)
	p := b.enqueue("x")
	h := b.mvInto(b.enqueue("y"), Held)
	b.put("pending/drop.json", `{"command":"true"}`)
	for _, from := range []string{p, h, "pending/drop.json"} {
		info, err := b.fs.Lstat(from)
		must(t, err)
		g, err := b.stage()
		must(t, err)
		must(t, g.take(from, info))
		if b.there(from) {
			t.Fatalf("%s was not taken", from)
		}
		g.dies()
		b.recover()
		if !b.there(from) || b.inode(from) != info.Ino {
			t.Errorf("%s did not come back\n%s", from, b.tree())
		}
	}
	b.adopt("pending/drop.json", "drop")
}

// What comes back does not overwrite what a person has put there meanwhile.
func TestTakenFileGoesBackBeside(t *testing.T) {
	b := newBench(t)
	p := b.enqueue("x")
	b.put("pending/drop.json", `{"command":"old"}`)
	for _, from := range []string{p, "pending/drop.json"} {
		info, err := b.fs.Lstat(from)
		must(t, err)
		g, err := b.stage()
		must(t, err)
		must(t, g.take(from, info))
		b.put(from, `{"command":"new"}`)
		must(t, g.finish())
		if b.read(from) != `{"command":"new"}` {
			t.Errorf("%s was overwritten", from)
		}
	}
	if n := len(b.ls(Pending)); n != 4 {
		t.Errorf("%d files\n%s", n, b.tree())
	}
	b.rm(p)
	b.wantState("x", Pending)
}

// take proves that the file is the one meant; else it goes back.
func TestTakeIsProved(t *testing.T) {
	b := newBench(t)
	b.put("pending/drop.json", `{"command":"old"}`)
	b.faults.before("rename", "pending/drop.json", func() error {
		b.exchangeFile("pending/drop.json", `{"command":"new"}`)
		return nil
	})
	_, err := b.Spool.adopt(ctx, "pending/drop.json")
	wantErr(t, err, ErrGone)
	if b.read("pending/drop.json") != `{"command":"new"}` {
		t.Error("the new file is not there")
	}
	b.adopt("pending/drop.json", "drop")
	if b.job("drop").Command != "new" {
		t.Error("the old file was adopted")
	}
}

func TestTmpIsTidied(t *testing.T) {
	b := newBench(t)
	b.put("tmp/config.json.x", "half")
	b.put("tmp/fresh", "half")
	old := time.Now().Add(-2 * time.Hour)
	must(t, os.Chtimes(b.at("tmp/config.json.x"), old, old))
	_, err := b.Prune(ctx)
	must(t, err)
	if b.there("tmp/config.json.x") || !b.there("tmp/fresh") {
		t.Errorf("tmp holds\n%s", b.tree())
	}
}

// What a stranger put into a staging is not removed.
func TestForeignFilesInTmpStay(t *testing.T) {
	b := newBench(t)
	g := b.staged("x", true)
	b.put(path.Join(g.path, "notes.txt"), "mine")
	g.dies()
	if _, err := b.Recover(ctx); err == nil || b.read(path.Join(g.path, "notes.txt")) != "mine" {
		t.Errorf("recovered: %v\n%s", err, b.tree())
	}
	must(t, os.RemoveAll(b.at(g.path)))
	b.enqueue("x")
}

// To try whether there is room leaves nothing behind, and where it is cut short,
// what others remove.
func TestTryRoom(t *testing.T) {
	b := newBench(t)
	left := func() (names []string) {
		must(t, b.fs.List("tmp", func(n string) bool { names = append(names, n); return true }))
		return slices.DeleteFunc(names, func(n string) bool { return n == "config.lock" })
	}
	must(t, b.TryRoom())
	if l := left(); len(l) != 0 {
		t.Errorf("left are %q", l)
	}
	b.faults.before("open", "log-0", func() error { return syscall.ENOSPC })
	if err := b.TryRoom(); !FileSystemWide(err) {
		t.Errorf("without room: %v", err)
	}
	if l := left(); len(l) != 0 {
		t.Errorf("without room left are %q", l)
	}
	b.faults.before("unlink", "log-0", func() error { return syscall.EIO })
	if err := b.TryRoom(); err == nil || len(left()) != 1 {
		t.Errorf("cut short: %v, left are %q", err, left())
	}
	b.recover()
	if l := left(); len(l) != 0 {
		t.Errorf("after a recovery left are %q", l)
	}
}
