package spool

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Only generated ids may be shortened: delete job-1 must never mean job-10.
func TestResolve(t *testing.T) {
	b := newBench(t)
	random := func(id string) string { // as a generated one
		b.random.left = 0
		b.sys.rands = []string{id}
		got, err := b.EnqueueJSON(ctx, []byte(`{"command":"true"}`))
		must(t, err)
		if got != id {
			t.Fatalf("made %q; want %q", got, id)
		}
		return id
	}
	b.enqueue("job-10")
	random("abcdefghijkl")
	random("abcdefghijk2")
	random("mnopqrstuvwx")
	b.enqueue("mnopqrstuvwx-mine")
	b.enqueue("mnop")
	b.enqueue("thumbnailjob") // has the form of a generated one
	b.enqueue("mnopqrstuvw2")
	p := b.pool()
	b.settle(b.claim(p, "mnopqrstuvwx"), Result{Outcome: Succeeded}, Completed)
	for short, want := range map[string]any{
		"job-10": "job-10", "job-1": ErrNotFound, "job-": ErrNotFound,
		"abcdefghijkl": "abcdefghijkl", "abcd": ErrAmbiguous, "abcdefghijk": ErrAmbiguous,
		"mnopq": "mnopqrstuvwx", "mnop": "mnop", "mno": ErrNotFound, "MNOPQ": ErrNotFound,
		"mnopqrstuvwx-m": ErrNotFound, "zzzz": ErrNotFound, "": ErrNotFound, "../x": ErrNotFound, "mn*p": ErrNotFound,
		"thumb": ErrNotFound, "thumbnailjob": "thumbnailjob",
	} {
		got, err := b.Resolve(short)
		switch want := want.(type) {
		case string:
			if got != want || err != nil {
				t.Errorf("%q means %q, %v; want %q", short, got, err, want)
			}
		case error:
			if !errors.Is(err, want) {
				t.Errorf("%q means %q, %v; want %v", short, got, err, want)
			}
		}
	}
	// One that a drop got, whose name makes none.
	b.put("pending/\u540d.json", `{"command":"true"}`)
	b.random.left = 0
	b.sys.rands = []string{"stagingstage", "ngmadeofdrop"}
	to, err := p.Adopt(ctx, "pending/\u540d.json")
	must(t, err)
	n, _ := ParseName(path.Base(to))
	if got, err := b.Resolve(n.ID[:8]); got != n.ID || err != nil {
		t.Errorf("%q means %q, %v", n.ID[:8], got, err)
	}
	// A chosen one that was generated before is another job.
	must(t, b.Delete(ctx, "abcdefghijk2"))
	b.enqueue("abcdefghijk2")
	if got, err := b.Resolve("abcd"); got != "abcdefghijkl" || err != nil {
		t.Errorf("abcd means %q, %v", got, err)
	}
}

func TestListAndCounts(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for i := range 5 {
		b.enqueue(fmt.Sprintf("p%d", i))
	}
	b.inState(p, "f", Failed)
	b.inState(p, "c", Completed)
	b.inState(p, "d", Dead)
	b.inState(p, "h", Held)
	b.enqueue("r")
	b.claim(p, "r")
	b.put("pending/drop.json", `{"comm`)
	must(t, os.Mkdir(b.at("pending/dropped.json"), 0o700))
	b.put("pending/.hidden.json", "x")
	b.put("completed/odd.json", "x")
	list := func(limit int, states ...State) (ids []string) {
		for j, err := range b.List(states, limit) {
			must(t, err)
			if j.History != nil || j.Raw != nil {
				t.Errorf("%s has its history in the list", j.ID)
			}
			if j.Dropped {
				j.ID = path.Base(j.File) + j.LastError // it has none
			}
			ids = append(ids, j.ID)
		}
		return ids
	}
	all := []string{"p0", "p1", "p2", "p3", "p4", "drop.json", "dropped.jsonis a directory", "r", "f", "c", "d", "h"}
	for limit := range len(all) {
		if got := list(limit, States...); limit == 0 && !slices.Equal(got, all) || limit > 0 && !slices.Equal(got, all[:limit]) {
			t.Errorf("of at most %d, listed %q", limit, got)
		}
	}
	if got := list(2, Dead, Pending); !slices.Equal(got, []string{"d", "p0"}) {
		t.Errorf("listed %q", got)
	}
	for range b.List(States, 0) {
		break // may be left
	}
	counts, err := b.Counts()
	must(t, err)
	for st, want := range map[State]int{Pending: 7, Processing: 1, Failed: 1, Completed: 1, Dead: 1, Held: 1} {
		if counts[st] != want {
			t.Errorf("%d are %s; want %d", counts[st], st, want)
		}
	}
	b.leave(invNames)
}

// A file that cannot be read gives an error, and the walk goes on.
func TestListGoesOn(t *testing.T) {
	b := newBench(t)
	b.enqueue("a")
	at := b.enqueue("b")
	b.enqueue("c")
	b.faults.fail("open", at, syscall.EIO)
	var ids []string
	var bad int
	for j, err := range b.List([]State{Pending}, 0) {
		if err != nil {
			bad++
			continue
		}
		ids = append(ids, j.ID)
	}
	if bad != 1 || !slices.Equal(ids, []string{"a", "c"}) {
		t.Errorf("%d errors, jobs %q", bad, ids)
	}
}

func TestStatus(t *testing.T) {
	b := newBench(t)
	st, err := b.Status()
	must(t, err)
	if st.Spool != b.dir || st.Paused || len(st.Jobs) != 6 || st.OldestDue != nil || st.NextDue != nil || st.Pools == nil || st.Problems == nil {
		t.Errorf("status is %+v", st)
	}
	first := b.enqueue("a")
	b.clk.add(time.Millisecond)
	b.enqueue("b")
	b.enqueue("later", `"delay":"1h"`)
	b.enqueue("latest", `"delay":"2h"`)
	must(t, b.Pause())
	must(t, b.Pause())
	b.clk.add(time.Second)
	st, err = b.Status()
	must(t, err)
	n, _ := ParseName(path.Base(first))
	if !st.Paused || st.OldestDue == nil || !st.OldestDue.Equal(n.Time) || st.NextDue == nil || !st.NextDue.Equal(b.job("later").Due) {
		t.Errorf("status is %+v", st)
	}
	must(t, b.Resume())
	must(t, b.Resume())
	b.put("paused", "")
	if !b.Paused() {
		t.Error("touch paused does not pause")
	}
	b.rm("paused")
	if b.Paused() {
		t.Error("rm paused does not end it")
	}
}

// A lookup goes by the second name and the last line; only where a person has
// moved the file are directories listed.
func TestLookupOpensOnePath(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	for i, look := range []func(){
		func() { b.enqueue("x") },
		func() { b.claim(p, "x") },
		func() {
			for _, c := range p.held {
				b.settle(c, Result{Outcome: FailedOutcome, RetryAt: b.clk.now()}, Failed)
				return
			}
		},
		func() { b.settle(b.claim(p, "x"), Result{Outcome: Succeeded}, Completed) },
		func() { must(t, b.Retry(ctx, "x")) },
	} {
		look()
		b.faults.record()
		b.job("x")
		for _, op := range b.faults.recorded() {
			if strings.HasPrefix(op, "list ") {
				t.Errorf("case %d: %s", i, op)
			}
		}
	}
	b.mvInto(b.path("x"), Held)
	b.wantState("x", Held)
}

// A file that is moved while it is looked for: one listing misses it, two do
// not.
func TestLookupLooksTwice(t *testing.T) {
	for _, linked := range []bool{true, false} {
		b := newBench(t)
		b.unasked = true
		at := b.mvInto(b.enqueue("x"), Held)
		if !linked {
			b.rm(idPath("x"))
		}
		dead := string(Dead) + "/" + path.Base(at)
		b.faults.before("list", "held", func() error { b.mv(at, dead); return nil }) // dead/ has been listed by now
		if got := b.path("x"); got != dead {
			t.Errorf("linked %v: it lies at %s", linked, got)
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o700))
	_, err := Open(path.Join(dir, "none"), Options{})
	wantErr(t, err, ErrUnusable)
	wantErr(t, err, os.ErrNotExist)
	_, err = Open(dir, Options{}) // a directory, no spool
	wantErr(t, err, ErrUnusable)
	must(t, os.WriteFile(path.Join(dir, "notes.txt"), nil, 0o600))
	_, err = Open(dir, Options{Create: true})
	wantErr(t, err, ErrUnusable)
	wantText(t, err, "notes.txt")
	must(t, os.Remove(path.Join(dir, "notes.txt")))

	deep := path.Join(dir, "a", "b")
	s, err := Open(deep, Options{Create: true})
	must(t, err)
	must(t, s.Close())
	if info, err := os.Stat(deep); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if data, err := os.ReadFile(path.Join(deep, "format")); string(data) != "queuectl 1\n" {
		t.Errorf("format is %q, %v", data, err)
	}
	for format, text := range map[string]string{"queuectl 2\n": "newer queuectl", "something\n": "file format", "queuectl x": "file format", "": "file format"} {
		must(t, os.WriteFile(path.Join(deep, "format"), []byte(format), 0o600))
		_, err := Open(deep, Options{Create: true})
		wantErr(t, err, ErrUnusable)
		wantText(t, err, text)
	}
	must(t, os.WriteFile(path.Join(deep, "format"), []byte("queuectl 1\n"), 0o600))
	for _, d := range directories {
		must(t, os.Chmod(path.Join(deep, d), 0o720))
		_, err := Open(deep, Options{})
		wantErr(t, err, ErrUnusable)
		wantText(t, err, d)
		must(t, os.Chmod(path.Join(deep, d), 0o700))
	}
	for mode, ok := range map[os.FileMode]bool{0o700: true, 0o755: true, 0o770: false, 0o702: false} {
		must(t, os.Chmod(deep, mode))
		s, err := Open(deep, Options{})
		if (err == nil) != ok {
			t.Errorf("mode %o: %v", mode, err)
		}
		if s != nil {
			_ = s.Close()
		}
	}
}

// A file system without hard links, or without locks, is refused by name.
func TestProbe(t *testing.T) {
	b := newBench(t)
	b.faults.before("link", "tmp/probe", func() error { return syscall.EPERM })
	wantText(t, b.Probe(), "no hard links")
	b.faults.before("trylock", "tmp/probe", func() error { return syscall.ENOLCK })
	err := b.Probe()
	wantErr(t, err, ErrUnusable)
	wantText(t, err, "no locks")
	must(t, b.Probe())
}

func TestDefaultDir(t *testing.T) {
	for _, c := range []struct{ spool, xdg, home, want string }{
		{"/s", "/x", "/h", "/s"},
		{"", "/x", "/h", "/x/queuectl/default"},
		{"", "x", "/h", "/h/.local/state/queuectl/default"},
		{"", "", "/h", "/h/.local/state/queuectl/default"},
		{"", "", "", ""},
	} {
		env := map[string]string{"QUEUECTL_SPOOL": c.spool, "XDG_STATE_HOME": c.xdg, "HOME": c.home}
		got, err := DefaultDir(func(k string) string { return env[k] })
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}

func TestStates(t *testing.T) {
	for _, st := range States {
		if got, err := ParseState(string(st)); got != st || err != nil {
			t.Errorf("%s: %s, %v", st, got, err)
		}
	}
	for _, s := range []string{"", "Pending", "done", "ids"} {
		if got, err := ParseState(s); err == nil {
			t.Errorf("%q is %s", s, got)
		}
	}
	for _, tr := range Transitions {
		if !isState(tr.From) || !isState(tr.To) || tr.From == tr.To || tr.By == "" {
			t.Errorf("transition %+v", tr)
		}
	}
}

func TestFirsts(t *testing.T) {
	var all []string
	for i := range 6000 {
		all = append(all, fmt.Sprintf("%05d", i*7919%6000)) // each once, in no order
	}
	for _, limit := range []int{0, 1, 20, 2000, 5999, 6000, 7000} {
		f := &firsts{limit: limit}
		for i, name := range all {
			f.add(fmt.Sprintf("pending/%d", i%3), name)
		}
		want := len(all)
		if limit > 0 {
			want = min(limit, want)
		}
		got := f.list()
		if len(got) != want {
			t.Fatalf("limit %d: %d paths", limit, len(got))
		}
		for i, p := range got {
			if path.Base(p) != fmt.Sprintf("%05d", i) {
				t.Fatalf("limit %d: %s is number %d", limit, p, i)
			}
		}
	}
}

// A sub-directory's name is a number as it is made, and nothing else: whatever
// other digits somebody uses for a directory, jobs are not looked for there.
func TestOverflowDir(t *testing.T) {
	for _, name := range []string{"1", "9", "10", "123456789"} {
		if !overflowDir(name) {
			t.Errorf("%q is not taken for one", name)
		}
	}
	for _, name := range []string{"", "0", "01", "+1", "-1", "1 ", "1.json", "a", "1_000", "1234567890", "٣"} {
		if overflowDir(name) {
			t.Errorf("%q is taken for one", name)
		}
	}
}

// A job in an overflow directory is found without a listing, as any other.
func TestLookupInOverflow(t *testing.T) {
	b := newBench(t)
	if _, known := b.fs.Subdirs(string(Pending)); !known {
		t.Skip("this file system does not tell how many directories there are in one")
	}
	for _, st := range []State{Pending, Completed} {
		must(t, b.fs.Mkdir(subDir(st, 1)))
		must(t, b.fs.Mkdir(subDir(st, 2)))
		b.room[st] = &room{sub: 2, moves: 1}
	}
	found := func(in string) {
		t.Helper()
		b.faults.record()
		if at := b.path("x"); path.Dir(at) != in {
			t.Errorf("it is at %s, want it in %s", at, in)
		}
		for _, op := range b.faults.recorded() {
			if strings.HasPrefix(op, "list ") {
				t.Errorf("to find it in %s: %s", in, op)
			}
		}
	}
	b.enqueue("x")
	found("pending/2")
	b.settle(b.claim(b.pool(), "x"), Result{Outcome: Succeeded}, Completed)
	found("completed/2")
}
