//go:build !windows

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// These tests hold docs/by-hand.md: what a person does in the spool with mv,
// cp, rm and an editor.

// drop is the text of a job that notes a word.
func (b *bench) drop(word string) string { return b.encode(job{"command": note(word)}) }

// working is a bench with an idle pool.
func working(t *testing.T, args ...string) *bench {
	b := parallelBench(t)
	b.start(args...)
	return b
}

// ran waits for the effects of jobs, and demands that there were no others.
func (b *bench) ran(words ...string) {
	b.Helper()
	b.till(fmt.Sprintf("%q ran", words), func() bool { return len(b.effects()) >= len(words) })
	if got := b.effects(); strings.Join(got, " ") != strings.Join(words, " ") {
		b.Fatalf("ran: %q, want %q", got, words)
	}
}

// refusedAs waits for a refused drop whose id begins so, and returns the id.
func (b *bench) refusedAs(prefix, reason string) (id string) {
	b.Helper()
	b.till(prefix+" is refused", func() bool {
		found, _ := filepath.Glob(b.spool + "/dead/*-5-" + prefix + "~*.json")
		if len(found) != 1 {
			return false
		}
		id = strings.TrimSuffix(filepath.Base(found[0])[len("20261123T180000.123456Z-5-"):], ".json")
		return true
	})
	s := b.show(id)
	if !s.Refused || s.LastError == nil || !strings.Contains(*s.LastError, reason) {
		b.Fatalf("show: %+v, want refused with %q", s, reason)
	}
	for _, cmd := range [][]string{{"dlq", "list"}, {"check"}} {
		if out := b.q(cmd...); !strings.Contains(out, id) || !strings.Contains(out, reason) {
			b.Errorf("%q says nothing of %s, %s:\n%s", cmd, id, reason, out)
		}
	}
	if line, _, _ := strings.Cut(b.q("logs", id), "\n"); !strings.Contains(line, reason) {
		b.Errorf("the first line of the log is %q, want %q in it", line, reason)
	}
	return id
}

func TestDropByMv(t *testing.T) {
	b := working(t)
	b.write("hello.json", b.drop("once"))
	b.sh(`mv ../hello.json pending/`)
	b.await("hello", "completed")
	b.ran("once")
	if s := b.show("hello"); s.History[0].Event != "adopted" || s.History[0].From != "hello.json" {
		t.Errorf("first line: %+v", s.History[0])
	}
}

func TestDropByCp(t *testing.T) {
	b := working(t)
	b.write("hello.json", b.drop("once"))
	b.sh(`cp ../hello.json pending/`)
	b.await("hello", "completed")
	b.ran("once")
}

func TestDropFromAnotherFileSystem(t *testing.T) {
	other, err := os.MkdirTemp("/dev/shm", "queuectl-test-")
	if err != nil {
		t.Skip("no /dev/shm:", err)
	}
	t.Cleanup(func() { os.RemoveAll(other) })
	b := working(t)
	if err := os.WriteFile(other+"/hello.json", []byte(b.drop("once")), 0o600); err != nil {
		t.Fatal(err)
	}
	b.sh(`mv ` + other + `/hello.json pending/`)
	b.await("hello", "completed")
	b.ran("once")
}

func TestDropByHardLink(t *testing.T) {
	b := working(t)
	text := b.drop("linked")
	b.write("template.json", text)
	before := b.sh(`stat -c '%i %s %a %Y' ../template.json`)
	b.sh(`ln ../template.json pending/`)
	b.await("template", "completed")
	b.sh(`ln ../template.json pending/second.json`)
	b.await("second", "completed")
	b.ran("linked", "linked")
	if got := b.read("template.json"); got != text {
		t.Errorf("the template was written to: %s", got)
	}
	if after := b.sh(`stat -c '%i %s %a %Y' ../template.json`); after != before {
		t.Errorf("the template was %s, and is %s", before, after)
	}
	if links := b.sh(`stat -c %h ../template.json`); links != "1" {
		t.Errorf("the template still has %s names", links)
	}
}

// A slow writer's job is run when it is whole, and never before: the bytes so
// far would be another command.
func TestDropBySlowWriter(t *testing.T) {
	b := working(t)
	f, err := os.Create(b.spool + "/pending/slow.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text := b.drop("whole")
	for _, part := range []string{text[:10], text[10 : len(text)/2], text[len(text)/2 : len(text)-1], text[len(text)-1:]} {
		if _, err := f.WriteString(part); err != nil {
			t.Fatal(err)
		}
		// A later drop that is adopted shows that the pool has had its look.
		id := fmt.Sprint("other", len(part))
		b.write(id+".json", b.encode(job{"command": "true"}))
		b.sh("mv ../" + id + ".json pending/")
		b.await(id, "completed")
	}
	if len(b.effects()) != 0 || b.find("slow") != "" {
		t.Fatalf("it was taken while its writer had it open\n%s", b.scene())
	}
	if _, err := f.WriteString("\n"); err != nil {
		t.Fatal(err)
	}
	whole := time.Now()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	b.till("it runs", func() bool { return len(b.effects()) > 0 })
	t.Logf("ran %v after its writer closed it", time.Since(whole).Round(time.Millisecond))
	b.await("slow", "completed")
	b.ran("whole")
}

// The measured form of "within 100 ms of being whole".
func TestDropRunsSoonAfterItIsWhole(t *testing.T) {
	b := newBench(t) // alone: it measures
	b.start()
	const rounds = 10
	took := make([]time.Duration, rounds)
	for i := range took {
		name := fmt.Sprintf("%s/pending/drop%d.json", b.spool, i)
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(b.drop(fmt.Sprint("drop", i))); err != nil {
			t.Fatal(err)
		}
		// The pool has it in view, and polls for its writer's end, when a
		// drop that came after it is done.
		b.write("x.json", b.encode(job{"id": fmt.Sprint("x", i), "command": "true"}))
		b.sh(`mv ../x.json pending/`)
		b.await(fmt.Sprint("x", i), "completed")
		whole := time.Now()
		f.Close()
		b.till("it runs", func() bool { return len(b.effects()) > i })
		took[i] = time.Since(whole)
	}
	slowest := took[0]
	for _, d := range took {
		slowest = max(slowest, d)
	}
	t.Logf("after their writers closed them, drops ran within %v", took)
	if slowest > 2*time.Second {
		t.Errorf("the slowest took %v", slowest)
	}
}

func TestDropOfOneNameTwice(t *testing.T) {
	b := working(t, "--count", "2")
	b.write("hello.json", b.encode(job{"command": held}))
	b.sh(`cp ../hello.json pending/`)
	b.begun(1)
	b.write("hello.json", b.drop("second"))
	b.sh(`mv ../hello.json pending/`)
	b.till("the second one ran", func() bool { return len(b.lines("second")) == 1 })
	if got := b.find("hello"); !strings.HasPrefix(got, "processing/") {
		t.Errorf("the first is at %q", got)
	}
	b.till("the second one is completed under a name of its own", func() bool {
		return strings.Contains(b.sh(`ls completed`), "-hello~")
	})
	b.write("go", "")
	b.await("hello", "completed")
}

func TestDropOfOneIDTwice(t *testing.T) {
	b := working(t)
	b.write("one.json", b.encode(job{"id": "same", "command": note("one")}))
	b.write("two.json", b.encode(job{"id": "same", "command": note("one")}))
	b.sh(`mv ../one.json pending/; mv ../two.json pending/`)
	b.await("same", "completed")
	b.till("one is refused", func() bool { return b.count("dead") == 1 })
	b.ran("one")
	name := "one"
	if strings.Contains(b.sh(`ls dead`), "-two~") {
		name = "two"
	}
	id := b.refusedAs(name, "taken")
	b.q("dlq", "delete", id)
}

func TestMvDeadToPending(t *testing.T) {
	b := working(t)
	b.enqueue(job{"id": "X", "command": note("ran") + "; false", "max_retries": 0})
	path := b.await("X", "dead")
	b.sh(`mv ` + path + ` pending/`)
	b.till("it ran again", func() bool { return len(b.effects()) == 2 })
	b.await("X", "dead")
	if s := b.show("X"); s.Attempts != 1 || b.outcomes("X") != "failed failed" {
		t.Errorf("attempts %d, outcomes %s; a fresh start is wanted", s.Attempts, b.outcomes("X"))
	}
}

func TestMvFailedToPendingIsNow(t *testing.T) {
	b := working(t)
	b.q("config", "set", "retry_base", "10000")
	b.enqueue(job{"id": "X", "command": note("ran") + `; [ "$QUEUECTL_ATTEMPT" = 2 ]`})
	path := b.await("X", "failed")
	b.sh(`mv ` + path + ` pending/name.json`)
	b.await("X", "completed")
	b.ran("ran", "ran")
	if s := b.show("X"); s.Attempts != 2 {
		t.Errorf("attempts %d, want 2: the count goes on", s.Attempts)
	}
}

func TestMvPendingToDead(t *testing.T) {
	b := working(t)
	b.enqueue(job{"id": "X", "command": note("ran"), "delay": "1h"})
	b.sh(`mv pending/* dead/`)
	if out := b.q("dlq", "list"); !strings.Contains(out, "X") {
		t.Errorf("dlq list: %s", out)
	}
	if s := b.show("X"); s.State != "dead" {
		t.Errorf("show: %+v", s)
	}
	b.q("check")
	b.q("dlq", "retry", "X")
	b.await("X", "completed")
	b.ran("ran")
}

func TestMvToHeldAndBack(t *testing.T) {
	b := working(t)
	b.q("pause")
	b.enqueue(job{"id": "X", "command": note("ran")})
	b.sh(`mkdir -p held; mv pending/* held/`)
	b.q("resume")
	b.enqueue(job{"id": "other", "command": "true"})
	b.await("other", "completed")
	if s := b.show("X"); s.State != "held" || len(b.effects()) != 0 {
		t.Errorf("state %s, effects %q", s.State, b.effects())
	}
	b.q("check")
	b.sh(`mv held/* pending/`)
	b.await("X", "completed")
	b.ran("ran")
}

func TestRm(t *testing.T) {
	for _, state := range []string{"pending", "failed", "held", "completed", "dead"} {
		t.Run(state, func(t *testing.T) {
			b := working(t)
			b.inState("X", state)
			b.sh(`rm ` + state + `/*-X.json`)
			if _, stderr := b.run(exitNotFound, "show", "X"); !strings.Contains(stderr, "X") {
				t.Errorf("show: %s", stderr)
			}
			b.enqueue(job{"id": "X", "command": note("again")}) // its id is free
			b.till("the new one ran", func() bool { return len(b.lines("again")) == 1 })
			b.await("X", "completed")
		})
	}
	t.Run("processing", func(t *testing.T) {
		b := working(t)
		b.enqueue(job{"id": "X", "command": held})
		b.begun(1)
		b.sh(`rm processing/*`)
		b.write("go", "")
		b.till("the attempt ends", func() bool { return len(b.lines("end")) == 1 })
		b.enqueue(job{"id": "other", "command": "true"}) // the pool goes on
		b.await("other", "completed")
		b.run(exitNotFound, "show", "X")
		b.q("check", "--repair")
	})
}

// inState brings a job into a state. With "queuectl retry" it runs again, and
// notes "ran" every time.
func (b *bench) inState(id, state string) (path string) {
	b.Helper()
	b.q("config", "set", "retry_base", "10000")
	j := job{"id": id, "command": note("ran")}
	switch state {
	case "pending", "held":
		j["delay"] = "1h"
	case "failed":
		j["command"] = note("ran") + "; false"
	case "dead":
		j["command"], j["max_retries"] = note("ran")+"; false", 0
	}
	b.enqueue(j)
	if state == "held" {
		b.sh(`mkdir -p held; mv pending/* held/`)
	}
	return b.await(id, state)
}

func TestCpCompletedToPending(t *testing.T) {
	b := working(t)
	path := b.inState("X", "completed")
	b.sh(`cp ` + path + ` ../copy.json; cp ` + path + ` pending/`)
	var id string
	b.till("the copy is refused", func() bool {
		found, _ := filepath.Glob(b.spool + "/dead/*~*.json")
		if len(found) == 1 {
			id = strings.TrimSuffix(filepath.Base(found[0])[26:], ".json")
		}
		return id != ""
	})
	if s := b.show(id); !s.Refused || !strings.Contains(*s.LastError, "taken") {
		t.Errorf("show: %+v", s)
	}
	b.ran("ran")

	// Once X is gone it runs: the refused one, or another copy.
	b.q("delete", "X")
	b.q("dlq", "retry", id)
	b.await("X", "completed")
	b.ran("ran", "ran")
	b.q("delete", "X")
	b.sh(`cp ../copy.json pending/` + filepath.Base(path))
	b.await("X", "completed")
	b.ran("ran", "ran", "ran")
}

// TestEdit changes jobs with the tools that people have.
func TestEdit(t *testing.T) {
	tools := []struct{ name, program, script string }{
		{"sed", "sed", `sed -i s/ran/edited/ "$F"`},
		{"jq", "jq", `jq '.command |= sub("ran"; "edited")' "$F" >../t && mv ../t "$F"`},
		{"vim", "vim", `vim -u NONE -es -c 'set backupcopy=no' -c '%s/ran/edited/' -c wq "$F"`},
		{"vim-in-place", "vim", `vim -u NONE -es -c 'set backupcopy=yes' -c '%s/ran/edited/' -c wq "$F"`},
	}
	for _, tool := range tools {
		for _, state := range []string{"pending", "failed", "held", "dead"} {
			t.Run(tool.name+"/"+state, func(t *testing.T) {
				need(t, tool.program)
				b := working(t)
				path := b.inState("X", state)
				before := len(b.effects())
				b.sh(`F=` + path + `; ` + tool.script)
				b.edited(state, before)
			})
		}
	}
}

// edited retries the edited job, and demands that it does what it says now,
// and has its history still.
func (b *bench) edited(state string, before int) {
	b.Helper()
	if state == "pending" {
		// It is not due: the person moves it.
		b.sh(`mv pending/*-X.json pending/now.json`)
	} else {
		b.till("retry takes it", func() bool {
			_, _, status := b.try("retry", "X")
			return status == exitDone
		})
	}
	b.till("the edited job ran", func() bool { return len(b.lines("edited")) > 0 })
	if n := len(b.effects()) - before; n != 1 || len(b.lines("edited")) != 1 {
		b.Errorf("effects: %q", b.effects())
	}
	b.till("it has ended", func() bool {
		p := b.find("X")
		return p != "" && !strings.HasPrefix(p, "processing/") && !strings.HasPrefix(p, "pending/")
	})
	s := b.show("X")
	if s.History[0].Event != "enqueued" || !strings.Contains(s.Command, "edited") {
		b.Errorf("show: %+v", s)
	}
	if n := before + 1; len(strings.Fields(b.outcomes("X"))) != n {
		b.Errorf("outcomes %q, want %d", b.outcomes("X"), n)
	}
}

// What an editor leaves that can be no job is buried with the reason.
func TestEditToNonsense(t *testing.T) {
	b := working(t)
	b.q("pause")
	b.enqueue(job{"id": "X", "command": note("ran")})
	b.sh(`F=$(ls pending/*); sed s/command/Command/ $F >../t; mv ../t $F`)
	b.q("resume")
	b.till("it is buried", func() bool { return b.count("dead") == 1 })
	if out := b.q("dlq", "list"); !strings.Contains(out, "did you mean") {
		t.Errorf("dlq list: %s", out)
	}
	if len(b.effects()) != 0 {
		t.Errorf("it ran: %q", b.effects())
	}
	b.sh(`rm dead/*`)
	b.q("check", "--repair")
}

func TestTouchPaused(t *testing.T) {
	b := working(t)
	b.sh(`touch paused`)
	b.enqueue(job{"id": "X", "command": note("ran")})
	if out := b.q("status", "--json"); !strings.Contains(out, `"paused":true`) {
		t.Errorf("status: %s", out)
	}
	// A cancel of another job that the pool has to act on is not needed to
	// see that it does nothing: the claim looks for the file itself.
	b.write("drop.json", b.drop("dropped"))
	b.sh(`mv ../drop.json pending/`)
	b.till("the drop is adopted", func() bool { return b.find("drop") != "" })
	if len(b.effects()) != 0 || b.count("processing") != 0 {
		t.Errorf("something ran: %s", b.scene())
	}
	b.sh(`rm paused`)
	b.await("X", "completed")
	b.await("drop", "completed")
}

func TestTouchCancel(t *testing.T) {
	t.Run("running", func(t *testing.T) {
		b := working(t)
		b.enqueue(job{"id": "X", "command": held})
		b.begun(1)
		b.sh(`touch control/X.cancel`)
		b.await("X", "dead")
		if got := b.outcomes("X"); got != "cancelled" {
			t.Errorf("outcomes: %s", got)
		}
		b.till("the request is removed", func() bool { return b.count("control") == 0 })
	})
	t.Run("waiting", func(t *testing.T) {
		b := working(t)
		b.enqueue(job{"id": "X", "command": note("ran"), "delay": "1h"})
		b.sh(`touch control/X.cancel`)
		b.await("X", "dead")
		if len(b.effects()) != 0 {
			t.Errorf("it ran")
		}
	})
	// One for a job that comes later means another.
	t.Run("older", func(t *testing.T) {
		b := working(t)
		b.sh(`touch -d '1 minute ago' control/X.cancel`)
		b.enqueue(job{"id": "X", "command": note("ran")})
		b.await("X", "completed")
	})
}

// TestCopiedTree copies a spool with jobs in all states in ways that keep hard
// links, and in ways that break them.
func TestCopiedTree(t *testing.T) {
	ways := []struct{ name, program, script string }{
		{"cp -r", "cp", `cp -r . ../copy`},
		{"cp -a", "cp", `cp -a . ../copy`},
		{"tar", "tar", `mkdir -m 700 ../copy; tar cf - . | tar xpf - -C ../copy`},
		{"tar without links", "tar", `mkdir -m 700 ../copy; tar --hard-dereference -cf - . | tar xpf - -C ../copy`},
		{"rsync", "rsync", `rsync -a . ../copy`},
		{"rsync -H", "rsync", `rsync -aH . ../copy`},
	}
	for _, way := range ways {
		for _, repair := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, repair %v", way.name, repair), func(t *testing.T) {
				need(t, way.program)
				b := parallelBench(t)
				b.fill()
				b.sh(way.script)
				copied := &bench{T: t, dir: b.dir, spool: b.path("copy")}
				t.Cleanup(copied.end)
				if repair {
					copied.q("check", "--repair")
					copied.q("check")
				}
				copied.q("retry", "failed", "dead", "completed", "held")
				copied.drain()
				copied.allRan()
				copied.q("check", "--repair")
			})
		}
	}
}

// fill makes a job in every state, each with its state's name as id; "running"
// has been left by a killed pool.
func (b *bench) fill() {
	b.Helper()
	p := b.start()
	b.q("config", "set", "retry_base", "10000")
	again := func(state, first string) string {
		return fmt.Sprintf(`if [ -e "$D/copy" ]; then %s; else %s; fi`, note(state), first)
	}
	b.enqueue(job{"id": "completed", "command": again("completed", "true")})
	b.await("completed", "completed")
	b.enqueue(job{"id": "failed", "command": again("failed", "false")})
	b.await("failed", "failed")
	b.enqueue(job{"id": "dead", "command": again("dead", "false"), "max_retries": 0})
	b.await("dead", "dead")
	b.enqueue(job{"id": "held", "command": note("held"), "delay": "1h"})
	b.sh(`mkdir -p held; mv pending/* held/`)
	b.enqueue(job{"id": "running", "command": again("running", note("begin")+"; exec sleep 60")})
	b.till("it runs", func() bool { return len(b.lines("begin")) == 1 })
	p.kill()
	b.killJobs()
	if err := os.Remove(b.path("effects")); err != nil {
		b.Fatal(err)
	}
	b.enqueue(job{"id": "pending", "command": note("pending")})
}

func (b *bench) allRan() {
	b.Helper()
	for _, id := range []string{"pending", "running", "failed", "completed", "dead", "held"} {
		if n := len(b.lines(id)); n != 1 {
			b.Errorf("%s ran %d times", id, n)
		}
		if s := b.show(id); s.State != "completed" {
			b.Errorf("%s is %s", id, s.State)
		}
	}
}

// TestOddDrops puts into pending/ what people and programs put there.
func TestOddDrops(t *testing.T) {
	good := func(b *bench) string { return b.drop("ran") }
	runs := []struct {
		name, file string
		text       func(b *bench) string
	}{
		{"byte order mark", "bom.json", func(b *bench) string { return "\ufeff" + good(b) }},
		{"CRLF", "crlf.json", func(b *bench) string { return strings.ReplaceAll(good(b), ",", ",\r\n") + "\r\n" }},
		{"255 bytes", strings.Repeat("n", 250) + ".json", good},
		{"newline in the name", "two\nlines.json", good},
		{"Latin-1 in the name", "caf\xe9.json", good},
		{"spaces", "my job.json", good},
		{"no id in its name", "###.json", good},
	}
	for _, c := range runs {
		t.Run(c.name, func(t *testing.T) {
			b := working(t)
			b.write("t", c.text(b))
			if err := os.Rename(b.path("t"), filepath.Join(b.spool, "pending", c.file)); err != nil {
				t.Fatal(err)
			}
			b.till("it is done", func() bool { return b.count("completed") == 1 && b.count("pending") == 0 })
			b.ran("ran")
			id := b.q("list", "--json")
			var s shown
			b.decode(id, &s)
			if s = b.show(s.ID); s.History[0].From == "" {
				t.Errorf("first line: %+v", s.History[0])
			}
		})
	}
	refused := []struct{ name, make, reason string }{
		{"fifo", `mkfifo pending/odd.json`, "FIFO"},
		{"symlink", `echo '{"command":"true"}' >../target; ln -s ../../target pending/odd.json`, "symbolic link"},
		{"sparse", `truncate -s 2G pending/odd.json`, "limit"},
		{"latin-1", `printf '{"command":"echo caf\351"}' >../t; mv ../t pending/odd.json`, "UTF-8"},
		{"two objects", `echo '{"a":1}{"b":2}' >../t; mv ../t pending/odd.json`, ""},
		{"two jobs", `echo '{"command":"true"}{"command":"true"}' >../t; mv ../t pending/odd.json`, ""},
		{"no object", `echo '[1]' >../t; mv ../t pending/odd.json`, "object"},
		{"no job", `echo '{}' >../t; mv ../t pending/odd.json`, "command"},
		{"case", `echo '{"Command":"true"}' >../t; mv ../t pending/odd.json`, `did you mean "command"`},
		{"twice", `echo '{"command":"true","command":"false"}' >../t; mv ../t pending/odd.json`, "twice"},
	}
	for _, c := range refused {
		t.Run(c.name, func(t *testing.T) {
			b := parallelBench(t)
			b.start()
			b.sh(c.make)
			id := b.refusedAs("odd", c.reason)
			b.q("dlq", "delete", id)
			if n := b.count("dead"); n != 0 {
				t.Errorf("%d files in dead/", n)
			}
		})
	}
	t.Run("untouched", func(t *testing.T) {
		b := working(t)
		b.sh(`mkdir pending/dir.json; : >pending/empty.json; echo '{' >pending/half.json
			echo x >pending/.hidden.json; echo x >pending/notes.txt`)
		b.enqueue(job{"id": "X", "command": note("ran")})
		b.await("X", "completed")
		b.sh(`test -d pending/dir.json; test -e pending/empty.json; test -e pending/half.json
			test -e pending/.hidden.json; test -e pending/notes.txt`)
		// What stays incomplete for an hour is refused.
		b.sh(`touch -d '2 hours ago' pending/empty.json pending/half.json`)
		b.refusedAs("empty", "hour")
		b.refusedAs("half", "hour")
	})
	// A refused drop is kept byte for byte, and runs once it is mended.
	t.Run("mended", func(t *testing.T) {
		b := working(t)
		text := "{\"command\": \"" + `echo ran >>\"$D/effects\"` + "\",\r\n \"Priority\": 1}\n\n"
		b.write("odd.json", text)
		b.sh(`mv ../odd.json pending/`)
		id := b.refusedAs("odd", "Priority")
		kept, err := os.ReadFile(b.show(id).File)
		if err != nil || string(kept) != text {
			t.Errorf("kept %q, %v; it was %q", kept, err, text)
		}
		b.sh(`sed -i s/Priority/priority/ dead/*`)
		b.q("dlq", "retry", id)
		b.await("odd", "completed")
		b.ran("ran")
	})
}

// A job in processing/ that a person moves to pending/ does not get a second
// copy beside it; it runs once more afterwards.
func TestMvProcessingToPending(t *testing.T) {
	b := working(t, "--count", "2")
	b.enqueue(job{"id": "X", "command": held})
	b.begun(1)
	b.sh(`mv processing/* pending/`)
	b.enqueue(job{"id": "other", "command": "true"})
	b.await("other", "completed")
	if n := len(b.lines("begin")); n != 1 {
		t.Fatalf("%d copies run", n)
	}
	b.write("go", "")
	b.begun(2)
	b.await("X", "completed")
	if len(b.lines("begin")) != 2 || len(b.lines("end")) != 2 {
		t.Errorf("effects: %s", b.read("effects"))
	}
}
