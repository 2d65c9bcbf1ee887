//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"queuectl/spool"
)

// An idle pool sleeps: it makes no system calls, but for a look around every
// 30 seconds.
func TestIdlePoolSleeps(t *testing.T) {
	need(t, "strace")
	for _, pools := range []int{1, 2} { // two watch each other
		t.Run(fmt.Sprint(pools, " pools"), func(t *testing.T) {
			b := parallelBench(t)
			p := b.start("--count", "4")
			for range pools - 1 {
				b.start()
			}
			b.enqueue(job{"id": "X", "command": "true"})
			b.await("X", "completed")
			b.enqueue(job{"id": "later", "command": "true", "delay": "1h"})
			// One of these looks falls between two looks around, and after
			// the last sync. What wakes up more often is seen in each.
			var calls []string
			for range 4 {
				if calls = b.calls(p.pid(), "4"); len(calls) == 0 {
					return
				}
			}
			t.Errorf("%d system calls in 3.5 s:\n%s", len(calls), strings.Join(calls[:min(len(calls), 40)], "\n"))
		})
	}
}

// calls returns the system calls that a process begins in so many seconds.
func (b *bench) calls(pid int, seconds string) (calls []string) {
	b.Helper()
	out := b.path("strace")
	_ = os.Remove(out)
	text, err := exec.Command("timeout", "-s", "INT", seconds, "strace", "-f", "-ttt", "-o", out, "-p", fmt.Sprint(pid)).CombinedOutput()
	trace, readErr := os.ReadFile(out)
	if readErr != nil || !strings.Contains(string(text), "attached") {
		b.Skipf("strace cannot attach: %v: %s", err, text)
	}
	// What comes in the first moment is the attaching: every thread begins the
	// call anew in which it sleeps.
	var first float64
	for line := range strings.Lines(string(trace)) {
		w := strings.Fields(line)
		if len(w) < 3 || strings.Contains(line, "detached") {
			continue
		}
		at, err := strconv.ParseFloat(w[1], 64)
		if err != nil {
			b.Fatalf("strace: %s", line)
		}
		if first == 0 {
			first = at
		}
		if at > first+0.5 {
			calls = append(calls, strings.TrimSpace(line))
		}
	}
	return calls
}

// The time from enqueue to start with an idle pool is measured, not limited:
// the machine may be busy with other things.
func TestStartLatency(t *testing.T) {
	for _, sync := range []string{"full", "off"} {
		t.Run("sync "+sync, func(t *testing.T) {
			b := newBench(t)
			b.start()
			s := b.open()
			if err := s.SetConfig("sync", sync); err != nil {
				t.Fatal(err)
			}
			n := rounds(20, 100, 1000)
			var enqueues, claims, all []time.Duration
			for i := range n {
				id := fmt.Sprint("job-", i)
				began := time.Now()
				if _, err := s.Enqueue(t.Context(), spool.Job{ID: id, Argv: []string{"true"}}); err != nil {
					t.Fatal(err)
				}
				returned := time.Now()
				b.await(id, "completed")
				j, err := s.Job(id)
				if err != nil {
					t.Fatal(err)
				}
				started := j.History[1].Started.Time
				enqueues = append(enqueues, returned.Sub(began))
				claims = append(claims, started.Sub(returned))
				all = append(all, started.Sub(began))
			}
			t.Logf("%d jobs, 50 %% and 99 %%: enqueue took %v; from its return to the claim %v; from its call to the claim %v",
				n, percentiles(enqueues), percentiles(claims), percentiles(all))
		})
	}
}

func percentiles(d []time.Duration) string {
	slices.Sort(d)
	at := func(p int) time.Duration { return d[min(len(d)*p/100, len(d)-1)].Round(time.Microsecond) }
	return fmt.Sprintf("%v and %v", at(50), at(99))
}
