//go:build !windows

package torture

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// A task is what the process of a job does. All of it is decided when the job
// is made, also that it is killed: by itself, with SIGKILL. So nobody signals a
// number that may be another process by then.
type task struct {
	Ms     int  `json:"ms,omitempty"`     // how long it works, in milliseconds
	Fails  int  `json:"fails,omitempty"`  // how many of its first attempts fail
	Dies   int  `json:"dies,omitempty"`   // after how many ms its first attempt is killed
	Group  bool `json:"group,omitempty"`  // and what it has started with it
	Clings bool `json:"clings,omitempty"` // it is killed when its pool dies
	Child  bool `json:"child,omitempty"`  // a child does the work
	Deaf   bool `json:"deaf,omitempty"`   // ignores signals
	Daemon int  `json:"daemon,omitempty"` // for how many ms a daemon of it lives
}

// What a process of a job notes in the file marks.
const (
	markBegin  = "begin"
	markDone   = "done"   // its effect
	markFailed = "failed" // as it was told
	markBeside = "beside" // another copy lives
	markGone   = "gone"   // what it left behind has ended
)

// Files in the directory, beside the spool.
const (
	marksFile = "marks" // what jobs did
	aliveDir  = "alive" // a file for each job, locked by what lives of it
	overFile  = "over"  // says that all helpers are to end
	spoolDir  = "spool"
	selfLink  = "bin" // a directory: this program, under its own name
)

// exitBeside is the status of a copy that finds another one alive.
const exitBeside = 70

// A process is one of a job.
type process struct {
	task
	dir     string
	id      string
	attempt int
	key     string // the process group, which the history has too
	parent  int
}

func newProcess(args []string) (*process, error) {
	p := &process{
		dir: filepath.Dir(os.Getenv("QUEUECTL_SPOOL")), id: os.Getenv("QUEUECTL_JOB_ID"),
		key: strconv.Itoa(syscall.Getpgrp()), parent: os.Getppid(),
	}
	if len(args) == 0 {
		return nil, errors.New("no task")
	}
	if len(args) > 1 {
		p.key = args[1]
	}
	var err error
	if p.attempt, err = strconv.Atoi(os.Getenv("QUEUECTL_ATTEMPT")); err != nil {
		return nil, err
	}
	return p, json.Unmarshal([]byte(args[0]), &p.task)
}

// helpJob is the first process of a job. While anything of the job lives its
// file in alive is locked; a copy that finds it so says it.
func helpJob(args []string) error {
	p, err := newProcess(args)
	if err != nil {
		return err
	}
	alive, err := os.OpenFile(filepath.Join(p.dir, aliveDir, p.id), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	got, err := tryLock(alive)
	if err != nil {
		return err
	}
	if !got {
		p.mark(markBeside)
		os.Exit(exitBeside)
	}
	p.mark(markBegin)
	if p.Deaf {
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	}
	if p.Dies > 0 && p.attempt == 1 {
		time.AfterFunc(time.Duration(p.Dies)*time.Millisecond, p.die)
	}
	if p.Daemon > 0 {
		if err := p.again(roleDaemon, &syscall.SysProcAttr{Setsid: true}).Start(); err != nil {
			return err
		}
	}
	if p.Child {
		return p.delegate(alive)
	}
	p.work()
	os.Exit(p.finish())
	return nil
}

// helpChild does the work of a job. It has inherited both locks, so the job
// lives as long as it does.
func helpChild(args []string) error {
	p, err := newProcess(args)
	if err != nil {
		return err
	}
	p.Clings = false
	p.work()
	os.Exit(p.finish())
	return nil
}

// helpDaemon is what a job leaves behind.
func helpDaemon(args []string) error {
	p, err := newProcess(args)
	if err != nil {
		return err
	}
	p.task = task{Ms: p.Daemon}
	p.work()
	p.mark(markGone)
	return nil
}

func (p *process) delegate(alive *os.File) error {
	c := p.again(roleChild, nil)
	c.ExtraFiles = []*os.File{alive}
	if err := c.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = c.Wait() // its status is ours
		close(ended)
	}()
	for {
		select {
		case <-ended:
			os.Exit(max(c.ProcessState.ExitCode(), 0))
		case <-time.After(step):
			p.cling()
		}
	}
}

// again is this program as another process of the same job.
func (p *process) again(role string, attr *syscall.SysProcAttr) *exec.Cmd {
	text, err := json.Marshal(p.task)
	if err != nil {
		panic(err) // numbers and truths
	}
	c := exec.Command(ownPath(p.dir), "torture", "--as", role, string(text), p.key)
	c.SysProcAttr = attr
	return c
}

// step is how often a process looks whether it is to end: often enough that
// what is left behind is gone soon, seldom enough to cost nothing.
const step = 5 * time.Millisecond

func (p *process) work() {
	for end := time.Now().Add(time.Duration(p.Ms) * time.Millisecond); time.Now().Before(end); {
		time.Sleep(min(step, max(time.Until(end), time.Millisecond)))
		p.cling()
		if exists(filepath.Join(p.dir, overFile)) || !exists(p.dir) {
			os.Exit(1)
		}
	}
}

// cling makes the process end with its pool.
func (p *process) cling() {
	if p.Clings && os.Getppid() != p.parent {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
}

func (p *process) die() {
	pid := os.Getpid()
	if p.Group {
		pid = 0 // our group
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

// finish notes the effect and returns the status.
func (p *process) finish() int {
	if p.attempt <= p.Fails {
		p.mark(markFailed)
		return 1
	}
	p.mark(markDone)
	return 0
}

// mark adds a line with one write, so that lines of many processes do not mix.
func (p *process) mark(word string) {
	f, err := os.OpenFile(filepath.Join(p.dir, marksFile), os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = fmt.Fprintf(f, "%s %s %s %d\n", p.id, p.key, word, time.Now().UnixNano())
		err = errors.Join(err, f.Close())
	}
	if err != nil { // a job without its mark must not count as done
		_, _ = io.WriteString(os.Stderr, err.Error()+"\n")
		os.Exit(exitBeside + 1)
	}
}

// ownPath is this program for helpers, under its own name.
func ownPath(dir string) string {
	names, err := os.ReadDir(filepath.Join(dir, selfLink))
	if err != nil || len(names) != 1 {
		return ""
	}
	return filepath.Join(dir, selfLink, names[0].Name())
}
