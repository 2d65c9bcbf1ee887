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
	"syscall"
	"time"
)

// commandPeers are the other queues for commands, and a program that runs
// many at once. One may get only a part of the commands.
var commandPeers = []struct {
	name, level string
	part        int
	run         runAll
}{
	{"GNU parallel -j2", "none", 1, parallel},
	{"task-spooler -S2", "none: in memory", 1, taskSpooler},
	// Each job of nq is a process that has looked at all those before it: 5,000
	// take minutes, and the whole machine.
	{"nq, two queues", "files, not synced", nqPart, nq},
}

const nqPart = 5

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
	defer func() { err = errors.Join(err, run(t.cmd(context.WithoutCancel(ctx), "-K"))) }()
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
	for i := range commandSlots {
		defer nqEnd(queueDir(dir, i))
	}
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

// nqEnd ends the processes of a queue that is given up: each of its jobs is
// one, and waits for the one before. A job's file has its pid in its name; its
// environment proves that it is the one that was meant.
func nqEnd(dir string) {
	jobs, _ := filepath.Glob(dir + "/,*.*")
	for _, job := range jobs {
		pid, err := strconv.Atoi(job[strings.LastIndex(job, ".")+1:])
		if err != nil {
			continue
		}
		env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if strings.Contains(string(env), "NQDIR="+dir+"\x00") {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		}
	}
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
