package spool

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"queuectl/spool/internal/simfs"
)

// The spool's own code runs here as two or three simulated processes, and
// before every operation a disturbance may come: another process gets the
// turn, one is killed, or a person moves a file. All schedules are tried with
// at most so many disturbances in all. A state that an earlier schedule has
// led to, with as many disturbances left, is not followed a second time
// (simfs.Disk.Digest says why that loses nothing).

// A scene is some processes that work at once, one operation each.
type scene struct {
	name  string
	base  func(w *world)   // what is there before
	setup func(a []*actor) // what the processes have done before
	acts  []func(a *actor) error

	bound int    // disturbances in the short form; 1, where 0
	alone bool   // in a pair it would be what another scene is
	kills bool   // a process may be killed before any step
	hands []hand // what a person may do before any step

	then   func(o *outcomes)       // while the processes live
	want   func(o *outcomes) []int // files at the end
	rest   func(o *outcomes)       // after all have died and all jobs have run
	untidy []int
	twice  bool // one id may be in two places (a limit)
}

// outcomes are what a run of a scene has led to.
type outcomes struct {
	*world
	actors []*actor
	errs   []error
	v      *view
}

// What became of a process that did not end by itself, and of one that has
// nothing to do.
var (
	errKilled = errors.New("was killed")
	errIdle   = errors.New("had nothing to do")
)

func (o *outcomes) fail(format string, args ...any) {
	panic(failure(fmt.Sprintf(format, args...)))
}

// winners is how many operations have succeeded.
func (o *outcomes) winners() (n int) {
	for _, err := range o.errs {
		if err == nil {
			n++
		}
	}
	return n
}

// losers fails unless each error is one of those.
func (o *outcomes) losers(allowed ...error) {
	allowed = append(allowed, errKilled, errIdle)
	for _, err := range o.errs {
		if err != nil && !slices.ContainsFunc(allowed, func(a error) bool { return errors.Is(err, a) }) {
			o.fail("unexpected: %v", err)
		}
	}
}

// An exploration goes through the schedules of one scene.
type exploration struct {
	scene
	start  *world
	seen   map[uint64]int // states, and how many disturbances were left there
	judged map[uint64]bool
	walks  bool // by lot: to the end, wherever others have been
	// broken, where it is set, is told of every broken promise, and the
	// exploration goes on.
	broken func(r *run, err error)

	// Schedules begun, different ends that were looked at, and how often a
	// process was killed and a file moved by hand.
	runs, ends, kills, moves int
}

func (sc scene) exploration() *exploration {
	x := &exploration{scene: sc, start: newWorld(), seen: make(map[uint64]int), judged: make(map[uint64]bool)}
	if sc.base != nil {
		sc.base(x.start)
	}
	x.start.Hook = nil
	return x
}

// all tries all schedules with so many disturbances.
func (x *exploration) all(bound int) error {
	return failed(func() {
		for way := range simfs.Paths(bound) {
			x.once(way)
		}
	})
}

// walk tries one schedule by lot.
func (x *exploration) walk(seed uint64) error {
	x.walks = true
	return failed(func() { x.once(simfs.Walk(seed, walkDisturbances, 12)) })
}

// walkDisturbances are as many as a walk may have: more than can be explored.
const walkDisturbances = 10

// once runs the scene along one path.
func (x *exploration) once(way *simfs.Path) {
	x.runs++
	w := x.start.clone()
	r := &run{x: x, way: way, outcomes: &outcomes{world: w}, found: func() string { return "" }}
	err := failed(r.begin)
	if err == nil {
		err = r.wait()
	}
	if err == nil && !r.over {
		err = failed(func() { r.atRest() })
	}
	if err == nil {
		return
	}
	if x.broken == nil {
		panic(failure(r.tell(err)))
	}
	x.broken(r, err)
}

// A run is one schedule of a scene.
type run struct {
	*outcomes
	x       *exploration
	way     *simfs.Path
	s       *simfs.Scheduler
	current string        // who goes on unless something happens
	log     []any         // steps, and what disturbed them
	found   func() string // the disk, when all had ended
	over    bool          // nothing new lies beyond
	err     error         // what was broken after a step
	changed bool          // names may have changed since they were looked at
}

func (r *run) begin() {
	for i := range r.x.acts {
		r.actors = append(r.actors, r.actor(string(rune('a'+i))))
		r.errs = append(r.errs, errKilled)
	}
	if r.x.setup != nil {
		r.x.setup(r.actors)
	}
	r.Apart()
	r.changed = true
	r.Hook = func(st simfs.Step) {
		r.log = append(r.log, st)
		r.changed = r.changed || changes(st.Op)
	}
	r.s = r.Scheduler(r.choose)
	r.s.MaxTurns = 10_000
	for i, act := range r.x.acts {
		if act == nil {
			r.errs[i] = errIdle
			continue
		}
		a := r.actors[i]
		r.s.Start(a.p, func(*simfs.Process) {
			var err error
			if e := failed(func() { err = act(a) }); e != nil {
				err = e
			}
			r.errs[i] = err
		})
	}
}

func (r *run) wait() error {
	err := r.s.Wait()
	r.Hook = nil
	return errors.Join(err, r.err)
}

// tell is a broken promise with all that led to it.
func (r *run) tell(err error) string {
	var log strings.Builder
	for _, what := range r.log {
		_, _ = fmt.Fprintln(&log, what)
	}
	return fmt.Sprintf("%v\nerrors: %q\n%s\nfound:\n%s\nin the end:\n%s", err, r.errs, &log, r.found(), r.Dump())
}

// steps is how many operations there were.
func (r *run) steps() (n int) {
	for _, what := range r.log {
		if _, ok := what.(simfs.Step); ok {
			n++
		}
	}
	return n
}

// The disturbances beside a change of turn.
type (
	killing int // which of the actors
	hand    struct {
		name string
		what func(w *world) string // the path of what it is done to; "" where there is none
		dirs []State               // all that it touches are names in these; nil: it touches more
		do   func(w *world, p string)
	}
)

// choose says who goes on, after what was done to disturb.
func (r *run) choose(t simfs.Turn) int {
	for {
		if r.way.Fresh() && r.stale(t) {
			r.stop()
			return 0
		}
		stay := slices.Index(t.Runnable[:t.Ready], r.current)
		o := r.way.Choose(t.Next[max(stay, 0)].Op, func() []simfs.Option { return r.options(t, stay) })
		switch what := o.What.(type) {
		case int:
			r.current = t.Runnable[what]
			return what
		case killing:
			a := r.actors[what]
			r.kill(a)
			if i := slices.Index(t.Runnable, a.p.Name()); i >= 0 {
				return i // it has nothing left but to unwind
			}
		case hand:
			r.move(what)
		}
	}
}

func (r *run) kill(a *actor) {
	r.x.kills++
	r.log = append(r.log, "-- "+a.p.Name()+" is killed")
	a.p.Kill()
}

func (r *run) move(h hand) {
	r.x.moves++
	r.changed = true
	p := r.does(h)
	r.log = append(r.log, "-- by hand: "+h.name+", X being "+path.Base(p))
}

// stop ends the run.
func (r *run) stop() {
	r.over = true
	for _, a := range r.actors {
		a.p.Kill()
	}
}

// stale reports whether an earlier run has been in this state, or what it is
// is broken.
func (r *run) stale(t simfs.Turn) bool {
	if r.err = failed(r.afterStep); r.err != nil {
		return true
	}
	key, left := r.state(t), r.way.Left()
	if before, ok := r.x.seen[key]; ok && before >= left && !r.x.walks {
		return true
	}
	r.x.seen[key] = left
	return false
}

// state tells one state from another: the disk, what each process has done and
// seen, who goes on, and what a person has done (it excuses things).
func (r *run) state(t simfs.Turn) uint64 {
	h := simfs.Mix(r.Digest(), simfs.Text(r.current))
	for _, s := range r.byHand {
		h = simfs.Mix(h, simfs.Text(s))
	}
	for pid, lives := range r.groups {
		h += simfs.Mix(uint64(pid), uint64(bit(lives)))
	}
	for _, a := range r.actors {
		h = simfs.Mix(simfs.Mix(h, a.p.Trace()), uint64(bit(a.p.Dead())))
	}
	h = simfs.Mix(h, uint64(t.Ready))
	for i, n := range t.Runnable {
		for _, s := range []string{n, t.Next[i].Op, t.Next[i].Path, t.Next[i].Path2} {
			h = simfs.Mix(h, simfs.Text(s))
		}
	}
	return h
}

// options are what can happen at a turn. That the one goes on who has it costs
// nothing.
func (r *run) options(t simfs.Turn, stay int) []simfs.Option {
	o := []simfs.Option{{What: max(stay, 0)}}
	for i := range t.Runnable {
		if i != max(stay, 0) && (stay < 0 || !onlySyncs(t.Next[stay].Op)) {
			o = append(o, simfs.Option{Cost: bit(stay >= 0 || i >= t.Ready), What: i})
		}
	}
	if r.way.Left() == 0 {
		return o
	}
	if r.x.scene.kills {
		for i, a := range r.actors {
			if r.killable(a, t, stay) {
				o = append(o, simfs.Option{Cost: 1, What: killing(i)})
			}
		}
	}
	return append(o, r.handsNow(func(h hand) bool { return stay < 0 || h.matters(t.Next[stay], r.way.Left() == 1) })...)
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// killable reports whether it makes a difference that a process is killed just
// now, and not before its next step or before the next one of who has the
// turn: it is about to change something, or somebody is about to ask for a
// lock, which it may hold.
func (r *run) killable(a *actor, t simfs.Turn, stay int) bool {
	if a.p.Dead() {
		return false
	}
	if i := slices.Index(t.Runnable, a.p.Name()); i >= 0 && (i == stay || stay < 0) {
		return changes(t.Next[i].Op)
	}
	return stay >= 0 && asksForLock(t.Next[stay].Op)
}

// changes reports whether a step may change the disk. Between two that do, it
// is the same where a process is killed.
func changes(op string) bool {
	switch op {
	case "mkdir", "link", "rename", "renamenoreplace", "unlink", "rmdir", "write", "truncate":
		return true
	}
	return false
}

func asksForLock(op string) bool {
	switch op {
	case "lock", "locktry", "locktryshared", "lockwait", "nowriter":
		return true
	}
	return false
}

// onlySyncs reports whether a step changes nothing that another process can
// see, and sees nothing: whether it comes before or after what others do makes
// no difference.
func onlySyncs(op string) bool {
	switch op {
	case "sync", "syncdir", "syncfs", "space":
		return true
	}
	return false
}

// matters reports whether it makes a difference that something is done by hand
// before this step and not after it. Where something else may follow, which
// what is done now may make possible, it may.
func (h hand) matters(s simfs.Step, last bool) bool {
	dirs := h.dirs
	if !last {
		dirs = nil
	}
	switch s.Op {
	case "open", "lstat", "link", "rename", "renamenoreplace", "unlink", "list":
	case "stat", "write", "truncate", "mkdir": // no names of files matter
		if dirs != nil {
			return false
		}
	default:
		return false
	}
	for _, p := range []string{s.Path, s.Path2} {
		st := stateOf(p)
		if slices.Contains(dirs, st) || (dirs == nil && (isState(st) || st == "ids")) {
			return true
		}
	}
	return false
}

// handsNow are what a person can do now.
func (r *run) handsNow(matters func(hand) bool) (o []simfs.Option) {
	for _, h := range r.x.hands {
		if matters(h) && h.what(r.world) != "" {
			o = append(o, simfs.Option{Cost: 1, What: h})
		}
	}
	return o
}

// atRest is when all operations have ended: a person may do something still.
func (r *run) atRest() {
	for {
		o := r.way.Choose("rest", func() []simfs.Option {
			o := []simfs.Option{{What: nil}}
			if r.way.Left() > 0 {
				o = append(o, r.handsNow(func(hand) bool { return true })...)
			}
			return o
		})
		h, ok := o.What.(hand)
		if !ok {
			break
		}
		r.move(h)
	}
	key := r.state(simfs.Turn{})
	if !r.x.judged[key] {
		r.x.judged[key] = true
		r.x.ends++
		found := r.Disk.Clone()
		r.found = found.Dump
		r.x.judge(r.outcomes)
	}
}
