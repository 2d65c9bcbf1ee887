//go:build !windows

package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// poolSlots is how many jobs a pool runs at a time: so many that a kill always
// catches some, and few enough for two cores.
const poolSlots = 4

// A pool is a running "queuectl worker start".
type pool struct {
	cmd  *exec.Cmd
	name string
	done chan struct{}
}

// queuectl is a command on the spool.
func (t *Torture) queuectl(args ...string) *exec.Cmd {
	c := t.self.command(context.Background(), append([]string{"--spool", filepath.Join(t.dir, spoolDir)}, args...)...)
	c.Dir = t.dir
	return c
}

// startPool starts a pool, and returns when it is one.
func (t *Torture) startPool() (*pool, error) {
	log, err := os.OpenFile(filepath.Join(t.dir, "pools.log"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	// The grace is short, so that a stop also has to end jobs.
	p := &pool{done: make(chan struct{}), cmd: t.queuectl("worker", "start", "--count", strconv.Itoa(poolSlots),
		"--grace", "300ms", "--ready-fd", "3")}
	p.cmd.Stderr, p.cmd.ExtraFiles = log, []*os.File{w}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us
	if err := errors.Join(p.cmd.Start(), w.Close()); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // most are killed
		close(p.done)
	}()
	said, err := io.ReadAll(r)
	if p.name = strings.TrimSpace(string(said)); p.name == "" {
		<-p.done
		return nil, fmt.Errorf("a pool did not start (%v, %v); see %s", p.cmd.ProcessState, err, log.Name())
	}
	t.l.note(p.name, "pool %s has joined", p.name)
	return p, nil
}

func (p *pool) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) } // it may have ended

// kill ends the pool as kill -9 does, and writes it down.
func (p *pool) kill(l *ledger) {
	l.died(p.name, time.Now())
	p.signal(syscall.SIGKILL)
	<-p.done
}

// stop ends the pool as a service manager does.
func (p *pool) stop() {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		p.signal(syscall.SIGKILL)
		<-p.done
	}
}

// enqueuer gives orders until ctx ends.
func (t *Torture) enqueuer(ctx context.Context, n int) {
	plan := newPlanner(t.o.Seed, fmt.Sprint("job-", n), uint64(1+n))
	for {
		o := plan.order()
		if !pause(ctx, o.After) {
			return
		}
		for t.backlog() > mostWaiting {
			if !pause(ctx, orderEvery) {
				return
			}
		}
		t.enqueue(o)
	}
}

// mostWaiting bounds the backlog: it shall not take long to come to an end.
const mostWaiting = 100

func (t *Torture) backlog() int {
	names, _ := os.ReadDir(filepath.Join(t.dir, spoolDir, "pending"))
	return len(names)
}

// pause waits, and reports whether it may go on.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// enqueue carries out one order.
func (t *Torture) enqueue(o order) {
	t.l.ask(o.Jobs)
	var both sync.WaitGroup
	if o.Twin {
		t.l.count(didTwice)
		both.Go(func() { t.enqueueOnce(o, 0) })
	}
	t.enqueueOnce(o, o.Kill)
	both.Wait()
	if o.Twin && o.Kill == 0 && !t.l.acknowledged(o.Jobs[0].ID) {
		t.l.fault(o.Jobs[0].ID, "two enqueued it at once, and neither was acknowledged")
	}
}

func (t *Torture) enqueueOnce(o order, after time.Duration) {
	var in, out, msg bytes.Buffer
	for _, j := range o.Jobs {
		in.Write(t.encode(j))
	}
	c := t.queuectl("enqueue", "-")
	if len(o.Jobs) == 1 {
		c = t.queuectl("enqueue", in.String())
	}
	c.Stdin, c.Stdout, c.Stderr = &in, &out, &msg
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.l.fault(o.Jobs[0].ID, "enqueue does not start: %v", err)
		return
	}
	if after > 0 {
		killer := time.AfterFunc(after, func() { _ = c.Process.Kill() })
		defer killer.Stop()
	}
	err := c.Wait()
	killed := c.ProcessState.ExitCode() < 0
	switch {
	case err == nil:
		t.l.acknowledge(o.Jobs, "enqueued, acknowledged")
	case killed:
		t.l.count(didKillEnqueuer)
		t.l.note(o.Jobs[0].ID, "its enqueuer is killed")
	case o.Twin && c.ProcessState.ExitCode() == exitTaken:
		t.l.note(o.Jobs[0].ID, "enqueue: taken")
	default:
		t.l.fault(o.Jobs[0].ID, "enqueue: %v: %s", err, strings.TrimSpace(msg.String()))
	}
}

// exitTaken is the status of "queuectl enqueue" for an id that is taken.
const exitTaken = 4

// encode is the job as queuectl takes it, on a line.
func (t *Torture) encode(j planned) []byte {
	text, err := json.Marshal(j.Task)
	if err != nil {
		panic(err) // numbers and truths
	}
	argv := []string{ownPath(t.dir), "torture", "--as", roleJob, string(text)}
	job := map[string]any{"id": j.ID, "priority": j.Priority}
	line := quote(argv)
	switch j.Shell {
	case 1:
		job["command"] = "exec " + line
	case 2:
		if !j.Task.Clings { // its parent would be the shell
			job["command"] = line + " || exit $?"
			break
		}
		fallthrough
	default:
		job["argv"] = argv
	}
	if j.Due != 0 {
		job["run_at"] = time.Now().Add(j.Due).Format(time.RFC3339Nano)
	}
	if j.MaxRetries >= 0 {
		job["max_retries"] = j.MaxRetries
	}
	if j.Timeout > 0 {
		job["timeout"] = j.Timeout.String()
	}
	if text, err = json.Marshal(job); err != nil {
		panic(err) // texts and numbers
	}
	return append(text, '\n')
}

// quote makes a line for a shell.
func quote(argv []string) string {
	var b strings.Builder
	for _, a := range argv {
		b.WriteString("'" + strings.ReplaceAll(a, "'", `'\''`) + "' ")
	}
	return b.String()
}
