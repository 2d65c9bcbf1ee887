//go:build !windows

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"queuectl/spool"
)

// background starts this program again in a session of its own, and returns
// when that has become a pool, whose name it prints, or has failed. The new
// process says its name on a pipe; the pipe's end without one is a failure, of
// which the log then tells.
func (o *workerStartOptions) background(cmd *cobra.Command, s *spool.Spool) error {
	log, err := s.WorkerLog()
	if err != nil {
		return err
	}
	defer log.Close()
	before, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	name, state, err := o.spawn(s, log)
	if err != nil {
		return err
	}
	why, failed := strings.CutPrefix(name, notReady)
	if name != "" && !failed {
		if _, err := fmt.Fprintln(o.Out, name); err != nil { // to try again would start another one
			return fmt.Errorf("pool %s works in the background, but that cannot be written: %w", name, err)
		}
		return nil
	}
	said := make([]byte, 4096)
	n, _ := log.ReadAt(said, before)
	switch text := strings.TrimSpace(string(said[:n])); {
	case text != "":
		fmt.Fprintln(o.Err, escapeLines(text))
		o.say(cmd, "the worker did not start (%v); its messages are in %s", state, log.Name())
	case failed: // there is no room for its messages
		o.say(cmd, "the worker did not start: %s", why)
	default:
		o.say(cmd, "the worker did not start (%v), and has said nothing", state)
	}
	if code := exitCode(state.ExitCode()); code > exitDone && code <= exitUnusable {
		return told(code)
	}
	return told(exitFailed)
}

// notReady begins what a worker says, in the place of its name, that cannot start.
const notReady = "!"

// spawn starts the worker and waits for its name, or for its end.
func (o *workerStartOptions) spawn(s *spool.Spool, log *os.File) (name string, state *os.ProcessState, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", nil, err
	}
	defer r.Close()
	self, argv0, err := o.Self()
	if err != nil {
		w.Close()
		return "", nil, err
	}
	c := exec.Command(self, o.again(s)...)
	c.Args[0] = argv0
	c.Stdout, c.Stderr = log, log
	c.ExtraFiles = []*os.File{w} // its descriptor 3
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = c.Start()
	w.Close()
	if err != nil {
		return "", nil, err
	}
	said, err := io.ReadAll(io.LimitReader(r, 4096))
	if err != nil {
		return "", nil, err
	}
	if name = strings.TrimSpace(string(said)); name != "" && !strings.HasPrefix(name, notReady) {
		return name, nil, c.Process.Release()
	}
	_ = c.Wait() // how it ended says the state
	return name, c.ProcessState, nil
}

// again is the command line of the worker in the background.
func (o *workerStartOptions) again(s *spool.Spool) []string {
	args := []string{
		"worker", "start", "--spool", s.Dir(), "--ready-fd", "3",
		"--count", strconv.Itoa(o.count), "--grace", time.Duration(o.grace).String(),
	}
	if o.drain {
		args = append(args, "--drain")
	}
	return args
}

// sayReady tells the process that started this one in the background, which
// need not be there any more, this pool's name, or why it cannot start.
func (o *workerStartOptions) sayReady(name string) {
	if o.ready == 0 {
		return
	}
	f := os.NewFile(uintptr(o.ready), "ready")
	fmt.Fprintln(f, name)
	f.Close()
}

// A workerLog is the messages of a worker in the background. It begins with what
// the worker has for standard error, and is opened anew from time to time: a long
// log is put aside, by this worker or another one.
type workerLog struct {
	mu     sync.Mutex
	s      *spool.Spool
	w      io.Writer
	f      *os.File // what w is once it was opened anew
	now    func() time.Time
	opened time.Time
	stand  func(*os.File)
}

// reopenEvery is how often it is opened anew, if there are messages.
const reopenEvery = time.Second

func newWorkerLog(e *env, s *spool.Spool) *workerLog {
	return &workerLog{s: s, w: e.Err, now: e.Now, opened: e.Now(), stand: e.Stand}
}

func (l *workerLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.now(); l.s != nil && now.Sub(l.opened) >= reopenEvery {
		l.opened = now
		if f, err := l.s.WorkerLog(); err == nil {
			if l.f != nil {
				_ = l.f.Close()
			}
			l.w, l.f = f, f
			if l.stand != nil {
				l.stand(f)
			}
		}
	}
	return l.w.Write(b)
}

// stay has it not be opened anew any more: the spool is about to be closed.
func (l *workerLog) stay() {
	l.mu.Lock()
	l.s = nil
	l.mu.Unlock()
}

func escapeLines(s string) string {
	l := strings.Split(s, "\n")
	for i := range l {
		l[i] = escape(l[i])
	}
	return strings.Join(l, "\n")
}
