package spool

import (
	"fmt"
	"os"
	"path"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAdopt(t *testing.T) {
	b := newBench(t)
	const data = "{ \"command\" : \"echo\",\n \"extra\": 1.0 }\n"
	b.put("pending/hello.json", data)
	inode := b.inode("pending/hello.json")
	must(t, os.Chmod(b.at("pending/hello.json"), 0o644))
	now := b.clk.freeze()
	b.adopt("pending/hello.json", "hello")
	at := b.only(Pending)
	if want := "pending/" + (Name{Time: now, Priority: 5, ID: "hello"}).String(); at != want || b.path("hello") != at {
		t.Errorf("it lies at %s; want %s", at, want)
	}
	if b.inode(at) == inode || b.inode(at) != b.inode(idPath("hello")) {
		t.Error("it is not our own file under two names")
	}
	if info, _ := os.Stat(b.at(at)); info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %o", info.Mode().Perm())
	}
	if got, want := b.read(at), "{ \"command\" : \"echo\",\n \"extra\": 1.0 ,\"id\":\"hello\",\"created_at\":\""; !strings.HasPrefix(got, want) {
		t.Errorf("the file is %s", got)
	}
	e := b.last("hello")
	if e.Event != EventAdopted || e.From != "hello.json" || e.UID == nil || *e.UID != uint32(os.Geteuid()) || e.Life == "" || !e.At.Equal(now) || e.To != at {
		t.Errorf("its line is %+v", e)
	}
	b.clk.thaw()
	b.settle(b.claim(b.pool(), "hello"), Result{Outcome: Succeeded}, Completed)
}

func TestAdoptMembers(t *testing.T) {
	b := newBench(t)
	now := b.clk.freeze()
	b.put("pending/a.json", `{"id":"own","command":"true","priority":9,"run_at":"2030-01-01T00:00:00Z","created_at":"2001-01-01T00:00:00Z"}`)
	b.adopt("pending/a.json", "own")
	j := b.job("own")
	if j.Priority != 9 || !j.Due.Equal(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)) || j.CreatedAt.Year() != 2001 {
		t.Errorf("job is %+v", j)
	}
	if n := strings.Count(string(j.Raw), `"id"`); n != 1 {
		t.Errorf("the file has %d ids", n)
	}
	b.put("pending/b.json", `{"command":"true","delay":"90s"}`)
	b.adopt("pending/b.json", "b")
	if due := b.job("b").Due; !due.Equal(now.Add(90 * time.Second)) {
		t.Errorf("due %s", due)
	}
	// A canonical name without a history of ours says nothing.
	b.put("pending/20201123T180000.123456Z-9-c.json", `{"id":"c","command":"true"}`)
	b.adopt("pending/20201123T180000.123456Z-9-c.json", "c")
	if j := b.job("c"); j.Priority != 5 || !j.Due.Equal(now) {
		t.Errorf("job is %+v", j)
	}
	b.clk.thaw()
}

func TestAdoptedIDs(t *testing.T) {
	b := newBench(t)
	for name, id := range map[string]string{
		"my job (2).json":                  "myjob2",
		"caf\xe9.json":                     "caf",
		"line\nbreak.json":                 "linebreak",
		"a~b.json":                         "ab",
		strings.Repeat("n", 250) + ".json": strings.Repeat("n", 100),
		"-.json":                           "", // a random one
	} {
		b.put("pending/"+name, `{"command":"true"}`)
		to, err := b.Spool.adopt(ctx, "pending/"+name)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		n, _ := ParseName(path.Base(to))
		if n.ID != id && !(id == "" && generatedID(n.ID)) {
			t.Errorf("%q is job %q; want %q", name, n.ID, id)
		}
		if b.last(n.ID).From != strings.ToValidUTF8(name, "\uFFFD") {
			t.Errorf("%q came from %q", name, b.last(n.ID).From)
		}
	}
}

// The same file name dropped again, while the first job is kept.
func TestAdoptedIDIsTaken(t *testing.T) {
	b := newBench(t)
	for i := range 3 {
		b.put("pending/hello.json", `{"command":"true"}`)
		to, err := b.Spool.adopt(ctx, "pending/hello.json")
		must(t, err)
		n, _ := ParseName(path.Base(to))
		if i == 0 && n.ID != "hello" || i > 0 && (!strings.HasPrefix(n.ID, "hello~") || len(n.ID) != len("hello~3f9k2c")) {
			t.Errorf("drop %d is job %q", i, n.ID)
		}
		b.wantState(n.ID, Pending)
	}
}

// Two drops with one id: the first is a job, the other is refused.
func TestTwoDropsWithOneID(t *testing.T) {
	b := newBench(t)
	b.put("pending/a.json", jobText("x"))
	b.put("pending/b.json", jobText("x"))
	b.adopt("pending/a.json", "x")
	id := b.refuse("pending/b.json", `id "x" is taken (pending)`)
	if !strings.HasPrefix(id, "b~") {
		t.Errorf("it lies in dead/ as %q", id)
	}
}

func TestRefuseDrops(t *testing.T) {
	b := newBench(t)
	must(t, b.SetConfig("max_job_size", "1000"))
	for _, c := range []struct{ data, why string }{
		{`{"command":1}`, "must be a string"},
		{`{"Command":"a"}`, `did you mean \"command\"`},
		{`{"command":"a","command":"b"}`, "stands twice"},
		{`{"a":1}{"b":2}`, "something after its JSON object"},
		{"{\"command\":\"caf\xe9\"}", "not UTF-8"},
		{`{"id":"a~b","command":"a"}`, "kept for ids that queuectl derives"},
		{`{"id":"../../x","command":"a"}`, "must begin with"},
		{`{"id":"a/b","command":"a"}`, "must not hold"},
		{`{"command":"` + strings.Repeat("x", 1000) + `"}`, "the limit is 1000"},
		{`{"command":"a","history":[{"event":"enqueued"}]}`, "not one that queuectl wrote"},
		{`[]`, "is not a JSON object"},
	} {
		b.put("pending/drop.json", c.data)
		id := b.refuse("pending/drop.json", strings.ReplaceAll(c.why, `\"`, `"`))
		if first, _, _ := strings.Cut(b.read(logPath(id)), "\n"); !strings.HasPrefix(first, `refused "drop.json": `) {
			t.Errorf("its log begins %q", first)
		}
		n, ok := ParseName(path.Base(b.only(Dead)))
		if !ok || n.Priority != 5 || !strings.HasPrefix(n.ID, "drop~") {
			t.Errorf("it lies as %s", b.only(Dead))
		}
		must(t, b.Delete(ctx, id))
	}
}

// An id that is none on disk must lead out of the spool with no history.
func TestForgedIDs(t *testing.T) {
	b := newBench(t)
	for _, id := range []string{"../../x", "a/b", "..", "x\\u0000", strings.Repeat("i", maxID+1), "~x"} {
		b.put("pending/drop.json", `{"id":"`+id+`","command":"true",`+someHistory+`}`)
		b.refuse("pending/drop.json", `member "id"`)
	}
}

// A drop with a history of ours under a name of its own is a copy: a new life.
func TestAdoptACopy(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	b.enqueue("x", `"note":"n"`)
	b.settle(b.claim(p, "x"), Result{Outcome: FailedOutcome, RetryAt: b.clk.now()}, Failed)
	life, _ := lifeOf(b.job("x").History)
	copied := b.read(b.path("x"))
	must(t, b.Delete(ctx, "x"))
	b.put("pending/again.json", copied)
	b.adopt("pending/again.json", "x")
	j := b.job("x")
	if got, _ := lifeOf(j.History); got == life || len(j.History) != 3 || j.History[0].Life != life || !strings.Contains(string(j.Raw), `"note":"n"`) {
		t.Errorf("history is %s", line2(j.History))
	}
}

// A running job of a copied tree that a person moves to pending/ keeps its
// place there, and not the name of a claim.
func TestAdoptACopyOfARunningJob(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	b.enqueue("x")
	c := b.claim(p, "x")
	b.cp(c.Path(), "x.tmp")
	running := path.Base(c.Path())
	b.settle(c, Result{Outcome: Succeeded}, Completed)
	must(t, b.Delete(ctx, "x"))
	b.mv("x.tmp", "pending/"+running)
	b.adopt("pending/"+running, "x")
	b.wantState("x", Pending)
	b.clean()
}

// A drop is never run half-written: not while anybody has it open for
// writing, and not before it is whole.
func TestSlowWriter(t *testing.T) {
	b := newBench(t)
	f, err := os.Create(b.at("pending/slow.json"))
	must(t, err)
	unfinished := func() {
		t.Helper()
		_, err := b.Spool.adopt(ctx, "pending/slow.json")
		wantErr(t, err, ErrUnfinished)
		if !b.there("pending/slow.json") {
			t.Fatal("it is gone")
		}
	}
	unfinished() // empty
	for _, part := range []string{`{"command":"rm -rf `, `/tmp/x"`, `}`, "\n"} {
		_, err = f.WriteString(part)
		must(t, err)
		unfinished()
	}
	must(t, f.Close())
	b.adopt("pending/slow.json", "slow")
	if c := b.job("slow").Command; c != "rm -rf /tmp/x" {
		t.Errorf("command is %q", c)
	}

	// Incomplete, nobody has it open; then it is completed.
	b.put("pending/part.json", `{"command":`)
	_, err = b.Spool.adopt(ctx, "pending/part.json")
	wantErr(t, err, ErrUnfinished)
	b.clk.add(59 * time.Minute)
	_, err = b.Spool.adopt(ctx, "pending/part.json")
	wantErr(t, err, ErrUnfinished)
	b.put("pending/part.json", `{"command":"true"}`)
	b.adopt("pending/part.json", "part")
}

// A late newline, or anything else that comes after the adoption, lands in the
// drop's own inode and not in the job's.
func TestLateWriterDoesNoHarm(t *testing.T) {
	b := newBench(t)
	b.put("pending/late.json", `{"command":"true"}`)
	var f *os.File
	b.faults.before("rename", "pending/late.json tmp/", func() (err error) {
		f, err = os.OpenFile(b.at("pending/late.json"), os.O_RDWR|os.O_APPEND, 0)
		return err
	})
	b.adopt("pending/late.json", "late")
	must(t, func() error { _, err := f.WriteString("\n"); return err }())
	must(t, f.Truncate(3))
	must(t, f.Close())
	if c := b.job("late").Command; c != "true" {
		t.Errorf("command is %q", c)
	}
	b.settle(b.claim(b.pool(), "late"), Result{Outcome: Succeeded}, Completed)
}

func TestIncompleteForAnHourIsRefused(t *testing.T) {
	b := newBench(t)
	old := time.Now().Add(-unfinishedTime - time.Minute)
	for _, data := range []string{"", " ", `{`, `{"command":"a"`, `{"command":"a`} {
		b.put("pending/half.json", data)
		must(t, os.Chtimes(b.at("pending/half.json"), old, old))
		b.refuse("pending/half.json", "not changed for an hour")
	}
	// Whole, though old: a job.
	b.put("pending/whole.json", `{"command":"a"}`)
	must(t, os.Chtimes(b.at("pending/whole.json"), old, old))
	b.adopt("pending/whole.json", "whole")
}

// Where the system cannot tell who writes, a file must have stayed as it is
// for a while.
func TestWholeWithoutLeases(t *testing.T) {
	b := newBench(t)
	b.faults.fail("nowriter", "", syscall.EACCES)
	b.put("pending/x.json", `{"command":"true"}`)
	_, err := b.Spool.adopt(ctx, "pending/x.json")
	wantErr(t, err, ErrUnfinished)
	b.clk.add(settleTime + 10*time.Millisecond)
	b.adopt("pending/x.json", "x")
}

// A file that changes while it is read is not whole.
func TestChangedWhileRead(t *testing.T) {
	b := newBench(t)
	b.put("pending/x.json", `{"command":"old"}`)
	b.faults.before("read", "pending/x.json", func() error {
		b.put("pending/x.json", `{"command":"new and longer"}`)
		return nil
	})
	_, err := b.Spool.adopt(ctx, "pending/x.json")
	wantErr(t, err, ErrUnfinished)
	b.adopt("pending/x.json", "x")
	if c := b.job("x").Command; c != "new and longer" {
		t.Errorf("command is %q", c)
	}
}

// A hard link of a template: the template stays as it is.
func TestHardLinkOfATemplate(t *testing.T) {
	b := newBench(t)
	template := path.Join(t.TempDir(), "template.json")
	must(t, os.WriteFile(template, []byte(`{"command":"true"}`), 0o644))
	p := b.pool()
	for _, id := range []string{"one", "two"} {
		must(t, os.Link(template, b.at("pending/"+id+".json")))
		b.adopt("pending/"+id+".json", id)
		b.settle(b.claim(p, id), Result{Outcome: Succeeded}, Completed)
	}
	data, err := os.ReadFile(template)
	must(t, err)
	info, err := os.Stat(template)
	must(t, err)
	if string(data) != `{"command":"true"}` || info.Mode().Perm() != 0o644 || info.Sys().(*syscall.Stat_t).Nlink != 1 {
		t.Errorf("the template is %q, %v", data, info.Mode())
	}
}

func TestOddThingsInPending(t *testing.T) {
	b := newBench(t)
	target := path.Join(t.TempDir(), "secret.json")
	must(t, os.WriteFile(target, []byte(`{"command":"true"}`), 0o600))

	must(t, syscall.Mkfifo(b.at("pending/fifo.json"), 0o600))
	b.refuse("pending/fifo.json", "a FIFO")
	must(t, os.Symlink(target, b.at("pending/link.json")))
	b.refuse("pending/link.json", "a symbolic link")
	must(t, os.Symlink("nowhere", b.at("pending/dangling.json")))
	b.refuse("pending/dangling.json", "a symbolic link")
	must(t, syscall.Mknod(b.at("pending/socket.json"), syscall.S_IFSOCK|0o600, 0))
	b.refuse("pending/socket.json", "a socket")
	for _, id := range b.idsIn(Dead) {
		must(t, b.Retry(ctx, id)) // back under its name, still no job
	}
	for _, d := range b.ls(Pending) {
		b.refuse(d, "is not a plain file")
	}
	for _, id := range b.idsIn(Dead) {
		must(t, b.Delete(ctx, id))
	}
	if len(b.ls(Dead)) > 0 {
		t.Errorf("left\n%s", b.tree())
	}

	must(t, os.Mkdir(b.at("pending/dir.json"), 0o700))
	_, err := b.Spool.adopt(ctx, "pending/dir.json")
	wantText(t, err, "is a directory")
	if !b.there("pending/dir.json") {
		t.Error("the directory is gone")
	}
	b.rm("pending/dir.json")

	must(t, os.WriteFile(b.at("pending/sparse.json"), nil, 0o600))
	must(t, os.Truncate(b.at("pending/sparse.json"), 2<<30))
	began := time.Now()
	b.refuse("pending/sparse.json", "2147483648 bytes")
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("it took %s: it was read", d)
	}

	for _, name := range []string{".hidden.json", "notes.txt", "x.json~", "x.json.swp", ".x.json.Ab12Cd"} {
		b.put("pending/"+name, `{"command":"true"}`)
	}
	must(t, b.Scan(Pending, func(p string, _ Name, _ bool) bool {
		t.Errorf("%s counts", p)
		return true
	}))
}

// What can be no plain file is told in the same way under a canonical name.
func TestOddThingsUnderACanonicalName(t *testing.T) {
	b := newBench(t)
	const at = "pending/20201123T180000.123456Z-5-x.json"
	must(t, syscall.Mkfifo(b.at(at), 0o600))
	_, err := b.pool().Claim(at)
	wantErr(t, err, ErrDrop)
	b.refuse(at, "a FIFO")
}

func TestBOMAndCRLF(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for id, data := range map[string]string{
		"bom":  "\xef\xbb\xbf{\"command\":\"true\"}",
		"crlf": "{\r\n  \"command\": \"true\"\r\n}\r\n",
		"both": "\xef\xbb\xbf{\r\n\"command\":\"true\"}\r\n\r\n",
		"tabs": "\t{\"command\":\"true\"}\t",
	} {
		b.put("pending/"+id+".json", data)
		b.adopt("pending/"+id+".json", id)
		if raw := b.read(b.path(id)); raw[0] == 0xef {
			t.Errorf("%s: the file begins with a BOM", id)
		}
		c := b.claim(p, id)
		if c.Job.Command != "true" {
			t.Errorf("%s: command is %q", id, c.Job.Command)
		}
		b.settle(c, Result{Outcome: Succeeded}, Completed)
	}
}

func TestRefusedDropsInListAndShow(t *testing.T) {
	b := newBench(t)
	b.put("pending/we\nird.json", `{"command":7}`)
	id := b.refuse("pending/we\nird.json", "must be a string")
	n := 0
	for j, err := range b.List([]State{Dead}, 0) {
		must(t, err)
		if n++; j.ID != id || !j.Refused || j.State != Dead || !strings.Contains(j.LastError, `member "command" must be a string`) {
			t.Errorf("listed %+v", j)
		}
		data, err := j.MarshalJSON()
		must(t, err)
		if !strings.Contains(string(data), `"refused":true`) {
			t.Errorf("as JSON %s", data)
		}
	}
	if n != 1 {
		t.Errorf("%d listed", n)
	}
	rep, err := b.Check(ctx, false)
	must(t, err)
	if !rep.OK() || !strings.Contains(findings(rep), "must be a string") {
		t.Errorf("check finds\n%s", findings(rep))
	}

	// Retry gives it back under its own name; nothing of it is left.
	must(t, b.Retry(ctx, id))
	if b.read("pending/we\nird.json") != `{"command":7}` || b.there(logPath(id)) {
		t.Errorf("retried\n%s", b.tree())
	}
	b.wantNoJob(id)
	b.put("pending/we\nird.json", `{"command":"true"}`)
	b.adopt("pending/we\nird.json", "weird")

	// Not over something else that has its name by now.
	b.put("pending/x.json", `{"command":7}`)
	id = b.refuse("pending/x.json", "must be a string")
	b.put("pending/x.json", `{"command":"another"}`)
	must(t, b.Retry(ctx, id))
	if b.read("pending/x.json") != `{"command":"another"}` || len(b.ls(Pending)) != 3 {
		t.Errorf("retried\n%s", b.tree())
	}
}

// Adoption takes the drop out of sight, or leaves all as it was.
func TestAdoptFails(t *testing.T) {
	for i, step := range []struct{ op, match string }{
		{"rename", "pending/x.json tmp/"}, {"write", "-x.json"}, {"link", "ids/"}, {"rename", committed}, {"open", "-x.json"},
	} {
		b := newBench(t)
		b.put("pending/x.json", `{"command":"true"}`)
		inode := b.inode("pending/x.json")
		b.faults.before(step.op, step.match, func() error { return errBoom })
		_, err := b.Spool.adopt(ctx, "pending/x.json")
		wantErr(t, err, errBoom)
		if b.only(Pending) != "pending/x.json" || b.inode("pending/x.json") != inode {
			t.Fatalf("case %d\n%s", i, b.tree())
		}
		b.clean()
		b.adopt("pending/x.json", "x")
	}
}

// A drop that is locked is left alone.
func TestAdoptOfALockedDrop(t *testing.T) {
	b := newBench(t)
	b.put("pending/x.json", `{"command":"true"}`)
	f, _, err := b.lockJob("pending/x.json")
	must(t, err)
	_, err = b.Spool.adopt(ctx, "pending/x.json")
	wantErr(t, err, ErrHeld)
	must(t, f.Close())
	b.adopt("pending/x.json", "x")
	_, err = b.Spool.adopt(ctx, "pending/x.json")
	wantErr(t, err, ErrGone)
}

// Two pools adopt at once: one job.
func TestAdoptAtOnce(t *testing.T) {
	b := newBench(t)
	o := b.another()
	for i := range 40 {
		drop := fmt.Sprintf("pending/d%d.json", i)
		b.put(drop, `{"command":"true"}`)
		done := make(chan error, 2)
		for _, s := range []*bench{b, o} {
			go func() { _, err := s.Spool.adopt(ctx, drop); done <- err }()
		}
		a, c := <-done, <-done
		if (a == nil) == (c == nil) {
			t.Fatalf("%s: %v and %v", drop, a, c)
		}
	}
	if n := len(b.ls(Pending)); n != 40 {
		t.Errorf("%d jobs\n%s", n, b.tree())
	}
}

// A drop is no later than a job may be that is enqueued.
func TestDropOfTheLastYear(t *testing.T) {
	b := newBench(t)
	b.put("pending/x.json", `{"id":"x","command":"true","run_at":"9999-12-31T23:59:59.999999Z"}`)
	b.refuse("pending/x.json", "before the year 9999")
}

// Where nothing tells who writes a file, its time does; one that lies far ahead
// was given to it, one a little ahead may be another clock's.
func TestDropFromTheFuture(t *testing.T) {
	b := newBench(t)
	b.network = true
	defer func() { b.network = false }()
	b.put("pending/x.json", `{"id":"x","command":"true"}`)
	ahead := b.clk.freeze().Add(2 * time.Hour)
	must(t, os.Chtimes(b.at("pending/x.json"), ahead, ahead))
	b.adopt("pending/x.json", "x")
	b.put("pending/z.json", `{"id":"z","command":"true"}`)
	soon := ahead.Add(-90 * time.Minute)
	must(t, os.Chtimes(b.at("pending/z.json"), soon, soon))
	_, err := b.Spool.adopt(ctx, "pending/z.json")
	wantErr(t, err, ErrUnfinished)
	b.rm("pending/z.json")
	// One that is not whole may be at work still.
	b.put("pending/y.json", `{"id":"y","comm`)
	must(t, os.Chtimes(b.at("pending/y.json"), ahead, ahead))
	_, err = b.Spool.adopt(ctx, "pending/y.json")
	wantErr(t, err, ErrUnfinished)
	b.rm("pending/y.json")
}
