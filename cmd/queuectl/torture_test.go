//go:build !windows

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"queuectl/cmd/queuectl/internal/torture"
	"queuectl/spool"
)

// plants are faults, each at a job that is completed; and what torture has to
// say of it.
var plants = []struct {
	says  string
	plant func(b *bench, id, file string)
}{
	{"it was acknowledged, and is in no state", func(b *bench, _, file string) { b.sh("rm completed/" + file) }},
	{"it is in several states: ", func(b *bench, _, file string) { b.sh("cp completed/" + file + " dead/") }},
	{"it does not come to rest: it is in held", func(b *bench, _, file string) { b.sh("mv completed/" + file + " held/") }},
	{"succeeded, and has had 2 effects", func(b *bench, id, _ string) {
		b.sh(fmt.Sprintf(`grep '^%s [0-9]* done ' ../marks >twice; cat twice >>../marks; rm twice`, id))
	}},
	{"it is completed, and has had no effect", func(b *bench, id, _ string) {
		b.sh(fmt.Sprintf(`sed -i '/^%s [0-9]* done /d' ../marks`, id))
	}},
	{"it ran more often than its history says", func(b *bench, id, _ string) {
		b.sh(fmt.Sprintf(`echo %s 0 begin 1 >>../marks`, id))
	}},
	{"nobody has asked for it: completed/", func(b *bench, _, file string) {
		b.sh("cp completed/" + file + " completed/" + strings.TrimSuffix(file, ".json") + "-twin.json")
	}},
	{"it was started while a copy of it lived", func(b *bench, id, _ string) {
		b.sh(fmt.Sprintf(`echo %s 0 beside 1 >>../marks`, id))
	}},
}

// TestTortureFindsFaults breaks promises behind the back of a run: each is
// told, with what is known of the job, and the spool is kept.
func TestTortureFindsFaults(t *testing.T) {
	b := parallelBench(t)
	run := newTortureRun(t, b.dir)
	b.spool = filepath.Join(run.Dir(), "spool")
	for _, step := range []error{run.Probe(t.Context()), run.Storm(t.Context())} {
		if step != nil {
			t.Fatal(step)
		}
	}
	ids := b.plantAll()
	if err := run.Account(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, p := range plants {
		v := slices.IndexFunc(run.Report.Violations, func(v torture.Violation) bool {
			return strings.TrimSuffix(v.ID, "-twin") == ids[i] && strings.Contains(v.Text, p.says)
		})
		if v < 0 {
			t.Errorf("%s: nobody says %q", ids[i], p.says)
			continue
		}
		story := strings.Join(run.Report.Violations[v].Timeline, "\n")
		if run.Report.Violations[v].ID == ids[i] && !strings.Contains(story, "begin") {
			t.Errorf("%s: its timeline:\n%s", ids[i], story)
		}
	}
	for _, v := range run.Report.Violations {
		// A planted job may be one of a batch, which then is not whole.
		if !slices.Contains(ids, strings.TrimSuffix(v.ID, "-twin")) && !strings.Contains(v.Text, "of its batch") {
			t.Errorf("wrong without a fault: %+v", v)
		}
	}
	b.verdict(run, ids[0])
	b.q("check", "--repair") // for the end of every test, which checks
}

func newTortureRun(t *testing.T, dir string) *torture.Torture {
	t.Helper()
	path, err := exec.LookPath("queuectl")
	if err != nil {
		t.Fatal(err)
	}
	run, err := torture.New(torture.Options{Dir: dir, For: time.Second, Workers: 2, Seed: 3, Path: path, Name: "queuectl"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = run.Close() })
	return run
}

// plantAll plants each fault at a job of its own.
func (b *bench) plantAll() (ids []string) {
	b.Helper()
	s := b.open()
	err := s.Scan(spool.Completed, func(path string, n spool.Name, _ bool) bool {
		j, err := s.Job(n.ID)
		if err != nil {
			b.Fatal(err)
		}
		if len(j.History) == 2 { // enqueued, succeeded
			plants[len(ids)].plant(b, n.ID, filepath.Base(path))
			ids = append(ids, n.ID)
		}
		return len(ids) < len(plants)
	})
	if err != nil || len(ids) < len(plants) {
		b.Fatalf("%d jobs just succeeded, %v", len(ids), err)
	}
	return ids
}

// verdict demands that the command says what broke, fails, and keeps all.
func (b *bench) verdict(run *torture.Torture, id string) {
	b.Helper()
	var out, msg bytes.Buffer
	o := &tortureOptions{cli: &cli{env: &env{Out: &out, Err: &msg, Getenv: os.Getenv}}}
	cmd := newTorture(o.cli)
	if got := codeOf(o.verdict(cmd, run, nil)); got != exitFailed {
		b.Errorf("status %d", got)
	}
	if !strings.Contains(out.String(), "BROKEN  "+id+": it was acknowledged") || !strings.Contains(out.String(), "enqueued, acknowledged") {
		b.Errorf("it says\n%s", out.String())
	}
	if !strings.Contains(msg.String(), "is kept in "+run.Dir()) {
		b.Errorf("and says %s", msg.String())
	}
	if _, err := os.Stat(b.spool); err != nil {
		b.Error(err)
	}
}
