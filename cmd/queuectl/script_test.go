//go:build !windows

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"queuectl/spool"
)

// programs are what tests find in their PATH: this test binary under other
// names.
var programs = map[string]func(){"queuectl": main}

func TestMain(m *testing.M) { testscript.Main(m, programs) }

// TestScripts runs queuectl as users do. Each script has a spool of its own,
// which is checked at its end.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup:               setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"q":       q,
			"waitfor": waitFor,
			"json":    jsonValue,
			"sig":     sig,
		},
	})
}

func setup(e *testscript.Env) error {
	dir := filepath.Join(e.WorkDir, "spool")
	e.Setenv("QUEUECTL_SPOOL", dir)
	e.Setenv("HOME", e.WorkDir)
	e.Setenv("XDG_STATE_HOME", "")
	e.Setenv("TZ", "UTC")
	e.Defer(func() {
		if err := sound(dir); err != nil {
			e.T().Fatal(err)
		}
	})
	return nil
}

// patience is how long a script waits for what has to come.
const patience = 20 * time.Second

// sound stops what a script left running, and checks its spool.
func sound(dir string) error {
	s, err := spool.Open(dir, spool.Options{})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // this script made none, or removed it
	}
	if err != nil {
		return err
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pools, err := s.Pools()
	if err != nil {
		return err
	}
	for _, p := range pools {
		if err := errors.Join(s.RequestStop(p.Name, true), s.AwaitPool(ctx, p.Name)); err != nil {
			return err
		}
	}
	rep, err := s.Check(ctx, false)
	if err == nil && !rep.OK() {
		err = fmt.Errorf("the spool is not sound: %+v", rep.Findings)
	}
	return err
}

// q STATUS ARG… runs queuectl, which must end with that status. Its output is
// there for stdout, stderr, cmp and json.
func q(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: q STATUS ARG…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := status(ts, ts.Exec("queuectl", args[1:]...)); got != want {
		ts.Fatalf("status %d, want %d", got, want)
	}
}

func status(ts *testscript.TestScript, err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	ts.Check(err)
	return 0
}

// waitfor REGEXP ARG… runs queuectl until it succeeds and its standard output
// matches. waitfor -file PATH REGEXP waits until the file matches.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: waitfor REGEXP ARG… or waitfor -file PATH REGEXP")
	}
	var re *regexp.Regexp
	there := func() bool {
		return status(ts, ts.Exec("queuectl", args[1:]...)) == 0 && re.MatchString(ts.ReadFile("stdout"))
	}
	pattern := args[0]
	if pattern == "-file" {
		pattern = args[2]
		there = func() bool {
			text, err := os.ReadFile(ts.MkAbs(args[1]))
			return err == nil && re.Match(text)
		}
	}
	re, err := regexp.Compile("(?m)" + pattern)
	ts.Check(err)
	deadline := time.Now().Add(patience)
	for pause := 10 * time.Millisecond; !there(); pause = min(2*pause, 500*time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("never came: %s", strings.Join(args, " "))
		}
		time.Sleep(pause)
	}
}

// json [KEY=VALUE] PATH VALUE demands a value in standard output, which holds
// one JSON object per line; KEY=VALUE chooses the line. In the path a dot goes
// down, a number into an array, and length is the length of one.
func jsonValue(ts *testscript.TestScript, neg bool, args []string) {
	pick := ""
	if len(args) == 3 {
		pick, args = args[0], args[1:]
	}
	if len(args) != 2 {
		ts.Fatalf("usage: json [KEY=VALUE] PATH VALUE")
	}
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		dec := json.NewDecoder(bytes.NewReader([]byte(line)))
		dec.UseNumber()
		var v any
		if err := dec.Decode(&v); err != nil {
			ts.Fatalf("%v in %s", err, line)
		}
		if key, value, found := strings.Cut(pick, "="); found && at(v, key) != value {
			continue
		}
		if got := at(v, args[0]); (got == args[1]) == neg {
			ts.Fatalf("%s is %s", args[0], got)
		}
		return
	}
	ts.Fatalf("no line with %s", pick)
}

// at is what a path leads to, as text.
func at(v any, path string) string {
	for step := range strings.SplitSeq(path, ".") {
		switch t := v.(type) {
		case map[string]any:
			var ok bool
			if v, ok = t[step]; !ok {
				return "(missing)"
			}
		case []any:
			if step == "length" {
				return strconv.Itoa(len(t))
			}
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(t) {
				return "(missing)"
			}
			v = t[i]
		default:
			return "(missing)"
		}
	}
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// sig SIGNAL sends TERM, INT or KILL to what was last started in the
// background.
func sig(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}
	cmds := ts.BackgroundCmds()
	if neg || len(args) != 1 || signals[args[0]] == 0 || len(cmds) == 0 {
		ts.Fatalf("usage: sig TERM|INT|KILL, with a command in the background")
	}
	ts.Check(cmds[len(cmds)-1].Process.Signal(signals[args[0]]))
}
