package spool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"queuectl/spool/internal/fsys"
)

var ctx = context.Background()

// A clock goes as fast as the real one, which many times of the real file
// system are compared with, but can be put forward; or stands still.
type clock struct {
	mu     sync.Mutex
	ahead  time.Duration
	frozen time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.frozen.IsZero() {
		return c.frozen.Add(c.ahead)
	}
	return time.Now().Add(c.ahead)
}

// add puts the clock forward, or back.
func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	c.ahead += d
	c.mu.Unlock()
}

// freeze stops the clock, at a whole microsecond.
func (c *clock) freeze() time.Time {
	now := c.now().UTC().Truncate(time.Microsecond)
	c.mu.Lock()
	c.frozen, c.ahead = now, 0
	c.mu.Unlock()
	return now
}

func (c *clock) thaw() {
	c.mu.Lock()
	c.frozen = time.Time{}
	c.mu.Unlock()
}

// A fakeSystem differs from the real one where a field is set.
type fakeSystem struct {
	system
	mu     sync.Mutex
	id     *identity
	rands  []string // what rand returns first
	groups map[int]bool
}

func (f *fakeSystem) self() identity {
	if f.id != nil {
		return *f.id
	}
	return f.system.self()
}

func (f *fakeSystem) rand(n int) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.rands) > 0 && len(f.rands[0]) == n {
		r := f.rands[0]
		f.rands = f.rands[1:]
		return r
	}
	return f.system.rand(n)
}

func (f *fakeSystem) groupAlive(pid int, start uint64) bool {
	if alive, ok := f.groups[pid]; ok {
		return alive
	}
	return f.system.groupAlive(pid, start)
}

// A bench is a scratch spool with what a test does to it. Its helpers fail the
// test. At the end it is checked: all invariants must hold, but those that the
// test has said it leaves violated.
type bench struct {
	*Spool
	t       *testing.T
	clk     *clock
	sys     *fakeSystem
	faults  *faultFS
	leaves  []int
	unasked bool
	pools   []*Pool
}

// newBench makes a spool. Nothing is synced in it.
func newBench(t *testing.T) *bench {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "spool")
	must(t, os.Mkdir(dir, 0o700))
	b := openBench(t, dir, true)
	must(t, b.SetConfig("sync", "off"))
	t.Cleanup(b.done)
	return b
}

// openBench opens a directory as another process would.
func openBench(t *testing.T, dir string, create bool) *bench {
	t.Helper()
	real, err := fsys.Open(dir)
	must(t, err)
	b := &bench{t: t, clk: &clock{}, faults: &faultFS{FS: real}}
	b.sys = &fakeSystem{system: newSystem(b.clk.now), groups: make(map[int]bool)}
	b.Spool = newSpool(dir, b.faults, b.sys)
	if err := b.Spool.open(create); err != nil {
		_ = real.Close()
		t.Fatal(err)
	}
	return b
}

// another opens the same spool once more, with a clock of its own.
func (b *bench) another() *bench {
	b.t.Helper()
	o := openBench(b.t, b.dir, false)
	o.unasked = true
	b.t.Cleanup(o.done)
	return o
}

// leave says which invariants the test leaves violated, exactly.
func (b *bench) leave(inv ...int) { b.leaves = inv }

func (b *bench) done() {
	b.faults.clear()
	if !b.unasked && !b.t.Failed() {
		rep, err := b.Check(ctx, false)
		if err != nil {
			b.t.Errorf("check: %v", err)
		}
		if got := violated(rep); !slices.Equal(got, b.leaves) {
			b.t.Errorf("the test leaves invariants %v violated, not %v\n%s", got, b.leaves, findings(rep))
		}
	}
	for _, p := range b.pools {
		b.kill(p)
	}
	_ = b.Close()
}

// violated lists the numbers of the invariants that do not hold, once each.
func violated(rep CheckReport) []int {
	var list []int
	for _, f := range rep.Findings {
		if !f.Note && !f.Repaired && !slices.Contains(list, f.Invariant) {
			list = append(list, f.Invariant)
		}
	}
	slices.Sort(list)
	return list
}

func findings(rep CheckReport) string {
	var b strings.Builder
	for _, f := range rep.Findings {
		fmt.Fprintf(&b, "%d %s: %s (note %v, repaired %v)\n", f.Invariant, f.Path, f.Text, f.Note, f.Repaired)
	}
	return b.String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantErr fails unless err is target.
func wantErr(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("error is %v; want %v", err, target)
	}
}

// wantText fails unless err says text.
func wantText(t testing.TB, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Fatalf("error is %v; want one that says %q", err, text)
	}
}

// wait waits for a condition, with a deadline.
func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// A person's doings: no locks, no library.

func (b *bench) at(rel string) string { return filepath.Join(b.dir, rel) }

func (b *bench) put(rel, content string) {
	b.t.Helper()
	must(b.t, os.WriteFile(b.at(rel), []byte(content), 0o600))
}

// exchangeFile is what sed -i and "jq … > t && mv t" do.
func (b *bench) exchangeFile(rel, content string) {
	b.t.Helper()
	b.put("x.tmp", content)
	b.mv("x.tmp", rel)
}

func (b *bench) read(rel string) string {
	b.t.Helper()
	data, err := os.ReadFile(b.at(rel))
	must(b.t, err)
	return string(data)
}

func (b *bench) mv(from, to string) string {
	b.t.Helper()
	must(b.t, os.MkdirAll(filepath.Dir(b.at(to)), 0o700))
	must(b.t, os.Rename(b.at(from), b.at(to)))
	return to
}

// mvInto moves a file into a state under its own name.
func (b *bench) mvInto(from string, st State) string {
	b.t.Helper()
	return b.mv(from, string(st)+"/"+path.Base(from))
}

func (b *bench) rm(rel string) {
	b.t.Helper()
	must(b.t, os.Remove(b.at(rel)))
}

func (b *bench) cp(from, to string) {
	b.t.Helper()
	b.put(to, b.read(from))
}

func (b *bench) there(rel string) bool {
	_, err := os.Lstat(b.at(rel))
	return err == nil
}

func (b *bench) inode(rel string) uint64 {
	b.t.Helper()
	info, err := os.Lstat(b.at(rel))
	must(b.t, err)
	return info.Sys().(*syscall.Stat_t).Ino
}

// ls lists the names in a state that do not begin with a dot.
func (b *bench) ls(st State) []string {
	b.t.Helper()
	names, err := os.ReadDir(b.at(string(st)))
	if err != nil && !os.IsNotExist(err) {
		b.t.Fatal(err)
	}
	var list []string
	for _, e := range names {
		if e.Name()[0] != '.' {
			list = append(list, string(st)+"/"+e.Name())
		}
	}
	return list
}

// only is the one name in a state.
func (b *bench) only(st State) string {
	b.t.Helper()
	l := b.ls(st)
	if len(l) != 1 {
		b.t.Fatalf("%s holds %q; want one file", st, l)
	}
	return l[0]
}

// What the library does.

// enqueue makes a job; more are further members, as in `"priority":9`.
func (b *bench) enqueue(id string, more ...string) string {
	b.t.Helper()
	got, err := b.EnqueueJSON(ctx, []byte(jobText(id, more...)))
	must(b.t, err)
	if got != id {
		b.t.Fatalf("enqueued %q as %q", id, got)
	}
	return b.path(id)
}

func jobText(id string, more ...string) string {
	return `{"id":"` + id + `","command":"true"` + strings.Join(append([]string{""}, more...), ",") + `}`
}

// path is where a job lies.
func (b *bench) path(id string) string {
	b.t.Helper()
	p, _, err := b.locate(id)
	if err != nil {
		b.t.Fatalf("job %q: %v", id, err)
	}
	return p
}

func (b *bench) job(id string) *JobInfo {
	b.t.Helper()
	j, err := b.Job(id)
	must(b.t, err)
	return j
}

func (b *bench) wantState(id string, st State) *JobInfo {
	b.t.Helper()
	j := b.job(id)
	if j.State != st {
		b.t.Fatalf("job %q is %s; want %s\n%s", id, j.State, st, b.tree())
	}
	return j
}

func (b *bench) wantNoJob(id string) {
	b.t.Helper()
	if j, err := b.Job(id); !errors.Is(err, ErrNotFound) {
		b.t.Fatalf("job %q is there: %+v, %v", id, j, err)
	}
}

// last is the last line of a job's history.
func (b *bench) last(id string) Entry {
	b.t.Helper()
	h := b.job(id).History
	return h[len(h)-1]
}

func (b *bench) tree() string {
	out, _ := exec.Command("ls", "-lRi", b.dir).CombinedOutput()
	return string(out)
}

func (b *bench) pool() *Pool {
	b.t.Helper()
	p, err := b.Join(4)
	must(b.t, err)
	b.pools = append(b.pools, p)
	return p
}

// claim has the pool take the job.
func (b *bench) claim(p *Pool, id string) *Claim {
	b.t.Helper()
	c, err := p.Claim(b.path(id))
	if err != nil {
		b.t.Fatalf("claim of %q: %v", id, err)
	}
	return c
}

// settle ends a claim, and wants it to end in a state.
func (b *bench) settle(c *Claim, res Result, want State) {
	b.t.Helper()
	st, err := c.Settle(res)
	if err != nil || st != want {
		b.t.Fatalf("settle: %s, %v; want %s", st, err, want)
	}
}

// adopt has a pool adopt a drop and wants it to become the job id.
func (b *bench) adopt(p string, id string) {
	b.t.Helper()
	to, err := b.Spool.adopt(ctx, p)
	if err != nil {
		b.t.Fatalf("adopt %q: %v", p, err)
	}
	n, ok := ParseName(path.Base(to))
	if !ok || n.ID != id || !b.there(to) {
		b.t.Fatalf("adopted as %q; want a job %q\n%s", to, id, b.tree())
	}
}

// refuse has a pool refuse a drop. It returns the id under which it lies in
// dead/, byte for byte.
func (b *bench) refuse(p string, why string) string {
	b.t.Helper()
	info, err := os.Lstat(b.at(p))
	must(b.t, err)
	before := ""
	if info.Mode().IsRegular() && info.Size() < 1<<20 {
		before = b.read(p)
	}
	was := b.ls(Dead)
	_, err = b.Spool.adopt(ctx, p)
	wantErr(b.t, err, ErrRefused)
	wantText(b.t, err, why)
	if b.there(p) {
		b.t.Fatalf("%q is still there", p)
	}
	for _, d := range b.ls(Dead) {
		if slices.Contains(was, d) {
			continue
		}
		n, _ := ParseName(path.Base(d))
		if before != "" && b.read(d) != before {
			b.t.Fatalf("refused as %q; was %q", b.read(d), before)
		}
		j := b.job(n.ID)
		if !j.Refused || !strings.Contains(j.LastError, why) {
			b.t.Fatalf("refused job is %+v; want the reason %q", j, why)
		}
		if b.there(idPath(n.ID)) {
			b.t.Fatalf("the refused file has a second name %s", idPath(n.ID))
		}
		return n.ID
	}
	b.t.Fatal("nothing new in dead/")
	return ""
}

// kill does to a pool what kill -9 does: the kernel closes what it had open.
// Locks that a child has inherited stay.
func (b *bench) kill(p *Pool) {
	_ = p.lock.Close()
	if p.spares.in != nil {
		p.spares.in.leave()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.held {
		c.rec.abandon()
	}
	clear(p.held)
}

func (b *bench) recover() RecoverReport {
	b.t.Helper()
	rep, err := b.Recover(ctx)
	must(b.t, err)
	return rep
}

// editPool changes the file of a pool.
func (b *bench) editPool(p *Pool, change func(*poolFile)) {
	b.t.Helper()
	var f poolFile
	must(b.t, json.Unmarshal([]byte(b.read(workerPath(p.name))), &f))
	change(&f)
	data, err := json.Marshal(f)
	must(b.t, err)
	must(b.t, os.WriteFile(b.at(workerPath(p.name)), data, 0o600)) // in place: the lock stays
}

// clean has Check find nothing at all.
func (b *bench) clean() {
	b.t.Helper()
	rep, err := b.Check(ctx, false)
	must(b.t, err)
	if !rep.OK() {
		b.t.Fatalf("not clean:\n%s\n%s", findings(rep), b.tree())
	}
}

// child starts a process in its own process group that ends when its standard
// input is closed: end does that and waits. With files it inherits them.
func child(t *testing.T, files ...*os.File) (pid int, end func()) {
	t.Helper()
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	must(t, err)
	cmd.ExtraFiles = files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, cmd.Start())
	var once sync.Once
	end = func() {
		once.Do(func() {
			_ = in.Close()
			_ = cmd.Wait()
		})
	}
	t.Cleanup(end)
	return cmd.Process.Pid, end
}

// A faultFS lets a test come between two operations: before the n-th operation
// of a kind it calls the test, and fails the operation with what that returns.
type faultFS struct {
	fsys.FS
	mu    sync.Mutex
	rules []*fault
	log   []string // the operations since record
	on    bool

	syncsNames *bool // in place of what the file system says
}

func (f *faultFS) SyncsNames() bool {
	if f.syncsNames != nil {
		return *f.syncsNames
	}
	return f.FS.SyncsNames()
}

type fault struct {
	op, match string
	skip      int
	always    bool
	do        func() error
}

// before calls do before the next operation op on a path that contains match.
// Of operations on two paths, both are looked at: "old new".
func (f *faultFS) before(op, match string, do func() error) { f.nth(op, match, 0, do) }

// nth does so after skip such operations.
func (f *faultFS) nth(op, match string, skip int, do func() error) {
	f.mu.Lock()
	f.rules = append(f.rules, &fault{op: op, match: match, skip: skip, do: do})
	f.mu.Unlock()
}

// fail has all such operations fail, until clear.
func (f *faultFS) fail(op, match string, err error) {
	f.mu.Lock()
	f.rules = append(f.rules, &fault{op: op, match: match, always: true, do: func() error { return err }})
	f.mu.Unlock()
}

func (f *faultFS) clear() {
	f.mu.Lock()
	f.rules = nil
	f.mu.Unlock()
}

// spent reports whether all rules have come true.
func (f *faultFS) spent() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.rules) == 0
}

// record keeps the operations from here on.
func (f *faultFS) record() {
	f.mu.Lock()
	f.on, f.log = true, nil
	f.mu.Unlock()
}

func (f *faultFS) recorded() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.log)
}

func (f *faultFS) hit(op, p string) error {
	f.mu.Lock()
	if f.on {
		f.log = append(f.log, op+" "+p)
	}
	var do func() error
	for i, r := range f.rules {
		if r.op != op || !strings.Contains(p, r.match) {
			continue
		}
		if r.skip > 0 {
			r.skip--
			continue
		}
		do = r.do
		if !r.always {
			f.rules = slices.Delete(f.rules, i, i+1)
		}
		break
	}
	f.mu.Unlock()
	if do == nil {
		return nil
	}
	return do()
}

func (f *faultFS) Open(p string, flag int) (fsys.File, error) { return f.open(p, flag, f.FS.Open) }

func (f *faultFS) OpenPlain(p string, flag int) (fsys.File, error) {
	return f.open(p, flag, f.FS.OpenPlain)
}

func (f *faultFS) open(p string, flag int, open func(string, int) (fsys.File, error)) (fsys.File, error) {
	if err := f.hit("open", p); err != nil {
		return nil, err
	}
	file, err := open(p, flag)
	if err != nil {
		return nil, err
	}
	return &faultFile{file, f, p}, nil
}

func (f *faultFS) Mkdir(p string) error {
	return errOr(f.hit("mkdir", p), func() error { return f.FS.Mkdir(p) })
}

func (f *faultFS) Lstat(p string) (fsys.Info, error) {
	if err := f.hit("lstat", p); err != nil {
		return fsys.Info{}, err
	}
	return f.FS.Lstat(p)
}

func (f *faultFS) Link(a, b string) error {
	return errOr(f.hit("link", a+" "+b), func() error { return f.FS.Link(a, b) })
}

func (f *faultFS) Rename(a, b string) error {
	return errOr(f.hit("replace", a+" "+b), func() error { return f.FS.Rename(a, b) })
}

func (f *faultFS) RenameNoReplace(a, b string) error {
	return errOr(f.hit("rename", a+" "+b), func() error { return f.FS.RenameNoReplace(a, b) })
}

func (f *faultFS) Unlink(p string) error {
	return errOr(f.hit("unlink", p), func() error { return f.FS.Unlink(p) })
}

func (f *faultFS) Rmdir(p string) error {
	return errOr(f.hit("rmdir", p), func() error { return f.FS.Rmdir(p) })
}

func (f *faultFS) List(p string, fn func(string) bool) error {
	return errOr(f.hit("list", p), func() error { return f.FS.List(p, fn) })
}

func (f *faultFS) SyncDir(p string) error {
	return errOr(f.hit("syncdir", p), func() error { return f.FS.SyncDir(p) })
}

func (f *faultFS) SyncAll(files []fsys.File, dirs []string) error {
	return fsys.SyncEach(f, files, dirs)
}

func (f *faultFS) SyncFS() error {
	return errOr(f.hit("syncfs", ""), f.FS.SyncFS)
}

func errOr(err error, do func() error) error {
	if err != nil {
		return err
	}
	return do()
}

type faultFile struct {
	fsys.File
	f *faultFS
	p string
}

func (x *faultFile) WriteAt(b []byte, off int64) (int, error) {
	if err := x.f.hit("write", x.p); err != nil {
		return 0, err
	}
	return x.File.WriteAt(b, off)
}

func (x *faultFile) ReadAt(b []byte, off int64) (int, error) {
	if err := x.f.hit("read", x.p); err != nil {
		return 0, err
	}
	return x.File.ReadAt(b, off)
}

func (x *faultFile) Truncate(size int64) error {
	return errOr(x.f.hit("truncate", x.p), func() error { return x.File.Truncate(size) })
}

func (x *faultFile) Sync() error {
	return errOr(x.f.hit("sync", x.p), x.File.Sync)
}

func (x *faultFile) TryLock() error {
	return errOr(x.f.hit("trylock", x.p), x.File.TryLock)
}

func (x *faultFile) Unlock() error {
	return errOr(x.f.hit("unlock", x.p), x.File.Unlock)
}

func (x *faultFile) NoWriter() (bool, error) {
	if err := x.f.hit("nowriter", x.p); err != nil {
		return false, err
	}
	return x.File.NoWriter()
}
