package spool

import (
	"context"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"queuectl/spool/internal/fsys"
)

// InheritedFD is the number under which a job's process has the locked file.
// Low numbers are taken by jobs themselves ("exec 3>&1" once freed the lock).
const InheritedFD = 63

// system is what the queue asks of the machine besides its files. Tests have
// one of their own.
type system interface {
	// now is the wall clock in UTC, cut to microseconds.
	now() time.Time
	// rand returns n random characters of lower-case base32.
	rand(n int) string
	// self says which process this is.
	self() identity
	// groupAlive reports whether the process group pid has a member that is
	// not a zombie. A leader that started at another time than start (clock
	// ticks after boot, 0 where unknown) is a recycled number.
	groupAlive(pid int, start uint64) bool
	// holder is a process, other than this one, that has the inode open: one
	// that inherited a job's lock. 0 where it cannot be told.
	holder(file fsys.Info) int
	// sleep waits for d, or until ctx is done.
	sleep(ctx context.Context, d time.Duration) error
	// startOf is the start time of a process, 0 where it cannot be told.
	startOf(pid int) uint64
}

// identity tells one process on one boot of one host from all others. Pids
// mean something only to processes that share Host, Boot and PIDNS.
type identity struct {
	Host  string `json:"host"`
	PID   int    `json:"pid"`
	Start uint64 `json:"pid_start,omitempty"`
	Boot  string `json:"boot,omitempty"`
	PIDNS string `json:"pidns,omitempty"`
}

// near reports whether both processes see the same pids. A machine that tells
// nothing of its boot is near to nobody.
func (a identity) near(b identity) bool {
	return a.Host == b.Host && a.Boot == b.Boot && a.PIDNS == b.PIDNS && a.Boot != ""
}

type realSystem struct {
	clock func() time.Time
	id    func() identity // asks once; a command that makes a job never does
}

func newSystem(clock func() time.Time) *realSystem {
	if clock == nil {
		clock = time.Now
	}
	return &realSystem{clock: clock, id: sync.OnceValue(ownIdentity)}
}

func ownIdentity() identity {
	pid := os.Getpid()
	return identity{Host: hostName(), PID: pid, Start: processStart(pid), Boot: bootID(), PIDNS: pidNamespace()}
}

func (r *realSystem) now() time.Time { return r.clock().UTC().Truncate(time.Microsecond) }

// rand asks the generator of the runtime, which is ChaCha8 with a seed of the
// kernel's. For names, crypto/rand is no better, and brings 30 packages.
func (r *realSystem) rand(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = base32[rand.N(len(base32))]
	}
	return string(b)
}

func (r *realSystem) self() identity { return r.id() }

func (r *realSystem) groupAlive(pid int, start uint64) bool { return groupAlive(pid, start) }

func (r *realSystem) holder(file fsys.Info) int { return holder(file) }

func (r *realSystem) sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func (r *realSystem) startOf(pid int) uint64 { return processStart(pid) }

// hostName is the host's name, cut to 40 bytes of [A-Za-z0-9.-], as it stands
// in the names of pools.
func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-':
			return r
		}
		return -1
	}, name)
	if len(clean) > 40 {
		clean = clean[:40]
	}
	if clean == "" {
		return "localhost"
	}
	return clean
}
