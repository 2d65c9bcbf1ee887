//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"queuectl/spool"
)

// A power cut takes from a disk all that was not written to it. So the file
// system under test lies in a file on another one that can take a copy of it in
// one instant (a reflink): the copy is what a disk would hold, had the power
// failed then. A plain copy would mix moments that no disk has ever held.

// cutKinds are the file systems that queuectl is promised to work on.
var cutKinds = []struct {
	name  string
	mkfs  []string
	mount string // options
	size  int64  // the least that mkfs takes, and a bit
}{
	{"ext4", []string{"mkfs.ext4", "-q", "-F"}, "loop", 64 << 20},
	{"ext4-writeback", []string{"mkfs.ext4", "-q", "-F"}, "loop,data=writeback", 64 << 20},
	{"xfs", []string{"mkfs.xfs", "-q", "-f"}, "loop,nouuid", 320 << 20},
	{"btrfs", []string{"mkfs.btrfs", "-q", "-f"}, "loop", 160 << 20},
}

// TestPowerCut: every job whose enqueue was acknowledged before the cut is
// there, whole, once. Its long form, "make powercut", cuts 200 times or more on
// each file system.
func TestPowerCut(t *testing.T) {
	outer := reflinkDisk(t)
	for _, k := range cutKinds {
		t.Run(k.name, func(t *testing.T) {
			cuts := rounds(3, 4, 200)
			acked, lost := 0, 0
			for n := 0; n < cuts; {
				at := min(cuts-n, 20)
				a, l := cutRound(t, outer, k.mkfs, k.mount, k.size, spool.SyncFull, at)
				n, acked, lost = n+at, acked+a, lost+l
			}
			t.Logf("%d cuts, %d acknowledged jobs looked for, %d lost", cuts, acked, lost)
			if acked == 0 {
				t.Error("nothing was acknowledged before a cut")
			}
		})
	}
}

// TestPowerCutCanLose is the same with sync = off, which promises nothing: if
// no job is lost so, the test above cannot fail.
func TestPowerCutCanLose(t *testing.T) {
	outer := reflinkDisk(t)
	k := cutKinds[0]
	for range 20 {
		if _, lost := cutRound(t, outer, k.mkfs, k.mount, k.size, spool.SyncOff, 2); lost > 0 {
			t.Logf("%d jobs lost", lost)
			return
		}
	}
	t.Error("no cut has lost a job")
}

// reflinkDisk mounts a file system that can copy a file in one instant.
func reflinkDisk(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may mount a file system")
	}
	for _, program := range []string{"mkfs.xfs", "mkfs.ext4", "mkfs.btrfs", "mount", "umount", "mountpoint"} {
		need(t, program)
	}
	return mounted(t, t.TempDir(), 4<<30, []string{"mkfs.xfs", "-q", "-m", "reflink=1"}, "loop")
}

// A snapshot is the disk in one instant, and what was acknowledged before it.
type snapshot struct {
	image string
	acked map[string]string // id to the job as it was enqueued
}

// cutRound lets enqueuers and pools work, cuts so many times, and looks at
// each cut. It returns how many acknowledged jobs it looked for, and how many
// of them were not there; with sync = full that is an error.
func cutRound(t *testing.T, outer string, mkfs []string, options string, size int64, level spool.SyncLevel, n int) (acked, lost int) {
	t.Helper()
	dir, err := os.MkdirTemp(outer, "")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	at := mounted(t, dir, size, mkfs, options)
	b := &bench{T: t, dir: t.TempDir(), spool: filepath.Join(at, "spool")}
	s, err := spool.Open(b.spool, spool.Options{Create: true})
	if err == nil {
		err = s.SetConfig("sync", string(level))
	}
	if err != nil {
		t.Fatal(err)
	}
	pools := []*pool{b.start("--count", "2"), b.start("--count", "2")}
	e := &ackers{bench: b, s: s, acked: make(map[string]string), done: make(chan struct{})}
	e.start()
	var cuts []snapshot
	for i := range n {
		time.Sleep(time.Duration(20+rand.IntN(150)) * time.Millisecond)
		known := e.known()
		c := snapshot{filepath.Join(dir, fmt.Sprint("cut", i)), known}
		clone(t, filepath.Join(dir, "image"), c.image)
		cuts = append(cuts, c)
	}
	e.stop()
	for _, p := range pools {
		p.kill()
	}
	b.killJobs()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	unmount(t, at)
	for _, c := range cuts {
		lost += c.look(t, dir, options, level)
		acked += len(c.acked)
		_ = os.Remove(c.image)
	}
	return acked, lost
}

// clone copies a file in one instant.
func clone(t *testing.T, from, to string) {
	t.Helper()
	src, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	if err := unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())); err != nil {
		t.Fatalf("clone: %v", err)
	}
}

// look starts after the cut: the disk is mounted, the spool recovered, and
// everything looked for that was acknowledged, before check mends anything.
func (c *snapshot) look(t *testing.T, dir, options string, level spool.SyncLevel) (lost int) {
	at := mount(t, c.image, filepath.Join(dir, "after"), options)
	defer unmount(t, at)
	b := &bench{T: t, dir: t.TempDir(), spool: filepath.Join(at, "spool")}
	if _, err := os.Stat(b.spool + "/format"); err != nil && level == spool.SyncOff {
		return len(c.acked) // not even the spool
	}
	s, err := spool.Open(b.spool, spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Recover(context.Background()); err != nil && level != spool.SyncOff {
		t.Fatalf("recover: %v", err)
	}
	where := make(map[string]string)
	for _, st := range spool.States {
		err := s.Scan(st, func(path string, n spool.Name, _ bool) bool {
			if where[n.ID] != "" {
				t.Errorf("%s is at %s and at %s", n.ID, where[n.ID], path)
			}
			where[n.ID] = path
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for id, text := range c.acked {
		data, err := os.ReadFile(filepath.Join(b.spool, where[id]))
		if where[id] != "" && err == nil && bytes.HasPrefix(data, []byte(strings.TrimSuffix(text, "}"))) {
			continue
		}
		lost++
		if level != spool.SyncOff {
			t.Errorf("%s was acknowledged, and is at %q: %v\n%s", id, where[id], err, data)
		}
	}
	if level == spool.SyncOff {
		return lost // also of what is there, content may be lost
	}
	// What had not been promised yet may be there in part: check mends it.
	for _, repair := range []bool{true, false} {
		if rep, err := s.Check(context.Background(), repair); err != nil || (!repair && !rep.OK()) {
			t.Errorf("check: %v, %+v", err, rep.Findings)
		}
	}
	return lost
}

// ackers enqueue in every way and note what was acknowledged.
type ackers struct {
	*bench
	s     *spool.Spool
	mu    sync.Mutex
	acked map[string]string
	done  chan struct{}
	wg    sync.WaitGroup
}

func (e *ackers) known() map[string]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	known := make(map[string]string, len(e.acked))
	for id, text := range e.acked {
		known[id] = text
	}
	return known
}

func (e *ackers) ack(texts ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, text := range texts {
		_, rest, _ := strings.Cut(text, `"id":"`)
		id, _, _ := strings.Cut(rest, `"`)
		e.acked[id] = text
	}
}

func (e *ackers) start() {
	text := func(who string, n int) string {
		return fmt.Sprintf(`{"id":"%s-%d","command":"true","x":"%s"}`, who, n, strings.Repeat("x", 10+n%300))
	}
	for who := range 8 { // by the library, one by one, which share their syncs
		e.loop(func(n int) error {
			j := text(fmt.Sprint("single-", who), n)
			_, err := e.s.EnqueueJSON(context.Background(), []byte(j))
			if err == nil {
				e.ack(j)
			}
			return err
		})
	}
	e.loop(func(n int) error { // and many at once
		var jobs [][]byte
		var texts []string
		for i := range 20 {
			texts = append(texts, text(fmt.Sprint("batch-", n), i))
			jobs = append(jobs, []byte(texts[i]))
		}
		_, err := e.s.EnqueueBatch(context.Background(), jobs)
		if err == nil {
			e.ack(texts...)
		}
		return err
	})
	e.loop(func(n int) error { // by the command
		j := text("command", n)
		out, err := exec.Command("queuectl", "--spool", e.spool, "enqueue", j).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		e.ack(j)
		return nil
	})
}

func (e *ackers) loop(enqueue func(n int) error) {
	e.wg.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-e.done:
				return
			default:
			}
			if err := enqueue(n); err != nil {
				e.Errorf("enqueue: %v", err)
				return
			}
		}
	})
}

// awaitFirst returns when something is acknowledged: a disk that has other
// things to do takes its time.
func (e *ackers) awaitFirst() {
	e.Helper()
	for end := time.Now().Add(patience); len(e.known()) == 0 && !e.Failed(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			e.Fatalf("nothing is acknowledged within %s", patience)
		}
	}
}

func (e *ackers) stop() {
	close(e.done)
	e.wg.Wait()
}
