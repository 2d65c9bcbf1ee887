package spool

import (
	"context"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/fsnotify/fsnotify"
)

// A Hint says that something may have changed at a path in the spool:
// "pending/NAME", "failed/NAME", "control/NAME", "workers/NAME", "paused",
// "config.json"; or anywhere, where Path is "". Hints can be missed: events
// are hints, a listing is the truth.
type Hint struct {
	Path string
	Gone bool // the name has gone from there; told only after TellGone
}

// A Watcher sends hints. Watch first and list second, or a name that comes in
// between is missed.
type Watcher struct {
	s      *Spool
	hints  chan Hint
	reason string
	leave  func() bool // no longer heeds the context
	work   sync.WaitGroup
	gone   atomic.Bool // TellGone

	mu     sync.Mutex
	notify *fsnotify.Watcher // nil where none could be had
	err    error
	closed bool
}

// watched are the directories whose changes matter to a pool. Nobody watches
// processing/, ids/ or tmp/: every claim would wake everybody.
var watched = []string{".", string(Pending), string(Failed), "control", "workers"}

// hintBuffer is how many hints wait for a busy dispatcher. What comes when it
// is full is told as one "anywhere".
const hintBuffer = 1024

// Watch begins to watch the spool until ctx is done or Close is called. Where
// the system sends no events, or not all, it returns a Watcher that says so by
// Native and Err.
func (s *Spool) Watch(ctx context.Context) (*Watcher, error) {
	w := &Watcher{s: s, hints: make(chan Hint, hintBuffer)}
	switch {
	case runtime.GOOS != "linux":
		// kqueue opens one descriptor per file in a directory.
		w.reason = "this system watches directories at the cost of one open file per job"
	case s.network:
		w.reason = "its file system sends no events of changes from elsewhere"
	}
	_ = w.Renew() // Err says it
	w.leave = context.AfterFunc(ctx, func() { _ = w.end() })
	return w, nil
}

// Hints is the channel of hints. It is never closed.
func (w *Watcher) Hints() <-chan Hint { return w.hints }

// TellGone says whether hints also tell of jobs that go from pending/ and
// failed/. They cost something and are of use only to a pool that has others
// beside it; those for which there is no room are dropped.
func (w *Watcher) TellGone(on bool) { w.gone.Store(on) }

// Native reports whether this file system gives a hint of every change, on
// this host and every other one. Where it does not one has to list at
// scan_interval, and Reason says why.
func (w *Watcher) Native() bool { return w.reason == "" }

// Reason says why Native is false.
func (w *Watcher) Reason() string { return w.reason }

// Err says why the spool, or a part of it, could not be watched: a limit of
// the system is reached, and which. While it is not nil one has to list at
// scan_interval, and may call Renew now and then.
func (w *Watcher) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Renew tries again to watch what could not be watched, and returns what Err
// does then. It may list whole states. One goroutine at a time may call it, and
// nobody is to ask Err meanwhile.
func (w *Watcher) Renew() error {
	if runtime.GOOS != "linux" {
		return nil
	}
	if n := w.begin(); n != nil {
		w.add(n)
	}
	return w.Err()
}

// begin has events come where none do. What follows is to be watched anew, so
// there is no error yet; one that comes meanwhile stays.
func (w *Watcher) begin() *fsnotify.Watcher {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	w.err = nil
	if w.notify == nil {
		n, err := fsnotify.NewBufferedWatcher(64)
		if err != nil {
			w.err = watchError(err)
			return nil
		}
		w.notify = n
		w.work.Go(func() { w.run(n) })
	}
	return w.notify
}

// Close ends the watch and returns when all that it started has ended.
func (w *Watcher) Close() error {
	w.leave()
	err := w.end()
	w.work.Wait()
	return err
}

func (w *Watcher) end() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.notify == nil {
		w.closed = true
		return nil
	}
	w.closed = true
	return w.notify.Close()
}

// add watches all directories, those that overflow too. It is harmless twice,
// and so also brings back a watch that was lost with its directory. It ends
// with the first that cannot be watched: the others could not be either.
func (w *Watcher) add(n *fsnotify.Watcher) {
	for _, d := range watched {
		if !w.watch(n, d) {
			return
		}
	}
	for _, d := range []State{Pending, Failed} {
		if w.s.numbered(d, func(dir string) bool { return w.watch(n, dir) }) {
			continue
		}
		err := w.s.fs.List(string(d), func(name string) bool {
			return !overflowDir(name) || w.watch(n, string(d)+"/"+name)
		})
		w.fail(err)
	}
}

// watch watches a directory, and reports whether it can be watched. One that
// is not there, or no more, is noticed when it comes.
func (w *Watcher) watch(n *fsnotify.Watcher, dir string) bool {
	return w.fail(watchError(n.Add(w.s.abs(dir))))
}

// fail notes what went wrong, and reports whether all is well.
func (w *Watcher) fail(err error) bool {
	if err == nil || notExist(err) {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
	return false
}

// run passes events on as hints and never blocks on its reader. It always
// reads Errors: left alone, they stop Events for ever.
func (w *Watcher) run(n *fsnotify.Watcher) {
	missed := false
	for {
		var again chan Hint
		if missed {
			again = w.hints
		}
		select {
		case again <- Hint{}:
			missed = false
		case e, ok := <-n.Events:
			if !ok {
				return
			}
			h, ok := w.hint(n, e)
			if !ok {
				continue
			}
			select {
			case w.hints <- h:
			default:
				missed = missed || !h.Gone
			}
		case _, ok := <-n.Errors:
			if !ok {
				return
			}
			// An overflow, or a watch that broke: list again.
			missed = true
		}
	}
}

// hint makes a hint of an event.
func (w *Watcher) hint(n *fsnotify.Watcher, e fsnotify.Event) (Hint, bool) {
	rel, err := filepath.Rel(w.s.dir, e.Name)
	if err != nil {
		return Hint{}, false
	}
	dir, name, below := strings.Cut(rel, "/")
	if !below {
		return w.rootHint(n, rel, e)
	}
	if overflowDir(name) && isState(State(dir)) {
		ok := w.watch(n, rel)
		return Hint{}, !ok || e.Has(fsnotify.Create)
	}
	if dir == "workers" && !strings.HasSuffix(name, ".json") {
		return Hint{}, false // worker.log, say, whose every line is an event
	}
	if dir == "workers" && e.Has(fsnotify.Remove) {
		return Hint{Path: rel}, true // a pool has left
	}
	if e.Op&(fsnotify.Create|fsnotify.Write|fsnotify.Chmod) == 0 {
		return Hint{Path: rel, Gone: true}, w.gone.Load() && isState(State(dir))
	}
	return Hint{Path: rel}, true
}

func (w *Watcher) rootHint(n *fsnotify.Watcher, name string, e fsnotify.Event) (Hint, bool) {
	switch name {
	case configFile:
		w.s.config.forget() // what is heard of later is done as it says
		return Hint{Path: name}, true
	case "paused":
		return Hint{Path: name}, true
	}
	for _, d := range append([]string{"."}, directories...) {
		if name == d && e.Op&(fsnotify.Create|fsnotify.Remove|fsnotify.Rename) != 0 {
			w.add(n) // a directory was exchanged: watch the new one
			return Hint{}, true
		}
	}
	return Hint{}, false
}
