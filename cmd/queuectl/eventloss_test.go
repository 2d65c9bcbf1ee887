//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lost is what a pool says, once, whose spool is not in its place.
const lost = "was moved or deleted"

// A spool that is moved away under a pool: what runs is finished in its new
// place, nothing new starts and nothing is made in the old one, and the pool
// ends and says why. A pool at the new place runs the rest.
func TestSpoolMoved(t *testing.T) {
	for _, remade := range []bool{false, true} {
		t.Run(map[bool]string{false: "away", true: "another in its place"}[remade], func(t *testing.T) {
			b := parallelBench(t)
			p := b.start()
			b.enqueue(job{"id": "running", "command": held})
			b.begun(1)
			b.enqueue(job{"id": "waiting", "command": note("waited 0 0 0")})
			old := b.spool
			b.spool = b.path("elsewhere")
			if err := os.Rename(old, b.spool); err != nil {
				t.Fatal(err)
			}
			if remade {
				b.q("--spool", old, "enqueue", "--id", "other", "--", "true")
			}
			p.says("stopping")
			b.write("go", "")
			b.endsLost(p)
			if got := filepath.Dir(b.find("running")) + " " + filepath.Dir(b.find("waiting")); got != "completed pending" {
				t.Errorf("the jobs are in %s", got)
			}
			b.drain()
			if len(b.lines("begin")) != 1 || len(b.lines("waited")) != 1 {
				t.Errorf("not each ran once:\n%s", b.read("effects"))
			}
			if _, err := os.Stat(old); !remade && err == nil {
				t.Error("something was made in the old place")
			}
			if remade {
				if n, _ := os.ReadDir(filepath.Join(old, "pending")); len(n) != 1 {
					t.Errorf("%d jobs wait in the other spool", len(n))
				}
				b.q("--spool", old, "check")
			}
		})
	}
}

// endsLost waits for the end of a pool that has lost its spool.
func (b *bench) endsLost(p *pool) {
	b.Helper()
	p.wait()
	if n := strings.Count(p.messages(), lost); n != 1 || p.cmd.ProcessState.ExitCode() != int(exitUnusable) {
		b.Errorf("it ends with status %d and says so %d times:\n%s", p.cmd.ProcessState.ExitCode(), n, p.messages())
	}
}

// A spool that is deleted under a pool is not made again by what still runs.
func TestSpoolDeleted(t *testing.T) {
	b := parallelBench(t)
	p := b.start()
	b.enqueue(job{"id": "running", "command": held})
	b.begun(1)
	if err := os.RemoveAll(b.spool); err != nil {
		t.Fatal(err)
	}
	p.says("stopping")
	b.write("go", "")
	b.endsLost(p)
	if _, err := os.Stat(b.spool); err == nil {
		t.Error("it was made again")
	}
}

// State directories that are moved away and made anew: the pool goes on in the
// new ones, and leaves what was moved alone until it is moved back.
func TestStateDirectoryExchanged(t *testing.T) {
	b := parallelBench(t)
	b.start()
	b.enqueue(job{"id": "before", "command": note("before 0 0 0")})
	b.await("before", "completed")
	b.enqueue(job{"id": "away", "command": note("away 0 0 0"), "delay": "1h"})
	b.sh(`for d in pending completed; do mv $d ../away-$d; mkdir -m 700 $d; done`)
	b.enqueue(job{"id": "after", "command": note("after 0 0 0")})
	b.await("after", "completed")
	b.sh(`for d in pending completed; do mv ../away-$d/* $d/; done`)
	b.sh(`mv pending/*-away.json pending/now.json`) // due now
	b.await("away", "completed")
	if got := strings.Join(b.effects(), " "); strings.Count(got, "before") != 1 || strings.Count(got, "after") != 1 || strings.Count(got, "away") != 1 {
		t.Errorf("not each ran once: %s", got)
	}
}
