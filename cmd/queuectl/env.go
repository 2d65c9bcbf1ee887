//go:build !windows

package main

import (
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"
)

// An env is all that a command touches of the world outside the spool.
type env struct {
	In       io.Reader
	Out, Err io.Writer

	OutTerminal, ErrTerminal bool
	// Width is that of the terminal, 0 where output goes elsewhere.
	Width func() int

	Getenv func(string) string
	Getwd  func() (string, error)
	Now    func() time.Time
	// Self is this program and the name that it was called by.
	Self func() (path, name string, err error)
	// Signals delivers what asks a worker to stop, until done is called.
	Signals func() (signals <-chan os.Signal, done func())
	// Stand has f be the process's standard output and error; nil does nothing.
	Stand func(f *os.File)
}

// system is the real world.
func system() *env {
	return &env{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		OutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		ErrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		Width: func() int {
			w, _, err := term.GetSize(int(os.Stdout.Fd()))
			if err != nil {
				return 0
			}
			return w
		},
		Getenv: os.Getenv,
		Getwd:  os.Getwd,
		Now:    time.Now,
		Self: func() (string, string, error) {
			path, err := os.Executable()
			return path, os.Args[0], err
		},
		Signals: stopSignals,
		Stand: func(f *os.File) { // or they keep what was put aside
			_ = dup(int(f.Fd()), 1)
			_ = dup(int(f.Fd()), 2)
		},
	}
}

func stopSignals() (<-chan os.Signal, func()) {
	c := make(chan os.Signal, 8)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		signal.Notify(c, syscall.SIGHUP)
	}
	// Messages that nobody reads any more are lost, and end nothing. To ignore the
	// signal would have jobs ignore it, too.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return c, func() { signal.Stop(c) }
}

// colour reports whether what goes to a terminal may be coloured.
func (e *env) colour(terminal bool) bool {
	return terminal && e.Getenv("NO_COLOR") == "" && e.Getenv("TERM") != "dumb"
}

// watched is standard output, and remembers that a write to it failed: a
// result that nobody got is no success.
type watched struct {
	w   io.Writer
	err error
}

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	if w.err == nil {
		w.err = err
	}
	return n, err
}
