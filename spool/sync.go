package spool

import (
	"slices"
	"sync"
	"time"

	"queuectl/spool/internal/fsys"
)

// syncGroup lets many goroutines of one process share their disk syncs (group
// commit). Those who come while a round runs wait together for the next one,
// which serves them all. Since a sync takes about as long for many as for one,
// a round first waits for those who synced at one time just before, and are
// likely to come again; but no longer than the last round took.
type syncGroup struct {
	fs fsys.FS
	mu sync.Mutex

	open  *syncRound // for who comes; nil: nobody has come
	busy  bool       // a round waits for others, or syncs
	crowd int        // how many wanted a sync during the last round
	took  time.Duration
}

// maxGather is how long a round waits for others at most: about as long as a
// disk takes that has to turn.
const maxGather = 10 * time.Millisecond

type syncRound struct {
	files []fsys.File
	dirs  []string
	n     int           // who takes part
	want  int           // how many it waits for
	full  chan struct{} // closed when they are there
	done  chan struct{}
	err   error
}

// sync makes the content of file (where there is one) and the names in dirs
// durable.
func (g *syncGroup) sync(file fsys.File, dirs ...string) error {
	g.mu.Lock()
	r := g.open
	if r == nil {
		r = &syncRound{done: make(chan struct{})}
		g.open = r
	}
	r.add(file, dirs)
	if r.n == r.want {
		close(r.full)
	}
	lead := !g.busy
	g.busy = true
	g.mu.Unlock()
	if lead {
		g.run(r)
	} else {
		<-r.done
	}
	return r.err
}

// run syncs one round, and has the next one run where somebody waits for it.
func (g *syncGroup) run(r *syncRound) {
	g.gather(r)
	began := time.Now()
	r.err = g.fs.SyncAll(r.files, r.dirs)
	close(r.done)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.took, g.crowd = time.Since(began), r.n
	if g.busy = g.open != nil; g.busy {
		g.crowd += g.open.n
		go g.run(g.open)
	}
}

// gather waits for who is expected, and closes the round.
func (g *syncGroup) gather(r *syncRound) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.n < g.crowd {
		r.want, r.full = g.crowd, make(chan struct{})
		wait := time.NewTimer(min(g.took, maxGather))
		defer wait.Stop()
		g.mu.Unlock()
		select {
		case <-r.full:
		case <-wait.C:
		}
		g.mu.Lock()
	}
	g.open = nil
}

func (r *syncRound) add(file fsys.File, dirs []string) {
	r.n++
	if file != nil {
		r.files = append(r.files, file)
	}
	for _, d := range dirs {
		if !slices.Contains(r.dirs, d) {
			r.dirs = append(r.dirs, d)
		}
	}
}
