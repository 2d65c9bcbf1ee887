package spool

import (
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
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

// After the commit the batch is there, whatever fails: a move that fails once
// is made up for at once, and what cannot be moved at all, others move.
func TestCommittedBatchIsRolledForward(t *testing.T) {
	b := newBench(t)
	all := []string{"a", "b", "c"}
	b.faults.nth("rename", " pending/", 1, func() error { return errBoom })
	_, err := b.EnqueueBatch(ctx, jobTexts(jobText("a"), jobText("b"), jobText("c")))
	must(t, err)
	if got := b.idsIn(Pending); !b.faults.spent() || !slices.Equal(got, all) {
		t.Fatalf("pending holds %q", got)
	}

	all = append(all, "d", "e", "f")
	b.faults.fail("rename", " pending/", errBoom)
	ids, err := b.EnqueueBatch(ctx, jobTexts(jobText("d"), jobText("e"), jobText("f")))
	if err != nil || len(ids) != 3 {
		t.Fatalf("%v, %v", ids, err)
	}
	b.faults.clear()
	if n := len(b.ls(Pending)); n != 3 {
		t.Fatalf("%d are pending already", n)
	}
	if rep := b.recover(); rep.Rolled != 1 {
		t.Errorf("rolled %d", rep.Rolled)
	}
	if got := b.idsIn(Pending); !slices.Equal(got, all) {
		t.Errorf("pending holds %q", got)
	}
}

// A batch that several goroutines make keeps its order, and names the first
// job that is to blame.
func TestLargeBatch(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(4, runtime.GOMAXPROCS(0))))
	b := newBench(t)
	const n = 4 * share
	var jobs [][]byte
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("x%d", i))
		jobs = append(jobs, []byte(jobText(want[i])))
	}
	b.enqueue(want[share+1])
	b.enqueue(want[3*share])
	taken := b.idsIn(Pending)

	_, err := b.EnqueueBatch(ctx, jobs)
	var be *BatchError
	if !errors.As(err, &be) || be.Index != share+1 || !errors.Is(err, ErrTaken) {
		t.Errorf("%v", err)
	}
	if got := b.idsIn(Pending); !slices.Equal(got, taken) {
		t.Errorf("pending holds %d jobs", len(got))
	}
	if b.there(idPath(want[0])) || b.there(idPath(want[n-1])) {
		t.Error("ids are left taken")
	}
	b.clean()

	for _, id := range taken {
		must(t, b.Delete(ctx, id))
	}
	ids, err := b.EnqueueBatch(ctx, jobs)
	must(t, err)
	if got := b.idsIn(Pending); !slices.Equal(got, want) || !slices.Equal(ids, want) {
		t.Errorf("pending holds %d jobs, beginning with %q", len(got), got[:3])
	}
	b.clean()
}

func TestSpread(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	var mu sync.Mutex
	for _, n := range []int{0, 1, share, 2 * share, 5*share + 1} {
		times := make([]int, n)
		err := spread(n, func(i int) error {
			mu.Lock()
			defer mu.Unlock()
			times[i]++
			return nil
		})
		must(t, err)
		if i := slices.IndexFunc(times, func(k int) bool { return k != 1 }); i >= 0 {
			t.Errorf("%d: number %d was called %d times", n, i, times[i])
		}
	}
	begun := 0
	err := spread(4*share, func(i int) error {
		mu.Lock()
		defer mu.Unlock()
		begun++
		if i >= 7 {
			return fmt.Errorf("no %d", i)
		}
		return nil
	})
	if err == nil || err.Error() != "no 7" || begun > 7+4 {
		t.Errorf("%v after %d", err, begun)
	}
}

var errBoom = errors.New("boom")

// A batch whose commit cannot be synced is enqueued all the same: who takes the
// error for none would have all its jobs twice.
func TestBatchUnsynced(t *testing.T) {
	b := newBench(t)
	must(t, b.SetConfig("sync", "full"))
	b.faults.before("syncdir", "tmp", func() error { return syscall.EIO })
	ids, err := b.EnqueueBatch(ctx, [][]byte{[]byte(`{"command":"true"}`), []byte(`{"command":"true"}`)})
	if !errors.Is(err, ErrUnsynced) || !errors.Is(err, syscall.EIO) || len(ids) != 2 {
		t.Fatalf("%q, %v", ids, err)
	}
	for _, id := range ids {
		b.wantState(id, Pending)
	}
}

// So is a single job, whose id comes with the error.
func TestEnqueueUnsynced(t *testing.T) {
	b := newBench(t)
	must(t, b.SetConfig("sync", "full"))
	twice := false
	b.faults.syncsNames = &twice
	b.faults.nth("syncdir", "pending", 0, func() error { return syscall.EIO })
	id, err := b.EnqueueJSON(ctx, []byte(`{"command":"true"}`))
	if !errors.Is(err, ErrUnsynced) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("%q, %v", id, err)
	}
	b.wantState(id, Pending)
}

// An adoption whose commit cannot be synced is one: everybody rolls it forward.
func TestAdoptUnsynced(t *testing.T) {
	adopt := func(prepare func(b *bench)) *bench {
		b := newBench(t)
		must(t, b.SetConfig("sync", "full"))
		b.put("pending/x.json", `{"id":"x","command":"true"}`)
		prepare(b)
		b.adopt("pending/x.json", "x")
		return b
	}
	syncs := 0
	for _, op := range adopt(func(b *bench) { b.faults.record() }).faults.recorded() {
		if strings.HasPrefix(op, "syncdir tmp") {
			syncs++
		}
	}
	b := adopt(func(b *bench) { // the last one is that of the commit
		b.faults.nth("syncdir", "tmp", syncs-1, func() error { return syscall.EIO })
	})
	if !b.faults.spent() {
		t.Error("nothing failed")
	}
}
