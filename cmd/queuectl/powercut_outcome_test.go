//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"queuectl/spool"
)

// outcomeKeys are the settings under which a completion is promised to outlive
// a power cut, and under which nothing would keep it: no round of syncs comes
// while the test runs.
var (
	outcomeKept   = map[string]string{"sync": string(spool.SyncAlways)}
	outcomeAtRisk = map[string]string{"sync": string(spool.SyncFull), "sync_interval": "1h"}
)

// TestPowerCutOutcome: with sync = always a job whose completion was
// acknowledged before the cut is not run again, and every other one that was
// enqueued is run, once.
func TestPowerCutOutcome(t *testing.T) {
	outer := reflinkDisk(t)
	for _, k := range cutKinds {
		t.Run(k.name, func(t *testing.T) {
			cuts := rounds(1, 1, 200)
			var sum outcomes
			for n := 0; n < cuts; {
				at := min(cuts-n, 20)
				sum.add(outcomeRound(t, outer, k.mkfs, k.mount, k.size, outcomeKept, at))
				n += at
				if n < cuts {
					t.Logf("after %d cuts: %v", n, sum) // minutes may pass between
				}
			}
			t.Logf("%d cuts, %v", cuts, sum)
			if sum.jobs == 0 || sum.ended == 0 {
				t.Error("nothing was acknowledged before a cut")
			}
			if len(sum.missing)+len(sum.doubled)+len(sum.again)+len(sum.torn) > 0 {
				t.Errorf("not run: %q\nrun twice: %q\nrun again: %q\nrecord torn: %q", sum.missing, sum.doubled, sum.again, sum.torn)
			}
		})
	}
}

// TestPowerCutOutcomeCanRunAgain is the same without a sync of outcomes: if no
// completed job is run again so, the test above cannot fail.
func TestPowerCutOutcomeCanRunAgain(t *testing.T) {
	outer := reflinkDisk(t)
	k := cutKinds[0]
	for range 20 {
		sum := outcomeRound(t, outer, k.mkfs, k.mount, k.size, outcomeAtRisk, 4)
		if len(sum.missing)+len(sum.doubled) > 0 {
			t.Fatalf("not run: %q\nrun twice: %q", sum.missing, sum.doubled)
		}
		if len(sum.again) > 0 {
			t.Logf("%d of %d completed jobs run again", len(sum.again), sum.ended)
			return
		}
	}
	t.Error("after no cut a completed job is run again")
}

// outcomes are how many acknowledged jobs and completions were looked for, and
// how many last lines check had to mend; and which jobs were not as promised:
// not run, run twice, run again, or completed with a record that is cut off or
// has gone.
type outcomes struct {
	jobs, ended, mended           int
	missing, doubled, again, torn []string
}

func (o *outcomes) add(more outcomes) {
	o.jobs, o.ended, o.mended = o.jobs+more.jobs, o.ended+more.ended, o.mended+more.mended
	o.torn = append(o.torn, more.torn...)
	o.missing = append(o.missing, more.missing...)
	o.doubled = append(o.doubled, more.doubled...)
	o.again = append(o.again, more.again...)
}

func (o outcomes) String() string {
	return fmt.Sprintf("%d acknowledged jobs and %d acknowledged completions looked for, %d jobs not run, %d run twice, %d completions run again, %d with a record torn; %d last lines mended",
		o.jobs, o.ended, len(o.missing), len(o.doubled), len(o.again), len(o.torn), o.mended)
}

// An outcomeCut is a snapshot, and which jobs had ended before it.
type outcomeCut struct {
	snapshot
	ended []string
}

// outcomeRound lets an enqueuer and a pool work, cuts so many times, and looks
// at each cut.
func outcomeRound(t *testing.T, outer string, mkfs []string, options string, size int64, keys map[string]string, n int) (sum outcomes) {
	t.Helper()
	dir, err := os.MkdirTemp(outer, "")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	at := mounted(t, dir, size, mkfs, options)
	b := &bench{T: t, dir: t.TempDir(), spool: filepath.Join(at, "spool")}
	s := outcomeSpool(t, b.spool, keys)
	p := b.start("--count", "8") // which share their syncs
	e := &ackers{bench: b, s: s, acked: make(map[string]string), done: make(chan struct{})}
	e.loop(func(n int) error {
		j := fmt.Sprintf(`{"id":"job-%d","command":"echo $QUEUECTL_JOB_ID >>\"$D/effects\""}`, n)
		_, err := s.EnqueueJSON(context.Background(), []byte(j))
		if err == nil {
			e.ack(j)
		}
		return err
	})
	var cuts []outcomeCut
	for i := range n {
		b.till("some jobs have ended", func() bool { return len(acknowledged(t, s)) >= 5 })
		time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
		ended, known := acknowledged(t, s), e.known()
		c := outcomeCut{snapshot{filepath.Join(dir, fmt.Sprint("cut", i)), known}, ended}
		clone(t, filepath.Join(dir, "image"), c.image)
		cuts = append(cuts, c)
	}
	e.stop()
	p.kill()
	b.killJobs()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	unmount(t, at)
	for _, c := range cuts {
		sum.add(c.runOn(t, dir, options))
		_ = os.Remove(c.image)
	}
	return sum
}

func outcomeSpool(t *testing.T, dir string, keys map[string]string) *spool.Spool {
	t.Helper()
	s, err := spool.Open(dir, spool.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range keys {
		if err := s.SetConfig(key, value); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// acknowledged are the completed jobs whose lock is free: a pool keeps it until
// all is done that the level of sync asks for.
func acknowledged(t *testing.T, s *spool.Spool) (ids []string) {
	t.Helper()
	err := s.Scan(spool.Completed, func(path string, n spool.Name, _ bool) bool {
		f, err := os.Open(filepath.Join(s.Dir(), path))
		if err != nil {
			t.Errorf("a completed job has gone: %v", err)
			return true
		}
		defer f.Close()
		if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) == nil {
			ids = append(ids, n.ID)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// runOn starts after the cut: the disk is mounted, and a pool runs what is
// there to its end.
func (c *outcomeCut) runOn(t *testing.T, dir, options string) outcomes {
	t.Helper()
	at := mount(t, c.image, filepath.Join(dir, "after"), options)
	defer unmount(t, at)
	b := &bench{T: t, dir: t.TempDir(), spool: filepath.Join(at, "spool")}
	b.q("recover")
	b.start("--count", "2", "--drain").wait()
	o := c.account(t, b)
	if out, _, status := b.try("check"); status != exitDone {
		o.mended = strings.Count(out, lastWriteCut)
		for _, id := range c.ended {
			if strings.Contains(out, "-"+id+".json  "+lastWriteCut) {
				o.torn = append(o.torn, id)
			}
		}
		b.q("check", "--repair")
		b.q("check")
	}
	return o
}

// lastWriteCut is what check says of a job whose file is at its new place, and
// whose last line is not on disk: so is one that was being settled at the cut.
const lastWriteCut = "its last write was cut off"

// account compares what has run after the cut with what was acknowledged
// before it.
func (c *outcomeCut) account(t *testing.T, b *bench) outcomes {
	t.Helper()
	ran := make(map[string]int)
	for _, id := range b.effects() {
		ran[id]++
	}
	o := outcomes{jobs: len(c.acked), ended: len(c.ended)}
	for id, times := range ran {
		if times > 1 {
			o.doubled = append(o.doubled, id)
		}
	}
	files, err := filepath.Glob(b.spool + "/completed/*.json")
	if err != nil {
		t.Fatal(err)
	}
	completed := func(id string) bool {
		return slices.ContainsFunc(files, func(path string) bool { return strings.HasSuffix(path, "-"+id+".json") })
	}
	for id := range c.acked {
		if !completed(id) {
			o.missing = append(o.missing, id)
			out, msg, _ := b.try("show", id)
			at, _ := filepath.Glob(b.spool + "/*/*" + id + "*")
			t.Logf("%s was not run (%d times in effect): %q\n%s%s", id, ran[id], at, out, msg)
		}
	}
	for _, id := range c.ended {
		switch {
		case ran[id] > 0:
			o.again = append(o.again, id)
		case !completed(id): // also where its enqueuer had not returned yet
			o.torn = append(o.torn, id)
		}
	}
	return o
}
