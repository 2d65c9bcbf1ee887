package fsys

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// must ends the test with an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// One sync is enough where it was shown to be, for a file with its names and
// for many files: an ext4 without a journal and an ext2 look like an ext4, and
// are none of those.
func TestOneSync(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may mount a file system")
	}
	for _, c := range []struct {
		name            string
		mkfs            []string
		size            int64
		names, together bool
	}{
		{"ext4", []string{"mkfs.ext4", "-q", "-F"}, 16 << 20, true, true},
		{"ext4 without a journal", []string{"mkfs.ext4", "-q", "-F", "-O", "^has_journal"}, 16 << 20, false, false},
		{"ext2", []string{"mkfs.ext2", "-q", "-F"}, 16 << 20, false, false},
		{"xfs", []string{"mkfs.xfs", "-q", "-f"}, 320 << 20, true, true},
		{"btrfs", []string{"mkfs.btrfs", "-q", "-f"}, 160 << 20, true, false},
		{"tmpfs", nil, 0, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			at := filepath.Join(dir, "mnt")
			must(t, os.Mkdir(at, 0o700))
			args := []string{"-t", "tmpfs", "none", at}
			if c.mkfs != nil {
				if _, err := exec.LookPath(c.mkfs[0]); err != nil {
					t.Skip(err)
				}
				image := filepath.Join(dir, "image")
				must(t, os.WriteFile(image, nil, 0o600))
				must(t, os.Truncate(image, c.size))
				if out, err := exec.Command(c.mkfs[0], append(c.mkfs[1:len(c.mkfs):len(c.mkfs)], image)...).CombinedOutput(); err != nil {
					t.Fatalf("%q: %v\n%s", c.mkfs, err, out)
				}
				args = []string{"-o", "loop", image, at}
			}
			if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
				t.Skipf("cannot be mounted here: %v: %s", err, out)
			}
			t.Cleanup(func() {
				if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
					t.Errorf("umount: %v: %s", err, out)
				}
			})
			f, err := Open(at)
			must(t, err)
			if got := f.SyncsNames(); got != c.names {
				t.Errorf("one sync is enough for a file and its names: %v, want %v", got, c.names)
			}
			if got := f.syncsTogether(); got != c.together {
				t.Errorf("one sync is enough for many files: %v, want %v", got, c.together)
			}
			subdirs(t, f, c.name != "btrfs")
			if c.mkfs != nil {
				syncAllHolds(t, f, dir, args)
			}
			must(t, f.Close())
		})
	}
}

// subdirs looks whether the directories in a directory are counted, where the
// link count does that.
func subdirs(t *testing.T, f *OS, counted bool) {
	t.Helper()
	want := func(path string, n int, counted bool) {
		t.Helper()
		if got, known := f.Subdirs(path); known != counted || known && got != n {
			t.Errorf("%d directories in %s, and that is known: %v; want %d, %v", got, path, known, n, counted)
		}
	}
	must(t, f.Mkdir("d"))
	want("d", 0, counted)
	must(t, f.Mkdir("d/sub"))
	must(t, f.Mkdir("d/sub/sub"))
	want("d", 1, counted)
	must(t, f.Rmdir("d/sub/sub"))
	must(t, f.Rmdir("d/sub"))
	file, err := f.Open("d/file", os.O_RDWR|os.O_CREATE|os.O_EXCL)
	must(t, err)
	must(t, file.Close())
	want("d", 0, counted)
	must(t, f.Link("d/file", "d/two"))
	want("d/file", 0, false)
	want("missing", 0, false)
}

// syncAllHolds looks what a power cut leaves of files that were synced together.
// The last of them was synced before, so that nothing of it is left to commit;
// nobody else writes, so that a plain copy of the image is what the disk holds.
func syncAllHolds(t *testing.T, f *OS, dir string, mount []string) {
	t.Helper()
	create := func(name string) File {
		file, err := f.Open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
		must(t, err)
		t.Cleanup(func() { _ = file.Close() })
		_, err = file.WriteAt([]byte(name), 0)
		must(t, err)
		return file
	}
	last := create("last")
	must(t, f.SyncFS())
	var files []File
	var names []string
	for i := range 2 * manyFiles {
		name := strconv.Itoa(i)
		files = append(files, create("new-"+name))
		must(t, f.Rename("new-"+name, name))
		names = append(names, name)
	}
	must(t, f.SyncAll(append(files, last), []string{"."}))
	image, err := os.ReadFile(filepath.Join(dir, "image"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "cut"), image, 0o600))
	after := filepath.Join(dir, "after")
	must(t, os.Mkdir(after, 0o700))
	options := mount[1]
	if strings.HasPrefix(filepath.Base(t.Name()), "xfs") {
		options += ",nouuid"
	}
	if out, err := exec.Command("mount", "-o", options, filepath.Join(dir, "cut"), after).CombinedOutput(); err != nil {
		t.Fatalf("mount the copy: %v: %s", err, out)
	}
	defer func() {
		if out, err := exec.Command("umount", after).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	}()
	for _, name := range names {
		if text, err := os.ReadFile(filepath.Join(after, name)); err != nil || string(text) != "new-"+name {
			t.Errorf("after the power cut %s has %q: %v", name, text, err)
		}
	}
}

func TestKernelVersion(t *testing.T) {
	for release, want := range map[string]bool{
		"5.2.0": true, "5.10.0-30-amd64": true, "6.1": true, "10.0": true,
		"5.1.21": false, "4.19.0-27-amd64": false, "": false, "five": false,
	} {
		if got := atLeast(release, 5, 2); got != want {
			t.Errorf("%q is 5.2 or later: %v, want %v", release, got, want)
		}
	}
}
