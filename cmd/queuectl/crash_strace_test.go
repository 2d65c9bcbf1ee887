//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
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

// kill is the fault after which a process does nothing more.
const kill = "KILL"

// errnos are the faults that a file system can report, with what C calls them
// in messages. EMFILE and EINTR are the process's own.
var errnos = map[string]string{
	"ENOSPC": "no space left on device",
	"EIO":    "input/output error",
	"EMFILE": "too many open files",
	"EINTR":  "interrupted system call",
	"EDQUOT": "disk quota exceeded",
	"EROFS":  "read-only file system",
}

// A fault is what befalls the k-th call of a name that a thread makes.
// strace counts for each thread: an error may befall several of them in one
// run, a kill whichever comes first.
type fault struct {
	call string
	what string // kill, or one of errnos
	k    int
}

func (f fault) String() string { return fmt.Sprintf("%s/%s/%d", f.call, f.what, f.k) }

func (f fault) inject() string {
	how := "error=" + f.what
	if f.what == kill {
		how = "signal=KILL" // comes on entry: the call is not carried out
	}
	return fmt.Sprintf("inject=%s:%s:when=%d", f.call, how, f.k)
}

// needStrace skips a test where processes cannot be traced.
func needStrace(t *testing.T) {
	t.Helper()
	need(t, "strace")
	out, err := exec.Command("strace", "-f", "-b", "execve", "-o", os.DevNull, "true").CombinedOutput()
	if err != nil {
		t.Skipf("strace: %v: %s", err, out)
	}
}

// A traced is how a run of queuectl under strace ended.
type traced struct {
	stdout, stderr string
	status         exitCode
	killed         bool
	log            trace
}

// stuck is how long a pool may go on before it is told to stop: after an error
// it may wait for a minute until it tries again.
const stuck = 3 * time.Second

// trace runs queuectl under strace, with a fault or without. Jobs are not
// traced (-b execve), but what their processes do before they are jobs.
func (b *bench) trace(f *fault, stdin string, args ...string) traced {
	b.Helper()
	log := b.path("strace")
	argv := []string{"-f", "-b", "execve", "-qq", "-y", "-o", log, "-e", "trace=%file,%desc"}
	if f != nil {
		argv = append(argv, "-e", f.inject())
	}
	argv = append(argv, "queuectl", "--spool", b.spool)
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "strace", append(argv, args...)...)
	var out, msg bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &msg
	cmd.Env = append(os.Environ(), "D="+b.dir)
	// strace lets go of what it traces when it is killed.
	cmd.Cancel = func() error { return b.signalTraced(log, syscall.SIGKILL) }
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	stop := time.AfterFunc(stuck, func() { _ = b.signalTraced(log, syscall.SIGTERM) })
	err := cmd.Wait()
	stop.Stop()
	if ctx.Err() != nil {
		b.Fatalf("queuectl %q does not end\n%s%s\n%s", args, out.String(), msg.String(), b.scene())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.Fatalf("strace: %v", err)
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return traced{out.String(), msg.String(), exitCode(status.ExitStatus()), status.Signaled(), trace(b.read("strace"))}
}

// signalTraced signals the process whose calls are in a log.
func (b *bench) signalTraced(log string, sig syscall.Signal) error {
	text, _ := os.ReadFile(log)
	first, _, _ := strings.Cut(string(text), " ")
	pid, err := strconv.Atoi(first)
	if err != nil {
		return err
	}
	return syscall.Kill(pid, sig)
}

// A trace is what strace has logged.
type trace string

// A call is one line of a trace that begins a call.
type call struct{ thread, name, args string }

var callLine = regexp.MustCompile(`(?m)^(\d+) +(\w+)\((.*)$`)

func (t trace) calls() (list []call) {
	for _, m := range callLine.FindAllStringSubmatch(string(t), -1) {
		list = append(list, call{m[1], m[2], m[3]})
	}
	return list
}

// notFiles are calls on descriptors that never reach a file system; the Go
// runtime cannot go on when those fail on which it waits.
var notFiles = regexp.MustCompile(`^(mmap|epoll_.*|eventfd2|ioctl|pipe2|pidfd_.*|access)$`)

// A span is which calls of a name are to be disturbed.
type span struct{ first, last int }

// spans are the calls by name: from the first one that follows the program's
// own start (the loader, the runtime) on, to the most that one thread made.
func (t trace) spans(spool string) map[string]span {
	count, found := make(map[string]int), make(map[string]span)
	began := false
	for _, c := range t.calls() {
		began = began || c.name != "execve" && strings.Contains(c.args, spool)
		n := count[c.thread+c.name] + 1
		count[c.thread+c.name] = n
		if !began || notFiles.MatchString(c.name) {
			continue
		}
		s, ok := found[c.name]
		if !ok {
			s.first = n
		}
		s.first, s.last = min(s.first, n), max(s.last, n)
		found[c.name] = s
	}
	return found
}

// hits are the calls that the fault befell: what they were called with. A
// kill befalls the last call of a thread that did not return.
func (t trace) hits(f fault) (list []string) {
	began := make(map[string]string)
	for line := range strings.Lines(string(t)) {
		pid, rest, _ := strings.Cut(line, " ")
		if m := callLine.FindStringSubmatch(line); m != nil && m[2] == f.call {
			began[pid] = m[3]
		}
		switch {
		case f.what == kill && strings.Contains(rest, "+++ killed by SIGKILL"),
			strings.HasSuffix(strings.TrimSpace(rest), "(INJECTED)"):
			if args, ok := began[pid]; ok {
				list = append(list, args)
			}
		}
	}
	return list
}
