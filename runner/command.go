package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"queuectl/spool"
)

// lockFD is the number under which a command's process has the locked
// description of its job's file. Jobs use low numbers themselves.
const lockFD = 63

// stopComing is how long an attempt that died of a stop signal waits for the
// pool's own: who ends a service signals all its processes, in any order.
const stopComing = 250 * time.Millisecond

// shortLife is how long a process runs before anything but its timeout can end
// it early.
const shortLife = 10 * time.Millisecond

// command runs a command or an argv and waits for its end.
func (a *attempt) command(c *spool.Claim, l *jobLog) ending {
	out, err := l.open()
	if err != nil {
		return ending{unstarted: fmt.Errorf("open the job's log: %w", err)}
	}
	p, err := a.d.p.start(c, out)
	if lacking(err) {
		return ending{unstarted: err}
	}
	if err != nil {
		return failed("%v", err)
	}
	a.begun()
	if err := c.Started(p.proc.Pid); err != nil {
		a.log(slog.LevelWarn, "cannot write down the job's pid", c, "error", err)
	}
	end := a.attend(c, p)
	if end.left {
		return ending{left: true}
	}
	if p.err != nil {
		return failed("cannot wait for the command: %v", p.err)
	}
	l.keep = p.groupLives()
	if ws, ok := p.state.Sys().(syscall.WaitStatus); ok && end.why == byItself && ws.Signaled() && stoppedFromOutside(ws) {
		a.awaitStop()
	}
	return endingOf(p.state, end, closed(a.d.stop.stopping))
}

// attend waits for the end of a process. Many end at once: only for one that
// does not, a goroutine looks for reasons to end it.
func (a *attempt) attend(c *spool.Claim, p *process) earlyEnd {
	began, limit, short := time.Now(), a.timeout(c), shortLife
	if limit > 0 {
		short = min(short, limit)
	}
	over := make(chan earlyEnd, 1)
	guard := time.AfterFunc(short, func() {
		over <- a.await(c, began, limit, p.done,
			func(cause) { p.end(syscall.SIGTERM) },
			func() { p.end(syscall.SIGKILL) })
	})
	p.wait()
	if guard.Stop() {
		return earlyEnd{}
	}
	return <-over
}

// awaitStop gives the stop of the pool a moment to come.
func (a *attempt) awaitStop() {
	select {
	case <-a.d.stop.stopping:
	case <-time.After(stopComing):
	}
}

// A launch is how a job's process is started.
type launch struct {
	program string
	argv    []string
	dir     string
	env     []string
	as      string // the user's name, where it is not our own
	sys     syscall.SysProcAttr
	instead *launch // where this one fails: what the shell makes of it counts
}

// launch is how a job's process is started as our own user.
func (p *Pool) launch(c *spool.Claim) (*launch, error) {
	if c.AsOwner {
		return p.launchAs(c)
	}
	j := &c.Job
	if err := checkDir(j.Cwd); err != nil {
		return nil, err
	}
	l := &launch{
		program: "/bin/sh", argv: shell(j.Command), dir: j.Cwd,
		env: p.environ(p.given(), c), sys: syscall.SysProcAttr{Setpgid: true},
	}
	if len(j.Argv) > 0 {
		l.argv = j.Argv
		var err error
		if l.program, err = lookPath(j.Argv[0], j.Cwd, l.env); err != nil {
			return nil, err
		}
	} else if words := plainWords(j.Command); words != nil && asSh(l.env) {
		if program, err := lookPath(words[0], j.Cwd, l.env); err == nil {
			shell := *l
			l.program, l.argv, l.instead = program, words, &shell
		}
	}
	return l, nil
}

// shell has the shell run a command, which must not look like an option of it.
func shell(command string) []string {
	if command != "" && (command[0] == '-' || command[0] == '+') {
		command = " " + command
	}
	return []string{"sh", "-c", command}
}

// start starts a job's process in a group of its own. Its output goes straight
// to the log, and it inherits the lock of the job's file: while any process
// has that open, the job counts as alive.
func (p *Pool) start(c *spool.Claim, out *os.File) (*process, error) {
	l, err := p.launch(c)
	if err != nil {
		return nil, err
	}
	null, err := p.null()
	if err != nil {
		return nil, err
	}
	files := []*os.File{null, out, out}
	if lock := c.File(); lock != nil {
		files = append(make([]*os.File, 0, lockFD+1), files...)
		files = files[:lockFD+1] // those between are nil: closed
		files[lockFD] = lock
	}
	proc, err := l.start(files)
	if err != nil {
		return nil, err
	}
	lives := func() bool { return c.GroupLives(proc.Pid) }
	return &process{proc: proc, lives: lives, done: make(chan struct{})}, nil
}

func (l *launch) start(files []*os.File) (*os.Process, error) {
	proc, err := os.StartProcess(l.program, l.argv, &os.ProcAttr{Dir: l.dir, Env: l.env, Files: files, Sys: &l.sys})
	switch {
	case err == nil:
		return proc, nil
	case l.instead != nil && !lacking(err):
		return l.instead.start(files)
	}
	return nil, l.failed(err)
}

// failed says in a job's terms why it could not be started.
func (l *launch) failed(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	if l.as != "" { // the one thing that can be wrong with the shell is where it begins
		return fmt.Errorf("cannot start in %s as user %s: %w", l.dir, l.as, err)
	}
	return fmt.Errorf("cannot start %q: %w", l.argv[0], err)
}

// lacking reports errors of a start that are the machine's and not the job's.
// EBADF is what a start says that gets no number for a file at the limit of
// open files.
func lacking(err error) bool {
	for _, e := range []error{syscall.EAGAIN, syscall.EBADF, syscall.EINTR, syscall.EIO, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return spool.FileSystemWide(err)
}

func checkDir(dir string) error {
	if dir == "" {
		return nil
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("cwd %s does not exist", dir)
	case err != nil:
		return fmt.Errorf("cwd %s cannot be used: %w", dir, errors.Unwrap(err))
	case !info.IsDir():
		return fmt.Errorf("cwd %s is not a directory", dir)
	}
	return nil
}

// lookPath finds a program as execvp does, in the PATH that the job will have
// and from the directory in which it will run. Entries of PATH that are not
// absolute are passed over: what is run must not depend on where.
func lookPath(name, cwd string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		at := name
		if !filepath.IsAbs(name) && cwd != "" {
			at = filepath.Join(cwd, name)
		}
		return name, checkProgram(name, at)
	}
	var denied error
	for _, dir := range filepath.SplitList(lookup(env, "PATH")) {
		if !filepath.IsAbs(dir) {
			continue
		}
		at := dir + "/" + name
		info, err := os.Stat(at)
		if err != nil {
			continue
		}
		if err = runnable(name, info); err == nil {
			return at, nil
		}
		denied = err
	}
	if denied != nil {
		return "", denied
	}
	hint := ""
	if strings.ContainsAny(name, " \t\n") {
		hint = " (it is one word: give each word by itself, or have a shell take it apart as a \"command\")"
	}
	return "", fmt.Errorf("command %q not found%s", name, hint)
}

func checkProgram(name, at string) error {
	info, err := os.Stat(at)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("command %q not found", name)
	case err != nil:
		return fmt.Errorf("command %q cannot be used: %w", name, errors.Unwrap(err))
	}
	return runnable(name, info)
}

func runnable(name string, info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return fmt.Errorf("command %q is a directory", name)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("command %q is not executable", name)
	}
	return nil
}
