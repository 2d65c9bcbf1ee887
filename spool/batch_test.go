package spool

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"testing"
	"time"
)

func jobTexts(texts ...string) (jobs [][]byte) {
	for _, s := range texts {
		jobs = append(jobs, []byte(s))
	}
	return jobs
}

// idsIn lists the ids in a state in the order of the names.
func (b *bench) idsIn(st State) (ids []string) {
	b.t.Helper()
	paths, err := b.entries(st, 0)
	must(b.t, err)
	for _, p := range paths {
		n, _ := ParseName(path.Base(p))
		ids = append(ids, n.ID)
	}
	return ids
}

func TestBatchKeepsTheOrder(t *testing.T) {
	b := newBench(t)
	var want []string
	var jobs [][]byte
	for i := range 50 {
		id := fmt.Sprintf("z%02d", 50-i) // against the order of the ids
		want = append(want, id)
		jobs = append(jobs, []byte(jobText(id)))
	}
	now := b.clk.freeze()
	ids, err := b.EnqueueBatch(ctx, jobs)
	must(t, err)
	if !slices.Equal(ids, want) {
		t.Errorf("ids are %q", ids)
	}
	if got := b.idsIn(Pending); !slices.Equal(got, want) {
		t.Errorf("they wait as %q", got)
	}
	for i, id := range want {
		j := b.job(id)
		if !j.Due.Equal(now.Add(time.Duration(i)*time.Microsecond)) || !j.Due.Equal(j.History[0].At.Time) {
			t.Errorf("job %d is due %s, born %s", i, j.Due, j.History[0].At)
		}
	}
	b.clk.thaw()
}

func TestBatchDue(t *testing.T) {
	b := newBench(t)
	now := b.clk.freeze()
	at := now.Add(time.Hour)
	runAt := `"run_at":"` + stamp(at) + `"`
	_, err := b.EnqueueBatch(ctx, jobTexts(
		jobText("b", runAt), jobText("a", runAt), jobText("d", `"delay":"1m"`), jobText("c", `"delay":"1m"`), jobText("e", runAt)))
	must(t, err)
	if got, want := b.idsIn(Pending), []string{"d", "c", "b", "a", "e"}; !slices.Equal(got, want) {
		t.Errorf("they wait as %q; want %q", got, want)
	}
	if due := b.job("b").Due; !due.Equal(at) {
		t.Errorf("due %s; want %s", due, at)
	}
	if due := b.job("d").Due; !due.Equal(now.Add(time.Minute + 2*time.Microsecond)) {
		t.Errorf("due %s", due)
	}
	b.clk.thaw()
}

func TestBatchAllOrNone(t *testing.T) {
	b := newBench(t)
	b.enqueue("taken")
	for name, c := range map[string]struct {
		jobs  [][]byte
		index int
		is    error
	}{
		"taken id":        {jobTexts(jobText("a"), jobText("b"), jobText("taken"), jobText("c")), 2, ErrTaken},
		"twice in it":     {jobTexts(jobText("a"), jobText("b"), jobText("a")), 2, ErrTaken},
		"no job":          {jobTexts(jobText("a"), `{"command":1}`), 1, ErrInvalid},
		"foreign history": {jobTexts(jobText("a"), `{"command":"a",`+someHistory+`}`), 1, ErrInvalid},
		"half":            {jobTexts(jobText("a"), jobText("b"), `{"command":`), 2, ErrInvalid},
	} {
		ids, err := b.EnqueueBatch(ctx, c.jobs)
		var be *BatchError
		if !errors.As(err, &be) || be.Index != c.index || !errors.Is(err, c.is) || ids != nil {
			t.Errorf("%s: %v, %v", name, ids, err)
		}
		if got := b.idsIn(Pending); !slices.Equal(got, []string{"taken"}) {
			t.Errorf("%s: pending holds %q", name, got)
		}
		for _, id := range []string{"a", "b", "c"} {
			if b.there(idPath(id)) {
				t.Errorf("%s: the id %s is left taken", name, id)
			}
		}
		b.clean()
	}
	if l, err := b.EnqueueBatch(ctx, nil); l != nil || err != nil {
		t.Errorf("an empty batch: %v, %v", l, err)
	}
}

func TestBatchSyncsOnce(t *testing.T) {
	b := newBench(t)
	must(t, b.SetConfig("sync", "full"))
	var jobs [][]byte
	for i := range 40 {
		jobs = append(jobs, []byte(jobText(fmt.Sprintf("x%d", i))))
	}
	b.faults.record()
	_, err := b.EnqueueBatch(ctx, jobs)
	must(t, err)
	ops := b.faults.recorded()
	syncfs := slices.Index(ops, "syncfs ")
	commit := slices.IndexFunc(ops, func(op string) bool { return path.Ext(op) == committed && op[:7] == "rename " })
	tmp := slices.Index(ops, "syncdir tmp")
	if syncfs < 0 || commit < syncfs || tmp < commit {
		t.Errorf("synced at %d, committed at %d, the commit synced at %d", syncfs, commit, tmp)
	}
	n := 0
	for _, op := range ops {
		if len(op) > 5 && op[:5] == "sync " {
			n++
		}
	}
	if n > 0 {
		t.Errorf("%d files were synced one by one", n)
	}
	must(t, b.SetConfig("sync", "off"))
}

// After the commit the batch is there, whatever fails.
func TestCommittedBatchIsRolledForward(t *testing.T) {
	b := newBench(t)
	b.faults.nth("rename", " pending/", 1, func() error { return errBoom })
	ids, err := b.EnqueueBatch(ctx, jobTexts(jobText("a"), jobText("b"), jobText("c")))
	if err != nil || len(ids) != 3 {
		t.Fatalf("%v, %v", ids, err)
	}
	if n := len(b.ls(Pending)); n != 1 {
		t.Fatalf("%d are pending already", n)
	}
	if rep := b.recover(); rep.Rolled != 1 {
		t.Errorf("rolled %d", rep.Rolled)
	}
	if got := b.idsIn(Pending); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("pending holds %q", got)
	}
}

var errBoom = errors.New("boom")
