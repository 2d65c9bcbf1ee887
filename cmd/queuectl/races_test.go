//go:build !windows

package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"queuectl/spool"
)

// rounds is how often a race is run: a few times with -short, so many times by
// default, and as often as it was ever asked for in the long form.
func rounds(short, normal, long_ int) int {
	switch {
	case long():
		return long_
	case testing.Short():
		return short
	}
	return normal
}

// Two pools of 8 slots run each job exactly once.
func TestEachJobRunsOnce(t *testing.T) {
	b := newBench(t) // alone: it takes all there is
	n := rounds(2000, 10000, 10000)
	b.batch(n, `echo "$QUEUECTL_JOB_ID" >>"$D/effects"`)
	began := time.Now()
	pools := []*pool{b.start("--count", "8", "--drain"), b.start("--count", "8", "--drain")}
	for _, p := range pools {
		if !p.ends(10 * time.Minute) {
			t.Fatal("the pools do not end")
		}
	}
	took := time.Since(began)
	t.Logf("%d jobs in %v: %.0f a second", n, took.Round(time.Millisecond), float64(n)/took.Seconds())
	b.eachOnce(n)
	for _, p := range pools {
		if c := strings.Count(p.messages(), "succeeded"); c == 0 || c == n {
			t.Errorf("pool %s ran %d of %d jobs", p.name(), c, n)
		}
	}
	if c := b.count("completed"); c != n {
		t.Errorf("%d completed", c)
	}
}

// batch enqueues n jobs with one command, job-1 to job-n.
func (b *bench) batch(n int, command string) {
	b.Helper()
	var in strings.Builder
	for i := range n {
		in.WriteString(b.encode(job{"id": fmt.Sprint("job-", i+1), "command": command}) + "\n")
	}
	if out, stderr, status := b.tryWith(in.String(), "enqueue", "-"); status != exitDone || strings.Count(out, "\n") != n {
		b.Fatalf("enqueue -: status %d\n%s", status, stderr)
	}
}

// eachOnce demands that job-1 to job-n have had their effect once each.
func (b *bench) eachOnce(n int) {
	b.Helper()
	got := b.effects()
	ran := make(map[string]int, n)
	for _, id := range got {
		ran[id]++
	}
	twice := 0
	for _, c := range ran {
		if c > 1 {
			twice++
		}
	}
	if len(got) != n || len(ran) != n || twice > 0 {
		b.Errorf("%d effects of %d jobs, %d want to have run; %d ran more than once", len(got), len(ran), n, twice)
	}
}

// All pools race for one name: they are idle when each job comes, and all are
// told of it at once.
func TestPoolsRaceForOneName(t *testing.T) {
	b := newBench(t)
	for range 8 {
		b.start()
	}
	n := rounds(20, 100, 1000)
	s := b.open()
	for i := range n {
		id := fmt.Sprint("job-", i+1)
		text := b.encode(job{"id": id, "command": `echo "$QUEUECTL_JOB_ID" >>"$D/effects"`})
		if _, err := s.EnqueueJSON(t.Context(), []byte(text)); err != nil {
			t.Fatal(err)
		}
		b.till(id+" ran", func() bool { return len(b.effects()) > i })
	}
	b.till("all are completed", func() bool { return b.count("completed") == n })
	b.eachOnce(n)
}

// open opens the bench's spool in this process, as another Go program would.
func (b *bench) open() *spool.Spool {
	b.Helper()
	s, err := spool.Open(b.spool, spool.Options{Create: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

// Eight enqueuers of one id at once: one succeeds, seven are told that the id
// is taken, and there is one job. Each has the spool open for itself; locks
// belong to open files, so they race as eight processes do.
func TestOneEnqueuerWins(t *testing.T) {
	for _, sync := range []string{"full", "off"} {
		t.Run("sync "+sync, func(t *testing.T) {
			b := newBench(t)
			var open [8]*spool.Spool
			for i := range open {
				open[i] = b.open()
			}
			if err := open[0].SetConfig("sync", sync); err != nil {
				t.Fatal(err)
			}
			n := rounds(50, 200, 1000)
			began := time.Now()
			for round := range n {
				id := fmt.Sprint("id-", round)
				b.oneWins(id, func(i int) exitCode {
					_, err := open[i].EnqueueJSON(context.Background(), fmt.Appendf(nil, `{"id":%q,"command":"true","delay":"1h","by":%d}`, id, i))
					if err != nil && !errors.Is(err, spool.ErrTaken) {
						t.Error(err)
					}
					return codeOf(err)
				})
			}
			t.Logf("%d rounds in %v", n, time.Since(began).Round(time.Millisecond))
			if c := b.count("pending"); c != n {
				t.Errorf("%d jobs of %d rounds", c, n)
			}
		})
	}
}

// The same with eight processes.
func TestOneProcessWins(t *testing.T) {
	b := newBench(t)
	b.open() // makes it
	n := rounds(10, 50, 200)
	began := time.Now()
	for round := range n {
		id := fmt.Sprint("id-", round)
		var cmds [8]*exec.Cmd
		for i := range cmds {
			cmds[i] = exec.Command("queuectl", "--spool", b.spool, "enqueue", fmt.Sprintf(`{"id":%q,"command":"true","delay":"1h"}`, id))
		}
		b.oneWins(id, func(i int) exitCode {
			_ = cmds[i].Run()
			return exitCode(cmds[i].ProcessState.ExitCode())
		})
	}
	t.Logf("%d rounds in %v", n, time.Since(began).Round(time.Millisecond))
	if c := b.count("pending"); c != n {
		t.Errorf("%d jobs of %d rounds", c, n)
	}
}

// oneWins has eight enqueue at once, and demands one success.
func (b *bench) oneWins(id string, enqueue func(i int) exitCode) {
	b.Helper()
	var got [8]exitCode
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range got {
		group.Go(func() {
			<-start
			got[i] = enqueue(i)
		})
	}
	close(start)
	group.Wait()
	slices.Sort(got[:])
	if want := [8]exitCode{0, 4, 4, 4, 4, 4, 4, 4}; got != want {
		b.Errorf("%s: statuses %v, want %v", id, got, want)
	}
}

// Pools that are killed and started over all the time lose no job, and never
// run one beside its own first copy. A job takes a lock while it runs.
func TestKillStorm(t *testing.T) {
	need(t, "flock")
	b := newBench(t)
	n := rounds(100, 400, 5000)
	b.batch(n, `exec 9>"$D/lock-$QUEUECTL_JOB_ID"; flock -n 9 || echo "beside $QUEUECTL_JOB_ID" >>"$D/overlaps"; sleep 0.02; echo "$QUEUECTL_JOB_ID" >>"$D/effects"`)
	var stop atomic.Bool
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for kill := 0; !stop.Load(); kill++ {
				p := b.start("--count", "4")
				so := len(b.effects())
				b.within(time.Second, func() bool { return stop.Load() || len(b.effects()) > so+n/40 })
				p.kill()
			}
		})
	}
	done := b.within(2*time.Minute, func() bool { return b.count("completed")+b.count("dead") == n })
	stop.Store(true)
	group.Wait()
	b.drain()
	if !done {
		t.Logf("not all were done before the storm was over")
	}
	if got := b.read("overlaps"); got != "" {
		t.Errorf("ran beside their first copies:\n%s", got)
	}
	ran := make(map[string]bool)
	for _, id := range b.effects() {
		ran[id] = true
	}
	if c := b.count("completed") + b.count("dead"); c != n {
		t.Errorf("%d of %d jobs have ended", c, n)
	}
	// Three deaths of its workers in a row end a job, also where each came
	// before the job had begun. Any other one has had its effect.
	for line := range strings.Lines(b.q("list", "--json")) {
		var j shown
		b.decode(line, &j)
		if ran[j.ID] {
			continue
		}
		if j.State != "dead" || j.LastError == nil || !strings.Contains(*j.LastError, "worker died") {
			t.Errorf("%s is %s and had no effect", j.ID, j.State)
		}
	}
	t.Logf("%d kills, %d effects of %d jobs, %d dead", len(b.pools), len(b.effects()), n, b.count("dead"))
}
