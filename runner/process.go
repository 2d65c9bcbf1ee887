package runner

import (
	"os"
	"sync"
	"syscall"
)

// A process is the leader of a job's process group.
type process struct {
	proc  *os.Process
	done  chan struct{} // closed when it has ended; then:
	state *os.ProcessState
	err   error

	mu     sync.Mutex
	killed bool // by us: what is left of its group goes with it
	reaped bool // its number may be somebody else's
}

// end signals the group.
func (p *process) end(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killed = true
	if !p.reaped {
		_ = syscall.Kill(-p.proc.Pid, sig)
	}
}

// groupLives reports whether something is left of the group after the leader's
// end.
func (p *process) groupLives() bool { return syscall.Kill(-p.proc.Pid, 0) == nil }

// wait waits for the leader, kills the rest of the group where we have ended
// it, and reaps the leader last: as long as that is a zombie, nobody else can
// have its number. Where the system cannot wait without reaping, the kill
// comes after it, at once.
func (p *process) wait() {
	defer close(p.done)
	if !awaitEnd(p.proc.Pid) {
		p.state, p.err = p.proc.Wait()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.killed {
		_ = syscall.Kill(-p.proc.Pid, syscall.SIGKILL)
	}
	if p.state == nil && p.err == nil {
		p.state, p.err = p.proc.Wait()
	}
	p.reaped = true
}
