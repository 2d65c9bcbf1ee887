//go:build !windows

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"queuectl/spool"
)

// A terminal is a user in front of one: what queuectl prints there.
type terminal struct {
	*env
	t        *testing.T
	vars     map[string]string
	out, err bytes.Buffer
}

func newTerminal(t *testing.T) *terminal {
	u := &terminal{t: t, vars: map[string]string{"QUEUECTL_SPOOL": filepath.Join(t.TempDir(), "spool"), "TERM": "xterm"}}
	u.env = &env{
		In: strings.NewReader(""), OutTerminal: true, ErrTerminal: true,
		Width:  func() int { return 60 },
		Getenv: func(k string) string { return u.vars[k] },
		Getwd:  os.Getwd, Now: time.Now,
	}
	t.Cleanup(func() { u.sound() })
	return u
}

// run runs queuectl; what it prints is in out and err.
func (u *terminal) run(want exitCode, args ...string) string {
	u.t.Helper()
	u.out.Reset()
	u.err.Reset()
	u.Out, u.Err = &u.out, &u.err
	if got := run(context.Background(), u.env, args); got != want {
		u.t.Fatalf("queuectl %s ends with %d, want %d: %s", strings.Join(args, " "), got, want, u.err.String())
	}
	return u.out.String()
}

func (u *terminal) sound() {
	if err := sound(u.vars["QUEUECTL_SPOOL"]); err != nil {
		u.t.Error(err)
	}
}

func TestListOnATerminal(t *testing.T) {
	u := newTerminal(t)
	u.run(exitDone, "enqueue", `{"id":"a","command":"echo '\u001b[2J' and a command that is longer than the line"}`)
	out := u.run(exitDone, "list")
	if !strings.HasPrefix(out, "\x1b[1mID\x1b[0m  \x1b[1mSTATE") {
		t.Errorf("the head is not bold: %q", out)
	}
	if want := `a   pending  5    now        0/4       echo '\x1b[2J' and a…` + "\n"; !strings.HasSuffix(out, want) || utf8.RuneCountInString(want) != 61 {
		t.Errorf("got %q, want %q at its end", out, want)
	}
	for _, off := range []string{"NO_COLOR=1", "TERM=dumb"} {
		k, v, _ := strings.Cut(off, "=")
		old := u.vars[k]
		u.vars[k] = v
		if out := u.run(exitDone, "list"); strings.Contains(out, "\x1b") {
			t.Errorf("with %s there is colour: %q", off, out)
		}
		u.vars[k] = old
	}
	u.OutTerminal = false
	if out := u.run(exitDone, "list"); strings.Contains(out, "\x1b") || !strings.Contains(out, "longer than the line") {
		t.Errorf("not on a terminal, got %q", out)
	}
}

// A job may print what steers a terminal. It does not get there.
func TestLogsOnATerminal(t *testing.T) {
	u := newTerminal(t)
	u.run(exitDone, "enqueue", `{"id":"a","command":"true"}`)
	s, err := spool.Open(u.vars["QUEUECTL_SPOOL"], spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const said = "\tone\n\x1b]0;title\x07 gr\xc3\xbcn\xff\n"
	writeLog(t, s.Dir(), "a", said)
	if got, want := u.run(exitDone, "logs", "a"), "\tone\n"+`\x1b]0;title\x07 grün\xff`+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	u.OutTerminal = false
	if got := u.run(exitDone, "logs", "a"); got != said {
		t.Errorf("not on a terminal, got %q, want %q", got, said)
	}
}

// writeLog writes the log of a job where show says that it is.
func writeLog(t *testing.T, dir, id, text string) {
	t.Helper()
	ids, err := filepath.Glob(filepath.Join(dir, "ids", "*", id+".json"))
	if err != nil || len(ids) != 1 {
		t.Fatal(ids, err)
	}
	logs := filepath.Join(dir, "logs", filepath.Base(filepath.Dir(ids[0])))
	if err := os.MkdirAll(logs, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(logs, id+".log"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Errors name what a user typed, and that may be anything.
func TestErrorsAreEscaped(t *testing.T) {
	u := newTerminal(t)
	u.run(exitUsage, "\x1b[31mred")
	u.run(exitDone, "enqueue", "--", "true")
	u.run(exitNotFound, "show", "\x1b[31mred")
	if strings.Contains(u.err.String(), "\x1b") {
		t.Errorf("an escape reached the terminal: %q", u.err.String())
	}
}

// A result that nobody got is no success.
func TestOutputThatCannotBeWritten(t *testing.T) {
	u := newTerminal(t)
	u.run(exitDone, "enqueue", "--id", "a", "--", "true")
	for _, args := range [][]string{
		{},
		{"--help"},
		{"version"},
		{"status"},
		{"list"},
		{"list", "--json"},
		{"show", "a"},
		{"show", "a", "--json"},
		{"config", "list"},
		{"config", "get", "sync"},
		{"check"},
		{"completion", "bash"},
		{"cancel", "a"},
		{"dlq", "list"},
	} {
		u.Out, u.Err = full{}, io.Discard
		if got := run(context.Background(), u.env, args); got != exitFailed {
			t.Errorf("queuectl %s ends with %d, want %d", strings.Join(args, " "), got, exitFailed)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// What cannot be started in the background says so, with what it printed.
func TestDetachThatFails(t *testing.T) {
	u := newTerminal(t)
	u.Self = func() (string, string, error) { return "/bin/sh", "sh", nil }
	u.run(exitUsage, "worker", "start", "--detach")
	if msg := u.err.String(); !strings.Contains(msg, "worker") || !strings.Contains(msg, "its messages are in "+u.vars["QUEUECTL_SPOOL"]+"/workers/worker.log") {
		t.Errorf("got %q", msg)
	}
	u.Self = func() (string, string, error) { return "/no/such/program", "queuectl", nil }
	u.run(exitFailed, "worker", "start", "--detach")
	if !strings.Contains(u.err.String(), "/no/such/program") {
		t.Errorf("got %q", u.err.String())
	}
}
