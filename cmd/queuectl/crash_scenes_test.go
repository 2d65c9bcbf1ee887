//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// theJob is what is enqueued: its effect is a line with its id.
func theJob(id, more string) string {
	return fmt.Sprintf(`{"id":%q,"command":"echo %s >>$D/effects"%s}`, id, id, more)
}

// Jobs of the other kinds. $D is beside the spool, and comes from the pool.
const (
	failsFirst = `{"id":"A","command":"echo A >>$D/effects; [ $QUEUECTL_ATTEMPT != 1 ]"}`
	fails      = `{"id":"A","max_retries":1,"command":"echo A >>$D/effects; exit 1"}`
	failsTill  = `{"id":"A","max_retries":0,"command":"echo A >>$D/effects; [ -e $D/well ]"}`
	// These end their own pool, or cancel themselves, and then wait for the
	// end that the pool is to bring them, or for its own.
	stopsPool  = `{"id":"A","command":"echo A >>$D/effects; [ -e $D/well ] || { kill $PPID; while kill -0 $PPID; do sleep 0.02; done 2>$D/err; }"}`
	cancelsOwn = `{"id":"A","command":"echo A >>$D/effects; queuectl --spool $QUEUECTL_SPOOL cancel A; while kill -0 $PPID; do sleep 0.02; done 2>$D/err"}`
)

// runPool is a pool that ends when all is done.
var runPool = []string{"worker", "start", "--drain"}

// with is a setup that enqueues.
func with(jobs ...string) func(*bench) {
	return func(b *bench) {
		b.drain()                               // makes the spool
		b.q("config", "set", "retry_base", "0") // no waiting between attempts
		for _, j := range jobs {
			b.q("enqueue", j)
		}
	}
}

var crashScenes = []crashScene{
	{
		name:  "enqueue",
		args:  []string{"enqueue", theJob("A", "")},
		after: func(c *crashed) { c.made("A") },
		found: []place{{"close", "/spool>", "EINTR"}, {"linkat", `"probe.`, "EROFS"}},
	},
	{
		name:  "batch",
		setup: with(),
		stdin: theJob("A", "") + "\n" + theJob("B", "") + "\n" + theJob("C", "") + "\n",
		args:  []string{"enqueue", "-"},
		after: func(c *crashed) { c.made("A", "B", "C") },
		found: []place{{"mkdirat", `/spool/ids>, "31"`, "EIO"}},
	},
	{
		name: "adopt",
		setup: func(b *bench) {
			with()(b)
			b.write("spool/pending/A.json", theJob("A", ""))
		},
		args:  runPool,
		after: func(c *crashed) { c.once("A") },
	},
	{
		name:  "complete",
		setup: with(theJob("A", "")),
		args:  runPool,
		after: func(c *crashed) { c.once("A") },
		found: []place{{"flock", `/spool/tmp/`, "EINTR"}, {"dup3", "63, 0", "EINTR"}, {"newfstatat", "/spool/processing>", "EIO"}},
	},
	{
		name:  "retry",
		setup: with(failsFirst),
		args:  runPool,
		after: func(c *crashed) { c.ends("A", "failed succeeded") },
	},
	{
		name:  "bury",
		setup: with(fails),
		args:  runPool,
		after: func(c *crashed) { c.buried("A", "failed failed") },
	},
	{
		name: "dlq retry",
		setup: func(b *bench) {
			with(failsTill)(b)
			b.drain()
			b.write("well", "")
		},
		args:  []string{"dlq", "retry", "A"},
		after: func(c *crashed) { c.either("A", "completed", "dead", "failed succeeded") },
	},
	{
		name: "delete",
		setup: func(b *bench) {
			with(`{"id":"A","command":"echo A"}`)(b)
			b.drain()
		},
		args: []string{"delete", "A"},
		after: func(c *crashed) {
			if c.acknowledged() || c.missing("A") {
				c.absent("A")
			} else if p := c.find("A"); !strings.HasPrefix(p, "completed/") {
				c.Errorf("A is %s", p)
			}
		},
		found: []place{
			{"newfstatat", `/spool/ids>, "8b/A.json"`, "EIO"},
			{"unlinkat", `/spool/ids>, "8b/A.json"`, kill},
			{"unlinkat", `/spool/logs>, "8b/A.log"`, "EIO"},
		},
	},
	{
		name:  "cancel",
		setup: with(theJob("A", "")),
		args:  []string{"cancel", "A"},
		after: func(c *crashed) { c.either("A", "dead", "completed", "succeeded") },
	},
	{
		name:  "cancel running",
		setup: with(cancelsOwn),
		args:  runPool,
		after: func(c *crashed) { c.buried("A", "cancelled") },
	},
	{
		name:  "release",
		setup: with(stopsPool),
		args:  []string{"worker", "start", "--grace", "0s"},
		after: func(c *crashed) { c.ends("A", "interrupted succeeded") },
	},
	{
		name:  "recover",
		setup: leaveRunning,
		args:  []string{"recover"},
		after: func(c *crashed) { c.ends("A", "worker_died succeeded") },
	},
	{
		name:  "recover by a pool",
		setup: leaveRunning,
		args:  runPool,
		after: func(c *crashed) { c.ends("A", "worker_died succeeded") },
	},
	{
		name:  "roll back",
		setup: dieAt("linkat", 3, "tmp/????????????"),
		args:  []string{"recover"},
		after: func(c *crashed) {
			for _, id := range []string{"A", "B", "C"} {
				c.absent(id)
			}
		},
	},
	{
		name:  "roll forward",
		setup: dieAt("renameat2", 2, "tmp/*.go"),
		args:  []string{"recover"},
		after: func(c *crashed) {
			for _, id := range []string{"A", "B", "C"} {
				c.once(id)
			}
		},
	},
	{
		name: "replace",
		setup: func(b *bench) {
			with(`{"id":"A","command":"echo old >>$D/effects"}`)(b)
			b.sh(`sed -i s/old/A/ pending/*-A.json`)
		},
		args: runPool,
		after: func(c *crashed) {
			if n := c.ran("old"); n != 0 {
				c.Errorf("the old command was run")
			}
			c.once("A")
		},
	},
	{
		name: "prune",
		setup: func(b *bench) {
			with(`{"id":"A","command":"echo A"}`, `{"id":"B","command":"echo B"}`)(b)
			b.drain()
			b.q("config", "set", "keep_completed_count", "1")
		},
		args: runPool,
		after: func(c *crashed) {
			c.absent("A")
			if p := c.find("B"); !strings.HasPrefix(p, "completed/") {
				c.Errorf("B is %q", p)
			}
		},
	},
}

// leaveRunning leaves what a pool was running that was killed with its job.
func leaveRunning(b *bench) {
	with(theJob("A", ""))(b)
	b.q("delete", "A")
	b.q("enqueue", `{"id":"A","command":"echo A >>$D/effects; [ -e $D/well ] || sleep 1000"}`)
	p := b.start()
	b.till("A runs", func() bool { return b.read("effects") != "" })
	p.kill()
	b.killJobs()
	b.write("well", "")
}

// dieAt leaves what a batch leaves that was killed at that call. strace counts
// the calls of each thread, so a batch whose goroutine has changed threads may
// miss it, and is made anew.
func dieAt(name string, k int, leaves string) func(*bench) {
	return func(b *bench) {
		jobs := theJob("A", "") + theJob("B", "") + theJob("C", "")
		for range 20 {
			if err := os.RemoveAll(b.spool); err != nil {
				b.Fatal(err)
			}
			with()(b)
			got := b.trace(&fault{name, kill, k}, jobs, "enqueue", "-")
			left, _ := filepath.Glob(b.spool + "/" + leaves)
			if got.killed && len(left) == 1 {
				return
			}
		}
		b.Fatalf("no batch has been killed at call %d of %s with %s left\n%s", k, name, leaves, b.scene())
	}
}

// made: what was acknowledged is there and is run; what was not may be missing.
func (c *crashed) made(ids ...string) {
	if !c.acknowledged() && c.missing(ids[0]) {
		for _, id := range ids {
			c.absent(id)
		}
		return
	}
	for _, id := range ids {
		c.once(id)
	}
}

// either: what was acknowledged has come to that; what was not may have. If
// it is completed, then by these attempts.
func (c *crashed) either(id, done, before, outcomes string) {
	c.Helper()
	p := c.find(id)
	if !strings.HasPrefix(p, done+"/") && (c.acknowledged() || !strings.HasPrefix(p, before+"/")) {
		c.Errorf("%s is %q", id, p)
	}
	if strings.HasPrefix(p, "completed/") {
		c.ends(id, outcomes)
	} else if n, out := c.ran(id), c.attempts(id); n != len(out) {
		c.Errorf("%s: %d effects of attempts %q", id, n, out)
	}
}
