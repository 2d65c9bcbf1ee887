package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"queuectl/spool"
)

// memory measures what a pool takes while very many jobs wait.
func (b *bench) memory() workload {
	return b.memoryAt(workload{name: "memory", title: "Memory of a pool"}, b.n(1_000_000, 4000))
}

// memoryHuge is memory at the size of flatHuge.
func (b *bench) memoryHuge() workload {
	return b.memoryAt(workload{name: "huge-memory", huge: true, title: "Memory of a pool with 10 million jobs pending"}, b.n(hugeJobs, 8000))
}

func (b *bench) memoryAt(w workload, size int) workload {
	n := b.n(1000, 100)
	w.how = fmt.Sprintf("A pool with 8 slots has listed what waits and done %s jobs. Resident is what it holds then, peak the most until then.", thousands(n))
	w.columns = []column{{"resident", "MB"}, {"peak", "MB"}}
	w.done = b.dropBacklogs // no other workload comes back to them
	name := thousands(size) + " pending"
	w.lines = []line{{name, "sync full", func(ctx context.Context) ([]float64, error) {
		return b.poolMemory(ctx, size, n)
	}}}
	w.checks = []check{atMost("peak with "+name, name, 1, "MB", 150)}
	return w
}

func (b *bench) poolMemory(ctx context.Context, size, n int) (_ []float64, err error) {
	l, err := b.backlog(ctx, size)
	if err != nil {
		return nil, err
	}
	p, err := b.startPools(ctx, l.s, 1, poolOptions{slots: handlerSlots})
	if err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, p.stop())
		l.pending -= p.sum()
		err = errors.Join(err, p.close())
	}()
	if _, _, err := p.when(ctx, func(sum int) bool { return sum >= n }); err != nil {
		return nil, err
	}
	status := fmt.Sprintf("/proc/%d/status", p.cmds[0].Process.Pid)
	return []float64{kilobytes(status, "VmRSS"), kilobytes(status, "VmHWM")}, nil
}

// kilobytes reads a size from a process's status, in MB.
func kilobytes(path, name string) float64 {
	var kb float64
	_, _ = fmt.Sscan(firstMatch(path, name+`:\s*(\d+)`), &kb)
	return kb * 1024 / 1e6
}

// idleFor is how long an idle worker is watched: not so long that the slow scan
// (every 30 s) comes between, which begins when the worker is up.
const idleFor, untilIdle = 20 * time.Second, 3 * time.Second

// idling measures what a worker does that has nothing to do.
func (b *bench) idling() workload {
	watched := max(time.Second, time.Duration(float64(idleFor)*min(1, b.scale)))
	w := workload{
		name:    "idle",
		title:   "A worker that has nothing to do",
		how:     fmt.Sprintf("`worker start --count 8` on an empty spool, watched for %v between two of its slow scans.", watched),
		columns: []column{{"wake-ups of threads", "in all"}, {"processor time", "ms"}},
	}
	w.lines = []line{{"queuectl worker", "sync full", b.inDir("idle", func(ctx context.Context, dir string) ([]float64, error) {
		return b.idleWorker(ctx, dir, watched)
	})}}
	w.checks = []check{atMost("wake-ups of an idle worker", "queuectl worker", 0, "", 0)}
	return w
}

func (b *bench) idleWorker(ctx context.Context, dir string, watched time.Duration) (_ []float64, err error) {
	s, err := openSpool(filepath.Join(dir, "spool"), spool.SyncFull)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	cmd := b.queuectl(ctx, s.Dir(), "worker", "start", "--count", "8")
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cmd.Process.Signal(os.Interrupt), cmd.Wait()) }()
	time.Sleep(untilIdle)
	before := effort(cmd.Process.Pid)
	time.Sleep(watched)
	after := effort(cmd.Process.Pid)
	return []float64{after[0] - before[0], after[1] - before[1]}, nil
}

// effort is how often the threads of a process have gone to sleep, and how
// many milliseconds they have run.
func effort(pid int) (sum [2]float64) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, task := range tasks {
		var sleeps, nanoseconds float64
		_, _ = fmt.Sscan(firstMatch(task+"/status", `^voluntary_ctxt_switches:\s*(\d+)`), &sleeps)
		stat, _ := os.ReadFile(task + "/schedstat")
		_, _ = fmt.Sscan(strings.Fields(string(stat) + " 0")[0], &nanoseconds)
		sum[0] += sleeps
		sum[1] += nanoseconds / 1e6
	}
	return sum
}
