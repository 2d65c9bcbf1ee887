//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// mounted makes a file system in a file of that directory, and mounts it.
func mounted(t *testing.T, dir string, size int64, mkfs []string, options string) string {
	t.Helper()
	image := filepath.Join(dir, "image")
	f, err := os.Create(image)
	if err == nil {
		err = f.Truncate(size)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if out, err := exec.Command(mkfs[0], append(mkfs[1:len(mkfs):len(mkfs)], image)...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", mkfs, err, out)
	}
	return mount(t, image, dir+"/mnt", options)
}

// mount mounts the file system in a file till the end of the test.
func mount(t *testing.T, image, at, options string) string {
	t.Helper()
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", options, image, at).CombinedOutput(); err != nil {
		t.Skipf("no such loop device or file system here: mount: %v: %s", err, out)
	}
	t.Cleanup(func() { unmount(t, at) })
	return at
}

// unmount waits for what the kernel still has open there.
func unmount(t *testing.T, at string) {
	var out []byte
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if exec.Command("mountpoint", "-q", at).Run() != nil {
			return // it is unmounted, or was
		}
		out, _ = exec.Command("umount", at).CombinedOutput()
	}
	t.Errorf("umount: %s", out)
}
