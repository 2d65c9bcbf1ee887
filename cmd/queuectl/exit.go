//go:build !windows

package main

import (
	"errors"
	"fmt"
	"strings"

	"queuectl/spool"
)

// An exitCode is the status with which queuectl ends. Scripts depend on them.
type exitCode int

const (
	exitDone     exitCode = 0
	exitFailed   exitCode = 1 // it failed, or what it needs is busy
	exitUsage    exitCode = 2 // wrong usage, or a job that is refused
	exitNotFound exitCode = 3 // no such job
	exitTaken    exitCode = 4 // the id is taken
	exitUnusable exitCode = 5 // the spool cannot be used

	exitInterrupted exitCode = 130 // a signal ended it: 128 and SIGINT, as shells count
)

// errUsage is what every wrong use of the command line is.
var errUsage = errors.New("wrong usage")

// A usageError says what is wrong, and how it is done right.
type usageError struct{ msg, hint string }

func (e *usageError) Error() string {
	if e.hint == "" {
		return e.msg
	}
	return e.msg + "; " + e.hint
}

func (e *usageError) Is(target error) bool { return target == errUsage }

func usagef(hint, format string, a ...any) error {
	return &usageError{msg: fmt.Sprintf(format, a...), hint: hint}
}

// told is the error of a command that has already said what went wrong, and
// only ends with a status.
type told exitCode

func (told) Error() string { return "failed" }

// codeOf is the status for an error.
func codeOf(err error) exitCode {
	var t told
	var conf *spool.ConfigError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &t):
		return exitCode(t)
	case errors.Is(err, spool.ErrUnusable):
		return exitUnusable
	case errors.Is(err, errUsage), errors.Is(err, spool.ErrInvalid), errors.As(err, &conf):
		return exitUsage
	case errors.Is(err, spool.ErrTaken):
		return exitTaken
	case errors.Is(err, spool.ErrNotFound):
		return exitNotFound
	}
	return exitFailed
}

// hintFor is what a user can do about an error.
func hintFor(err error) string {
	switch {
	case errors.Is(err, spool.ErrUnusable), errors.Is(err, errUsage):
		return "" // they bring their own
	case errors.Is(err, spool.ErrTaken):
		return "choose another or delete it"
	case errors.Is(err, spool.ErrNotFound):
		return `"queuectl list" shows the jobs that there are`
	case errors.Is(err, spool.ErrAmbiguous):
		return "give more of it"
	case errors.Is(err, spool.ErrBusy):
		return "try again"
	}
	return ""
}

// story is an error with its hint, in one line that is safe on a terminal.
func story(err error) string {
	s := err.Error()
	if h := hintFor(err); h != "" {
		s += "; " + h
	}
	return oneLine(s)
}

// oneLine is the text of an error, which has lines where errors.Join made it, as
// one line that is safe on a terminal.
func oneLine(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = escape(lines[i])
	}
	return strings.Join(lines, "; ")
}
