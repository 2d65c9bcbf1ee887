//go:build !windows

package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// These tests kill pools, and demand that no job ever runs beside its own
// first copy, and that none is lost.

// soon is what "within a second" may take on a machine that is busy with other
// tests. What it took is logged.
const soon = 3 * time.Second

// python is held for programs in that language.
const python = `import os, subprocess, sys, time
def note(word):
    with open(os.environ["D"] + "/effects", "a") as f:
        f.write(f"{word} {os.environ['QUEUECTL_ATTEMPT']} {os.getpid()} {time.time_ns()}\n")
def hold():
    note("begin")
    while os.environ["QUEUECTL_ATTEMPT"] == "1" and not os.path.exists(os.environ["D"] + "/go"):
        time.sleep(0.01)
    note("end")
`

// survivors are jobs whose first process, or what it leaves behind, outlives
// the pool.
var survivors = []struct{ name, needs, script string }{
	{"plain", "sh", held},
	{"exec 3>&1", "sh", "exec 3>&1 4>&2 5</dev/null\n" + held},
	{"closes what it inherits", "bash", `exec bash -c 'exec 63>&-; . "$D/job"'`},
	{"a child that closes", "bash", `bash -c "exec 63>&-; exec sh $D/job"`},
	{"closes everything", "python3", python + "os.closerange(0, 4096)\nhold()\n"},
	{"python's subprocess", "python3", python + `subprocess.run(["sh", os.environ["D"] + "/job"], check=True)`},
	{"setsid grandchild", "setsid", `case $QUEUECTL_ATTEMPT in 1) setsid sh "$D/job" & wait;; *) sh "$D/job";; esac`},
	{"daemon that keeps descriptors", "python3", python + `
if os.environ["QUEUECTL_ATTEMPT"] == "1" and os.fork() > 0:
    while True: time.sleep(1) # the test kills it
if os.environ["QUEUECTL_ATTEMPT"] == "1":
    os.setsid()
    if os.fork() > 0: os._exit(0)
hold()
`},
}

// TestKillPoolAlone kills a pool whose job lives on: the job is not started
// again while a process of it lives, and soon after its end it is.
func TestKillPoolAlone(t *testing.T) {
	for _, c := range survivors {
		t.Run(c.name, func(t *testing.T) {
			need(t, c.needs)
			b := parallelBench(t)
			b.write("job", held)
			j := job{"id": "X", "command": c.script}
			if c.needs == "python3" {
				b.write("job.py", c.script)
				j["command"] = `exec python3 "$D/job.py"`
			}
			first := b.start()
			b.enqueue(j)
			lives := b.begun(1)
			leader := b.show("X").History[1].PID
			other := b.start()
			first.kill()
			if lives != leader {
				// What is left of the job is another process than its first one.
				syscall.Kill(leader, syscall.SIGKILL)
			}
			other.says("waiting")
			b.stillWaits("X", lives, leader)
			b.write("go", "")
			b.begun(2)
			ended, begun := b.when(b.lines("end")[0]), b.when(b.lines("begin")[1])
			if begun.Before(ended) {
				t.Fatalf("the second attempt began %v before the end of the first", ended.Sub(begun))
			}
			t.Logf("started again %v after the end", begun.Sub(ended).Round(time.Millisecond))
			if begun.Sub(ended) > soon {
				t.Errorf("started again %v after the end", begun.Sub(ended))
			}
			b.await("X", "completed")
			if got := b.outcomes("X"); got != "worker_died succeeded" {
				t.Errorf("outcomes: %s", got)
			}
			if s := b.show("X"); s.Attempts != 2 {
				t.Errorf("attempts: %d", s.Attempts)
			}
		})
	}
}

// stillWaits demands that a recovery leaves the job alone, and that status,
// show and check say why, with one of these pids or that of a child.
func (b *bench) stillWaits(id string, pids ...int) {
	b.Helper()
	for range 3 {
		if _, stderr := b.run(exitDone, "recover"); !strings.Contains(stderr, id+" waits: ") {
			b.Fatalf("recover: %s", stderr)
		}
	}
	if n := len(b.lines("begin")); n != 1 {
		b.Fatalf("%d copies of %s have begun", n, id)
	}
	is := func(pid int) bool {
		for _, p := range pids {
			if p == pid || isChild(pid, p) {
				return true
			}
		}
		return false
	}
	reason, pid := b.problem(id)
	if !is(pid) || !strings.Contains(reason, "recover --force "+id) {
		b.Errorf("status: %q, pid %d, want one of %d", reason, pid, pids)
	}
	w := b.show(id).WaitingFor
	if w == nil || !is(w.PID) || !strings.Contains(w.Reason, strconv.Itoa(w.PID)) {
		b.Errorf("show: %+v, want pid %d", w, pids)
	}
	if out := b.q("check"); !strings.Contains(out, id) {
		b.Errorf("check: %s", out)
	}
}

// With the children killed too, the job is started again at once, and it
// counts as an attempt. Three such deaths in a row bury it.
func TestKillPoolAndChildren(t *testing.T) {
	b := parallelBench(t)
	pools := []*pool{b.start(), b.start()}
	b.enqueue(job{"id": "X", "max_retries": 10, "command": `echo "begin $QUEUECTL_ATTEMPT $$ $(date +%s%N)" >>"$D/effects"; exec sleep 60`})
	for n := 1; n <= 3; n++ {
		pid := b.begun(n)
		_, claim, _ := strings.Cut(b.await("X", "processing"), "@")
		dying := 0
		if strings.HasPrefix(claim, pools[1].name()+".") {
			dying = 1
		}
		pools[dying].kill()
		killed := time.Now()
		if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if n < 3 {
			b.begun(n + 1)
			took := b.when(b.lines("begin")[n]).Sub(killed)
			t.Logf("started again %v after the kill", took.Round(time.Millisecond))
			if took > soon {
				t.Errorf("started again %v after the kill", took)
			}
			pools[dying] = b.start()
		}
	}
	b.await("X", "dead")
	if got := b.outcomes("X"); got != "worker_died worker_died worker_died" {
		t.Errorf("outcomes: %s", got)
	}
	if s := b.show("X"); s.Attempts != 3 || !strings.Contains(*s.LastError, "worker died") {
		t.Errorf("show: %+v", s)
	}
	b.enqueue(job{"id": "other", "command": "true"})
	b.await("other", "completed")
}

// max_retries bounds deaths as it bounds failures.
func TestKillUsesUpRetries(t *testing.T) {
	b := parallelBench(t)
	p := b.start()
	b.enqueue(job{"id": "X", "max_retries": 0, "command": "echo begin 1 $$ >>$D/effects; exec sleep 60"})
	b.begun(1)
	p.kill()
	b.killJobs()
	b.q("recover")
	b.await("X", "dead")
}

// A job goes back to its place in line, and is tried without back-off.
func TestKillKeepsPlaceInLine(t *testing.T) {
	b := parallelBench(t)
	p := b.start()
	b.q("config", "set", "retry_base", "10000")
	b.enqueue(job{"id": "X", "priority": 7, "command": "echo begin 1 $$ >>$D/effects; exec sleep 60"})
	b.begun(1)
	before, _, _ := strings.Cut(strings.TrimPrefix(b.await("X", "processing"), "processing/"), "@")
	p.kill()
	b.killJobs()
	b.q("recover")
	if got := b.find("X"); got != "pending/"+before+".json" {
		t.Errorf("it is %s, want pending/%s.json", got, before)
	}
}

// A pool that was told to stop charges nothing when it is killed then.
func TestKillStoppingPoolChargesNothing(t *testing.T) {
	b := parallelBench(t)
	p := b.start("--grace", "1h")
	b.enqueue(job{"id": "X", "max_retries": 0, "command": "echo begin 1 $$ >>$D/effects; exec sleep 60"})
	b.begun(1)
	p.signal(syscall.SIGTERM)
	p.says("stopping")
	p.kill()
	b.killJobs()
	b.uncharged("X")
}

// uncharged recovers a job, which must be pending without a charge.
func (b *bench) uncharged(id string) {
	b.Helper()
	b.till(id+" is recovered", func() bool {
		b.q("recover")
		return strings.HasPrefix(b.find(id), "pending/")
	})
	if s := b.show(id); s.Attempts != 0 || b.outcomes(id) != "worker_lost" {
		b.Errorf("attempts %d, outcomes %s", s.Attempts, b.outcomes(id))
	}
}

// A pool that died with its machine charges nothing: the boot is another one.
func TestKillByRebootChargesNothing(t *testing.T) {
	b := parallelBench(t)
	p := b.start()
	b.enqueue(job{"id": "X", "max_retries": 0, "command": "echo begin 1 $$ >>$D/effects; exec sleep 60"})
	b.begun(1)
	p.kill()
	b.killJobs()
	file := b.spool + "/workers/" + p.name() + ".json"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	boot := regexp.MustCompile(`"boot":"[^"]*"`)
	if !boot.Match(text) {
		t.Skip("this system does not tell boots apart")
	}
	if err := os.WriteFile(file, boot.ReplaceAll(text, []byte(`"boot":"another"`)), 0o600); err != nil {
		t.Fatal(err)
	}
	b.uncharged("X")
}

// In a container every pool has the same host name and pid.
func TestKillPoolOfSamePid(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("unshare needs root")
	}
	need(t, "unshare")
	if out, err := exec.Command("unshare", "-pf", "--mount-proc", "true").CombinedOutput(); err != nil {
		t.Skipf("unshare: %v: %s", err, out)
	}
	b := parallelBench(t)
	container := func() *pool {
		// --kill-child: as the end of a container ends all that is in it.
		return b.startAs(nil, "unshare", "-pf", "--mount-proc", "--kill-child", "queuectl", "--spool", b.spool, "worker", "start")
	}
	first := container()
	b.enqueue(job{"id": "X", "command": held})
	b.begun(1)
	if !regexp.MustCompile(`-1-[a-z2-7]{6}$`).MatchString(first.name()) {
		t.Fatalf("the pool's name is %s: not pid 1", first.name())
	}
	first.kill()
	b.till("what was in it has ended", func() bool { return len(b.leftovers()) == 0 })
	second := container()
	restarted := time.Now()
	if first.name() == second.name() {
		t.Fatalf("both pools are %s", first.name())
	}
	b.begun(2)
	t.Logf("started again %v after the new pool", time.Since(restarted).Round(time.Millisecond))
	b.await("X", "completed")
	if got := b.outcomes("X"); got != "worker_died succeeded" {
		t.Errorf("outcomes: %s", got)
	}
	// The signal goes to unshare, which does not pass it on.
	b.q("worker", "stop")
	second.wait()
}

// escapee is a job of which a part leaves the process group, keeps its
// descriptors and outlives the rest.
const escapee = `case $QUEUECTL_ATTEMPT in
1) setsid sh -c 'echo "escaped 1 $$ 0" >>"$D/effects"; until [ -e "$D/go" ]; do sleep 0.01; done' &
   until [ -s "$D/effects" ]; do sleep 0.01; done
   echo "begin 1 $$ 0" >>"$D/effects"; sleep 60;;
*) echo "begin 2 $$ 0" >>"$D/effects";;
esac`

// A timeout kills the group. What escaped the kill keeps the next attempt
// waiting, everybody says for whom, and a person can end the wait.
func TestTimeoutWithEscapee(t *testing.T) {
	need(t, "setsid")
	for _, way := range []string{"end", "force"} {
		t.Run(way, func(t *testing.T) {
			b := parallelBench(t)
			b.start()
			b.q("config", "set", "retry_base", "0.1")
			b.enqueue(job{"id": "X", "command": escapee, "timeout": "500ms"})
			leader := b.begun(1)
			pid, _ := strconv.Atoi(b.lines("escaped")[0][2])
			b.await("X", "failed")
			b.groupEnds(leader)
			w := b.show("X").WaitingFor
			if w == nil || !strings.Contains(w.Reason, "recover --force X") || w.PID != pid && !isChild(w.PID, pid) {
				t.Errorf("show: %+v, want pid %d", w, pid)
			}
			b.till("status names it", func() bool {
				reason, p := b.problem("X")
				return strings.Contains(reason, "recover --force X") && (p == pid || isChild(p, pid))
			})
			if n := len(b.lines("begin")); n != 1 {
				t.Fatalf("the second attempt has begun\n%s", b.scene())
			}
			if way == "force" {
				b.q("recover", "--force", "X")
			} else {
				b.write("go", "")
			}
			b.begun(2)
			b.await("X", "completed")
			if got := b.outcomes("X"); got != "timed_out succeeded" {
				t.Errorf("outcomes: %s", got)
			}
		})
	}
}

// groupEnds waits until nothing is left of a process group, zombies too: what
// has lost its parent is reaped by another process, in its own time.
func (b *bench) groupEnds(pid int) {
	b.Helper()
	b.till("its group has ended", func() bool { return syscall.Kill(-pid, 0) != nil })
}

// isChild reports whether a process is a child of another one, or was: the
// sleep of a shell's loop ends at any moment.
func isChild(pid, parent int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return pid > 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest)
	return len(f) > 1 && f[1] == strconv.Itoa(parent)
}

// A stop kills the group, too, and what escaped keeps the job waiting.
func TestStopWithEscapee(t *testing.T) {
	need(t, "setsid")
	b := parallelBench(t)
	p := b.start()
	b.enqueue(job{"id": "X", "command": escapee})
	leader := b.begun(1)
	b.q("worker", "stop", "--now")
	p.wait()
	b.groupEnds(leader)
	if s := b.show("X"); s.State != "pending" || s.Attempts != 0 || s.WaitingFor == nil {
		t.Errorf("show: %+v", s)
	}
	// Uncharged: the attempt after it is the first one again. This one does
	// not end before the test says so.
	b.q("recover", "--force", "X")
	if s := b.show("X"); s.State != "pending" || s.WaitingFor != nil {
		t.Errorf("show: %+v", s)
	}
	b.q("cancel", "X")
}

// SIGTERM gives running jobs the grace to end, and no other one starts.
func TestGrace(t *testing.T) {
	b := parallelBench(t)
	p := b.start("--grace", "1h")
	b.enqueue(job{"id": "X", "command": held})
	b.begun(1)
	p.signal(syscall.SIGTERM)
	p.says("stopping")
	b.enqueue(job{"id": "later", "command": note("later")})
	b.write("go", "")
	p.wait()
	b.await("X", "completed")
	if b.find("later")[:8] != "pending/" || len(b.lines("later")) != 0 {
		t.Errorf("it started a job while it stopped")
	}
}

// After the grace jobs get TERM, and what ignores that KILL 5 seconds later.
func TestGraceEnds(t *testing.T) {
	b := parallelBench(t)
	p := b.start("--grace", "200ms", "--count", "2")
	b.enqueue(job{"id": "mild", "command": `trap 'echo "term 1 $$ $(date +%s%N)" >>"$D/effects"; exit 1' TERM; echo "begin 1 $$ 0" >>"$D/effects"; while :; do sleep 0.05; done`})
	b.enqueue(job{"id": "deaf", "command": `trap '' TERM; echo "begin 1 $$ 0" >>"$D/effects"; while :; do sleep 0.05; done`})
	b.begun(2)
	at := time.Now()
	p.signal(syscall.SIGTERM)
	p.wait()
	took := time.Since(at)
	t.Logf("TERM came after %v, the pool ended after %v", b.when(b.lines("term")[0]).Sub(at).Round(time.Millisecond), took.Round(time.Millisecond))
	if took < 5*time.Second {
		t.Errorf("KILL came after %v", took)
	}
	for _, id := range []string{"mild", "deaf"} {
		if s := b.show(id); s.State != "pending" || s.Attempts != 0 || b.outcomes(id) != "interrupted" {
			t.Errorf("%s: %+v, %s", id, s, b.outcomes(id))
		}
	}
}

// A second signal hurries.
func TestSecondSignal(t *testing.T) {
	b := parallelBench(t)
	p := b.start("--grace", "1h")
	b.enqueue(job{"id": "X", "command": "echo begin 1 $$ 0 >>$D/effects; exec sleep 60"})
	b.begun(1)
	p.signal(syscall.SIGTERM)
	p.says("stopping")
	p.signal(syscall.SIGTERM)
	p.wait()
	if s := b.show("X"); s.State != "pending" || s.Attempts != 0 || b.outcomes("X") != "interrupted" {
		t.Errorf("%+v, %s", s, b.outcomes("X"))
	}
}

// TestUglyJobs runs what jobs should not do; the pool goes on.
func TestUglyJobs(t *testing.T) {
	cases := []struct{ name, needs, command, state string }{
		{"ignores TERM", "sh", `trap '' TERM HUP INT; kill $$; exit 0`, "completed"},
		{"forks a daemon", "setsid", `setsid sh -c 'echo "daemon 1 $$ 0" >>"$D/effects"; exec sleep 60' >/dev/null 2>&1 & until [ -s "$D/effects" ]; do sleep 0.01; done`, "completed"},
		{"leaves a child in its group", "sh", `sleep 60 & exit 0`, "completed"},
		{"fills the log", "head", `head -c 52428800 /dev/zero`, "completed"},
		{"closes all descriptors", "python3", `exec python3 -c 'import os; os.closerange(0, 4096)'`, "completed"},
		{"closes its output", "sh", `exec >&- 2>&- <&-; sleep 0.01`, "completed"},
		{"kills its group", "sh", `kill -9 0`, "dead"},
		{"stops itself", "sh", `(sleep 0.1; kill -CONT $$) & kill -STOP $$; exit 0`, "completed"},
		{"removes its file", "sh", `rm -f "$QUEUECTL_JOB_FILE"; exit 0`, ""},
		{"writes into its file", "bash", `bash -c "echo junk >&63" 2>/dev/null && exit 1; exit 0`, "completed"},
		{"prints no text", "head", `head -c 100000 /dev/urandom`, "completed"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			need(t, c.needs)
			b := parallelBench(t)
			b.start()
			b.enqueue(job{"id": "X", "command": c.command, "max_retries": 0})
			b.enqueue(job{"id": "next", "command": note("next")})
			b.await("next", "completed")
			if c.state != "" {
				b.await("X", c.state)
			} else {
				b.q("check", "--repair")
			}
			if c.name == "fills the log" {
				if out := b.sh(`stat -c %s logs/*/X.log`); out != "52428800" {
					t.Errorf("the log has %s bytes", out)
				}
			}
		})
	}
}

// A daemon that a job leaves behind holds nothing: its record can be retried.
func TestDaemonHoldsNothing(t *testing.T) {
	need(t, "setsid")
	b := parallelBench(t)
	b.start()
	b.enqueue(job{"id": "X", "command": `n=$(cat "$D/effects" 2>/dev/null | wc -l)
		setsid sh -c 'echo "begin 1 $$ 0" >>"$D/effects"; exec sleep 60' &
		until [ "$(cat "$D/effects" 2>/dev/null | wc -l)" -gt "$n" ]; do sleep 0.01; done`})
	b.await("X", "completed")
	b.q("retry", "X")
	b.begun(2)
	b.await("X", "completed")
	b.q("delete", "X")
}

// A cancel of a running job sends TERM, and KILL 5 seconds later.
func TestCancelRunning(t *testing.T) {
	b := parallelBench(t)
	b.start("--count", "2")
	b.enqueue(job{"id": "mild", "command": "echo begin 1 $$ 0 >>$D/effects; exec sleep 60"})
	b.begun(1)
	at := time.Now()
	b.q("cancel", "mild")
	b.await("mild", "dead")
	t.Logf("TERM ended it within %v", time.Since(at).Round(time.Millisecond))
	b.enqueue(job{"id": "deaf", "command": `trap '' TERM; echo begin 1 $$ 0 >>$D/effects; while :; do sleep 0.05; done`})
	pid := b.begun(2)
	at = time.Now()
	b.q("cancel", "deaf")
	b.await("deaf", "dead")
	took := time.Since(at)
	t.Logf("KILL ended the other one after %v", took.Round(time.Millisecond))
	if took < 4900*time.Millisecond {
		t.Errorf("KILL came after %v", took)
	}
	b.groupEnds(pid)
	for _, id := range []string{"mild", "deaf"} {
		if got := b.outcomes(id); got != "cancelled" {
			t.Errorf("%s: %s", id, got)
		}
	}
}

// A cancel of a job whose pool is dead takes effect when its last process has
// ended, with a pool there or without.
func TestCancelOrphan(t *testing.T) {
	for _, with := range []bool{true, false} {
		t.Run(fmt.Sprintf("pool %v", with), func(t *testing.T) {
			b := parallelBench(t)
			p := b.start()
			b.enqueue(job{"id": "X", "command": held})
			pid := b.begun(1)
			if with {
				b.start()
			}
			p.kill()
			// The shell, or the sleep that it has just started.
			said := regexp.MustCompile(`process (\d+)`).FindStringSubmatch(b.q("cancel", "X"))
			if said == nil {
				t.Fatal("cancel names no process")
			}
			if n, _ := strconv.Atoi(said[1]); n != pid && !isChild(n, pid) {
				t.Errorf("cancel names process %d, want %d", n, pid)
			}
			b.write("go", "")
			b.till("it ends", func() bool { return len(b.lines("end")) == 1 })
			b.till("it is dead", func() bool {
				if !with {
					b.q("recover")
				}
				return strings.HasPrefix(b.find("X"), "dead/")
			})
			if got := b.outcomes("X"); got != "cancelled" || len(b.lines("begin")) != 1 {
				t.Errorf("outcomes: %s; %s", got, b.read("effects"))
			}
			if n := b.count("control"); n != 0 {
				t.Errorf("%d requests are left", n)
			}
		})
	}
}
