//go:build linux

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mirror mounts a directory once more, by FUSE: what is changed in the
// directory itself sends no event to those who look at the mount, as with the
// changes of another host on a network file system.
func mirror(t *testing.T) (dir, mount string) {
	t.Helper()
	need(t, "bindfs")
	top := t.TempDir()
	dir, mount = filepath.Join(top, "dir"), filepath.Join(top, "mount")
	for _, d := range []string{dir, mount} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	cmd := exec.Command("bindfs", "-f", dir, mount)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = syscall.Unmount(mount, syscall.MNT_DETACH)
		_ = cmd.Process.Kill()
		<-ended
	})
	const fuse = 0x65735546 // statfs(2)
	for range 2000 {
		var st syscall.Statfs_t
		if err := syscall.Statfs(mount, &st); err == nil && st.Type == fuse {
			return dir, mount
		}
		select {
		case <-ended:
			t.Skip("bindfs cannot mount here: ", out.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatal("bindfs does not mount")
	return "", ""
}

// On a file system that sends no events of what others change, a pool finds
// all jobs by listing, and says once that it does.
func TestFileSystemWithoutEvents(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	dir, mount := mirror(t)
	b := newBench(t)
	b.spool = filepath.Join(mount, "spool")
	b.open()
	b.q("config", "set", "scan_interval", "50ms")
	p := b.start()
	for _, id := range []string{"a", "b", "c"} {
		b.write(id+".json", b.encode(job{"id": id, "command": note(id)}))
		b.sh("cp $D/" + id + ".json " + dir + "/; mv " + dir + "/" + id + ".json " + dir + "/spool/pending/")
		b.await(id, "completed")
	}
	b.enqueue(job{"id": "d", "command": note("d"), "delay": "1h"})
	b.sh("sed -i s/1h/0s/ pending/*-d.json; mv pending/*-d.json pending/now.json")
	b.await("d", "completed")
	b.eachOnce(4)
	b.untilProblem("")
	p.once("the spool is listed every 50ms: its file system sends no events")
	if strings.Contains(p.messages(), "passed over") {
		t.Errorf("it found something wrong:\n%s", p.messages())
	}
}
