package spool

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"queuectl/spool/internal/fsys"
)

// One sync is enough where it was shown to be: an ext4 without a journal and
// an ext2 look like an ext4, and are none of those.
func TestSyncsNames(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may mount a file system")
	}
	for _, c := range []struct {
		name string
		mkfs []string
		size int64
		want bool
	}{
		{"ext4", []string{"mkfs.ext4", "-q", "-F"}, 16 << 20, true},
		{"ext4 without a journal", []string{"mkfs.ext4", "-q", "-F", "-O", "^has_journal"}, 16 << 20, false},
		{"ext2", []string{"mkfs.ext2", "-q", "-F"}, 16 << 20, false},
		{"xfs", []string{"mkfs.xfs", "-q", "-f"}, 320 << 20, true},
		{"btrfs", []string{"mkfs.btrfs", "-q", "-f"}, 160 << 20, true},
		{"tmpfs", nil, 0, false},
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
			f, err := fsys.Open(at)
			must(t, err)
			if got := f.SyncsNames(); got != c.want {
				t.Errorf("one sync is enough: %v, want %v", got, c.want)
			}
			must(t, f.Close())
		})
	}
}
