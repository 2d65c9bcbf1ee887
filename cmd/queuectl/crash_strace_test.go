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
	"slices"
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
	argv := []string{"-f", "-b", "execve", "-qq", "-y", "-o", log, "-e", "trace=%file,%desc,setpgid"}
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

// notFiles are calls on descriptors that never reach a file system; the Go
// runtime cannot go on when those fail on which it waits.
var notFiles = regexp.MustCompile(`^(mmap|epoll_.*|eventfd2|ioctl|pipe2|pidfd_.*|access|setpgid)$`)

// ownStart is what the loader and the Go runtime do before the program: all
// that comes before the spool is named for the first time.
func (t trace) ownStart(spool string) (start, rest trace) {
	_, args, _ := strings.Cut(string(t), "\n") // of execve
	i := strings.Index(args, spool)
	if i < 0 {
		return t, ""
	}
	i += len(t) - len(args)
	i = strings.LastIndexByte(string(t[:i]), '\n') + 1
	return t[:i], t[i:]
}

func (t trace) calls() (list []call) {
	for _, m := range callLine.FindAllStringSubmatch(string(t), -1) {
		list = append(list, call{m[1], m[2], m[3]})
	}
	return list
}

// A span is which calls of a name are to be disturbed.
type span struct{ first, last int }

// spans are the calls by name: from the first one of any thread that is the
// program's own to the most that one thread made.
func (t trace) spans(spool string) map[string]span {
	count, found := make(map[string]int), make(map[string]span)
	start, rest := t.ownStart(spool)
	for _, c := range start.calls() {
		count[c.thread+c.name]++
	}
	for _, c := range rest.calls() {
		count[c.thread+c.name]++
		n := count[c.thread+c.name]
		if notFiles.MatchString(c.name) {
			continue
		}
		s, ok := found[c.name]
		if !ok {
			s.first = n
		}
		found[c.name] = span{min(s.first, n), max(s.last, n)}
	}
	return found
}

// at is the fault at the last call of a name of which that holds.
func (t trace) at(name, what string, holds func(call) bool) (f fault, ok bool) {
	count := make(map[string]int)
	for _, c := range t.calls() {
		if c.name != name {
			continue
		}
		count[c.thread]++
		if holds(c) {
			f, ok = fault{name, what, count[c.thread]}, true
		}
	}
	return f, ok
}

// What a call is about, and what of that differs from run to run: times, the
// names of pools, and what is random.
var (
	ending   = regexp.MustCompile(`( <unfinished|\)\s+= ).*$`)
	transfer = regexp.MustCompile(`^p?(read|write)(64)?$`)
	object   = regexp.MustCompile(`<[^>]*>|"[^"]*"`)
	varies   = regexp.MustCompile(`\d{8}T\d{6}\.\d{6}Z|[\w.-]+-\d+-[a-z2-7]{6}|\b[a-z2-7]{12}\b|\.[a-z2-7]{6}b?\b|\d+|\(deleted\)`)
)

// spot is what a call is about, in words that are the same in each run.
func (c call) spot(spool string) string {
	words := object.FindAllString(ending.ReplaceAllString(c.args, ""), -1)
	if transfer.MatchString(c.name) && len(words) > 1 {
		words = words[:1] // not what was read or written
	}
	args := strings.Join(words, " ")
	return c.name + " " + varies.ReplaceAllString(strings.ReplaceAll(args, spool, "SPOOL"), "*")
}

// spots are those of the program's own calls, each with one such call.
func (t trace) spots(spool string) map[string]call {
	found := make(map[string]call)
	_, rest := t.ownStart(spool)
	for _, c := range rest.calls() {
		if s := c.spot(spool); !notFiles.MatchString(c.name) && strings.Contains(s, "SPOOL") {
			found[s] = c
		}
	}
	return found
}

// hits are the calls of the program that the fault befell. A kill befalls the
// last call of a thread that did not return.
func (t trace) hits(f fault, spool string) (list []call) {
	began := make(map[string]call)
	_, rest := t.ownStart(spool)
	for line := range strings.Lines(string(rest)) {
		thread, text, _ := strings.Cut(line, " ")
		if m := callLine.FindStringSubmatch(line); m != nil {
			began[thread] = call{m[1], m[2], m[3]}
		}
		killed := f.what == kill && strings.Contains(text, "+++ killed by SIGKILL")
		if killed || strings.HasSuffix(text, " (INJECTED)\n") {
			if c := began[thread]; c.name == f.call {
				list = append(list, c)
			}
		}
	}
	return list
}

// child reports whether a thread is a child on its way to be a job: it makes
// itself the leader of a process group first.
func (t trace) child(thread string) bool {
	return slices.ContainsFunc(t.calls(), func(c call) bool { return c.thread == thread && c.name == "setpgid" })
}
