package spool

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Each invariant is violated on purpose, and Check says so by its number.
// Where repair mends it, Check finds nothing afterwards.
func TestCheckFinds(t *testing.T) {
	for name, c := range map[string]struct {
		inv   int
		wreck func(b *bench, at string)
		mends bool
		text  string
	}{
		"format is gone":     {invSpool, func(b *bench, _ string) { b.rm("format") }, false, ""},
		"others may write":   {invTrust, func(b *bench, _ string) { must(b.t, os.Chmod(b.dir, 0o777)) }, false, "written to by everybody"},
		"into a directory":   {invTrust, func(b *bench, _ string) { must(b.t, os.Chmod(b.at("dead"), 0o770)) }, false, "chmod go-w"},
		"into a job's file":  {invTrust, func(b *bench, at string) { must(b.t, os.Chmod(b.at(at), 0o666)) }, false, "chmod go-w"},
		"no directory":       {invSpool, func(b *bench, _ string) { b.rm("logs") }, true, "missing"},
		"a file for one":     {invSpool, func(b *bench, _ string) { b.rm("logs"); b.put("logs", "") }, false, "not a directory"},
		"not whole":          {invWhole, func(b *bench, at string) { b.put(at, "{") }, false, "ends too early"},
		"no job":             {invWhole, func(b *bench, at string) { b.put(at, `{"command":7}`) }, false, "must be a string"},
		"a directory for it": {invWhole, func(b *bench, at string) { b.rm(at); b.rm(idPath("x")); must(b.t, os.Mkdir(b.at(at), 0o700)) }, false, "not a plain file"},
		"a torn end":         {invWhole, func(b *bench, at string) { text := b.read(at); b.put(at, text[:len(text)-3]+"\x00\x00\x00") }, true, "cut off"},
		"a torn tail":        {invWhole, func(b *bench, at string) { b.put(at, strings.TrimSuffix(b.read(at), "]}\n")) }, true, "cut off"},
		"in two places":      {invOnce, func(b *bench, at string) { must(b.t, os.Link(b.at(at), b.at("dead/"+path.Base(at)))) }, false, "the same id"},
		"no second name":     {invSecond, func(b *bench, at string) { b.rm(idPath("x")) }, true, "is missing"},
		"another second":     {invSecond, func(b *bench, at string) { b.exchangeFile(at, b.read(at)) }, true, "exchanged"},
		"another id":         {invSecond, func(b *bench, at string) { b.put(at, strings.Replace(b.read(at), `"id":"x"`, `"id":"y"`, 1)) }, false, `says id "y"`},
		"removed by hand":    {invOwned, func(b *bench, at string) { b.rm(at) }, true, "removed by hand"},
		"dead worker":        {invRunning, func(b *bench, at string) { p := b.pool(); b.claim(p, "x"); b.kill(p) }, true, "worker is dead"},
		"no claim":           {invRunning, func(b *bench, at string) { b.mvInto(at, Processing) }, true, "worker is dead"},
		"an odd name":        {invNames, func(b *bench, at string) { b.put("dead/mine.json", jobText("y")) }, false, "left alone"},
		"a claim's name":     {invNames, func(b *bench, at string) { b.put("dead/20201123T180000.123456Z-5-y@a-1-b.1.json", jobText("y")) }, false, "left alone"},
		"a dead staging":     {invTmp, func(b *bench, _ string) { b.staged("y", true).dies() }, true, "dead process"},
		"a dead pool's file": {invPools, func(b *bench, _ string) { b.kill(b.pool()) }, true, "dead pool"},
		"the configuration":  {invConfig, func(b *bench, _ string) { b.put(configFile, `{"max_retries":"x","sync":"off"}`) }, false, "max_retries"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.unasked = true
			at := b.enqueue("x")
			b.clean()
			c.wreck(b, at)
			rep, err := b.Check(ctx, false)
			must(t, err)
			if v := violated(rep); len(v) != 1 || v[0] != c.inv {
				t.Errorf("violated is %v; want %d\n%s", v, c.inv, findings(rep))
			}
			if !strings.Contains(findings(rep), c.text) {
				t.Errorf("finds\n%s", findings(rep))
			}
			if rep.Mendable() != c.mends {
				t.Errorf("mendable is %v\n%s", rep.Mendable(), findings(rep))
			}
			b.clk.add(time.Second)
			rep, err = b.Check(ctx, true)
			must(t, err)
			if rep.OK() != c.mends {
				t.Errorf("after a repair OK is %v\n%s", rep.OK(), findings(rep))
			}
			if c.mends {
				b.clean()
			}
		})
	}
}

// Worth knowing, but no violation.
func TestCheckNotes(t *testing.T) {
	b := newBench(t)
	b.put("control/nobody.cancel", "")
	must(t, b.appendLog("nobody", "printed\n"))
	b.put("pending/drop.json", `{"comm`)
	must(t, os.Mkdir(b.at("pending/dir.json"), 0o700))
	b.put("pending/odd.json", `{"Command":"true"}`)
	b.refuse("pending/odd.json", "Command")
	must(t, b.appendLog("x", "printed\n"))
	b.clk.add(2 * strayAge)
	b.mvInto(b.enqueue("x"), Dead)
	rep, err := b.Check(ctx, false)
	must(t, err)
	if !slices.IsSortedFunc(rep.Findings, func(a, b Finding) int { return a.Invariant - b.Invariant }) {
		t.Errorf("not in the order of the invariants:\n%s", findings(rep))
	}
	notes := make(map[int]int)
	for _, f := range rep.Findings {
		if !f.Note {
			t.Errorf("a violation: %+v", f)
		}
		notes[f.Invariant]++
	}
	if !strings.Contains(findings(rep), "pending/dir.json: is a directory, and left where it is") {
		t.Errorf("it finds\n%s", findings(rep))
	}
	if !rep.OK() || notes[invBelongs] != 2 || notes[invNames] != 3 || rep.Jobs != 2 {
		t.Errorf("%d jobs\n%s", rep.Jobs, findings(rep))
	}
	_, err = b.Check(ctx, true)
	must(t, err)
	if b.there(logPath("nobody")) || !b.there(logPath("x")) || len(b.logs()) != 2 {
		t.Errorf("after a repair there are the logs %q", b.logs())
	}
}

// logs are those in the spool.
func (b *bench) logs() []string {
	logs, err := filepath.Glob(b.at("logs/*/*"))
	must(b.t, err)
	return logs
}

// A job that was removed by hand leaves its log to nobody.
func TestLogOfAnIDUsedAgain(t *testing.T) {
	for name, again := range map[string]func(*bench){
		"enqueue": func(b *bench) { b.enqueue("x") },
		"batch": func(b *bench) {
			_, err := b.EnqueueBatch(ctx, [][]byte{[]byte(jobText("x"))})
			must(b.t, err)
		},
		"drop": func(b *bench) {
			b.put("pending/mine.json", jobText("x"))
			b.adopt("pending/mine.json", "x")
		},
	} {
		b := newBench(t)
		at := b.enqueue("x")
		must(t, b.appendLog("x", "old\n"))
		b.rm(at)
		again(b)
		if b.job("x").Log != "" {
			t.Errorf("%s: the new job has the log %s", name, b.job("x").Log)
		}
	}
}

// A directory that a person has removed keeps nothing else from being looked at.
func TestCheckWithoutDirectories(t *testing.T) {
	for _, d := range directories {
		b := newBench(t)
		b.unasked = true
		b.enqueue("x")
		must(t, os.RemoveAll(b.at(d)))
		rep, err := b.Check(ctx, false)
		must(t, err)
		told := strings.Contains(findings(rep), d+": the directory is missing")
		if told != (d != string(Held)) {
			t.Errorf("without %s it finds\n%s", d, findings(rep))
		}
		if _, err := b.Status(); err != nil {
			t.Errorf("without %s: %v", d, err)
		}
		rep, err = b.Check(ctx, true)
		must(t, err)
		if !rep.OK() || strings.Contains(findings(rep), d+": the directory was missing") != (d != string(Held)) {
			t.Errorf("without %s a repair finds\n%s", d, findings(rep))
		}
	}
}

// What a repair mends it tells; and it takes no log from a job that has just got
// the id.
func TestRepairTells(t *testing.T) {
	b := newBench(t)
	at := b.enqueue("x")
	b.put(at, strings.TrimSuffix(b.read(at), "]}\n"))
	must(t, b.appendLog("y", "old\n"))
	young := logPath("young")
	b.clk.add(2 * strayAge)
	must(t, b.appendLog("young", "of a file that is being refused\n"))
	now := b.clk.now()
	must(t, os.Chtimes(b.at(young), now, now))
	b.faults.before("rename", logPath("y"), func() error { b.enqueue("y"); return nil })
	rep, err := b.Check(ctx, true)
	must(t, err)
	if !strings.Contains(findings(rep), "its last write was cut off") {
		t.Errorf("it finds\n%s", findings(rep))
	}
	if !b.there(logPath("y")) || !b.there(young) {
		t.Errorf("there are the logs %q", b.logs())
	}
}

// A violation that is gone when looked at again was none: a name was on its
// way.
func TestCheckLooksAgain(t *testing.T) {
	b := newBench(t)
	at := b.enqueue("x")
	b.faults.before("list", "processing", func() error { b.mvInto(at, Held); return nil })
	b.faults.before("list", "ids", func() error { return nil })
	if rep, err := b.Check(ctx, false); err != nil || !rep.OK() {
		t.Errorf("%v\n%s", err, findings(rep))
	}
	b.exchangeFile("held/"+path.Base(at), b.read("held/"+path.Base(at)))
	b.faults.nth("list", "ids", 1, func() error { // between two passes
		_, err := b.another().Check(ctx, true)
		return err
	})
	if rep, err := b.Check(ctx, false); err != nil || !rep.OK() {
		t.Errorf("%v\n%s", err, findings(rep))
	}
}

// Check may run while pools do, and repair does not touch what lives.
func TestCheckWhileItRuns(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	b.enqueue("x")
	c := b.claim(p, "x")
	g := b.staged("y", true)
	rep, err := b.Check(ctx, true)
	if err != nil || !rep.OK() || len(rep.Findings) != 0 {
		t.Errorf("%v\n%s", err, findings(rep))
	}
	b.settle(c, Result{Outcome: Succeeded}, Completed)
	must(t, g.commit(false))
	must(t, g.finish())
	b.wantState("y", Pending)
}

// Repair removes nothing that holds a job: a copy beside the job is refused,
// byte for byte.
func TestRepairRemovesNoJob(t *testing.T) {
	b := newBench(t)
	at := b.enqueue("x")
	data := b.read(at)
	b.cp(at, "completed/"+path.Base(at))
	rep, err := b.Check(ctx, true)
	must(t, err)
	b.wantState("x", Pending)
	if !rep.OK() || b.only(Pending) != at || b.read(b.only(Dead)) != data {
		t.Errorf("%s\n%s", findings(rep), b.tree())
	}
}

// A request to stop a pool that is no more is told, and removed with repair.
func TestStrayStop(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	b.put("control/none-1-abcdef.stop", "")
	b.put("control/"+p.Name()+".stop", "")
	rep, err := b.Check(ctx, false)
	must(t, err)
	if len(rep.Findings) != 1 || rep.Findings[0].Invariant != invBelongs || !rep.OK() || rep.Findings[0].Path != "control/none-1-abcdef.stop" {
		t.Errorf("found %+v", rep.Findings)
	}
	_, err = b.Check(ctx, true)
	must(t, err)
	if b.there("control/none-1-abcdef.stop") || !b.there("control/"+p.Name()+".stop") {
		t.Error("removed is the wrong one, or none")
	}
}
