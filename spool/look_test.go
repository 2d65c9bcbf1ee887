package spool

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A spool that was opened to look at it is not changed by anything.
func TestLookChangesNothing(t *testing.T) {
	b := newBench(t)
	p := b.pool()
	b.enqueue("x")
	b.inState(p, "failed", Failed)
	b.inState(p, "dead", Dead)
	b.put("pending/drop.json", `{"command":"true"}`)
	b.put("control/x.cancel", "")
	torn := b.enqueue("torn")
	b.put(torn, b.read(torn)[:len(b.read(torn))-2])
	all := func() map[string]string {
		files := make(map[string]string)
		must(t, filepath.WalkDir(b.dir, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				files[p] = ""
				return err
			}
			text, err := os.ReadFile(p)
			files[p] = string(text)
			return err
		}))
		return files
	}
	s, err := Open(b.dir, Options{Look: true})
	must(t, err)
	defer s.Close()
	before := all()
	for name, do := range map[string]func() error{
		"join":     func() error { _, err := s.Join(1); return err },
		"enqueue":  func() error { _, err := s.EnqueueJSON(ctx, []byte(`{"command":"true"}`)); return err },
		"batch":    func() error { _, err := s.EnqueueBatch(ctx, [][]byte{[]byte(`{"command":"true"}`)}); return err },
		"retry":    func() error { return s.Retry(ctx, "dead") },
		"of torn":  func() error { _, err := s.Cancel(ctx, "torn"); return err },
		"cancel":   func() error { _, err := s.Cancel(ctx, "failed"); return err },
		"delete":   func() error { return s.Delete(ctx, "dead") },
		"pause":    func() error { return s.Pause() },
		"set":      func() error { return s.SetConfig("max_retries", "1") },
		"unset":    func() error { return s.UnsetConfig("sync") },
		"stop":     func() error { return s.RequestStop(p.Name(), true) },
		"log":      func() error { _, err := s.WorkerLog(); return err },
		"try room": s.TryRoom,
	} {
		if err := do(); err == nil {
			t.Errorf("%s was not refused", name)
		} else {
			wantErr(t, err, ErrUnusable)
		}
	}
	_, _ = s.Check(ctx, true)
	_, _ = s.Recover(ctx)
	_, _ = s.Prune(ctx)
	_, _, _ = s.PruneShared(context.Background(), time.Second)
	if _, err := s.Status(); err != nil {
		t.Error(err)
	}
	after := all()
	for p, text := range after {
		if was, there := before[p]; !there || was != text {
			t.Errorf("%s is changed", p)
		}
	}
	if len(after) != len(before) {
		t.Errorf("there are %d files, and were %d", len(after), len(before))
	}
	b.recover()
	b.unasked = true
	b.rm("pending/drop.json")
}
