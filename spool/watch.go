package spool

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// A Hint says that something may have changed at a path in the spool:
// "pending/NAME", "failed/NAME", "control/NAME", "workers/NAME", "paused",
// "config.json"; or anywhere, where Path is "". Hints can be missed: events
// are hints, a listing is the truth.
type Hint struct{ Path string }

// A Watcher sends hints. Watch first and list second, or a name that comes in
// between is missed.
type Watcher struct {
	s      *Spool
	hints  chan Hint
	reason string
	notify *fsnotify.Watcher
	done   chan struct{}
	once   sync.Once
}

// watched are the directories whose changes matter to a pool. Nobody watches
// processing/, ids/ or tmp/: every claim would wake everybody.
var watched = []string{".", string(Pending), string(Failed), "control", "workers"}

// hintBuffer is how many hints wait for a busy dispatcher. What comes when it
// is full is told as one "anywhere".
const hintBuffer = 1024

// Watch begins to watch the spool until ctx is done or Close is called. Where
// the system sends no events it returns a Watcher that says so by Native.
func (s *Spool) Watch(ctx context.Context) (*Watcher, error) {
	w := &Watcher{s: s, hints: make(chan Hint, hintBuffer), done: make(chan struct{})}
	switch {
	case runtime.GOOS != "linux":
		// kqueue opens one descriptor per file in a directory.
		w.reason = "this system watches directories at the cost of one open file per job"
	case s.network:
		w.reason = "its file system sends no events from other hosts"
	}
	if runtime.GOOS != "linux" {
		close(w.done)
		return w, nil
	}
	n, err := fsnotify.NewBufferedWatcher(64)
	if err == nil {
		w.notify = n
		err = w.add()
	}
	if err != nil {
		w.reason = "it cannot be watched: " + reason(err)
		if n != nil {
			_ = n.Close()
			w.notify = nil
		}
		close(w.done)
		return w, nil
	}
	go w.run(ctx)
	return w, nil
}

// Hints is the channel of hints. It is never closed.
func (w *Watcher) Hints() <-chan Hint { return w.hints }

// Native reports whether every change on this host and every other one gives a
// hint. Where it is false one has to list at scan_interval, and Reason says
// why.
func (w *Watcher) Native() bool { return w.reason == "" }

// Reason says why Native is false.
func (w *Watcher) Reason() string { return w.reason }

// Close ends the watch and returns when all that it started has ended.
func (w *Watcher) Close() error {
	var err error
	w.once.Do(func() {
		if w.notify != nil {
			err = w.notify.Close()
		}
	})
	<-w.done
	return err
}

// add watches all directories, those that overflow too. It is harmless twice,
// and so also brings back a watch that was lost with its directory.
func (w *Watcher) add() error {
	var errs []error
	for _, d := range watched {
		errs = append(errs, w.notify.Add(w.s.abs(d)))
		if !isState(State(d)) {
			continue
		}
		err := w.s.fs.List(d, func(name string) bool {
			if overflowDir(name) {
				errs = append(errs, w.notify.Add(w.s.abs(d+"/"+name)))
			}
			return true
		})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// run passes events on as hints and never blocks on its reader. It always
// reads Errors: left alone, they stop Events for ever.
func (w *Watcher) run(ctx context.Context) {
	defer close(w.done)
	defer w.notify.Close()
	missed := false
	for {
		var again chan Hint
		if missed {
			again = w.hints
		}
		select {
		case <-ctx.Done():
			return
		case again <- Hint{}:
			missed = false
		case e, ok := <-w.notify.Events:
			if !ok {
				return
			}
			h, ok := w.hint(e)
			if !ok {
				continue
			}
			select {
			case w.hints <- h:
			default:
				missed = true
			}
		case _, ok := <-w.notify.Errors:
			if !ok {
				return
			}
			// An overflow, or a watch that broke: list again.
			missed = true
		}
	}
}

// hint makes a hint of an event.
func (w *Watcher) hint(e fsnotify.Event) (Hint, bool) {
	rel, err := filepath.Rel(w.s.dir, e.Name)
	if err != nil {
		return Hint{}, false
	}
	dir, name, below := strings.Cut(rel, "/")
	if !below {
		return w.rootHint(rel, e)
	}
	if overflowDir(name) && isState(State(dir)) {
		_ = w.notify.Add(e.Name)
		return Hint{}, e.Has(fsnotify.Create)
	}
	if dir == "workers" && e.Has(fsnotify.Remove) {
		return Hint{Path: rel}, true // a pool has left
	}
	if e.Op&(fsnotify.Create|fsnotify.Write|fsnotify.Chmod) == 0 {
		return Hint{}, false
	}
	return Hint{Path: rel}, true
}

func (w *Watcher) rootHint(name string, e fsnotify.Event) (Hint, bool) {
	switch name {
	case "paused", configFile:
		return Hint{Path: name}, true
	}
	for _, d := range append([]string{"."}, directories...) {
		if name == d && e.Op&(fsnotify.Create|fsnotify.Remove|fsnotify.Rename) != 0 {
			_ = w.add() // a directory was exchanged: watch the new one
			return Hint{}, true
		}
	}
	return Hint{}, false
}
