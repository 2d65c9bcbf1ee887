package spool

import (
	"os"
	"testing"
)

// quiet opens a job's log as for a command that prints nothing.
func (b *bench) quiet(c *Claim) {
	b.t.Helper()
	f, err := c.OpenLog()
	must(b.t, err)
	must(b.t, f.Close())
	c.DropEmptyLog()
	if b.there(logPath(c.ID)) {
		b.t.Error("an empty log is kept")
	}
}

// An empty log becomes the log of the next job.
func TestSpareLog(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	b.enqueue("x")
	b.enqueue("y")
	x, y := b.claim(p, "x"), b.claim(p, "y")
	f, err := x.OpenLog()
	must(t, err)
	first := b.inode(logPath("x"))
	must(t, f.Close())
	x.DropEmptyLog()
	f, err = y.OpenLog()
	must(t, err)
	if b.inode(logPath("y")) != first {
		t.Error("a new file was made, and none was needed")
	}
	_, err = f.WriteString("hello\n")
	must(t, err)
	must(t, f.Close())
	y.DropEmptyLog()
	b.quiet(x)
	b.put(logPath("x"), "by hand\n") // while a spare log is there
	f, err = x.OpenLog()
	must(t, err)
	must(t, f.Close())
	x.DropEmptyLog()
	if b.read(logPath("x")) != "by hand\n" || b.read(logPath("y")) != "hello\n" {
		t.Errorf("logs: %q, %q", b.read(logPath("x")), b.read(logPath("y")))
	}
	b.settle(x, Result{Outcome: Succeeded}, Completed)
	b.settle(y, Result{Outcome: Succeeded}, Completed)
	must(t, p.Leave())
	b.clean()
}

// A log that another process still has open is not given to another job.
func TestSpareLogInUse(t *testing.T) {
	for _, flag := range []int{os.O_RDONLY, os.O_WRONLY} {
		b := newBench(t)
		b.enqueue("x")
		p := b.pool()
		c := b.claim(p, "x")
		f, err := c.OpenLog()
		must(t, err)
		must(t, f.Close())
		other, err := os.OpenFile(b.at(logPath("x")), flag, 0)
		must(t, err)
		c.DropEmptyLog()
		if n := len(p.spares.paths); n != 0 {
			t.Errorf("flag %d: %d spare logs", flag, n)
		}
		must(t, other.Close())
	}
}

// What is written between the look at a log and its removal is not lost.
func TestSpareLogWrittenTo(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	c := b.claim(b.pool(), "x")
	f, err := c.OpenLog()
	must(t, err)
	b.faults.before("rename", logPath("x"), func() error {
		_, err := f.WriteString("late\n")
		must(t, err)
		return nil
	})
	c.DropEmptyLog()
	must(t, f.Close())
	if got := b.read(logPath("x")); got != "late\n" {
		t.Errorf("the log is %q", got)
	}
}

// The spare logs of a dead pool are removed by whoever recovers.
func TestSpareLogOfDeadPool(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	p := b.pool()
	b.quiet(b.claim(p, "x"))
	b.kill(p)
	b.recover()
	b.clean()
}

// The log of the workers in the background is begun anew when it is long, once,
// also where two open it.
func TestWorkerLogIsPutAside(t *testing.T) {
	b := newBench(t)
	b.pool()
	write := func(f *os.File, text string) {
		t.Helper()
		_, err := f.WriteString(text)
		must(t, err)
	}
	first, err := b.WorkerLog()
	must(t, err)
	defer first.Close()
	write(first, "first\n")
	must(t, first.Truncate(maxWorkerLog-1))
	again, err := b.WorkerLog()
	must(t, err)
	defer again.Close()
	if b.there(oldLog) {
		t.Error("it is put aside too soon")
	}
	write(again, "x")
	// Another one does it in the very moment: that one's is not put aside, too.
	o := b.another()
	b.faults.before("trylock", workerLog, func() error {
		f, err := o.WorkerLog()
		must(t, err)
		write(f, "theirs\n")
		return f.Close()
	})
	next, err := b.WorkerLog()
	must(t, err)
	defer next.Close()
	write(next, "next\n")
	if old := b.read(oldLog); len(old) != maxWorkerLog || old[:6] != "first\n" {
		t.Errorf("put aside are %d bytes", len(old))
	}
	if got := b.read(workerLog); got != "theirs\nnext\n" {
		t.Errorf("the log is %q", got)
	}
	// What cannot be put aside goes on.
	must(t, next.Truncate(maxWorkerLog))
	b.rm(oldLog)
	must(t, os.MkdirAll(b.at(oldLog)+"/x", 0o700))
	last, err := b.WorkerLog()
	must(t, err)
	defer last.Close()
	write(last, "y")
	if n := len(b.read(workerLog)); n != maxWorkerLog+1 {
		t.Errorf("the log has %d bytes", n)
	}
}
