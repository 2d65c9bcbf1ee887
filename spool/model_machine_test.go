package spool

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"queuectl/spool/internal/fsys"
)

// A machine is a file system with a new spool on it, on which processes come
// and go and a person works by hand. The model is tried on both kinds.
type machine interface {
	process() *modelProcess
	now() time.Time
	advance(by time.Duration)
	dump() string
	close()

	write(p string, data []byte) error
	read(p string) ([]byte, error)
	rename(from, to string) error
	remove(p string) error
	mkdir(p string) error
	symlink(p string) error
	stat(p string) (fsys.Info, error)
	names(dir string) []string
}

// A modelProcess is a process that has the spool open. kill is what kill -9
// does: the kernel closes what it had open.
type modelProcess struct {
	*Spool
	pool *Pool
	kill func()
}

// simMachine is the one in memory.
type simMachine struct{ w *world }

func newSimMachine() machine { return &simMachine{newWorld()} }

func (m *simMachine) process() *modelProcess {
	a := m.w.actor("process")
	return &modelProcess{Spool: a.Spool, kill: a.p.Kill}
}

func (m *simMachine) now() time.Time                    { return m.w.Now() }
func (m *simMachine) advance(by time.Duration)          { m.w.Advance(by) }
func (m *simMachine) dump() string                      { return m.w.Dump() }
func (m *simMachine) close()                            {}
func (m *simMachine) write(p string, data []byte) error { return m.w.Write(p, data) }
func (m *simMachine) read(p string) ([]byte, error)     { return m.w.Read(p) }
func (m *simMachine) rename(from, to string) error      { return m.w.Rename(from, to) }
func (m *simMachine) remove(p string) error             { return m.w.Remove(p) }
func (m *simMachine) mkdir(p string) error              { return m.w.Mkdir(p) }
func (m *simMachine) symlink(p string) error            { return m.w.Plant(p, fs.ModeSymlink, "nowhere") }
func (m *simMachine) stat(p string) (fsys.Info, error)  { return m.w.Stat(p) }
func (m *simMachine) names(dir string) []string         { return m.w.Names(dir) }

// realMachine is a bench. Who waits there has the clock put forward.
type realMachine struct {
	b   *bench
	dir string
	eye fsys.FS
	all []*modelProcess
}

// A hurriedSystem does not wait.
type hurriedSystem struct {
	system
	clk *clock
}

func (x hurriedSystem) sleep(ctx context.Context, d time.Duration) error {
	x.clk.add(d)
	return ctx.Err()
}

func (m *realMachine) process() *modelProcess {
	m.b.t.Helper()
	real, err := fsys.Open(m.dir)
	must(m.b.t, err)
	s := newSpool(m.dir, real, hurriedSystem{newSystem(m.b.clk.now), m.b.clk})
	must(m.b.t, s.open(false))
	p := &modelProcess{Spool: s}
	p.kill = func() { m.kill(p) }
	m.all = append(m.all, p)
	return p
}

func (m *realMachine) kill(p *modelProcess) {
	if p.pool != nil {
		m.b.kill(p.pool)
	}
	if p.single != nil {
		_ = p.single.dir.Close()
		p.single = nil
	}
	_ = p.Close()
}

func (m *realMachine) now() time.Time           { return m.b.clk.now() }
func (m *realMachine) advance(by time.Duration) { m.b.clk.add(by) }
func (m *realMachine) dump() string             { return m.b.tree() }

func (m *realMachine) close() {
	for _, p := range m.all {
		p.kill()
	}
	_ = m.eye.Close()
	_ = os.RemoveAll(m.dir)
}

func (m *realMachine) at(p string) string                { return filepath.Join(m.dir, p) }
func (m *realMachine) write(p string, data []byte) error { return os.WriteFile(m.at(p), data, 0o600) }
func (m *realMachine) read(p string) ([]byte, error)     { return os.ReadFile(m.at(p)) }
func (m *realMachine) rename(from, to string) error      { return os.Rename(m.at(from), m.at(to)) }
func (m *realMachine) remove(p string) error             { return os.RemoveAll(m.at(p)) }
func (m *realMachine) mkdir(p string) error              { return os.Mkdir(m.at(p), 0o700) }
func (m *realMachine) symlink(p string) error            { return os.Symlink("nowhere", m.at(p)) }
func (m *realMachine) stat(p string) (fsys.Info, error)  { return m.eye.Lstat(p) }

func (m *realMachine) names(dir string) (names []string) {
	list, _ := os.ReadDir(m.at(dir))
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}
