package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"strings"
	"testing"
	"time"

	"queuectl/spool/internal/simfs"
)

// FuzzAppend writes an attempt's lines into a job's file, loses what follows
// any byte of the last write, or finds zeros there, while somebody reads.
// Nothing that was complete before that write is lost, what the user wrote
// stays, and the file takes further lines.
func FuzzAppend(f *testing.F) {
	f.Add("true", "exit status 1", uint16(9), uint8(0))
	f.Add("a\\\"history\\\":[\\n]}", "]}\n", uint16(0), uint8(7))
	f.Add("x", "", uint16(1000), uint8(255))
	f.Fuzz(func(t *testing.T, command, reason string, cut uint16, zeros uint8) {
		w := newWorld()
		if err := failed(func() { appended(w, command, reason, int(cut), int(zeros)) }); err != nil {
			t.Fatalf("%v\n%s", err, w.Dump())
		}
	})
}

func appended(w *world, command, reason string, cut, zeros int) {
	a := w.actor("worker")
	text, err := json.Marshal(command)
	w.must(err)
	user := fmt.Sprintf(`{"id":"job","command":%s,"x":[1]`, text)
	if _, err := a.EnqueueJSON(ctx, []byte(user+"}")); err != nil {
		return // no job
	}
	a.run("job")
	before, err := w.Read(idPath("job"))
	w.must(err)
	reader := w.actor("reader")
	w.Hook = func(s simfs.Step) {
		if s.Process == a.p {
			reader.readable("job")
		}
	}
	a.settle(Result{Outcome: FailedOutcome, Reason: reason, RetryAt: w.Now()})
	w.Hook = nil
	after, err := w.Read(idPath("job"))
	w.must(err)

	at := len(before) - len(tail) - 1 // where the last write begins
	torn := append(bytes.Clone(after[:at+cut%(len(after)-at+1)]), make([]byte, zeros)...)
	w.must(w.Write(idPath("job"), torn))
	old, err := decodeFile(before, maxFile)
	a.must(err)
	a.run("job")
	a.settle(success)
	a.kept(user, old.history)
}

// readable wants a reader to see the job at any moment.
func (a *actor) readable(id string) {
	if j, err := a.Job(id); err != nil || len(j.History) < 2 {
		a.fail("while it is written: %+v, %v", j, err)
	}
}

// kept wants the user's bytes, all lines before the torn one, and those since.
func (a *actor) kept(user string, old []Entry) {
	data, err := a.w.Read(idPath("job"))
	a.must(err)
	dec, err := decodeFile(data, maxFile)
	if err != nil || dec.torn || !bytes.HasPrefix(data, []byte(user)) {
		a.fail("it is %q: %+v, %v", data, dec, err)
	}
	h := dec.history
	if n := len(old); len(h) < n || h[0].Life != old[0].Life || h[len(h)-1].Outcome != Succeeded {
		a.fail("history %+v; was %+v", h, old)
	}
}

// FuzzScan puts any two files anywhere into a spool with a job, and has a pool
// do all that pools do. What lay in a state directory is still somewhere, byte
// for byte or as a job's own file.
func FuzzScan(f *testing.F) {
	name := "20261123T180000.123456Z-5-job.json"
	f.Add(uint8(0), uint8(0), "drop.json", []byte(`{"command":"a"}`), uint8(1), uint8(0), name, []byte(`{"id":"job","command":"a"}`))
	f.Add(uint8(1), uint8(1), "x@p.1.json", []byte("a"), uint8(4), uint8(2), name, []byte("../pending"))
	f.Add(uint8(1), uint8(0), "20261123T180000.123456Z-5-y@here-1-abcdef.1.json", []byte(`{"id":"y","command":"a",`+someHistory+`}`), uint8(8), uint8(0), "here-1-abcdef.json", []byte("{}"))
	f.Add(uint8(6), uint8(1), "abcdefabcdef.go", []byte{}, uint8(7), uint8(0), "config.json", []byte(`{"max_retries":"x"}`))
	f.Add(uint8(9), uint8(0), "job.cancel", []byte{}, uint8(10), uint8(0), "job.json", []byte{})
	f.Add(uint8(0), uint8(3), "\xff\n.json", []byte{}, uint8(0), uint8(0), "1", []byte{})
	f.Fuzz(func(t *testing.T, dir1, kind1 uint8, name1 string, data1 []byte, dir2, kind2 uint8, name2 string, data2 []byte) {
		w := newWorld()
		err := failed(func() {
			a := w.actor("pool")
			a.enqueue("other")
			one, two := w.plant(dir1, kind1, name1, data1), w.plant(dir2, kind2, name2, data2)
			a.everything()
			w.survives(one, data1)
			w.survives(two, data2)
		})
		if err != nil {
			t.Fatalf("%v\n%s", err, w.Dump())
		}
	})
}

// scanned are the directories in which FuzzScan puts things: first the states.
var scanned = []string{"pending", "processing", "failed", "completed", "dead", "held", "tmp", ".", "workers", "control", "ids/" + idHash("job"), "pending/1"}

// plant puts something there, if the file system takes it and it replaces
// nothing. It returns whether it is a file that must not be lost.
func (w *world) plant(dir, kind uint8, name string, data []byte) bool {
	d := scanned[int(dir)%len(scanned)]
	p := strings.TrimPrefix(d+"/"+name, "./")
	if name == "" || len(name) > maxName || strings.ContainsAny(name, "/\x00") || strings.Trim(name, ".") == "" || w.there(p) || len(data) > 1<<16 {
		return false
	}
	w.must(w.Mkdir(d))
	if i, err := w.Stat(d); err != nil || !i.Mode.IsDir() {
		return false // the other file is pending/1
	}
	switch kind % 4 {
	case 0:
		w.must(w.Write(p, data))
		return isState(stateOf(p))
	case 1:
		w.must(w.Mkdir(p))
	case 2:
		w.must(w.Plant(p, fs.ModeSymlink, string(data)))
	case 3:
		w.must(w.Plant(p, fs.ModeNamedPipe, ""))
	}
	return false
}

// everything is what pools and commands do, with whatever there is.
func (a *actor) everything() {
	p := a.join()
	_, _ = p.Recover(ctx)
	a.w.Advance(time.Second)
	for _, st := range []State{Pending, Failed} {
		_ = a.Scan(st, func(f string, _ Name, canonical bool) bool {
			a.tryRun(f, canonical)
			return true
		})
	}
	_, _ = a.Status()
	_, _ = a.Counts()
	_, _ = a.Pools()
	for j := range a.List(States, 0) {
		if j != nil {
			_, _ = a.Job(j.ID)
		}
	}
	_, _ = a.Prune(ctx)
	if _, err := a.Check(ctx, true); err != nil && !errors.Is(err, errNotPlain) {
		return
	}
	_, _ = a.Check(ctx, false)
}

// tryRun runs what can be run and adopts what cannot.
func (a *actor) tryRun(f string, canonical bool) {
	if c, err := a.pool.Claim(f); err == nil {
		_, err = c.Settle(success)
		a.must(err)
		return
	} else if canonical && !errors.Is(err, ErrDrop) {
		return
	}
	to, err := a.pool.Adopt(ctx, f)
	if n, ok := ParseName(path.Base(to)); err == nil && !ok {
		a.fail("%q was adopted as %q (%v)", f, to, n)
	}
}

// survives wants the bytes of a file to be in some file of a state.
func (w *world) survives(must bool, data []byte) {
	if !must {
		return
	}
	base := data
	if d, err := decodeJob(data, defaults.MaxJobSize); err == nil {
		base, _ = d.base()
	}
	for _, st := range States {
		for _, dir := range []string{string(st), string(st) + "/1"} {
			for _, name := range w.Names(dir) {
				if b, err := w.Read(dir + "/" + name); err == nil && bytes.HasPrefix(b, base) {
					return
				}
			}
		}
	}
	panic(failure(fmt.Sprintf("%q is lost", data)))
}

// FuzzConfig reads any config.json: what is wrong in it is said and touches
// nothing else, check says the same, and what is right can be set again.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"retry_base":3,"sync":"off"}`, `{"max_retries":-1,"retry_base":"1.5"}`, `{"keep_dead":"7d","nonsense":1}`, `{"sync":["off"]}`,
		`[]`, `null`, "", "{", `{"timeout":1e3}`, `{"max_job_size":"1KiB"}`, `{"retry_base":"NaN"}`, `{"retry_jitter":"0x1p-2"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWorld()
		w.must(w.Write(configFile, data))
		if err := failed(func() { w.actor("reader").configured() }); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
	})
}

func (a *actor) configured() {
	c, wrong := a.Config()
	list, err := a.Settings()
	if (wrong == nil) != (err == nil) {
		a.fail("config says %v, settings say %v", wrong, err)
	}
	rep, err := a.Check(ctx, false)
	a.must(err)
	if rep.OK() != (wrong == nil) {
		a.fail("config says %v, check finds %q", wrong, findings(rep))
	}
	if wrong != nil {
		if wrong.Error() == "" {
			a.fail("nothing is said")
		}
		return
	}
	for _, s := range list {
		a.must(a.SetConfig(s.Key, s.Value))
	}
	a.w.Advance(time.Second)
	if again, err := a.Config(); err != nil || !reflect.DeepEqual(again, c) {
		a.fail("%+v\nbecomes %+v, %v", c, again, err)
	}
}
