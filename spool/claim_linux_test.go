package spool

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// openFiles is how many open files of this process lie in the spool's state
// directories.
func (b *bench) openFiles() (n int) {
	list, err := os.ReadDir("/proc/self/fd")
	must(b.t, err)
	for _, e := range list {
		p, _ := os.Readlink("/proc/self/fd/" + e.Name())
		if rest, ok := strings.CutPrefix(p, b.at("")+"/"); ok && isState(stateOf(rest)) && strings.Contains(rest, "/") {
			n++
		}
	}
	return n
}

// One open file is enough for a job that runs in the pool's own process. A file
// that cannot be opened for writing is told of as by other pools.
func TestClaimInProcess(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	p.InProcess()
	b.enqueue("x")
	before := b.openFiles()
	c := b.claim(p, "x")
	if n := b.openFiles() - before; n != 1 {
		t.Errorf("a claim keeps %d files open", n)
	}
	if _, _, err := b.lockJob(c.Path()); !errors.Is(err, ErrHeld) {
		t.Errorf("it is not locked: %v", err)
	}
	must(t, c.Started(os.Getpid()))
	b.settle(c, Result{Outcome: FailedOutcome, RetryAt: b.clk.now()}, Failed)
	from := b.path("x")
	b.put(from, strings.ReplaceAll(strings.Replace(b.read(from), "true", "echo edited", 1), "\n", " "))
	if c = b.claim(p, "x"); c.Job.Command != "echo edited" {
		t.Errorf("claim is %+v", c)
	}
	b.settle(c, Result{Outcome: Succeeded}, Completed)
	if n := b.openFiles(); n != before {
		t.Errorf("%d files are open, not %d", n, before)
	}

	must(t, os.Mkdir(b.at("pending/20261123T180000.123456Z-5-dir.json"), 0o700))
	_, err := p.Claim("pending/20261123T180000.123456Z-5-dir.json")
	wantErr(t, err, ErrDrop)
	must(t, os.Remove(b.at("pending/20261123T180000.123456Z-5-dir.json")))
}
