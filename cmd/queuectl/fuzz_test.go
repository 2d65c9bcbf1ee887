//go:build !windows

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"queuectl/spool"
)

// A fuzzSpool is a spool with a job in each of the states in which one rests,
// on which commands run in this process. Each input has its own.
type fuzzSpool struct {
	*testing.T
	dir string
}

func newFuzzSpool(t *testing.T) *fuzzSpool {
	f := &fuzzSpool{T: t, dir: fuzzDir(t)}
	t.Chdir(f.dir) // what a relative path makes is made here
	s, err := spool.Open(filepath.Join(f.dir, "spool"), spool.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.SetConfig("sync", "off"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"job-A", "job-B"} {
		if _, err := s.EnqueueJSON(context.Background(), []byte(`{"id":"`+id+`","command":"true"}`)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Cancel(context.Background(), "job-B"); err != nil {
		t.Fatal(err)
	}
	return f
}

// fuzzDir is in memory where that can be: an input takes ten times as long on
// a disk.
func fuzzDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "queuectl-fuzz-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// run runs a command as main does.
func (f *fuzzSpool) run(stdin []byte, args ...string) (status exitCode, stdout, stderr string) {
	var out, errs bytes.Buffer
	e := &env{
		In: bytes.NewReader(stdin), Out: &out, Err: &errs,
		Width: func() int { return 80 },
		Getenv: func(k string) string {
			return map[string]string{"QUEUECTL_SPOOL": filepath.Join(f.dir, "spool")}[k]
		},
		Getwd: func() (string, error) { return f.dir, nil },
		Now:   time.Now,
		Self:  func() (string, string, error) { return "/nowhere/queuectl", "queuectl", nil },
	}
	status = run(context.Background(), e, args)
	return status, out.String(), errs.String()
}

// jobs lists the ids that there are.
func (f *fuzzSpool) jobs() []string {
	status, out, errs := f.run(nil, "list")
	if status != exitDone {
		f.Fatalf("list: status %d: %s", status, errs)
	}
	var ids []string
	for i, l := range strings.Split(strings.TrimSpace(out), "\n") {
		if i > 0 {
			ids = append(ids, strings.Fields(l)[0])
		}
	}
	return ids
}

// sound wants a spool in which all is well.
func (f *fuzzSpool) sound() {
	if status, out, errs := f.run(nil, "check"); status != exitDone {
		f.Fatalf("check: status %d\n%s%s", status, out, errs)
	}
}

// FuzzArgs runs any command line: it ends with a documented status, says why
// where it is not 0, in lines that a terminal can take, and leaves the spool
// whole.
func FuzzArgs(f *testing.F) {
	for _, s := range []string{
		"enqueue\n--id\nx\n--\nls\n-l", "enqueue\n{\"command\":\"a\"}", "enqueue\n{\"command\":7}", "enqueue\n-", "enqueue\nls",
		"enqueue\n--delay\n90s\n--env\nA=1\n--priority\n9\n--\nx", "enqueue\n--priority\n10\n--\nx", "enqueue\n-f\nnot-there",
		"list\n--json", "list\n--state\ndead", "list\n--limit\n-1", "show\njob-A", "show\njob-A\n--json", "show\nnone",
		"logs\njob-A", "retry\njob-B", "retry\n--all", "cancel\njob-A", "delete\njob-A\njob-B\nnone", "dlq\nlist", "dlq\nretry\n--all",
		"dlq\ndelete\njob-B", "worker\nlist", "worker\nstop", "worker\nstop\nnone", "pause", "resume", "recover", "recover\n--force\njob-A",
		"status\n--json", "config\nget\nretry_base", "config\nset\nsync\noff", "config\nset\nmax-retries\n-1", "config\nunset\nsync",
		"config\nlist", "check\n--repair", "version", "completion\nbash", "help\nworker\nstart", "", "--help", "--spool\n\nlist",
		"--spool\nelse\nlist", "lst", "enqueue\n--idd\nx", "\x1b[2J", "show\n\x1b]0;x\x07", "__complete\nshow\n", "--spool=\xff\nenqueue\n--\na",
	} {
		f.Add(s, []byte(`{"command":"a"}`))
	}
	f.Fuzz(func(t *testing.T, line string, stdin []byte) {
		args := strings.Split(line, "\n")
		if blocks(args) {
			return
		}
		s := newFuzzSpool(t)
		status, _, errs := s.run(stdin, args...)
		if status < exitDone || status > exitUnusable {
			t.Fatalf("%q: status %d is not documented", args, status)
		}
		if status != exitDone && strings.TrimSpace(errs) == "" {
			t.Fatalf("%q: status %d, and nothing was said", args, status)
		}
		if i := strings.IndexFunc(errs, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }); i >= 0 {
			t.Fatalf("%q: what it says has control characters: %q", args, errs)
		}
		s.sound()
	})
}

// blocks reports whether a command line runs a worker, waits for something, or
// names a path that is not ours.
func blocks(args []string) bool {
	if slices.ContainsFunc(args, func(a string) bool { return strings.ContainsAny(a, "/\x00") || strings.Contains(a, "..") }) {
		return true
	}
	cmd, rest, err := docRoot().Find(args)
	if err != nil {
		return false
	}
	follow := func(a string) bool { return strings.HasPrefix(a, "-") && strings.ContainsAny(a, "fF") }
	return cmd.CommandPath() == "queuectl worker start" || cmd.Name() == "logs" && slices.ContainsFunc(rest, follow)
}

// FuzzInput gives anything to "enqueue -": all of its jobs are made or none,
// and an error says in which line.
func FuzzInput(f *testing.F) {
	for _, s := range []string{
		"{\"command\":\"a\"}\n{\"command\":\"b\",\"id\":\"x\"}\n", "{\"command\":\"a\"}{\"kind\":\"k\",\"args\":[1]}", "{\"id\":\"job-A\",\"command\":\"a\"}",
		"{\"command\":\"a\"}\n{\"command\":7}\n", "{\"id\":\"x\",\"command\":\"a\"}\n{\"id\":\"x\",\"command\":\"b\"}", "\xef\xbb\xbf{\"argv\":[\"a\"]}\r\n",
		"[{\"command\":\"a\"}]", "{\"command\":\"a\"", "", "\x00", "{\"command\":\"\xff\"}", "{\"command\":\"a\",\"history\":[]}", "{\"Command\":\"a\"}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := newFuzzSpool(t)
		before := s.jobs()
		status, out, errs := s.run(data, "enqueue", "-")
		made := slices.DeleteFunc(s.jobs(), func(id string) bool { return slices.Contains(before, id) })
		if status != exitDone {
			if len(made) > 0 || out != "" {
				t.Fatalf("status %d, and %q was made", status, made)
			}
			if !strings.Contains(errs, "line ") && !strings.Contains(errs, "standard input holds no job") {
				t.Fatalf("status %d: %s", status, errs)
			}
			return
		}
		values, _, err := split(data)
		ids := strings.Fields(out)
		if err != nil || len(ids) != len(values) || len(made) != len(ids) {
			t.Fatalf("%d jobs, %v: printed %q, made %q", len(values), err, ids, made)
		}
		s.keeps(ids, values)
		s.sound()
	})
}

// keeps wants the jobs' files to begin with what was given, byte for byte.
func (f *fuzzSpool) keeps(ids []string, values [][]byte) {
	for i, id := range ids {
		paths, _ := filepath.Glob(filepath.Join(f.dir, "spool", "pending", "*-"+id+".json"))
		if len(paths) != 1 {
			f.Fatalf("job %q is at %q", id, paths)
		}
		data, err := os.ReadFile(paths[0])
		given := bytes.TrimRight(bytes.TrimSuffix(values[i], []byte("}")), " \t\r\n")
		if err != nil || !bytes.HasPrefix(data, given) {
			f.Fatalf("job %q was given as %q, and holds %q", id, values[i], data)
		}
	}
}
