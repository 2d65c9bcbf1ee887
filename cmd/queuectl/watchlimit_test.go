//go:build linux

package main

import (
	"os"
	"strings"
	"testing"
)

// limitInotify sets a limit of this user namespace.
func limitInotify(t *testing.T, what, n string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/user/max_inotify_"+what, []byte(n), 0o600); err != nil {
		t.Skip("limits cannot be set here: ", err)
	}
}

const (
	noLimit = "1000"
	again   = "the spool is watched again"
)

// once fails unless the pool has said something once.
func (p *pool) once(text string) {
	p.b.Helper()
	if n := strings.Count(p.messages(), text); n != 1 {
		p.b.Errorf("%q was told %d times:\n%s", text, n, p.messages())
	}
}

// untilProblem waits until status has this as its one problem, or none.
func (b *bench) untilProblem(part string) {
	b.Helper()
	b.till("the problem: "+part, func() bool {
		reason, _ := b.problem("")
		return reason == "" && part == "" || part != "" && strings.Contains(reason, part)
	})
}

// runs enqueues jobs one after the other, as files and by command, which all
// have to run.
func (b *bench) runs(name string) {
	b.Helper()
	for _, id := range []string{name + "-1", name + "-2", name + "-3"} {
		b.enqueue(job{"id": id, "command": note(id)})
		b.await(id, "completed")
	}
	id := name + "-4"
	b.write(id+".json", b.encode(job{"id": id, "command": note(id)}))
	b.sh("mv ../" + id + ".json pending/")
	b.await(id, "completed")
}

// The limits of inotify's watches and instances are reached when a pool
// starts. Every job runs, and the pool says once which limit it is; when it
// was raised, the pool watches, and says that once.
func TestWatchLimits(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	for what, n := range map[string]string{"watches": "2", "instances": "0"} {
		t.Run(what, func(t *testing.T) {
			b := newBench(t)
			b.open()
			b.q("config", "set", "scan_interval", "20ms")
			limitInotify(t, what, n)
			p := b.start()
			b.runs("unwatched")
			b.untilProblem("the limit of this user's inotify " + what + " is reached; raise the sysctl user.max_inotify_" + what + ", now " + n)
			limitInotify(t, what, noLimit)
			b.untilProblem("")
			p.says(again)
			b.runs("watched")
			// A try that fails just before the limit is raised may find the raised
			// one to name: then it is another thing to say.
			p.once("user.max_inotify_" + what + ", now " + n)
			p.once(again)
			b.eachOnce(8)
		})
	}
}

// The limit of watches is reached when a state directory grows another one,
// long after the pool has started.
func TestWatchLimitLater(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	b := newBench(t)
	b.open()
	b.q("config", "set", "scan_interval", "20ms")
	limitInotify(t, "watches", "5") // the spool, pending, failed, control, workers
	p := b.start()
	b.enqueue(job{"id": "first", "command": note("first")})
	b.await("first", "completed")
	b.untilProblem("")
	b.enqueue(job{"id": "far", "command": "true", "delay": "1h"})
	b.sh(`mkdir -m 700 pending/1; mv pending/*-far.json pending/1/`)
	b.untilProblem("raise the sysctl user.max_inotify_watches, now 5")
	b.dropped("second")
	limitInotify(t, "watches", noLimit)
	b.untilProblem("")
	p.says(again)
	b.dropped("third")
	p.once("user.max_inotify_watches, now 5")
	p.once(again)
	b.eachOnce(3)
}

// dropped moves a job into pending/1/, where it has to run.
func (b *bench) dropped(id string) {
	b.Helper()
	b.write(id+".json", b.encode(job{"id": id, "command": note(id)}))
	b.sh("mv ../" + id + ".json pending/1/")
	b.await(id, "completed")
}
