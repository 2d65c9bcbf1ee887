package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// commandSlots is how many commands run at once.
const commandSlots = 2

//go:embed loop/loop.c
var loopSource []byte

// A runAll runs n commands, with dir to write in, and returns how long that
// took.
type runAll func(ctx context.Context, dir string, n int) (time.Duration, error)

// commands measures a backlog of commands that do nothing.
func (b *bench) commands() workload {
	n := b.n(5000, 50)
	w := workload{
		name:  "commands",
		title: fmt.Sprintf("%s times `sh -c true`, %d at a time", thousands(n), commandSlots),
		how: "From the first command handed over to the end of the last one. All others start `sh -c true`; queuectl gets the command `true`, and starts that program, since a command of plain words needs no shell. queuectl has two lines: the worker alone " +
			"(`worker start --drain` on a backlog that waits), and with the one `enqueue -` that makes the backlog.",
		columns: []column{{"rate", "commands/s"}},
	}
	if withPeers {
		w.how += " task-spooler and nq get each command by a program of its own, as they do. nq runs one at a time, so it has two queues, " +
			fmt.Sprintf("and only %s commands, since it is the slower the more there are.", thousands(n/nqPart))
	}
	add := func(name, level string, n int, run runAll) {
		w.lines = append(w.lines, line{name, level, b.inDir("commands", func(ctx context.Context, dir string) ([]float64, error) {
			took, err := run(ctx, dir, n)
			return []float64{perSecond(n, took)}, err
		})})
	}
	const us, whole = "queuectl worker", "queuectl enqueue and worker"
	add("C loop, posix_spawn", "none", n, b.cLoop)
	add("Go loop, os.StartProcess", "none", n, goLoop)
	add("xargs -P2", "none", n, xargs)
	add(us, "sync full", n, func(ctx context.Context, dir string, n int) (time.Duration, error) {
		_, worker, err := b.enqueueAndWork(ctx, dir, n)
		return worker, err
	})
	add(whole, "sync full", n, func(ctx context.Context, dir string, n int) (time.Duration, error) {
		enqueue, worker, err := b.enqueueAndWork(ctx, dir, n)
		return enqueue + worker, err
	})
	w.checks = append(w.checks,
		ratio("queuectl worker against the C loop", us, "C loop, posix_spawn", 0, 0.9),
		ratio("queuectl worker against the Go loop", us, "Go loop, os.StartProcess", 0, 0.9),
		ratio("queuectl worker against xargs -P2", us, "xargs -P2", 0, 1))
	if withPeers {
		for _, p := range commandPeers {
			add(p.name, p.level, n/p.part, p.run)
			w.checks = append(w.checks, ratio("queuectl with enqueue against "+p.name, whole, p.name, 0, 1))
		}
	}
	return w
}

// enqueueAndWork makes the backlog, and runs it.
func (b *bench) enqueueAndWork(ctx context.Context, dir string, n int) (enqueue, worker time.Duration, err error) {
	dir = filepath.Join(dir, "spool")
	make := b.queuectl(ctx, dir, "enqueue", "-")
	make.Stdin = strings.NewReader(strings.Repeat(`{"command":"true"}`+"\n", n))
	if enqueue, err = timed(make); err != nil {
		return 0, 0, err
	}
	worker, err = timed(b.queuectl(ctx, dir, "worker", "start", "--drain", "--count", strconv.Itoa(commandSlots)))
	return enqueue, worker, err
}

// timed runs a command, and returns how long that took.
func timed(cmd *exec.Cmd) (time.Duration, error) {
	began := time.Now()
	err := run(cmd)
	return time.Since(began), err
}

// cLoop is the least that it can cost: no queue, no Go.
func (b *bench) cLoop(ctx context.Context, dir string, n int) (time.Duration, error) {
	loop := filepath.Join(dir, "loop")
	cc := exec.CommandContext(ctx, "gcc", "-O2", "-o", loop, "-x", "c", "-")
	cc.Stdin = bytes.NewReader(loopSource)
	if err := run(cc); err != nil {
		return 0, err
	}
	return timed(exec.CommandContext(ctx, loop, strconv.Itoa(n), strconv.Itoa(commandSlots)))
}

// goLoop is the same in Go, which starts processes at a price of its own.
func goLoop(_ context.Context, _ string, n int) (time.Duration, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	began := time.Now()
	errs := make([]error, commandSlots)
	var wg sync.WaitGroup
	for slot := range commandSlots {
		wg.Go(func() {
			for i := slot; i < n && errs[slot] == nil; i += commandSlots {
				errs[slot] = spawn(null)
			}
		})
	}
	wg.Wait()
	return time.Since(began), errors.Join(errs...)
}

func spawn(null *os.File) error {
	p, err := os.StartProcess("/bin/sh", []string{"sh", "-c", "true"}, &os.ProcAttr{Env: os.Environ(), Files: []*os.File{null, null, null}})
	if err != nil {
		return err
	}
	_, err = p.Wait()
	return err
}

// xargs runs a shell for each line.
func xargs(ctx context.Context, _ string, n int) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, "xargs", "-P"+strconv.Itoa(commandSlots), "-I{}", "sh", "-c", "true")
	cmd.Stdin = lines(n)
	return timed(cmd)
}

// lines are n lines of input.
func lines(n int) *strings.Reader { return strings.NewReader(strings.Repeat("1\n", n)) }
