package simfs

import (
	"fmt"
	"strings"
	"time"

	"queuectl/spool/internal/fsys"
)

// A Process is one simulated process: the file system as it sees it. Its
// methods may be called from many goroutines, except under a Scheduler, where
// it has one.
type Process struct {
	disk  *Disk
	name  string
	dead  bool
	files map[*file]struct{}
	task  *task // nil: not under a scheduler

	ticks  time.Duration // by which its clock is ahead of the disk's (Disk.Apart)
	births uint64        // inodes that it has made
	trace  uint64        // see Trace
}

var _ fsys.FS = (*Process)(nil)

// Process starts a process. Names are for messages and need not differ.
func (d *Disk) Process(name string) *Process {
	return &Process{disk: d, name: name, files: make(map[*file]struct{})}
}

// Name is the process's name.
func (p *Process) Name() string   { return p.name }
func (p *Process) String() string { return p.name }

// A Step is one operation that is about to happen. Op is the method in lower
// case: open, mkdir, lstat, link, rename, renamenoreplace, unlink, rmdir, list,
// syncdir, syncfs, space; of a File read, write, truncate, sync, stat, lock,
// unlock, nowriter, close; of a Lock (beside the lstat that makes it) lockopen,
// locktry, locktryshared, lockwait, lockclose.
type Step struct {
	Number      int // from 1, over all processes of the disk
	Process     *Process
	Op          string
	Path, Path2 string // of a File: the path by which it was opened
}

func (s Step) String() string {
	return strings.TrimRight(fmt.Sprintf("%d %s: %s %s %s", s.Number, s.Process, s.Op, s.Path, s.Path2), " ")
}

// killed is what a dead process panics with.
type killed struct{ p *Process }

func (k killed) Error() string {
	return "simulated process " + k.p.name + " was killed; call it within Process.Run or a Scheduler"
}

// step does one operation: it takes the turn, gets its number, calls the hook
// and then f, which has the disk for itself.
func (p *Process) step(op, path, path2 string, f func() error) error {
	d := p.disk
	s := p.arrive(Step{Process: p, Op: op, Path: path, Path2: path2})
	var err error
	if d.Fail != nil {
		err = d.Fail(s)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p.mustLive()
	d.actor = p
	d.tick()
	if err == nil {
		err = f()
	}
	p.did(s, err)
	return err
}

// arrive waits for the turn, numbers the step and calls the hook.
func (p *Process) arrive(s Step) Step {
	d := p.disk
	if p.scheduled() {
		p.task.next = s
		p.task.pass()
	}
	d.mu.Lock()
	dead := p.dead
	if !dead {
		d.steps++
		s.Number = d.steps
	}
	d.mu.Unlock()
	if dead {
		panic(killed{p})
	}
	if d.Hook != nil {
		d.Hook(s)
	}
	return s
}

// mustLive ends the caller where the process is dead.
func (p *Process) mustLive() {
	if p.dead {
		panic(killed{p})
	}
}

// Run calls fn as the process's code, and returns true where the process was
// killed meanwhile. A killed process just stops: the call that it was in, and
// every later one, panics with a value that Run recovers, so deferred
// functions of the victim run but have no effect on the disk.
func (p *Process) Run(fn func()) (wasKilled bool) {
	defer func() {
		r := recover()
		if k, ok := r.(killed); ok && k.p == p {
			wasKilled = true
			return
		}
		if r != nil {
			panic(r)
		}
	}()
	fn()
	return p.Dead()
}

// Kill ends the process, as SIGKILL would, and closes the descriptors that
// only it holds. It may be called from anywhere, also by its own hook.
func (p *Process) Kill() {
	d := p.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	p.dead = true
	for f := range p.files {
		f.drop()
	}
	d.changed.Broadcast()
}

// Dead reports whether the process has been killed or has ended.
func (p *Process) Dead() bool {
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	return p.dead
}

// Now is the disk's clock, or where clocks are apart, the process's own.
func (p *Process) Now() time.Time {
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	return p.disk.timeOf(p)
}

// Sleep waits by the simulated clock. Under a scheduler others have the turn
// meanwhile; without one the clock is set forward. It is no step.
func (p *Process) Sleep(by time.Duration) {
	if !p.scheduled() {
		p.disk.Advance(by)
	} else {
		p.task.sleep(by)
	}
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	p.mustLive()
}

// await waits until cond, which is called with the disk locked, holds. It
// returns with the disk locked.
func (p *Process) await(what string, cond func() bool) {
	d := p.disk
	if p.scheduled() {
		p.task.block(what, func() bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			return cond()
		})
	}
	d.mu.Lock()
	for !p.dead && !cond() {
		d.changed.Wait()
	}
	if p.dead {
		d.mu.Unlock()
		panic(killed{p})
	}
}

// Space tells what was set with SetSpace.
func (p *Process) Space() (s fsys.Space, err error) {
	err = p.step("space", ".", "", func() error {
		s = p.disk.space
		return nil
	})
	return s, err
}

// Network tells what was set with SetNetwork.
func (p *Process) Network() bool {
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	return p.disk.network
}

// SyncsNames tells what was set with SetSyncsNames.
func (p *Process) SyncsNames() bool {
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	return p.disk.syncsNames
}

// Subdirs is never known.
func (p *Process) Subdirs(string) (n int, known bool) { return 0, false }

// Moved says no: a disk has no place of its own.
func (p *Process) Moved() bool { return false }

// Refresh does nothing: there are no directory handles.
func (p *Process) Refresh() {}

// Close does nothing: there are no directory handles.
func (p *Process) Close() error { return nil }

// HasACL says no: there are none.
func (p *Process) HasACL(string) bool { return false }
