package runner

import (
	"fmt"
	"os"
	"sync"
	"time"

	"queuectl/spool"
)

// jobLog is the log of an attempt. It is made when something is written: a
// command writes to the file by itself, so for a command it is opened before.
type jobLog struct {
	c    *spool.Claim
	mu   sync.Mutex // of handlers that write from several goroutines
	f    *os.File
	done bool
	keep bool // although empty: somebody may still write to it
}

// open opens the log, and writes a line that separates this attempt from what
// was written before.
func (l *jobLog) open() (*os.File, error) {
	if l.f != nil {
		return l.f, nil
	}
	f, err := l.c.OpenLog()
	if err != nil {
		return nil, err
	}
	if l.c.Attempt > 1 || size(f) > 0 {
		fmt.Fprintf(f, "%s--- attempt %d, %s\n", l.lineEnd(), l.c.Attempt, time.Now().UTC().Format(time.RFC3339))
	}
	l.f = f
	return f, nil
}

// Write is for handlers.
func (l *jobLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return 0, os.ErrClosed
	}
	f, err := l.open()
	if err != nil {
		return 0, err
	}
	return f.Write(b)
}

// end writes how the attempt ended, unless it succeeded, and removes a log
// into which nothing was written. What cannot be logged does not keep a job
// from being settled; the error says what there is no room for.
func (l *jobLog) end(e *ending) (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done = true
	if e.reason != "" {
		var f *os.File
		if f, err = l.open(); err == nil {
			_, err = fmt.Fprintf(f, "%s%squeuectl: attempt %d %s\n", l.lineEnd(), e.detail, l.c.Attempt, e.logLine())
		}
	}
	if l.f == nil {
		return err
	}
	empty := size(l.f) == 0 && !l.keep
	_ = l.f.Close()
	if empty {
		l.c.DropEmptyLog()
	}
	return err
}

// lineEnd is what ends a line that a job has left open.
func (l *jobLog) lineEnd() string {
	if l.c.LogEndsInLine() {
		return "\n"
	}
	return ""
}

func (e *ending) logLine() string {
	switch {
	case e.interrupted:
		return "interrupted: " + e.reason
	case e.outcome == spool.FailedOutcome:
		return "failed: " + e.reason
	}
	return e.reason
}

func size(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil {
		return -1
	}
	return info.Size()
}
