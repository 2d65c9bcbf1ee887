//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
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

// More files come at once than the kernel keeps events for: a pool that stands
// still reads none of them. Every job runs all the same.
func TestEventOverflow(t *testing.T) {
	b := newBench(t)
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		t.Skip(err)
	}
	n := fromEnv(t, "QUEUECTL_OVERFLOW", rounds(0, 0, 200000))
	if n == 0 {
		most, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		n = most + 500
	}
	b.open()
	var batch strings.Builder
	for i := range n {
		batch.WriteString(b.encode(job{"id": "job-" + strconv.Itoa(i+1), "kind": "effect", "args": effectJob{N: int64(i)}}) + "\n")
	}
	b.tryWith(batch.String(), "enqueue", "-")
	b.sh(`mv pending ../aside; mkdir -m 700 pending`)
	p := b.startAs(nil, "handlerpool", b.spool, "8")
	b.till("it is idle", func() bool { return len(b.effects()) == 0 })
	p.signal(syscall.SIGSTOP)
	names, err := os.ReadDir(b.path("aside"))
	if err != nil || len(names) != n {
		t.Fatalf("%v, %d of %d files", err, len(names), n)
	}
	for _, e := range names {
		if err := os.Rename(b.path("aside/"+e.Name()), filepath.Join(b.spool, "pending", e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	p.signal(syscall.SIGCONT)
	if !b.within(patience*10, func() bool { return b.count("completed") == n }) {
		t.Errorf("%d of %d ran", b.count("completed"), n)
	}
	b.eachOnce(n)
}
