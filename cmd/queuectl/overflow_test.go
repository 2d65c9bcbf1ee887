//go:build linux

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// slowScan is how often a pool lists the spool although events come
// (runner/dispatch.go).
const slowScan = 30 * time.Second

// More happens at once than the kernel keeps events for: a pool that stands
// still reads none of them. Jobs that come after the queue was full are found
// by the listing that the overflow asks for, not by that of every 30 seconds.
// A machine may be too slow to tell the one from the other, but not each time.
func TestEventOverflow(t *testing.T) {
	for range 3 {
		if took := foundAfterOverflow(t); took < slowScan {
			t.Logf("found after %v", took.Round(time.Millisecond))
			return
		}
	}
	t.Error("the jobs were found no sooner than by the next slow scan")
}

// foundAfterOverflow is how long after a slow scan jobs have run of which no
// event tells.
func foundAfterOverflow(t *testing.T) time.Duration {
	most := queuedEvents(t)
	b := newBench(t)
	b.open()
	p := b.startAs(nil, "handlerpool", b.spool, "4")
	scanned := time.Now()
	b.sh("mv held ../held; mv ../held held") // it looks around when a directory is exchanged
	p.standStill()
	b.write("spool/.a", "")
	for range most/2 + 100 { // each is two events, that mean nothing to it
		b.rename("spool/.a", "spool/.b")
		b.rename("spool/.b", "spool/.a")
	}
	b.sh("rm .a")
	const event = 16 + 16 // with a short name: inotify(7)
	if n, ok := p.unread(); ok && n < most*event {
		t.Errorf("%d bytes of events wait, of %d events there are %d", n, most, most*event)
	}
	for i := range 10 {
		b.enqueue(job{"kind": "effect", "args": effectJob{N: int64(i)}})
	}
	p.signal(syscall.SIGCONT)
	if !b.within(2*slowScan, func() bool { return b.count("completed") == 11 }) {
		t.Fatal("they never run\n", b.scene())
	}
	took := time.Since(scanned)
	b.eachOnce(11)
	return took
}

// Many files are moved in at once, while a pool stands still: every job runs.
func TestManyFilesAtOnce(t *testing.T) {
	b := newBench(t)
	n := fromEnv(t, "QUEUECTL_OVERFLOW", rounds(1000, 2000, 200000))
	b.aside(n, func(i int) job {
		return job{"id": fmt.Sprintf("job-%06d", i+1), "kind": "effect", "args": effectJob{N: int64(i)}}
	})
	p := b.startAs(nil, "handlerpool", b.spool, "8")
	p.standStill()
	began := time.Now()
	for _, name := range b.asideNames() {
		b.rename("aside/"+name, "spool/pending/"+name)
	}
	moved := time.Since(began)
	unread, _ := p.unread()
	p.signal(syscall.SIGCONT)
	began = time.Now()
	b.whileGrowing("effects", int64(len("first\n")+n*len("job-000001\n")))
	b.till("all are settled", func() bool { return b.count("completed") == n+1 })
	took := time.Since(began)
	b.eachOnce(n + 1)
	t.Logf("%d files moved in within %v (%d bytes of events wait), all ran within %v, %.0f a second",
		n, moved.Round(time.Millisecond), unread, took.Round(time.Millisecond), float64(n)/took.Seconds())
}

// whileGrowing waits until a file has its whole size, for as long as it grows.
func (b *bench) whileGrowing(name string, whole int64) {
	b.Helper()
	size := func() (n int64) {
		if info, err := os.Stat(b.path(name)); err == nil {
			n = info.Size()
		}
		return n
	}
	for last := size(); last < whole; last = size() {
		if !b.within(patience, func() bool { return size() > last }) {
			b.Fatalf("%s has %d of %d bytes and does not grow", name, last, whole)
		}
	}
}

// queuedEvents is how many events the kernel keeps for a process.
func queuedEvents(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		t.Skip(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// aside enqueues n jobs and takes their files out of the spool.
func (b *bench) aside(n int, one func(i int) job) {
	b.Helper()
	b.open()
	const most = 10000 // in one batch
	for from := 0; from < n; from += most {
		var batch strings.Builder
		for i := from; i < min(n, from+most); i++ {
			batch.WriteString(b.encode(one(i)) + "\n")
		}
		if _, stderr, status := b.tryWith(batch.String(), "enqueue", "-"); status != exitDone {
			b.Fatalf("enqueue -: status %d\n%s", status, stderr)
		}
	}
	b.sh(`mv pending ../aside; mkdir -m 700 pending`)
	if got := len(b.asideNames()); got != n {
		b.Fatalf("%d of %d files", got, n)
	}
}

func (b *bench) asideNames() (names []string) {
	entries, err := os.ReadDir(b.path("aside"))
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// rename moves a file beside or in the spool.
func (b *bench) rename(from, to string) {
	if err := os.Rename(b.path(from), b.path(to)); err != nil {
		b.Fatal(err)
	}
}

// standStill stops a pool that has heard of a job and run it, and so has no
// event unread.
func (p *pool) standStill() {
	p.b.Helper()
	p.b.enqueue(job{"id": "first", "kind": "effect", "args": effectJob{N: 1 << 30}})
	p.b.await("first", "completed")
	p.signal(syscall.SIGSTOP)
	p.b.till("it stands still", func() bool {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid()))
		_, rest, _ := strings.Cut(string(text), ") ")
		return strings.HasPrefix(rest, "T")
	})
}

// unread is how many bytes of events wait for a process to read them; false
// where one may not look.
func (p *pool) unread() (n int, ok bool) {
	pid, err := unix.PidfdOpen(p.pid(), 0)
	if err != nil {
		return 0, false
	}
	defer unix.Close(pid)
	dir := fmt.Sprintf("/proc/%d/fd/", p.pid())
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if to, _ := os.Readlink(dir + e.Name()); to != "anon_inode:inotify" {
			continue
		}
		num, _ := strconv.Atoi(e.Name())
		fd, err := unix.PidfdGetfd(pid, num, 0)
		if err != nil {
			return 0, false
		}
		defer unix.Close(fd)
		n, err = unix.IoctlGetInt(fd, unix.TIOCINQ) // FIONREAD by its other name
		return n, err == nil
	}
	return 0, false
}
