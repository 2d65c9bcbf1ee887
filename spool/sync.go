package spool

import (
	"slices"
	"sync"

	"queuectl/spool/internal/fsys"
)

// syncGroup lets many enqueuers of one process share their disk syncs (group
// commit): while one round runs, those who come wait together for the next
// one, which serves them all.
type syncGroup struct {
	fs   fsys.FS
	mu   sync.Mutex
	next *syncRound // collects who comes while a round runs; nil: none runs
}

type syncRound struct {
	files []fsys.File
	dirs  []string
	done  chan struct{}
	err   error
}

// sync makes the content of file (where there is one) and the names in dirs
// durable.
func (g *syncGroup) sync(file fsys.File, dirs ...string) error {
	g.mu.Lock()
	if r := g.next; r != nil {
		r.add(file, dirs)
		g.mu.Unlock()
		<-r.done
		return r.err
	}
	r := &syncRound{done: make(chan struct{})}
	r.add(file, dirs)
	g.next = &syncRound{done: make(chan struct{})}
	g.mu.Unlock()
	g.run(r)
	return r.err
}

// run syncs one round, and has the next one run where somebody waits for it.
func (g *syncGroup) run(r *syncRound) {
	r.err = r.sync(g.fs)
	close(r.done)
	g.mu.Lock()
	defer g.mu.Unlock()
	next := g.next
	if len(next.files)+len(next.dirs) == 0 {
		g.next = nil
		return
	}
	g.next = &syncRound{done: make(chan struct{})}
	go g.run(next)
}

func (r *syncRound) add(file fsys.File, dirs []string) {
	if file != nil {
		r.files = append(r.files, file)
	}
	for _, d := range dirs {
		if !slices.Contains(r.dirs, d) {
			r.dirs = append(r.dirs, d)
		}
	}
}

// manyFiles is from how many files on one sync of the whole file system costs
// less than one sync for each.
const manyFiles = 4

func (r *syncRound) sync(f fsys.FS) error {
	if len(r.files) >= manyFiles {
		return f.SyncFS()
	}
	for _, file := range r.files {
		if err := file.Sync(); err != nil {
			return err
		}
	}
	for _, d := range r.dirs {
		if err := f.SyncDir(d); err != nil {
			return err
		}
	}
	return nil
}
