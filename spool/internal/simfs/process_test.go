package simfs

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"queuectl/spool/internal/fsys"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, p *Process, path string, flag int) fsys.File {
	t.Helper()
	f, err := p.Open(path, flag)
	must(t, err)
	return f
}

// put makes a file with content as a process does.
func put(t *testing.T, p *Process, path, content string) {
	t.Helper()
	f := open(t, p, path, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	_, err := f.WriteAt([]byte(content), 0)
	must(t, err)
	must(t, f.Close())
}

func want(t *testing.T, d *Disk, path, content string) {
	t.Helper()
	b, err := d.Read(path)
	if err != nil || string(b) != content {
		t.Fatalf("%s is %q, %v; want %q\n%s", path, b, err, content, d.Dump())
	}
}

func wantNone(t *testing.T, d *Disk, path string) {
	t.Helper()
	if _, err := d.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s is there (%v)\n%s", path, err, d.Dump())
	}
}

// TestKillAtEachStep ends a process before each of its operations.
func TestKillAtEachStep(t *testing.T) {
	work := func(p *Process) {
		_ = p.Mkdir("a")
		defer p.Mkdir("deferred")
		_ = p.Mkdir("b")
		_ = p.Mkdir("c")
	}
	trees := []string{"", "a", "a b", "a b c", "a b c deferred"}
	for n := 1; n <= len(trees); n++ {
		d := New()
		d.Hook = func(s Step) {
			if s.Number == n {
				s.Process.Kill()
			}
		}
		p := d.Process("p")
		if got, want := p.Run(func() { work(p) }), n < len(trees); got != want {
			t.Errorf("killed at %d: %v, want %v", n, got, want)
		}
		if got := strings.Join(d.Names("."), " "); got != trees[n-1] {
			t.Errorf("killed at %d: left %q, want %q", n, got, trees[n-1])
		}
	}
}

func TestDeadProcessStaysDead(t *testing.T) {
	d := New()
	p := d.Process("p")
	f := open(t, p, "a", os.O_RDWR|os.O_CREATE)
	p.Kill()
	for _, call := range []func(){
		func() { _ = p.Mkdir("d") },
		func() { _, _ = f.WriteAt([]byte("x"), 0) },
		func() { p.Sleep(time.Second) },
	} {
		if !p.Run(call) {
			t.Error("a call of a dead process returned")
		}
	}
	wantNone(t, d, "d")
	want(t, d, "a", "")
	if d.Steps() != 1 {
		t.Errorf("%d steps, want 1", d.Steps())
	}
}

func TestRunPassesOtherPanicsOn(t *testing.T) {
	defer func() {
		if r := recover(); r != "other" {
			t.Errorf("recovered %v", r)
		}
	}()
	New().Process("p").Run(func() { panic("other") })
}

// TestHookCutsIn moves a file by hand and lets another process work between
// two steps of the first.
func TestHookCutsIn(t *testing.T) {
	d := New()
	p, q := d.Process("p"), d.Process("q")
	put(t, q, "a", "x")
	d.Hook = func(s Step) {
		if s.Process == p && s.Op == "rename" {
			must(t, d.Rename("a", "moved"))
			put(t, q, "a", "y")
		}
	}
	must(t, p.Rename("a", "b"))
	want(t, d, "b", "y")
	want(t, d, "moved", "x")
}

func TestFail(t *testing.T) {
	d := New()
	p := d.Process("p")
	put(t, p, "a", "x")
	d.Fail = func(s Step) error {
		if s.Op == "rename" {
			return syscall.EIO
		}
		return nil
	}
	var le *os.LinkError
	if err := p.Rename("a", "b"); !errors.Is(err, syscall.EIO) || !errors.As(err, &le) {
		t.Errorf("rename: %v", err)
	}
	want(t, d, "a", "x")
}

// TestLockOfTheDead shows who holds a lock after a kill.
func TestLockOfTheDead(t *testing.T) {
	d := New()
	worker, job, other := d.Process("worker"), d.Process("job"), d.Process("other")
	put(t, worker, "a", "")
	mine := open(t, worker, "a", os.O_RDONLY)
	must(t, mine.TryLock())
	inherited := worker.Inherit(mine, job)
	theirs := open(t, other, "a", os.O_RDONLY)

	i, err := theirs.Stat()
	must(t, err)
	if got := d.Holders(i.Ino); !slices.Equal(got, []*Process{worker, job, other}) {
		t.Errorf("held by %v", got)
	}
	worker.Kill()
	if got := d.Holders(i.Ino); !slices.Equal(got, []*Process{job, other}) {
		t.Errorf("held by %v", got)
	}
	if err := theirs.TryLock(); err != fsys.ErrWouldBlock {
		t.Fatalf("the job lives, and its lock is %v", err)
	}
	must(t, inherited.TryLock())
	must(t, inherited.Unlock())
	must(t, theirs.TryLock())
	if err := inherited.TryLock(); err != fsys.ErrWouldBlock {
		t.Fatalf("taken twice: %v", err)
	}
	other.Kill()
	must(t, inherited.TryLock())
	job.Kill()
	must(t, open(t, d.Process("last"), "a", os.O_RDONLY).TryLock())
}

func TestUnlockFreesForAllSharers(t *testing.T) {
	d := New()
	worker, job := d.Process("worker"), d.Process("job")
	mine := open(t, worker, "a", os.O_RDWR|os.O_CREATE)
	must(t, mine.TryLock())
	inherited := worker.Inherit(mine, job)
	must(t, mine.Unlock())
	must(t, open(t, d.Process("other"), "a", os.O_RDONLY).TryLock())
	must(t, mine.Close())
	if none, err := inherited.NoWriter(); none || err != nil {
		t.Errorf("the job has it open for writing: %v, %v", none, err)
	}
}

func TestRLockWaitsOutsideAScheduler(t *testing.T) {
	d := New()
	p, q := d.Process("p"), d.Process("q")
	put(t, p, "a", "")
	l, err := p.Lock("a")
	must(t, err)
	if ok, err := l.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	got := make(chan error)
	waiting := make(chan struct{})
	d.Hook = func(s Step) {
		if s.Op == "lockwait" {
			close(waiting)
		}
	}
	go func() {
		m, err := q.Lock("a")
		if err == nil {
			err = m.RLock()
		}
		got <- err
	}()
	<-waiting
	select {
	case err := <-got:
		t.Fatalf("did not wait: %v", err)
	default:
	}
	p.Kill()
	must(t, <-got)
}

func TestSpace(t *testing.T) {
	d := New()
	p := d.Process("p")
	d.SetSpace(fsys.Space{FreeBytes: 3, TotalBytes: 10, FreeFiles: 1, TotalFiles: 2})
	f := open(t, p, "a", os.O_RDWR|os.O_CREATE)
	if n, err := f.WriteAt([]byte("12345"), 0); n != 3 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("wrote %d, %v", n, err)
	}
	if _, err := f.WriteAt([]byte("xyz"), 0); err != nil {
		t.Errorf("in place: %v", err)
	}
	if err := p.Mkdir("d"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("mkdir: %v", err)
	}
	want(t, d, "a", "xyz")

	d.SetSpace(fsys.Space{ReadOnly: true})
	if s, err := p.Space(); err != nil || !s.ReadOnly {
		t.Error(s, err)
	}
	for _, err := range []error{p.Mkdir("d"), p.Unlink("a"), p.Rename("a", "b"), p.Link("a", "b")} {
		if !errors.Is(err, syscall.EROFS) {
			t.Errorf("read-only: %v", err)
		}
	}
	open(t, p, "a", os.O_RDONLY)
}

func TestClone(t *testing.T) {
	d := New()
	p := d.Process("p")
	must(t, p.Mkdir("d"))
	put(t, p, "d/a", "x")
	must(t, p.Link("d/a", "d/b"))
	must(t, p.Mkdir("d/sub"))
	must(t, open(t, p, "d/a", os.O_RDONLY).TryLock())
	before := d.Dump()

	want(t, d.Clone().PowerCut(Cut{Changes: AllChanges, Content: Kept}), "d/b", "x")
	c := d.Clone()
	if err := c.Clone().Rename("d", "d/sub/d"); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("moved a directory into itself: %v", err)
	}
	if c.Steps() != 0 || c.Now() != d.Now() {
		t.Error(c.Steps(), c.Now(), d.Now())
	}
	q := c.Process("q")
	f := open(t, q, "d/a", os.O_RDWR)
	must(t, f.TryLock())
	_, err := f.WriteAt([]byte("changed"), 0)
	must(t, err)
	must(t, q.Rename("d", "e"))
	must(t, q.SyncFS())
	want(t, c, "e/b", "changed")
	if got := d.Dump(); got != before {
		t.Errorf("the original has changed\n%s", got)
	}
	wantNone(t, d.PowerCut(Cut{}), "d")
}

func TestPerson(t *testing.T) {
	d := New()
	must(t, d.Mkdir("d/e/f"))
	must(t, d.Write("d/a", []byte("x")))
	must(t, d.Link("d/a", "d/b"))
	must(t, d.Write("d/b", []byte("y")))
	want(t, d, "d/a", "y")
	must(t, d.Copy(".", "copy"))
	must(t, d.Write("d/b", []byte("z")))
	want(t, d, "copy/d/a", "y")
	must(t, d.Remove("d"))
	if got := strings.Join(d.Names("."), " "); got != "copy" {
		t.Errorf("left %q", got)
	}
	must(t, d.Chown("copy", 7, 8))
	must(t, d.Chmod("copy/d/a", 0o644))
	must(t, d.SetMtime("copy/d/a", epoch))
	must(t, d.SetDirSize("copy", 64<<20))
	i, err := d.Stat("copy")
	if err != nil || i.UID != 7 || i.Size != 64<<20 {
		t.Error(i, err)
	}
	i, err = d.Stat("copy/d/a")
	if err != nil || i.Mode != 0o644 || !i.Mtime.Equal(epoch) {
		t.Error(i, err)
	}
	if d.Steps() != 0 {
		t.Errorf("a person's work counted %d steps", d.Steps())
	}
}

func TestTimesDiffer(t *testing.T) {
	d := New()
	p := d.Process("p")
	put(t, p, "a", "x")
	put(t, p, "b", "x")
	a, _ := d.Stat("a")
	b, _ := d.Stat("b")
	if !b.Mtime.After(a.Mtime) {
		t.Errorf("%v, %v", a.Mtime, b.Mtime)
	}
	p.Sleep(time.Hour)
	if d.Now().Sub(b.Mtime) < time.Hour {
		t.Error(d.Now())
	}
}

func BenchmarkStep(b *testing.B) {
	d := New()
	p := d.Process("p")
	_ = p.Mkdir("pending")
	_ = d.Write("pending/a", nil)
	for b.Loop() {
		_, _ = p.Lstat("pending/a")
	}
}

// small is a disk like a spool with a few jobs.
func small() *Disk {
	d := New()
	for _, dir := range strings.Fields("pending processing failed completed dead ids ids/aa ids/bb logs tmp workers control") {
		_ = d.Mkdir(dir)
	}
	for _, n := range strings.Fields("a b c d e f g h") {
		_ = d.Write("pending/"+n, []byte(`{"id":"`+n+`"}`))
		_ = d.Link("pending/"+n, "ids/aa/"+n)
	}
	d.SyncAll()
	return d
}

func BenchmarkClone(b *testing.B) {
	d := small()
	for b.Loop() {
		d.Clone()
	}
}
