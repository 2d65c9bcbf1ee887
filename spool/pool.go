package spool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"queuectl/spool/internal/fsys"
)

// poolFile is what stands in workers/POOL.json.
type poolFile struct {
	Name string `json:"name"`
	identity
	Slots     int       `json:"slots"`
	StartedAt time.Time `json:"started_at"`
	Stopping  bool      `json:"stopping"`
}

// A Pool is one process that works on the spool. It holds a lock on its file
// in workers/ for life; when it dies, the kernel frees the lock, and what it
// was running is recovered by others.
type Pool struct {
	s     *Spool
	name  string
	file  poolFile
	lock  fsys.Lock
	slots int

	accept  func(*Job) error
	lockFor int // how Claim opens what it locks
	spares  spareLogs

	mu     sync.Mutex
	claims uint64            // claims so far: no two ever have one name
	held   map[string]*Claim // by "POOL.K"

	waits sync.Mutex
	frees map[string]chan struct{} // closed when the lock of that pool is free

	told     sync.Mutex // held while it is written
	problems string     // as last written
}

// Join makes this process a pool with so many slots. Where jobs run as their
// owners, only root can be one: ErrUnusable.
func (s *Spool) Join(slots int) (*Pool, error) {
	if err := s.mayOwn(); err != nil {
		return nil, err
	}
	if err := s.Probe(); err != nil {
		return nil, err
	}
	for {
		id := s.sys.self()
		p := &Pool{s: s, slots: slots, lockFor: s.lockFor, held: make(map[string]*Claim), frees: make(map[string]chan struct{}), spares: spareLogs{max: slots}}
		p.name = fmt.Sprintf("%s-%d-%s", id.Host, id.PID, s.sys.rand(6))
		p.file = poolFile{Name: p.name, identity: id, Slots: slots, StartedAt: s.sys.now()}
		err := p.join()
		if exists(err) || notExist(err) {
			continue // the name is taken, or a roller took our file for a dead one's
		}
		if err != nil {
			return nil, err
		}
		return p, nil
	}
}

func workerPath(pool string) string { return "workers/" + pool + ".json" }

// join writes and locks the file in tmp/ and links it into workers/, so that
// nobody can lock it first.
func (p *Pool) join() error {
	s := p.s
	data, err := json.Marshal(p.file)
	if err != nil {
		return err
	}
	tmp := "tmp/" + p.name + ".json"
	if _, err := s.madeDir("workers"); err != nil {
		return err
	}
	if err := s.writeNew(tmp, append(data, '\n'), false); err != nil {
		return err
	}
	defer s.fs.Unlink(tmp)
	if p.lock, err = s.fs.Lock(tmp); err != nil {
		return err
	}
	ok, err := p.lock.TryLock()
	if err == nil && !ok {
		err = ErrHeld
	}
	if err == nil {
		err = s.fs.Link(tmp, workerPath(p.name))
	}
	if err != nil {
		_ = p.lock.Close()
	}
	return err
}

// Accept has Claim leave a job where it is, untouched, for which f returns an
// error; Claim returns that error. It is called under the job's lock, and is
// to be set before the first Claim.
func (p *Pool) Accept(f func(*Job) error) { p.accept = f }

// InProcess says that all jobs run in this process, so that no other one will
// inherit a claim's locked file: one open file for each job is enough then, and
// it can be written to. It is to be called before the first Claim.
func (p *Pool) InProcess() { p.lockFor = os.O_RDWR }

// Name is the pool's name, HOST-PID-RAND.
func (p *Pool) Name() string { return p.name }

// Stopping writes down that the pool is about to end, so that jobs which die
// with it are not charged for it. It is the first thing to do on SIGTERM.
func (p *Pool) Stopping() error {
	p.file.Stopping = true
	data, err := json.Marshal(p.file)
	if err != nil {
		return err
	}
	f, err := p.s.fs.OpenPlain(workerPath(p.name), os.O_RDWR)
	if err != nil {
		return err
	}
	defer f.Close()
	// "true" and a space are as long as "false": one write, never half.
	_, err = f.WriteAt(append(data, ' ', '\n'), 0)
	return err
}

// Leave ends the pool. Its file stays while a name in processing/ carries it.
func (p *Pool) Leave() error {
	defer p.lock.Close()
	p.spares.close()
	_ = p.s.fs.Unlink("control/" + p.name + stopSuffix)
	_ = p.s.fs.Unlink(problemsPath(p.name))
	p.mu.Lock()
	left := len(p.held) > 0
	p.mu.Unlock()
	if left && p.s.noProcessing() {
		return nil // the jobs that it leaves running lie somewhere else just now
	}
	return p.s.dropPoolFile(p.name)
}

// noProcessing reports whether somebody has moved processing/ away, with what
// runs in it.
func (s *Spool) noProcessing() bool {
	_, err := s.fs.Lstat(string(Processing))
	return notExist(err)
}

// dropPoolFile removes a pool's file if nothing in processing/ refers to it.
func (s *Spool) dropPoolFile(pool string) error {
	used, err := s.poolInUse(pool)
	if used || err != nil {
		return err
	}
	_ = s.fs.Unlink("control/" + pool + stopSuffix)
	_ = s.fs.Unlink(problemsPath(pool))
	return s.removeIfThere(workerPath(pool))
}

func (s *Spool) poolInUse(pool string) (used bool, err error) {
	for range 2 { // one listing can miss a name
		err = s.Scan(Processing, func(_ string, n Name, canonical bool) bool {
			used = used || (canonical && n.Pool == pool)
			return !used
		})
		if used || err != nil {
			return used, err
		}
	}
	return false, nil
}

// poolNames lists the pools that have a file, in order.
func (s *Spool) poolNames() ([]string, error) {
	var names []string
	err := s.fs.List("workers", func(n string) bool {
		if pool, ok := strings.CutSuffix(n, ".json"); ok && !ignored(n) {
			names = append(names, pool)
		}
		return true
	})
	if notExist(err) { // a person has removed it
		err = nil
	}
	slices.Sort(names)
	return names, err
}

// poolAlive reports whether somebody holds the lock of the pool's file.
func (s *Spool) poolAlive(pool string) (bool, error) {
	l, err := s.fs.Lock(workerPath(pool))
	if notExist(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer l.Close()
	free, err := l.TryRLock()
	if notExist(err) {
		return false, nil
	}
	return err == nil && !free, err
}

// readPool reads a pool's file. One that a power cut has left empty, say, is as
// one that is not there: fs.ErrNotExist.
func (s *Spool) readPool(pool string) (poolFile, error) {
	b, err := s.readFile(workerPath(pool), 64<<10)
	if err != nil {
		return poolFile{}, err
	}
	var f poolFile
	if err := json.Unmarshal(b, &f); err != nil {
		return poolFile{}, fmt.Errorf("%s: %w: %w", workerPath(pool), err, fs.ErrNotExist)
	}
	return f, nil
}

// A Problem is something that a person should know of.
type Problem struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
	PID    int    `json:"pid"`
}

func problemsPath(pool string) string { return "workers/" + pool + ".problems" }

// SetProblems writes down what keeps this pool from its work, for status to
// show.
func (p *Pool) SetProblems(list []Problem) error {
	data, err := json.Marshal(list)
	if err != nil {
		return err
	}
	p.told.Lock()
	defer p.told.Unlock()
	if string(data) == p.problems || (len(list) == 0 && p.problems == "") {
		return nil
	}
	path := problemsPath(p.name)
	if len(list) == 0 {
		err = p.s.fs.Unlink(path)
	} else {
		err = p.s.writeOver(path, data)
	}
	if err == nil || notExist(err) {
		p.problems = string(data)
		return nil
	}
	return err
}

func (s *Spool) problemsOf(pool string) []Problem {
	b, err := s.readFile(problemsPath(pool), 1<<20)
	if err != nil {
		return nil
	}
	var list []Problem
	_ = json.Unmarshal(b, &list)
	return list
}

// WatchNeighbour waits for the death of the pool that comes after this one in
// the order of names, so that all pools together form a ring. The channel
// gives its name once it has died or left, and is closed; where there is no
// other pool it is nil.
func (p *Pool) WatchNeighbour(ctx context.Context) (<-chan string, error) {
	names, err := p.s.poolNames()
	if err != nil {
		return nil, err
	}
	i, _ := slices.BinarySearch(names, p.name)
	order := append(slices.Clone(names[min(i+1, len(names)):]), names[:i]...)
	for _, next := range order {
		if next == p.name {
			continue
		}
		ch := make(chan string, 1)
		go func() {
			defer close(ch)
			if p.awaitDeath(ctx, next) == nil {
				ch <- next
			}
		}()
		return ch, nil
	}
	return nil, nil
}

// awaitDeath returns when the pool's lock is free.
func (p *Pool) awaitDeath(ctx context.Context, pool string) error {
	s := p.s
	alive, err := s.poolAlive(pool)
	if err != nil || !alive {
		return err
	}
	if f, err := s.readPool(pool); err == nil && s.sys.self().near(f.identity) {
		if err := awaitExit(ctx, f.PID, f.Start); !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.free(pool):
		return nil
	}
}

// free is closed when the lock of another pool is free. The wait for a lock
// cannot be broken off: it is the one thing that a stop may leave behind, and
// who asks again waits with it.
func (p *Pool) free(pool string) <-chan struct{} {
	p.waits.Lock()
	defer p.waits.Unlock()
	if ch := p.frees[pool]; ch != nil {
		return ch
	}
	ch := make(chan struct{})
	l, err := p.s.fs.Lock(workerPath(pool))
	if err != nil { // it has left
		close(ch)
		return ch
	}
	p.frees[pool] = ch
	go func() {
		_ = l.RLock()
		_ = l.Close()
		p.waits.Lock()
		delete(p.frees, pool)
		p.waits.Unlock()
		close(ch)
	}()
	return ch
}
