//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A worker lives, and its job runs, also for who may only read the spool: in a
// container that watches it, say.
func TestStatusOfWhatMayOnlyBeRead(t *testing.T) {
	b := newBench(t)
	p := b.start()
	b.enqueue(job{"id": "long", "command": "sleep 60"})
	b.await("long", "processing")
	ro := filepath.Join(b.dir, "ro")
	if err := os.Mkdir(ro, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(b.spool, ro, "", syscall.MS_BIND, ""); err != nil {
		t.Skip("nothing can be mounted here: ", err)
	}
	defer func() { _ = syscall.Unmount(ro, syscall.MNT_DETACH) }()
	if err := syscall.Mount("", ro, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	var st struct{ Pools []struct{ Name string } }
	out, _, _ := b.try("--spool", ro, "status", "--json")
	b.decode(out, &st)
	if len(st.Pools) != 1 || st.Pools[0].Name != p.name() || strings.Contains(out, "dead; a pool") {
		t.Errorf("status: %s", out)
	}
	if out, _, _ := b.try("--spool", ro, "worker", "list"); !strings.Contains(out, p.name()) {
		t.Errorf("worker list: %s", out)
	}
	b.run(exitDone, "cancel", "long")
	b.await("long", "dead")
}
