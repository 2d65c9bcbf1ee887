package simfs

import (
	"cmp"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Errors of Scheduler.Wait.
var (
	ErrDeadlock = errors.New("every process waits for another one")
	ErrTooLong  = errors.New("the processes have not ended after the permitted number of turns")
)

// A Scheduler lets simulated processes run one at a time. The turn is given
// anew before each operation, so the same choices give the same run.
type Scheduler struct {
	// MaxTurns ends a run that goes round in circles. 0 means 100,000.
	MaxTurns int

	disk    *Disk
	choose  func(Turn) int
	tasks   []*task
	running *task // who has the turn
	last    *task // whom choose has named last
	turns   int
	turn    Turn // of the question before, whose memory the next one takes
	order   []*task
	asleep  []*task
	ended   chan struct{}
	err     error
	panics  string
}

// A Turn is the question who goes on. Its lists are good until the next one.
type Turn struct {
	Number int // from 1
	// Runnable are the names of those who can go on, and Next the operations
	// that they are about to do. First come those who are ready, in the order
	// of Go; after them those who sleep, the first to wake first: to choose
	// one of these means that the others are slow.
	Runnable []string
	Next     []Step
	Ready    int // how many of them are ready
	// Current is the one who had the turn, -1 where it is not ready.
	Current int
}

// A task is the code of one process.
type task struct {
	s       *Scheduler
	p       *Process
	fn      func(*Process)
	exits   bool // the process ends with the code
	wake    chan struct{}
	started bool
	ended   bool
	next    Step
	until   time.Time   // asleep until then, where not zero
	ready   func() bool // blocked until then, where not nil
	what    string      // what it is blocked on
}

// Scheduler returns a scheduler that asks choose for an index into
// Turn.Runnable before every operation.
func (d *Disk) Scheduler(choose func(Turn) int) *Scheduler {
	return &Scheduler{disk: d, choose: choose}
}

// Go starts a process that runs fn and then ends, which closes what it has
// open. It runs its code up to its first operation when it is first looked at.
func (s *Scheduler) Go(name string, fn func(*Process)) *Process {
	p := s.disk.Process(name)
	s.Start(p, fn).exits = true
	return p
}

// Start runs fn as the code of a process that exists, and goes on existing.
func (s *Scheduler) Start(p *Process, fn func(*Process)) *task {
	t := &task{s: s, p: p, fn: fn, wake: make(chan struct{}, 1)}
	p.task = t
	s.tasks = append(s.tasks, t)
	return t
}

// Wait runs the processes until all have ended. A run that cannot end is an
// error; its processes are killed.
func (s *Scheduler) Wait() error {
	s.ended = make(chan struct{})
	if first := s.pick(); first != nil {
		s.resume(first)
		<-s.ended
	}
	if s.panics != "" {
		panic(s.panics)
	}
	return s.err
}

// scheduled reports whether the caller, who is taken to be the process itself,
// has the turn of a scheduler. A process that is called from outside, by a
// hook or before Wait, takes no turns.
func (p *Process) scheduled() bool { return p.task != nil && p.task.s.running == p.task }

// pass gives the turn away and returns when it has come back.
func (t *task) pass() {
	next := t.s.pick()
	if next == t {
		return
	}
	t.s.resume(next)
	<-t.wake
}

func (t *task) sleep(by time.Duration) {
	t.until = t.p.Now().Add(by)
	t.next = Step{Process: t.p, Op: "wake"}
	t.pass()
}

func (t *task) block(what string, ready func() bool) {
	t.ready, t.what = ready, what
	t.pass()
}

// resume lets a task go on; with nil all have ended.
func (s *Scheduler) resume(t *task) {
	switch {
	case t == nil:
		close(s.ended)
	case !t.started:
		t.started = true
		go t.run()
	default:
		t.wake <- struct{}{}
	}
}

func (t *task) run() {
	defer func() {
		r := recover()
		if k, ok := r.(killed); r != nil && (!ok || k.p != t.p) && t.s.panics == "" {
			t.s.panics = fmt.Sprintf("%s: %v\n%s", t.p, r, debug.Stack())
			t.s.stop(nil)
		}
		t.ended = true
		if t.exits {
			t.p.Kill()
		}
		t.p.task = nil
		t.s.resume(t.s.pick())
	}()
	t.fn(t.p)
}

// stop kills all processes that have not ended.
func (s *Scheduler) stop(err error) {
	s.err = cmp.Or(s.err, err)
	for _, t := range s.tasks {
		if !t.ended {
			t.p.Kill()
		}
	}
}

// pick says who goes on. Those who were killed unwind first, and new ones run
// up to their first operation; neither changes anything on the disk, so there
// is nothing to choose.
func (s *Scheduler) pick() *task {
	s.running = s.forced()
	if s.running != nil {
		return s.running
	}
	turn, order := s.ask()
	switch {
	case len(order) == 0 && s.done():
		return nil
	case len(order) == 0:
		s.stop(fmt.Errorf("%w: %s", ErrDeadlock, s.waiting()))
		return s.pick()
	case turn.Number > cmp.Or(s.MaxTurns, 100_000):
		s.stop(ErrTooLong)
		return s.pick()
	}
	t := order[s.choose(turn)]
	s.running, s.last = t, t
	s.rouse(t)
	return t
}

// forced is a task whose going on is no choice, or nil.
func (s *Scheduler) forced() *task {
	for _, t := range s.tasks {
		switch {
		case t.ended:
		case !t.started && t.p.Dead():
			t.ended = true
		case !t.started || t.p.Dead():
			return t
		}
	}
	return nil
}

func (s *Scheduler) done() bool {
	return !slices.ContainsFunc(s.tasks, func(t *task) bool { return !t.ended })
}

// rouse ends a task's sleep or wait.
func (s *Scheduler) rouse(t *task) {
	t.ready = nil
	if t.until.IsZero() {
		return
	}
	if by := t.until.Sub(t.p.Now()); by > 0 {
		s.disk.Advance(by)
	}
	t.until = time.Time{}
}

// ask puts the question.
func (s *Scheduler) ask() (Turn, []*task) {
	ready, asleep := s.order[:0], s.asleep[:0]
	for _, t := range s.tasks {
		switch {
		case t.ended || (t.ready != nil && !t.ready()):
		case t.until.After(t.p.Now()):
			asleep = append(asleep, t)
		default:
			ready = append(ready, t)
		}
	}
	slices.SortStableFunc(asleep, func(a, b *task) int { return a.until.Compare(b.until) })
	s.turns++
	turn := Turn{
		Number: s.turns, Ready: len(ready), Current: slices.Index(ready, s.last),
		Runnable: s.turn.Runnable[:0], Next: s.turn.Next[:0],
	}
	order := append(ready, asleep...)
	for _, t := range order {
		turn.Runnable = append(turn.Runnable, t.p.name)
		turn.Next = append(turn.Next, t.next)
	}
	s.turn, s.order, s.asleep = turn, order, asleep
	return turn, order
}

// waiting says who waits for what.
func (s *Scheduler) waiting() string {
	var w []string
	for _, t := range s.tasks {
		if !t.ended {
			w = append(w, t.p.name+" for "+t.what)
		}
	}
	return strings.Join(w, ", ")
}
