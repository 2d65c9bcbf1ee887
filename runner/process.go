package runner

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// A process is the leader of a job's process group.
type process struct {
	proc  *os.Process
	lives func() bool   // whether the group has a member that is no zombie
	done  chan struct{} // closed when it has ended; then:
	state *os.ProcessState
	err   error

	mu     sync.Mutex
	told   bool // by us, to end: what is left of its group goes with it
	killed bool
	reaped bool // its number may be somebody else's
}

// end signals the group.
func (p *process) end(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told, p.killed = true, p.killed || sig == syscall.SIGKILL
	if !p.reaped {
		_ = syscall.Kill(-p.proc.Pid, sig)
	}
}

// groupLives reports whether something is left of the group after the leader's
// end.
func (p *process) groupLives() bool { return syscall.Kill(-p.proc.Pid, 0) == nil }

// wait waits for the leader. Where we have told the group to end, it waits for
// the others too, until they are killed: a shell ends at once where its child
// needs a moment to clean up. It kills what is left then, and reaps the leader
// last: as long as that is a zombie, nobody else can have its number. Where the
// system cannot wait without reaping, the number is the group's as long as that
// has members.
func (p *process) wait() {
	defer close(p.done)
	if !awaitEnd(p.proc.Pid) {
		p.state, p.err = p.proc.Wait()
	}
	for pause := time.Millisecond; p.ending() && p.lives(); pause = min(2*pause, 500*time.Millisecond) {
		time.Sleep(pause)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told {
		_ = syscall.Kill(-p.proc.Pid, syscall.SIGKILL)
	}
	if p.state == nil && p.err == nil {
		p.state, p.err = p.proc.Wait()
	}
	p.reaped = true
}

// ending reports whether the group was told to end, and may take its time.
func (p *process) ending() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told && !p.killed
}
