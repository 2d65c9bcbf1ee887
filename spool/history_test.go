package spool

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var exit7 = 7

// lines are what a job may go through, in the order in which it is written:
// each is added, or completes the line before.
var lines = []struct {
	complete bool
	e        Entry
}{
	{false, Entry{Attempt: 1, Claim: "web-4711-k3x9qa.17", Started: Stamp{time.Unix(1, 0)}}},
	{true, Entry{PID: 4802, PIDStart: 99120}},
	{true, Entry{Ended: Stamp{time.Unix(2, 0)}, Outcome: FailedOutcome, Exit: &exit7, Reason: "exit {}],\n\"history\":[\n", To: "failed/20261123T180400.123456Z-5-job-A.json"}},
	{false, Entry{Event: EventRetried, By: "cli", To: "pending/20261123T180000.123456Z-5-job-A.json"}},
	{false, Entry{Attempt: 1, Claim: "web-4711-k3x9qa.18"}},
	{true, Entry{Outcome: Succeeded}},
}

func birthFile() []byte {
	return newFile([]byte(`{"id":"job-A","command":"echo \"history\":[\\n","x":[1]`), true,
		[]Entry{{Event: EventEnqueued, At: Stamp{time.Unix(0, 0)}, Life: "k3x9qa7m2c5d", To: "pending/20261123T180000.123456Z-5-job-A.json"}})
}

// write is what record.write does to the bytes of a file, cut off after n
// bytes; in place, what the file held before stays behind the cut.
func torn(file, b []byte, over, n int, inPlace bool) []byte {
	at := len(file) - over
	out := append(bytes.Clone(file[:at]), b[:n]...)
	if inPlace && len(out) < len(file) {
		out = append(out, file[len(out):]...)
	}
	return out
}

// everyWrite calls fn with the file before each write, the bytes of the write,
// and how many bytes it writes over.
func everyWrite(t *testing.T, fn func(before, b []byte, over int)) {
	file := birthFile()
	for _, l := range lines {
		b, over := appendEntry(l.e), len(tail)
		if l.complete {
			b, over = completeEntry(l.e), len(tail)+1
		}
		fn(file, b, over)
		file = torn(file, b, over, len(b), false)
		d, err := decodeFile(file, testMax)
		if err != nil || d.torn || !d.appendable() {
			t.Fatalf("%q: %+v, %v", file, d, err)
		}
	}
}

func TestAppendIsReadBack(t *testing.T) {
	file := birthFile()
	d, err := decodeJob(file, testMax)
	must(t, err)
	want := d.history
	for _, l := range lines {
		if l.complete {
			file = torn(file, completeEntry(l.e), len(tail)+1, len(completeEntry(l.e)), false)
			want[len(want)-1] = merge(want[len(want)-1], l.e)
		} else {
			file = torn(file, appendEntry(l.e), len(tail), len(appendEntry(l.e)), false)
			want = append(want, l.e)
		}
		d, err := decodeJob(file, testMax)
		must(t, err)
		if got, want := string(line2(d.history)), string(line2(want)); got != want {
			t.Fatalf("history is\n%s\nwant\n%s", got, want)
		}
	}
}

func line2(h []Entry) (b []byte) {
	for _, e := range h {
		b = append(append(b, line(e)...), '\n')
	}
	return b
}

// A write that was cut off at any point, also with zeros or garbage behind it,
// leaves a file of which every line from before the write is kept, but the one
// that was being completed.
func TestTornWriteIsRepaired(t *testing.T) {
	tails := [][]byte{nil, {0}, make([]byte, 4096), []byte("\xff\xfe garbage"), []byte("\n"), []byte("]}"), []byte(",\n{\"att")}
	everyWrite(t, func(before, b []byte, over int) {
		old, err := decodeJob(before, testMax)
		must(t, err)
		kept := len(old.history)
		if over > len(tail) {
			kept--
		}
		for n := 0; n <= len(b); n++ {
			for _, inPlace := range []bool{false, true} {
				for _, end := range tails {
					data := append(torn(before, b, over, n, inPlace), end...)
					d, err := decodeFile(data, 3*testMax)
					if err != nil {
						t.Fatalf("%q: %v", data, err)
					}
					if d.ID != "job-A" || len(d.history) < kept {
						t.Fatalf("%q\nis read with history %s", data, line2(d.history))
					}
					for i := range kept {
						if !reflect.DeepEqual(d.history[i], old.history[i]) {
							t.Fatalf("%q\nis read with history %s", data, line2(d.history))
						}
					}
				}
			}
		}
	})
}

func TestRepairFindsNothingInForeignFiles(t *testing.T) {
	for _, s := range []string{
		"", "{", `{"command":"a"`, `{"command":"a","history":[`, "{\"command\":\"a\",\"history\":[\n", "\"history\":[\n{}",
		"{\"command\":\"a\",\"history\":[\n{\"event\":", "{\"command\":\"a\",\"history\":[\n[]\n]}\n",
	} {
		if keep, ok := repair([]byte(s)); ok {
			t.Errorf("%q: keeps %d", s, keep)
		}
	}
}

// A person's half file that only looks like one with a history is incomplete,
// and no job.
func TestHalfADropIsNotRepaired(t *testing.T) {
	for _, s := range []string{
		"{\"command\":\"rm -rf /\",\"x\\\"history\":[\n{\"a\":1}",
		"{\"command\":\"rm -rf /\",\"x\":{\"history\":[\n{\"a\":1}\n]",
		"{\"command\":\"rm -rf /\",\"x\":[\"a\",{\"history\":[\n{\"a\":1}",
	} {
		if d, err := decodeFile([]byte(s), testMax); !errors.Is(err, errIncomplete) {
			t.Errorf("%q is taken as %+v, %v", s, d, err)
		}
	}
}

func FuzzRepair(f *testing.F) {
	f.Add(birthFile(), uint(3), []byte("\x00\x00"))
	everyWriteSeed(f)
	f.Fuzz(func(t *testing.T, file []byte, cut uint, end []byte) {
		data := append(bytes.Clone(file[:min(int(cut%(1<<20)), len(file))]), end...)
		keep, ok := repair(data)
		if ok && (keep <= 0 || keep > len(data)) {
			t.Fatalf("%q: keeps %d", data, keep)
		}
		d, err := decodeFile(data, 1<<20)
		if err != nil || !d.torn {
			return
		}
		if d.history == nil || !d.appendable() {
			t.Fatalf("%q is mended to %q", data, d.data)
		}
		again, err := decodeFile(d.data, 1<<20)
		if err != nil || again.torn || !reflect.DeepEqual(again.history, d.history) {
			t.Fatalf("%q is mended to %q: %v", data, d.data, err)
		}
	})
}

func everyWriteSeed(f *testing.F) {
	file := birthFile()
	for _, l := range lines {
		b, over := appendEntry(l.e), len(tail)
		if l.complete {
			b, over = completeEntry(l.e), len(tail)+1
		}
		file = torn(file, b, over, len(b), false)
		f.Add(file, uint(len(file)-7), []byte("]}"))
	}
}

// attempt is an attempt's line that ended.
func ended(o Outcome, to string) Entry {
	e := Entry{Claim: "p-1-x.1", Outcome: o}
	if to != "" {
		e.To = to + "/20261123T180000.123456Z-5-x.json"
	}
	return e
}

func TestAttempts(t *testing.T) {
	birth := Entry{Event: EventEnqueued, Life: "a"}
	open := Entry{Claim: "p-1-x.9"}
	retried := Entry{Event: EventRetried}
	for i, c := range []struct {
		h         []Entry
		next, end int // before the next attempt; as shown in completed/ and dead/
	}{
		{[]Entry{birth}, 0, 0},
		{[]Entry{birth, open}, 0, 0},
		{[]Entry{birth, ended(FailedOutcome, "failed")}, 1, 1},
		{[]Entry{birth, ended(FailedOutcome, "failed"), ended(TimedOut, "failed"), open}, 2, 2},
		{[]Entry{birth, ended(WorkerDied, "pending"), ended(WorkerLost, "pending"), ended(Interrupted, "pending")}, 1, 1},
		{[]Entry{birth, ended(Cancelled, "dead")}, 0, 0},
		{[]Entry{birth, ended(FailedOutcome, "failed"), ended(Succeeded, "completed")}, 0, 2},
		{[]Entry{birth, ended(FailedOutcome, "failed"), ended(FailedOutcome, "dead")}, 0, 2},
		{[]Entry{birth, ended(FailedOutcome, "dead"), retried}, 0, 0},
		{[]Entry{birth, ended(FailedOutcome, "dead"), retried, ended(FailedOutcome, "failed")}, 1, 1},
		{[]Entry{birth, ended(FailedOutcome, "dead"), ended(FailedOutcome, "failed")}, 1, 1}, // mv dead/X pending/
		{[]Entry{birth, ended(FailedOutcome, "failed"), retried}, 0, 0},
		{[]Entry{birth, ended(FailedOutcome, "failed"), {Event: EventCancelled, Outcome: Cancelled, To: "dead/20261123T180000.123456Z-5-x.json"}}, 0, 1},
		{[]Entry{birth, ended(FailedOutcome, "failed"), {Event: EventMoved, To: "pending/20261123T180000.123456Z-5-x.json"}}, 1, 1},
		{[]Entry{birth, {Event: EventCompacted, Attempt: 41, Dropped: 60}, ended(FailedOutcome, "failed")}, 42, 42},
		{[]Entry{birth, {Event: EventCompacted, Attempt: 41}, retried, ended(FailedOutcome, "failed")}, 1, 1},
		{[]Entry{birth, ended(FailedOutcome, "dead"), {Event: EventReplaced, To: "dead/20261123T180000.123456Z-5-x.json"}}, 0, 1},
		{[]Entry{birth, ended(Succeeded, "completed"), {Event: EventAdopted, Life: "b", To: "completed/20261123T180000.123456Z-5-x.json"}}, 0, 1},
		{[]Entry{birth, ended(Succeeded, "completed"), {Event: EventAdopted, Life: "b", To: "pending/20261123T180000.123456Z-5-x.json"}}, 0, 0},
		{[]Entry{birth, ended(Succeeded, "")}, 0, 1}, // moved by a person while it ran
	} {
		if got := attempts(c.h, false); got != c.next {
			t.Errorf("case %d: %d attempts before the next; want %d", i, got, c.next)
		}
		if got := attempts(c.h, true); got != c.end {
			t.Errorf("case %d: %d attempts shown; want %d", i, got, c.end)
		}
	}
}

func TestDeathsInRow(t *testing.T) {
	died, lost := ended(WorkerDied, "pending"), ended(WorkerLost, "pending")
	open := Entry{Claim: "p-1-x.9"}
	for i, c := range []struct {
		h                  []Entry
		charged, uncharged int
	}{
		{nil, 0, 0},
		{[]Entry{{Event: EventEnqueued, Life: "a"}, open}, 0, 0},
		{[]Entry{died, open}, 1, 0},
		{[]Entry{died, died}, 2, 0},
		{[]Entry{died, lost, died, open}, 2, 1},
		{[]Entry{died, ended(FailedOutcome, "failed"), died, open}, 1, 0},
		{[]Entry{died, ended(Interrupted, "pending"), lost, open}, 0, 1},
		{[]Entry{died, died, ended(WorkerDied, "dead"), open}, 0, 0}, // buried: a person gives it a fresh start
		{[]Entry{died, died, {Event: EventRetried}, died, open}, 1, 0},
	} {
		charged, uncharged := deathsInRow(c.h)
		if charged != c.charged || uncharged != c.uncharged {
			t.Errorf("case %d: %d charged, %d uncharged; want %d, %d", i, charged, uncharged, c.charged, c.uncharged)
		}
	}
}

func TestLifeOf(t *testing.T) {
	at := time.Unix(7, 0)
	for i, c := range []struct {
		h     []Entry
		life  string
		since time.Time
	}{
		{nil, "", time.Time{}},
		{[]Entry{{Event: EventRetried}}, "", time.Time{}},
		{[]Entry{{Life: "a", At: Stamp{at}}}, "a", at},
		{[]Entry{{Life: "a"}, {Claim: "p.1"}, {Life: "b", At: Stamp{at}}, {Event: EventRetried}}, "b", at}, // a copy that was adopted
	} {
		if life, since := lifeOf(c.h); life != c.life || !since.Equal(c.since) {
			t.Errorf("case %d: %q since %s", i, life, since)
		}
	}
}

func TestLastError(t *testing.T) {
	for i, c := range []struct {
		h    []Entry
		want string
	}{
		{nil, ""},
		{[]Entry{{Outcome: FailedOutcome, Reason: "exit status 1"}}, "exit status 1"},
		{[]Entry{{Outcome: FailedOutcome, Reason: "exit status 1"}, {Outcome: Interrupted, Reason: "stop"}, {Event: EventRetried}}, "exit status 1"},
		{[]Entry{{Outcome: FailedOutcome, Reason: "exit status 1"}, {Outcome: Succeeded}}, ""},
		{[]Entry{{Outcome: TimedOut}}, "timed_out"},
	} {
		if got := lastError(c.h); got != c.want {
			t.Errorf("case %d: %q; want %q", i, got, c.want)
		}
	}
}

// genHistory draws a history as long as one that is compacted.
func genHistory(t *rapid.T) []Entry {
	h := []Entry{{Event: EventEnqueued, Life: "born"}}
	choice := []Entry{
		ended(FailedOutcome, "failed"), ended(TimedOut, "failed"), ended(WorkerDied, "pending"), ended(WorkerLost, "pending"),
		ended(Interrupted, "pending"),
		{Event: EventMoved},
		{Event: EventReplaced},
	}
	if rapid.Bool().Draw(t, "many rounds") {
		choice = append(choice, ended(Succeeded, "completed"), ended(FailedOutcome, "dead"), ended(Succeeded, ""),
			Entry{Event: EventRetried}, Entry{Event: EventReplaced, To: "dead/20261123T180000.123456Z-5-x.json"})
	}
	for range rapid.IntRange(0, 3*keepLines).Draw(t, "n") {
		h = append(h, rapid.SampledFrom(choice).Draw(t, "line"))
	}
	if rapid.Bool().Draw(t, "open") {
		h = append(h, Entry{Claim: "p-1-x.99"})
	}
	return h
}

func TestCompactKeepsTheCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := genHistory(t)
		if rapid.Bool().Draw(t, "again") {
			h = append(compact(h, Stamp{}), genHistory(t)[1:]...)
		}
		c := compact(h, Stamp{})
		if len(c) > keepLines+2 {
			t.Fatalf("%d lines are left", len(c))
		}
		if c[0].Life != "born" {
			t.Fatalf("the line of birth is gone: %+v", c[0])
		}
		for _, end := range []bool{false, true} {
			if got, want := attempts(c, end), attempts(h, end); got != want {
				t.Fatalf("%d attempts (ended %v) of %d lines; %d before, of %d", got, end, len(c), want, len(h))
			}
		}
		if got, want := lineCount(c), lineCount(h); got != want {
			t.Fatalf("%d lines in all, said; want %d", got, want)
		}
		if keepLines > chargedDeaths && !reflect.DeepEqual(openAttempt(c), openAttempt(h)) {
			t.Fatal("the open attempt changed")
		}
	})
}

// lineCount counts lines, those that were dropped too.
func lineCount(h []Entry) int {
	n := 0
	for _, e := range h {
		if e.Event == EventCompacted {
			n += e.Dropped
			continue
		}
		n++
	}
	return n
}

func TestLongHistoryIsCompacted(t *testing.T) {
	b := newBench(t)
	b.enqueue("x", `"note":"stays"`)
	p := b.pool()
	long := strings.Repeat("reason ", 140)
	inode := b.inode(idPath("x"))
	for i := 0; b.inode(idPath("x")) == inode; i++ {
		if i > 2*maxHistory/len(long) {
			t.Fatal("the history was never compacted")
		}
		c := b.claim(p, "x")
		if want := i + 1; c.Attempt != want {
			t.Fatalf("attempt %d; want %d", c.Attempt, want)
		}
		b.settle(c, Result{Outcome: FailedOutcome, Reason: long, RetryAt: time.Now().Add(-time.Second)}, Failed)
	}
	j := b.wantState("x", Failed)
	if n := len(j.History); n > keepLines+3 || n < keepLines {
		t.Errorf("%d lines are left", n)
	}
	if j.History[0].Event != EventEnqueued || j.History[0].Life == "" {
		t.Errorf("the first line is %+v", j.History[0])
	}
	if !bytes.HasPrefix(j.Raw, []byte(jobText("x", `"note":"stays"`)[:30])) {
		t.Errorf("the file begins %q", j.Raw[:60])
	}
}

// Long lines do not bring it about that each claim replaces the file.
func TestLongLinesAreCompacted(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	p := b.pool()
	files, inode := 0, b.inode(idPath("x"))
	for i := range 150 {
		c := b.claim(p, "x")
		if c.Attempt != i+1 {
			t.Fatalf("attempt %d; want %d", c.Attempt, i+1)
		}
		b.settle(c, Result{Outcome: FailedOutcome, Reason: strings.Repeat("\x01", 2*maxReason), RetryAt: time.Now().Add(-time.Second)}, Failed)
		if now := b.inode(idPath("x")); now != inode {
			files, inode = files+1, now
		}
		if size := len(b.read(b.path("x"))); size > maxHistory+8*maxReason {
			t.Fatalf("after %d attempts it is %d bytes long", i+1, size)
		}
	}
	if files < 2 || files > 10 {
		t.Errorf("150 attempts made %d files", files)
	}
	// However long they are, what buries a job stays.
	h := []Entry{{Event: EventEnqueued, Life: "born"}}
	for range 40 {
		h = append(h, Entry{Claim: "p.1", Outcome: WorkerLost, Reason: strings.Repeat("x", maxHistory/10)})
	}
	if _, uncharged := deathsInRow(compact(h, Stamp{})); uncharged < unchargedDeaths {
		t.Errorf("%d deaths in a row are left of 40; %d bury a job", uncharged, unchargedDeaths)
	}
}

// A reader without the lock that meets the middle of a write reads again.
func TestReaderReadsAgain(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	c := b.claim(b.pool(), "x")
	whole := b.read(c.Path())
	for _, content := range []string{whole[:len(whole)-40], whole[:len(whole)-3], whole} {
		b.faults.before("read", c.Path(), func() error { b.put(c.Path(), content); return nil })
	}
	dec, _, err := b.peek(c.Path())
	if err != nil || len(dec.history) != 2 || string(dec.data) != whole {
		t.Errorf("read %+v, %v", dec, err)
	}
	b.put(c.Path(), whole)
	must(t, c.Release("", false))
}

// Who reads without the lock, while another writes, sees a valid file.
func TestReaderWithoutLock(t *testing.T) {
	b := newBench(t)
	b.enqueue("x")
	p := b.pool()
	stop := make(chan struct{})
	var group sync.WaitGroup
	defer group.Wait()
	defer close(stop)
	reader := b.another()
	for range 2 {
		group.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				j, err := reader.Job("x")
				if errors.Is(err, ErrNotFound) {
					continue // it moved three times while we looked
				}
				if err != nil || j.Command != "true" || len(j.History) == 0 || j.History[0].Life == "" {
					t.Errorf("read %+v, %v", j, err)
					return
				}
			}
		})
	}
	for n := 0; n < 200; {
		c, err := p.Claim(b.path("x"))
		if errors.Is(err, ErrHeld) {
			continue // a reader looks whether anybody keeps the job waiting
		}
		must(t, err)
		must(t, c.Started(os.Getpid()))
		must(t, c.Release("again", false))
		n++
	}
}
