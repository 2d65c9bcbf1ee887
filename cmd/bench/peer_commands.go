package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// commandPeers are the other queues for commands, and a program that runs
// many at once.
var commandPeers = []struct {
	name, level string
	run         runAll
}{
	{"GNU parallel -j2", "none", parallel},
	{"task-spooler -S2", "none: in memory", taskSpooler},
	{"nq, two queues", "files, not synced", nq},
}

func parallel(ctx context.Context, _ string, n int) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, "parallel", "-j"+strconv.Itoa(commandSlots), "-N0", "sh -c true")
	cmd.Stdin = lines(n)
	return timed(cmd)
}

// taskSpooler hands over each command by a client, and waits until the list
// has nothing that waits or runs.
func taskSpooler(ctx context.Context, dir string, n int) (took time.Duration, err error) {
	t := tsp{dir}
	if err := run(t.cmd(ctx, "-S", strconv.Itoa(commandSlots))); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, run(t.cmd(ctx, "-K"))) }()
	began := time.Now()
	for range n {
		if err := t.cmd(ctx, "-n", "sh", "-c", "true").Run(); err != nil {
			return 0, err
		}
	}
	err = t.done(ctx)
	return time.Since(began), err
}

// tsp is a task-spooler server with its socket in a directory.
type tsp struct{ dir string }

func (t tsp) cmd(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "tsp", args...)
	cmd.Env = append(os.Environ(), "TS_SOCKET="+filepath.Join(t.dir, "socket"), "TMPDIR="+t.dir, "TS_MAXFINISHED=10")
	return cmd
}

// done waits for the last job, and then for those beside it.
func (t tsp) done(ctx context.Context) error {
	if err := run(t.cmd(ctx, "-w")); err != nil {
		return err
	}
	_, err := until(ctx, time.Millisecond, func() (bool, error) {
		list, err := t.cmd(ctx).Output()
		return !strings.Contains(string(list), " running ") && !strings.Contains(string(list), " queued "), err
	})
	return err
}

// nq hands over each command by a call, in turn to as many queues as commands
// are to run at once.
func nq(ctx context.Context, dir string, n int) (time.Duration, error) {
	began := time.Now()
	for i := range n {
		if err := nqCmd(ctx, queueDir(dir, i%commandSlots), "nq", "-q", "sh", "-c", "true").Run(); err != nil {
			return 0, err
		}
	}
	for i := range commandSlots {
		if err := nqDone(ctx, queueDir(dir, i)); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

func queueDir(dir string, i int) string { return filepath.Join(dir, fmt.Sprint("nq", i)) }

func nqCmd(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "NQDIR="+dir)
	return cmd
}

// nqDone waits for all jobs of a queue. A job is a file that its process holds
// a lock on.
func nqDone(ctx context.Context, dir string) error {
	return run(nqCmd(ctx, dir, "nq", "-w"))
}
