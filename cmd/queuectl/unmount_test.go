//go:build linux

package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"queuectl/spool"
)

// A disk is a file system in memory that can be put in its place and taken
// away, as one on a disk that is unplugged; what is on it stays.
type disk struct {
	*testing.T
	content, place string
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	top := t.TempDir()
	d := &disk{T: t, content: filepath.Join(top, "content"), place: filepath.Join(top, "place")}
	for _, dir := range []string{d.content, d.place} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d.memory(d.content)
	t.Cleanup(func() { _ = syscall.Unmount(d.content, syscall.MNT_DETACH) })
	d.plug()
	t.Cleanup(d.unplug)
	return d
}

// memory mounts an empty file system.
func (d *disk) memory(dir string) {
	d.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=700"); err != nil {
		d.Skip("nothing can be mounted here: ", err)
	}
}

func (d *disk) plug() {
	d.Helper()
	if err := syscall.Mount(d.content, d.place, "", syscall.MS_BIND, ""); err != nil {
		d.Fatal(err)
	}
}

// unplug takes away what is mounted last, although it is in use.
func (d *disk) unplug() {
	d.Helper()
	if err := syscall.Unmount(d.place, syscall.MNT_DETACH); err != nil {
		d.Fatal(err)
	}
}

// tree is all that is in a directory.
func tree(dir string) (all string) {
	_ = filepath.WalkDir(dir, func(p string, _ fs.DirEntry, _ error) error {
		all += p + "\n"
		return nil
	})
	return all
}

// The file system of a spool is unmounted under a pool, or another one is
// mounted over it, with a spool or without. What runs is finished where it
// was. Nothing new starts, nothing is made in the other place, and nobody who
// has the spool open takes a job. The pool ends and says why; when the file
// system is back, another runs the rest.
func TestSpoolUnmounted(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	for name, instead := range map[string]func(d *disk, b *bench){
		"unmounted":    func(d *disk, _ *bench) { d.unplug() },
		"mounted over": func(d *disk, _ *bench) { d.memory(d.place) },
		"another in place": func(d *disk, b *bench) {
			d.memory(d.place)
			b.q("enqueue", "--id", "other", "--", "true")
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk(t)
			b := newBench(t)
			b.spool = filepath.Join(d.place, "spool")
			s := b.open()
			p := b.start()
			b.enqueue(job{"id": "running", "command": held})
			b.begun(1)
			b.enqueue(job{"id": "waiting", "command": note("waited 0 0 0")})
			instead(d, b)
			before := tree(d.place)
			if id, err := s.Enqueue(context.Background(), spool.Job{Command: "true"}); !errors.Is(err, spool.ErrUnusable) {
				t.Errorf("a job was taken: %q, %v", id, err)
			}
			if ids, err := s.EnqueueBatch(context.Background(), [][]byte{[]byte(`{"command":"true"}`)}); !errors.Is(err, spool.ErrUnusable) {
				t.Errorf("jobs were taken: %q, %v", ids, err)
			}
			b.write("go", "")
			b.endsLost(p)
			if after := tree(d.place); after != before {
				t.Errorf("something was made in the other place:\n%s\nbefore:\n%s", after, before)
			}
			if name != "unmounted" {
				d.unplug()
			} else {
				d.plug()
			}
			if got := filepath.Dir(b.find("running")) + " " + filepath.Dir(b.find("waiting")); got != "completed pending" {
				t.Errorf("the jobs are in %s", got)
			}
			b.drain()
			if len(b.lines("begin")) != 1 || len(b.lines("waited")) != 1 {
				t.Errorf("not each ran once:\n%s", b.read("effects"))
			}
		})
	}
}

// A pool that has nothing to do hears nothing of an unmount; the slow scan
// tells it.
func TestIdlePoolUnmounted(t *testing.T) {
	if !long() {
		t.Skip("it takes half a minute; QUEUECTL_LONG=1 runs it")
	}
	if !inNamespaces(t) {
		return
	}
	d := newDisk(t)
	b := newBench(t)
	b.spool = filepath.Join(d.place, "spool")
	p := b.start()
	b.enqueue(job{"id": "first", "command": note("first")})
	b.await("first", "completed")
	d.unplug()
	if !p.ends(3 * slowScan) {
		t.Error("it goes on")
	}
	b.endsLost(p)
	d.plug()
	b.q("delete", "first")
}
