package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"time"

	"queuectl/spool"
)

// maxSlots bounds the slots of one pool. A running command keeps one thread of
// the process busy, and Go ends a program with 10,000 of these.
const maxSlots = 16384

// Options of New.
type Options struct {
	// Slots is how many jobs run at once; 1 where it is 0.
	Slots int
	// Commands lets the pool run jobs with a command or an argv.
	Commands bool
	// Handlers run jobs with a kind, by kind.
	Handlers map[string]Handler
	// Drain ends Run when nothing is pending, running or waiting to retry.
	// Jobs that this pool cannot run do not count, nor those in held/. What it
	// could not start is tried again 3 times, in 7 s, when nothing else is left;
	// then Run ends with an error that names it.
	Drain bool
	// Grace is how long running jobs may go on after Stop.
	Grace time.Duration
	// Environ is the environment of commands, less what the configuration
	// denies (env_deny); os.Environ() where nil.
	Environ []string
	// Logger is told of every job; nobody where nil. The pool waits for it: it must
	// not block.
	Logger *slog.Logger
}

// A Pool is one process's share in the work on a spool.
type Pool struct {
	o     Options
	q     queue
	m     member
	watch func(context.Context) (watcher, error)
	rand  func() float64 // [0, 1), for the jitter of retries
	env   []string       // of every command, less what is denied

	nudge chan struct{} // the level has risen

	mu      sync.Mutex
	ran     bool
	level   stopLevel
	devNull *os.File
	denied  []string // the patterns with which passed was made
	passed  []string // what of env commands get
}

// queue is what the runner asks of a spool; *spool.Spool is one.
type queue interface {
	Dir() string
	Here() error
	Refresh()
	Scan(st spool.State, fn func(path string, n spool.Name, canonical bool) bool) error
	Paused() bool
	WaitingFor(path string) *spool.Waiting
	Config() (spool.Config, error)
	SyncNow() error
	Full() bool
	TryRoom() error
	PruneShared(ctx context.Context, every time.Duration) (n int, done bool, err error)
}

// member is what the runner asks of its own place in the spool; *spool.Pool is
// one.
type member interface {
	Name() string
	Stopping() error
	Leave() error
	Accept(f func(*spool.Job) error)
	InProcess()
	Claim(path string) (*spool.Claim, error)
	Adopt(ctx context.Context, path string) (string, error)
	Recover(ctx context.Context) (spool.RecoverReport, error)
	StopRequested() (stop, now bool)
	SetProblems(list []spool.Problem) error
	WatchNeighbour(ctx context.Context) (<-chan string, error)
}

// watcher gives the wake-ups; *spool.Watcher is one.
type watcher interface {
	Hints() <-chan spool.Hint
	TellGone(on bool)
	Native() bool
	Reason() string
	Err() error
	Renew() error
	Close() error
}

// New joins the spool as a pool. The pool is seen by others from now on, and
// works from Run on.
func New(s *spool.Spool, o Options) (*Pool, error) {
	if o.Slots == 0 {
		o.Slots = 1
	}
	if o.Slots < 0 || o.Slots > maxSlots {
		return nil, fmt.Errorf("a pool cannot have %d slots; allowed is 1 to %d", o.Slots, maxSlots)
	}
	if err := enoughFiles(o); err != nil {
		return nil, err
	}
	m, err := s.Join(o.Slots)
	if err != nil {
		return nil, fmt.Errorf("join the spool: %w", err)
	}
	watch := func(ctx context.Context) (watcher, error) { return s.Watch(ctx) }
	return newPool(o, s, m, watch), nil
}

// What a pool keeps open: so many files for each running job (of a command its
// file twice, its log, and its process; of a handler its file, and its log only
// when it prints), and these beside them: the files of ended jobs that wait for
// the disk, and some to spare.
const (
	filesOfHandler = 1
	filesOfCommand = 4
	filesBeside    = 64 + 2*maxSyncing
)

// enoughFiles is an error where the limit of open files allows fewer slots: at
// the limit, jobs would wait for each other's files, one try a second.
func enoughFiles(o Options) error {
	each := filesOfHandler
	if o.Commands {
		each = filesOfCommand
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return nil // it shows soon enough
	}
	if may, needs := uint64(limit.Cur), uint64(each*o.Slots+filesBeside); needs > may {
		way := "allow more (ulimit -n)"
		if most := (int(may) - filesBeside) / each; most > 0 {
			way += fmt.Sprintf(", or at most %d slots", most)
		}
		slots := fmt.Sprintf("%d slots", o.Slots)
		if o.Slots == 1 {
			slots = "one slot"
		}
		return fmt.Errorf("a pool with %s needs %d open files, and the limit is %d: %s", slots, needs, may, way)
	}
	return nil
}

func newPool(o Options, q queue, m member, watch func(context.Context) (watcher, error)) *Pool {
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	m.Accept(o.able)
	if !o.Commands {
		m.InProcess()
	}
	return &Pool{
		o: o, q: q, m: m, watch: watch, rand: rand.Float64,
		env: cleanEnviron(o.Environ), nudge: make(chan struct{}, 1),
	}
}

// Name is the pool's name in the spool, HOST-PID-RAND.
func (p *Pool) Name() string { return p.m.Name() }

// Run works until Stop or StopNow is called, ctx is done (which is a Stop), a
// request to stop lies in the spool, or with Options.Drain all is done. It
// returns when all that it started has ended. An error says what was left
// behind: jobs that did not end 5 seconds after they were killed are recovered
// by other pools when this process has ended.
func (p *Pool) Run(ctx context.Context) error {
	p.mu.Lock()
	again := p.ran
	p.ran = true
	p.mu.Unlock()
	if again {
		return errors.New("run: this pool has run already; make another")
	}
	defer context.AfterFunc(ctx, p.Stop)()
	return newDispatcher(p).run(ctx)
}
