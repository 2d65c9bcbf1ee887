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
