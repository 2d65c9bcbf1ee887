package spool

import (
	"context"
	"fmt"
	"os"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// wantHint waits for a hint of a path, or one that means anywhere.
func wantHint(t *testing.T, w *Watcher, p string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case h := <-w.Hints():
			if h.Path == p || h.Path == "" {
				return
			}
		case <-deadline:
			t.Fatalf("no hint of %q", p)
		}
	}
}

func newWatch(t *testing.T, b *bench) *Watcher {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("no events are used here")
	}
	w, err := b.Watch(ctx)
	must(t, err)
	t.Cleanup(func() { _ = w.Close() })
	if w.Err() != nil {
		t.Skip(w.Err())
	}
	return w
}

// A setting that is heard of holds for what is heard of later.
func TestConfigIsHeardOf(t *testing.T) {
	b := newBench(t)
	other := b.another()
	w, err := other.Watch(ctx)
	must(t, err)
	defer w.Close()
	if w.Err() != nil || !w.Native() {
		t.Skip(w.Err(), w.Reason())
	}
	other.clk.freeze() // so that it is not looked for by itself
	for want := range 20 {
		if c, _ := other.Config(); want > 0 && c.MaxRetries != want-1 {
			t.Fatalf("in force is %d, want %d", c.MaxRetries, want-1)
		}
		must(t, b.SetConfig("max_retries", strconv.Itoa(want)))
		at := b.enqueue("j" + strconv.Itoa(want))
		wantHint(t, w, at)
		if c, _ := other.Config(); c.MaxRetries != want {
			t.Fatalf("in force is %d, want %d", c.MaxRetries, want)
		}
	}
}

func TestWatch(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	w := newWatch(t, b)
	at := b.enqueue("x")
	wantHint(t, w, at)
	b.settle(b.claim(p, "x"), Result{Outcome: FailedOutcome, RetryAt: b.clk.now()}, Failed)
	wantHint(t, w, b.path("x"))
	b.put("outside.json", `{"command":"true"}`)
	b.mv("outside.json", "pending/moved.json")
	wantHint(t, w, "pending/moved.json")
	b.put("pending/copied.json", `{"command":"true"}`)
	wantHint(t, w, "pending/copied.json")
	b.put("control/x.cancel", "")
	wantHint(t, w, "control/x.cancel")
	must(t, b.Pause())
	wantHint(t, w, "paused")
	must(t, b.Resume())
	wantHint(t, w, "paused")
	must(t, b.SetConfig("max_retries", "4"))
	wantHint(t, w, configFile)
	q := b.pool()
	wantHint(t, w, workerPath(q.Name()))
	must(t, q.Leave())
	wantHint(t, w, workerPath(q.Name()))
	b.rm("control/x.cancel")
}

// Jobs that go are told of only where somebody asks.
func TestWatchTellsGone(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	w := newWatch(t, b)
	x, y := b.enqueue("x"), b.enqueue("y")
	wantHint(t, w, x)
	wantHint(t, w, y)
	for _, c := range []struct {
		id, at string
		ask    bool
	}{{"x", x, false}, {"y", y, true}} {
		w.TellGone(c.ask)
		b.settle(b.claim(p, c.id), Result{Outcome: Succeeded}, Completed)
		at := b.enqueue("then-" + c.id) // comes after it
		for told := false; ; {
			h := <-w.Hints()
			if h.Path == at {
				if told != c.ask {
					t.Errorf("asked %v, told %v", c.ask, told)
				}
				break
			}
			if !h.Gone || h.Path != c.at {
				t.Errorf("a hint of %+v", h)
			}
			told = true
		}
	}
}

// The last write of a slow writer is an event of its own: the name was there
// before.
func TestWatchSeesASlowWriter(t *testing.T) {
	b := newBench(t)
	w := newWatch(t, b)
	f, err := os.Create(b.at("pending/slow.json"))
	must(t, err)
	wantHint(t, w, "pending/slow.json")
	for _, part := range []string{`{"command":`, `"true"}`} {
		_, err = f.WriteString(part)
		must(t, err)
		wantHint(t, w, "pending/slow.json")
	}
	must(t, f.Close())
}

// What lands in an overflow directory is in the state, and is seen.
func TestWatchOverflow(t *testing.T) {
	b := newBench(t)
	w := newWatch(t, b)
	at := b.enqueue("x")
	wantHint(t, w, at)
	to := "pending/1/" + path.Base(at)
	b.mv(at, to)
	wantHint(t, w, "") // list again: names may have come before the watch
	h := "held/" + path.Base(at)
	wait(t, "a hint from pending/1", func() bool {
		b.mv(to, h)
		b.mv(h, to)
		for {
			select {
			case hint := <-w.Hints():
				if hint.Path == to {
					return true
				}
			case <-time.After(10 * time.Millisecond):
				return false
			}
		}
	})
}

// Those that are there already are found, without a listing where the file
// system counts them and they have the names that queuectl gives.
func TestWatchFindsOverflow(t *testing.T) {
	for _, dirs := range [][]string{nil, {"1"}, {"1", "2", "3"}, {"1", "3"}, {"7"}, {"1", "mine"}} {
		b := newBench(t)
		at := b.enqueue("x")
		for _, d := range dirs {
			must(t, os.Mkdir(b.at("pending/"+d), 0o700))
		}
		b.faults.record()
		w := newWatch(t, b)
		_, counted := b.fs.Subdirs("pending")
		ours := len(dirs) == 0 || dirs[len(dirs)-1] == fmt.Sprint(len(dirs))
		if listed := slices.Contains(b.faults.recorded(), "list pending"); listed == (counted && ours) {
			t.Errorf("%q: pending is listed: %v", dirs, listed)
		}
		for _, d := range dirs {
			to := "pending/" + d + "/" + path.Base(at)
			if !overflowDir(d) {
				continue
			}
			b.mv(at, to)
			wantHint(t, w, to)
			at = to
		}
		if len(dirs) > 1 && dirs[1] == "mine" {
			must(t, os.Remove(b.at("pending/mine")))
		}
	}
}

// A directory that was exchanged is watched again.
func TestWatchComesBack(t *testing.T) {
	b := newBench(t)
	w := newWatch(t, b)
	must(t, os.RemoveAll(b.at("pending")))
	must(t, os.Mkdir(b.at("pending"), 0o700))
	wantHint(t, w, "")
	wait(t, "a hint from the new directory", func() bool {
		b.put("pending/x.json", `{"command":"true"}`)
		b.rm("pending/x.json")
		select {
		case h := <-w.Hints():
			return h.Path == "pending/x.json"
		case <-time.After(10 * time.Millisecond):
			return false
		}
	})
}

// More hints than anybody reads are told as one, and block nobody.
func TestWatchOverrun(t *testing.T) {
	b := newBench(t)
	w := newWatch(t, b)
	for range 2 * hintBuffer {
		b.put("control/x.cancel", "")
		b.rm("control/x.cancel")
	}
	wait(t, "one that means anywhere", func() bool {
		for {
			select {
			case h := <-w.Hints():
				if h.Path == "" {
					return true
				}
			default:
				return false
			}
		}
	})
}

// An overflow of the kernel's queue, or any other error, only means: list
// again.
func TestWatchErrors(t *testing.T) {
	b := newBench(t)
	w := newWatch(t, b)
	w.notify.Errors <- fsnotify.ErrEventOverflow
	wantHint(t, w, "")
	w.notify.Errors <- errBoom
	wantHint(t, w, "")
}

// inotify's errors are meant for other things.
func TestWatchErrorInWords(t *testing.T) {
	for err, want := range map[error]string{
		syscall.ENOSPC: "the limit of this user's inotify watches is reached; raise the sysctl ",
		fmt.Errorf("couldn't initialize inotify: %w", syscall.EMFILE): "the limit of this user's inotify instances is reached; raise the sysctl ",
		syscall.EACCES: "permission denied",
	} {
		if got := watchError(err).Error(); !strings.HasPrefix(got, want) {
			t.Errorf("%v is told as %q", err, got)
		}
	}
	must(t, watchError(nil))
}

func TestWatchEnds(t *testing.T) {
	b := newBench(t)
	w := newWatch(t, b)
	must(t, w.Close())
	must(t, w.Close())
	c, cancel := context.WithCancel(ctx)
	w, err := b.Watch(c)
	must(t, err)
	cancel()
	w.work.Wait()
	must(t, w.Close())
}

// What in workers/ is no pool's file wakes nobody: each line of worker.log would.
func TestWorkerLogWakesNobody(t *testing.T) {
	b := newBench(t)
	b.leave()
	w, err := b.Watch(ctx)
	must(t, err)
	defer w.Close()
	for _, name := range []string{"worker.log", "x-1-abcdef.problems"} {
		b.put("workers/"+name, "x\n")
	}
	b.enqueue("x")
	for {
		h := <-w.Hints()
		if stateOf(h.Path) == Pending {
			break
		}
		t.Errorf("hint of %q", h.Path)
	}
	b.rm("workers/x-1-abcdef.problems")
}
