//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A planted is a spool in which something lies where queuectl looks for a file
// or a directory of its own, and a file outside, the victim, that is none of
// its business.
type planted struct {
	*testing.T
	dir, spool, victim string
}

const victimText = `{"id":"victim","command":"echo victim has run","history":[` + "\n" +
	`{"event":"enqueued","at":"2026-11-23T18:00:00.123456Z","life":"k3x9qa7m2c5d","to":"pending/20261123T180000.123456Z-5-victim.json"}` + "\n]}\n"

// template makes a spool with a job in each state at rest. Its names are those
// of the states.
func template(t *testing.T) string {
	p := &planted{T: t, dir: t.TempDir()}
	p.spool = filepath.Join(p.dir, "spool")
	p.run("enqueue", "--id", "completed", "--", "echo", "hello")
	p.run("config", "set", "sync", "off")
	p.run("enqueue", "--id", "dead", "--max-retries", "0", "--", "false")
	p.run("worker", "start", "--drain")
	for _, st := range []string{"pending", "failed", "held"} {
		p.run("enqueue", "--id", st, "--delay", "1h", "--", "true")
		if st != "pending" {
			p.must(os.Rename(p.path("pending/*-"+st+".json"), filepath.Join(p.spool, st, filepath.Base(p.path("pending/*-"+st+".json")))))
		}
	}
	return p.spool
}

func (p *planted) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

// path is the one file that a pattern means, or what it would be.
func (p *planted) path(pattern string) string {
	full := filepath.Join(p.spool, pattern)
	if m, _ := filepath.Glob(full); len(m) == 1 {
		return m[0]
	}
	return full
}

// run runs queuectl to its end, whatever its status, and returns what it
// printed. It must not hang.
func (p *planted) run(args ...string) string {
	p.Helper()
	return p.runUntil(context.Background(), args...)
}

func (p *planted) runUntil(ctx context.Context, args ...string) string {
	p.Helper()
	var out output
	e := system()
	e.In, e.Out, e.Err = strings.NewReader(`{"command":"true"}`), &out, &out
	e.OutTerminal, e.ErrTerminal = false, false
	e.Signals = func() (<-chan os.Signal, func()) { return nil, func() {} }
	done := make(chan exitCode, 1)
	go func() { done <- run(ctx, e, append([]string{"--spool", p.spool}, args...)) }()
	select {
	case <-done:
	case <-time.After(patience):
		p.Fatalf("queuectl %s hangs; it said\n%s", strings.Join(args, " "), out.String())
	}
	return out.String()
}

// output is what several goroutines print.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.b.Len() > 1<<20 { // a device that never ends
		return 0, errors.New("it prints without end")
	}
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// work has a worker do what there is to do: until a job that is enqueued now
// has ended, or the worker has. Where the job cannot, it has a moment: what is
// shown is what does not happen.
func (p *planted) work() string {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	p.run("enqueue", "--id", "probe", "--", "true")
	ended := make(chan string, 1)
	go func() { ended <- p.runUntil(ctx, "worker", "start", "--grace", "0s") }()
	for deadline := time.Now().Add(aMoment); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if s := p.run("show", "probe"); strings.Contains(s, "completed") || len(ended) > 0 {
			break
		}
	}
	stop()
	return <-ended
}

const aMoment = 200 * time.Millisecond

// kinds plant something at a path whose place is free.
var kinds = map[string]func(p *planted, path string) error{
	"symbolic link": func(p *planted, path string) error { return os.Symlink(p.victim, path) },
	"link to a directory": func(p *planted, path string) error {
		return os.Symlink(p.dir+"/elsewhere", path)
	},
	"FIFO": func(_ *planted, path string) error { return unix.Mkfifo(path, 0o600) },
	"device": func(_ *planted, path string) error {
		return unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5)))
	},
	"hard link": func(p *planted, path string) error { return os.Link(p.victim, path) },
	"directory": func(_ *planted, path string) error { return os.Mkdir(path, 0o700) },
	"socket": func(p *planted, path string) error {
		// A socket's path must be short.
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: p.dir + "/s", Net: "unix"})
		if err != nil {
			return err
		}
		l.SetUnlinkOnClose(false)
		return firstOf(l.Close(), os.Rename(p.dir+"/s", path))
	},
}

// places are what is opened by somebody some time.
var places = []string{
	"format", "config.json", "paused",
	"pending/drop.json", "pending/20261123T180000.123456Z-5-canonical.json", "pending/*-pending.json",
	"processing/20261123T180000.123456Z-5-run@host-1-abcdef.1.json", "processing/20261123T180000.123456Z-5-run.json",
	"failed/*-failed.json", "completed/*-completed.json", "dead/*-dead.json", "held/*-held.json", "dead/20261123T180000.123456Z-5-x~abcdef.json",
	"ids/*/completed.json", "ids/*/pending.json", "ids/2a/probe.json", "logs/*/completed.log", "logs/2a/probe.log",
	"tmp/config.lock", "tmp/prune.lock", "tmp/abcdefghijkl", "tmp/abcdefghijkl.go", "tmp/plain.json",
	"workers/host-1-abcdef.json", "workers/host-1-abcdef.problems", "control/completed.cancel", "control/pending.cancel", "control/host-1-abcdef.stop",
	"ids/2a", "logs/2a", "pending/1", "dead/1",
}

// topDirs are places, too.
var topDirs = []string{"pending", "processing", "failed", "completed", "dead", "held", "ids", "logs", "tmp", "workers", "control"}

// meetings are the commands that may meet with it.
var meetings = []string{
	"status", "status --json", "list", "list --json", "dlq list", "worker list", "config list", "config get sync", "check", "check --json",
	"show ID", "logs ID", "logs -f completed", "cancel ID", "retry ID", "dlq retry ID", "WORK", "recover", "recover --force ID",
	"enqueue --id ID -- true", "enqueue -", "config set max_retries 4", "config unset max_retries", "pause", "resume",
	"worker stop", "check --repair", "WORK", "delete ID", "dlq delete --all", "config set keep_completed 1s", "WORK",
}

// TestPlanted puts each kind of thing in each place, and has every command meet
// with it: none hangs, reads or writes what is outside, or runs it.
func TestPlanted(t *testing.T) {
	from := template(t)
	names := slices.Sorted(maps.Keys(kinds))
	for i, place := range slices.Concat(places, topDirs) {
		for j, kind := range names {
			if !long() && (i+j)%7 != 0 {
				continue // all pairs take minutes
			}
			t.Run(place+"/"+kind, func(t *testing.T) {
				t.Parallel()
				p := &planted{T: t, dir: t.TempDir()}
				p.spool, p.victim = p.dir+"/spool", p.dir+"/victim"
				p.must(exec.Command("cp", "-a", from, p.spool).Run())
				p.must(os.WriteFile(p.victim, []byte(victimText), 0o600))
				p.must(os.MkdirAll(p.dir+"/elsewhere/2a", 0o700))
				if os.Geteuid() == 0 {
					p.must(os.Chown(p.victim, another, another))
				}
				at := p.path(place)
				p.must(firstOf(os.MkdirAll(filepath.Dir(at), 0o700), os.RemoveAll(at)))
				if err := kinds[kind](p, at); err != nil {
					t.Skipf("cannot be planted here: %v", err)
				}
				watch := p.watchVictim()
				p.meet(place, idAt(at))
				if seen := watch(); seen != "" {
					t.Errorf("the victim was %s", seen)
				}
				if b, err := os.ReadFile(p.victim); err != nil || string(b) != victimText {
					t.Errorf("the victim holds %q, %v", b, err)
				}
				p.nothingElsewhere()
			})
		}
	}
}

// idAt is the id of the job that a name in the spool may be about.
func idAt(at string) string {
	base := strings.TrimSuffix(filepath.Base(at), filepath.Ext(at))
	base, _, _ = strings.Cut(base, "@")
	return base[strings.LastIndex(base, "-")+1:]
}

func (p *planted) meet(place, id string) {
	p.Helper()
	for _, c := range meetings {
		out := ""
		if c == "WORK" {
			if !long() && slices.Contains(topDirs, place) {
				continue // a worker that cannot settle insists for 10 seconds
			}
			out = p.work()
		} else {
			out = p.run(strings.Fields(strings.ReplaceAll(c, "ID", id))...)
		}
		if strings.Contains(out, "panic") || strings.Contains(out, "without end") || strings.Contains(out, "victim has run") {
			p.Errorf("%s says %s", c, out)
		}
	}
}

// watchVictim tells afterwards whether somebody has read or written the victim.
func (p *planted) watchVictim() func() string {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	p.must(err)
	p.Cleanup(func() { _ = unix.Close(fd) })
	_, err = unix.InotifyAddWatch(fd, p.victim, unix.IN_ACCESS|unix.IN_MODIFY)
	p.must(err)
	return func() string {
		n, _ := unix.Read(fd, make([]byte, 4096))
		if n > 0 {
			return fmt.Sprintf("read or written (%d bytes of events)", n)
		}
		return ""
	}
}

// nothingElsewhere: no path has left the spool.
func (p *planted) nothingElsewhere() {
	p.Helper()
	p.must(filepath.WalkDir(p.dir+"/elsewhere", func(path string, d os.DirEntry, err error) error {
		if !d.IsDir() {
			p.Errorf("there is %s now", path)
		}
		return err
	}))
}
