package spool

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"path"
	"slices"
	"testing"
	"time"

	"queuectl/spool/internal/fsys"
	"queuectl/spool/internal/simfs"
)

// A world is a simulated machine with one disk, on which processes come and
// go. What it is told to do without a process is done by a person.
type world struct {
	*simfs.Disk
	host, boot string
	pids       map[*simfs.Process]int
	groups     map[int]bool // the process groups that live
	started    int
	// told is what became of each job that has a mark: true where somebody was
	// told that it is there, false where that it is not.
	told     map[string]bool
	children []jobProcess
	removers int             // operations that may remove a job
	retried  bool            // a person has asked for a retry
	forced   bool            // a person wants a job run beside what it has left behind
	byHand   []string        // what a person has done
	lastX    string          // and to which file at last
	made     map[uint64]bool // the inodes that a person has made
	off      *breach         // the rule that is switched off; nil: none
}

// A jobProcess is the process of a job, which may outlive its pool.
type jobProcess struct {
	p       *simfs.Process
	of      *actor
	claim   *Claim
	locked  bool // it has the job's file open
	escaped bool // its pool has killed it, and it lives on
}

// newWorld is a machine with a new spool, all of it durable.
func newWorld() *world {
	w := worldOf(simfs.New(), "boot-1")
	p := w.Process("maker")
	s := newSpool("/nowhere/spool", p, w.system(p))
	if err := s.open(true); err != nil {
		panic(failure(fmt.Sprint("create: ", err)))
	}
	p.Kill()
	w.SyncAll()
	return w
}

func worldOf(d *simfs.Disk, boot string) *world {
	return &world{Disk: d, host: "here", boot: boot, pids: make(map[*simfs.Process]int), groups: make(map[int]bool), told: make(map[string]bool), made: make(map[uint64]bool)}
}

// clone is the same machine with all its processes killed.
func (w *world) clone() *world {
	c := worldOf(w.Disk.Clone(), w.boot)
	c.started, c.told, c.off = w.started, maps.Clone(w.told), w.off
	return c
}

// A simSystem is the machine as one process sees it.
type simSystem struct {
	w     *world
	p     *simfs.Process
	id    identity
	draws int
	rands []string // what rand returns first, where the length fits
}

func (w *world) system(p *simfs.Process) *simSystem {
	w.started++
	pid := 1000 + w.started
	if w.off != nil && w.off.pids {
		pid = 1
	}
	w.pids[p] = pid
	return &simSystem{w: w, p: p, id: identity{Host: w.host, PID: pid, Start: uint64(pid), Boot: w.boot, PIDNS: "pid:[1]"}}
}

func (x *simSystem) now() time.Time { return x.p.Now().Truncate(time.Microsecond) }

// rand depends on the process's name and number and on how often it was
// called, and on nothing else.
func (x *simSystem) rand(n int) string {
	if len(x.rands) > 0 && len(x.rands[0]) == n {
		r := x.rands[0]
		x.rands = x.rands[1:]
		return r
	}
	if x.w.off != nil && x.w.off.rand != nil {
		if r := x.w.off.rand(); len(r) == n {
			return r
		}
	}
	x.draws++
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, x.p.Name(), x.id.PID, x.draws)
	v, b := h.Sum64(), make([]byte, n)
	for i := range b {
		b[i] = "abcdefghijklmnopqrstuvwxyz234567"[v>>59]
		v = v*6364136223846793005 + 1442695040888963407
	}
	return string(b)
}

func (x *simSystem) self() identity {
	id := x.id
	if x.w.off != nil && x.w.off.hosts {
		id.Host = x.w.host
	}
	return id
}

func (x *simSystem) groupAlive(pid int, _ uint64) bool {
	return x.w.groups[pid] && !(x.w.off != nil && x.w.off.groups)
}

func (x *simSystem) startOf(pid int) uint64 { return uint64(pid) }

func (x *simSystem) holder(file fsys.Info) int {
	for _, p := range x.w.Holders(file.Ino) {
		if p != x.p {
			return x.w.pids[p]
		}
	}
	return 0
}

func (x *simSystem) sleep(ctx context.Context, d time.Duration) error {
	x.p.Sleep(d)
	return ctx.Err()
}

// A failure is what an oracle panics with.
type failure string

// failed calls f and returns the failure that ends it, or nil.
func failed(f func()) (err error) {
	defer func() {
		r := recover()
		if f, ok := r.(failure); ok {
			err = errors.New(string(f))
		} else if r != nil {
			panic(r)
		}
	}()
	f()
	return nil
}

// An actor is a simulated process that has the spool open. Its helpers panic
// with a failure.
type actor struct {
	*Spool
	w    *world
	p    *simfs.Process
	sys  *simSystem
	pool *Pool
	c    *Claim
	cut  bool // off, on another host: that it still runs its job cannot be known
}

// actor starts a process.
func (w *world) actor(name string) *actor {
	a := &actor{w: w, p: w.Process(name)}
	a.sys = w.system(a.p)
	a.Spool = newSpool("/nowhere/spool", w.off.door(a.p), a.sys)
	a.must(a.open(false))
	return a
}

func (a *actor) fail(format string, args ...any) {
	panic(failure(a.p.Name() + ": " + fmt.Sprintf(format, args...)))
}

func (a *actor) must(err error) {
	if err != nil {
		a.fail("%v", err)
	}
}

func (a *actor) enqueue(id string, more ...string) {
	_, err := a.EnqueueJSON(ctx, []byte(jobText(id, more...)))
	a.must(err)
}

func (a *actor) at(id string) string {
	p, _, err := a.locate(id)
	if err != nil {
		a.fail("where is %q: %v", id, err)
	}
	return p
}

func (a *actor) state(id string) State { return stateOf(a.at(id)) }

func (a *actor) job(id string) *JobInfo {
	j, err := a.Job(id)
	if err != nil {
		a.fail("job %q: %v", id, err)
	}
	return j
}

func (a *actor) join() *Pool {
	var err error
	a.pool, err = a.Join(4)
	a.must(err)
	return a.pool
}

// take joins where it has not and claims a job.
func (a *actor) take(id string) *Claim {
	if a.pool == nil {
		a.join()
	}
	var err error
	a.c, err = a.pool.Claim(a.at(id))
	a.must(err)
	return a.c
}

// run claims a job and starts it.
func (a *actor) run(id string) *Claim {
	c := a.take(id)
	a.must(c.Started(7000 + int(c.key[len(c.key)-1])))
	return c
}

func (a *actor) settle(res Result) {
	_, err := a.ended().Settle(res)
	a.must(err)
}

// ended is the claim, whose attempt has ended: it runs no more.
func (a *actor) ended() *Claim {
	c := a.c
	a.c = nil
	return c
}

var success = Result{Outcome: Succeeded}

// ran is a job that has run once, and where that led it.
func (a *actor) ran(id string, res Result, more ...string) {
	a.enqueue(id, more...)
	a.run(id)
	a.settle(res)
}

// do runs f as a process that is killed afterwards.
func (w *world) do(f func(a *actor)) {
	a := w.actor("earlier")
	f(a)
	a.p.Kill()
}

// doUntil runs f as a process that is killed before the first step for which
// stop returns true.
func (w *world) doUntil(stop func(simfs.Step) bool, f func(a *actor)) {
	a := w.actor("victim")
	w.Hook = func(s simfs.Step) {
		if stop(s) && s.Process == a.p {
			a.p.Kill()
		}
	}
	if !a.p.Run(func() { f(a) }) {
		a.fail("was not killed")
	}
	w.Hook = nil
}

// files are the paths of all plain names in the state directories.
func (w *world) files() (paths []string) {
	for _, st := range States {
		for _, name := range w.Names(string(st)) {
			if !ignored(name) {
				paths = append(paths, string(st)+"/"+name)
			}
		}
	}
	return paths
}

// staged are the paths of all files below tmp/RAND.
func (w *world) staged() (paths []string) {
	var below func(dir string)
	below = func(dir string) {
		for _, name := range w.Names(dir) {
			p := dir + "/" + name
			if i, err := w.Stat(p); err == nil && i.Mode.IsDir() {
				below(p)
			} else if path.Dir(p) != "tmp" {
				paths = append(paths, p)
			}
		}
	}
	below("tmp")
	return paths
}

// placesOf are the paths in the state directories of an id.
func (w *world) placesOf(id string) (paths []string) {
	for _, p := range w.files() {
		if n, ok := ParseName(path.Base(p)); ok && n.ID == id {
			paths = append(paths, p)
		}
	}
	return paths
}

// ids are the ids with a canonical name in a state directory, each as often as
// it has one.
func (w *world) ids() (ids []string) {
	for _, p := range w.files() {
		if n, ok := ParseName(path.Base(p)); ok {
			ids = append(ids, n.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

func (w *world) there(p string) bool {
	_, err := w.Stat(p)
	return err == nil
}

// same reports whether both names are one inode.
func (w *world) same(a, b string) bool {
	i, err1 := w.Stat(a)
	j, err2 := w.Stat(b)
	return err1 == nil && err2 == nil && i.Same(j)
}

// must has a person's doing succeed.
func (w *world) must(err error) {
	if err != nil {
		panic(failure(err.Error()))
	}
}

// TestSimulatedSpool walks a job through its life on a simulated disk.
func TestSimulatedSpool(t *testing.T) {
	w := newWorld()
	err := failed(func() {
		a := w.actor("worker")
		a.enqueue("job")
		a.run("job")
		a.settle(Result{Outcome: FailedOutcome, RetryAt: w.Now().Add(time.Second)})
		w.Advance(time.Second)
		a.run("job")
		a.settle(success)
		if st := a.state("job"); st != Completed {
			a.fail("it is %s", st)
		}
		a.must(a.pool.Leave())
		if rep, err := a.Check(ctx, false); err != nil || !rep.OK() || rep.Jobs != 1 {
			a.fail("%v\n%s", err, findings(rep))
		}
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, w.Dump())
	}
}
