//go:build !windows

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A bench is one spool and the programs that work on it, seen from outside: by
// what queuectl prints, by what lies in the directories, and by the effects of
// jobs. What a job does it notes in the file effects, a line each time.
type bench struct {
	*testing.T
	dir   string // for everything
	spool string

	mu    sync.Mutex
	pools []*pool
}

// long runs the forms of tests that take minutes.
func long() bool { return os.Getenv("QUEUECTL_LONG") != "" }

func newBench(t *testing.T) *bench {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, dir: dir, spool: filepath.Join(dir, "spool")}
	t.Cleanup(b.end)
	return b
}

// parallelBench is a bench of a test that may run beside others.
func parallelBench(t *testing.T) *bench {
	t.Helper()
	t.Parallel()
	return newBench(t)
}

// end stops all that was started here and checks the spool.
func (b *bench) end() {
	b.Helper()
	for _, p := range b.pools {
		p.stop()
	}
	b.killJobs()
	if _, err := os.Stat(filepath.Join(b.spool, "format")); err != nil {
		return // this test made none
	}
	b.till("all that killed pools left behind is recovered", func() bool {
		_, stderr := b.run(exitDone, "recover")
		return !strings.Contains(stderr, "waits")
	})
	if out, stderr, status := b.try("check"); status != exitDone {
		b.Errorf("check: status %d\n%s%s", status, out, stderr)
	}
}

// killJobs ends the processes that jobs of this spool have left behind: those
// in whose environment a pool has put its path.
func (b *bench) killJobs() {
	b.till("the processes of jobs have ended", func() bool {
		pids := b.leftovers()
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		return len(pids) == 0
	})
}

func (b *bench) leftovers() (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		env, _ := os.ReadFile("/proc/" + e.Name() + "/environ")
		if bytes.Contains(env, []byte("\x00QUEUECTL_SPOOL="+b.spool+"\x00")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// till waits until a condition holds.
func (b *bench) till(what string, holds func() bool) {
	b.Helper()
	if !b.within(patience, holds) {
		b.Fatalf("never came: %s\n%s", what, b.scene())
	}
}

// within reports whether a condition comes to hold in time.
func (b *bench) within(limit time.Duration, holds func() bool) bool {
	deadline := time.Now().Add(limit)
	for !holds() {
		if time.Now().After(deadline) {
			return holds()
		}
		time.Sleep(2 * time.Millisecond)
	}
	return true
}

// scene is what lies in the spool, for messages.
func (b *bench) scene() string {
	out, _ := exec.Command("ls", "-lRi", b.spool).CombinedOutput()
	s := "effects:\n" + shortened(b.read("effects")) + shortened(string(out))
	for i, p := range b.pools {
		s += fmt.Sprintf("\npool %d:\n%s", i, p.messages())
	}
	return s
}

// shortened cuts what is too long for a message.
func shortened(s string) string {
	const most = 100 << 10
	if len(s) <= most {
		return s
	}
	return s[:most] + fmt.Sprintf("\n… and %d bytes more\n", len(s)-most)
}

// try runs queuectl.
func (b *bench) try(args ...string) (stdout, stderr string, status exitCode) {
	b.Helper()
	return b.tryWith("", args...)
}

func (b *bench) tryWith(stdin string, args ...string) (stdout, stderr string, status exitCode) {
	b.Helper()
	limit := 3 * patience
	if long() {
		limit *= 10 // it may have hundreds of thousands of jobs to check
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "queuectl", append([]string{"--spool", b.spool}, args...)...)
	var out, msg bytes.Buffer
	cmd.Env = append(os.Environ(), "D="+b.dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &msg
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.Fatalf("queuectl %q: %v", args, err)
	}
	return out.String(), msg.String(), exitCode(cmd.ProcessState.ExitCode())
}

// run runs queuectl, which must end with that status.
func (b *bench) run(want exitCode, args ...string) (stdout, stderr string) {
	b.Helper()
	stdout, stderr, got := b.try(args...)
	if got != want {
		b.Fatalf("queuectl %q: status %d, want %d\n%s%s\n%s", args, got, want, stdout, stderr, b.scene())
	}
	return stdout, stderr
}

// q is run of what must succeed.
func (b *bench) q(args ...string) string {
	b.Helper()
	out, _ := b.run(exitDone, args...)
	return strings.TrimSpace(out)
}

// sh runs a shell script in the spool, as a person would.
func (b *bench) sh(script string) string {
	b.Helper()
	cmd := exec.Command("sh", "-euc", script)
	cmd.Dir = b.spool
	cmd.Env = append(os.Environ(), "D="+b.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("%s: %v\n%s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// A job is what tests enqueue; commands find the bench's directory in $D.
type job map[string]any

func (b *bench) encode(j job) string {
	b.Helper()
	env := map[string]string{"D": b.dir}
	full := job{"env": env}
	for k, v := range j {
		full[k] = v
	}
	text, err := json.Marshal(full)
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}

func (b *bench) enqueue(j job) string {
	b.Helper()
	return b.q("enqueue", b.encode(j))
}

// note is a command that leaves a line in effects.
func note(line string) string { return "echo " + line + ` >>"$D/effects"` }

// held is a command that leaves the line "begin" in effects, goes on until a
// file go is there, and leaves the line "end"; with the attempt's number and,
// at the end, the time. From the second attempt on it does not wait.
const held = `echo "begin $QUEUECTL_ATTEMPT $$ $(date +%s%N)" >>"$D/effects"
[ "$QUEUECTL_ATTEMPT" != 1 ] || until [ -e "$D/go" ]; do sleep 0.01; done
echo "end $QUEUECTL_ATTEMPT $$ $(date +%s%N)" >>"$D/effects"`

// path is a path beside the spool.
func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) read(name string) string {
	text, _ := os.ReadFile(b.path(name))
	return string(text)
}

func (b *bench) write(name, text string) string {
	b.Helper()
	if err := os.WriteFile(b.path(name), []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	return b.path(name)
}

// effects are the lines that jobs have left.
func (b *bench) effects() []string { return strings.Fields(b.read("effects")) }

// lines are the lines in effects that begin with a word, each as its words.
func (b *bench) lines(word string) (found [][]string) {
	for line := range strings.Lines(b.read("effects")) {
		if w := strings.Fields(line); len(w) > 0 && w[0] == word {
			found = append(found, w)
		}
	}
	return found
}

// begun waits for the n-th begin of a held job and returns its pid.
func (b *bench) begun(n int) int {
	b.Helper()
	b.till(fmt.Sprintf("begin number %d", n), func() bool { return len(b.lines("begin")) >= n })
	pid, err := strconv.Atoi(b.lines("begin")[n-1][2])
	if err != nil {
		b.Fatal(err)
	}
	return pid
}

// when is the time that a held job has left.
func (b *bench) when(words []string) time.Time {
	b.Helper()
	ns, err := strconv.ParseInt(words[len(words)-1], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Unix(0, ns)
}

// find returns the path of a job's file in the spool, and "" for none.
func (b *bench) find(id string) string {
	for range 2 { // one listing can miss a name
		for _, pattern := range []string{"-" + id + ".json", "-" + id + "@*.json"} {
			found, _ := filepath.Glob(b.spool + "/[pcfdh]*/*-[0-9]" + pattern)
			if len(found) == 0 { // where a directory is full, in one below it
				found, _ = filepath.Glob(b.spool + "/[pcfdh]*/[0-9]*/*-[0-9]" + pattern)
			}
			if len(found) > 0 {
				rel, err := filepath.Rel(b.spool, found[0])
				if err != nil {
					b.Fatal(err)
				}
				return rel
			}
		}
	}
	return ""
}

// await waits until a job's file is in that state, and returns its path.
func (b *bench) await(id, state string) (path string) {
	b.Helper()
	b.till(id+" is "+state, func() bool {
		path = b.find(id)
		return filepath.Dir(path) == state
	})
	return path
}

// count is how many files a state has.
func (b *bench) count(state string) int {
	entries, _ := os.ReadDir(filepath.Join(b.spool, state))
	return len(entries)
}

// shown is what "show --json" prints, as far as tests look at it.
type shown struct {
	ID, State, File string
	Attempts        int
	Command         string
	LastError       *string `json:"last_error"`
	Refused         bool
	WaitingFor      *struct {
		Reason string
		PID    int
	} `json:"waiting_for"`
	History []struct {
		Event, Outcome, Reason, From, By string
		Attempt, PID                     int
	}
}

func (b *bench) show(id string) (s shown) {
	b.Helper()
	b.decode(b.q("show", "--json", id), &s)
	return s
}

func (b *bench) decode(text string, to any) {
	b.Helper()
	if err := json.Unmarshal([]byte(text), to); err != nil {
		b.Fatalf("%v in %s", err, text)
	}
}

// problem is the entry of status for a job; its reason is "" where there is none.
func (b *bench) problem(id string) (reason string, pid int) {
	b.Helper()
	var s struct {
		Problems []struct {
			ID, Reason string
			PID        int
		}
	}
	b.decode(b.q("status", "--json"), &s)
	for _, p := range s.Problems {
		if p.ID == id {
			return p.Reason, p.PID
		}
	}
	return "", 0
}

// outcomes are those of a job's attempts.
func (b *bench) outcomes(id string) string {
	b.Helper()
	var list []string
	for _, h := range b.show(id).History {
		if h.Attempt > 0 && h.Event == "" {
			list = append(list, h.Outcome)
		}
	}
	return strings.Join(list, " ")
}

// A pool is a running "queuectl worker start".
type pool struct {
	b    *bench
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// start starts a pool and waits until it has joined the spool.
func (b *bench) start(args ...string) *pool {
	b.Helper()
	return b.startAs(nil, append([]string{"queuectl", "--spool", b.spool, "worker", "start"}, args...)...)
}

// startAs starts a pool by a command line of its own.
func (b *bench) startAs(env []string, argv ...string) *pool {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	p := &pool{b: b, cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{})}
	p.log = b.path(fmt.Sprintf("pool%d", len(b.pools)))
	out, err := os.Create(p.log)
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	p.cmd.Env = append(append(os.Environ(), "D="+b.dir), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.pools = append(b.pools, p)
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	b.till("the pool has joined", func() bool { return strings.Contains(p.messages(), ": pool ") })
	return p
}

func (p *pool) pid() int { return p.cmd.Process.Pid }

func (p *pool) messages() string {
	text, _ := os.ReadFile(p.log)
	return string(text)
}

// says waits until the pool has written that.
func (p *pool) says(text string) {
	p.b.Helper()
	p.b.till("the pool says "+text, func() bool { return strings.Contains(p.messages(), text) })
}

// name is the pool's name in the spool.
func (p *pool) name() string {
	_, rest, _ := strings.Cut(p.messages(), ": pool ")
	name, _, _ := strings.Cut(rest, ",")
	return name
}

func (p *pool) signal(sig syscall.Signal) {
	p.b.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.b.Fatal(err)
	}
}

// kill kills the pool alone, as kill -9 does.
func (p *pool) kill() {
	p.b.Helper()
	p.signal(syscall.SIGKILL)
	p.wait()
}

// wait waits for its end.
func (p *pool) wait() {
	p.b.Helper()
	if !p.ends(patience) {
		p.b.Fatalf("the pool does not end\n%s", p.b.scene())
	}
}

func (p *pool) ends(limit time.Duration) bool {
	select {
	case <-p.done:
		return true
	case <-time.After(limit):
		return false
	}
}

// stop ends the pool if it still runs, the hard way when it has to be.
func (p *pool) stop() {
	p.b.Helper()
	for range 2 {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	if !p.ends(patience) {
		p.b.Errorf("the pool does not stop\n%s", p.b.scene())
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// drain runs all that is there.
func (b *bench) drain() {
	b.Helper()
	b.q("worker", "start", "--drain")
}

// need skips a test that needs a program which is not installed.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed", program)
	}
}
