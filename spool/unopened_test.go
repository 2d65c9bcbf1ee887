//go:build linux

package spool

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFIFOIsNotOpened: who waits at its other end learns nothing, not even where
// others may put one under the name of a job.
func TestFIFOIsNotOpened(t *testing.T) {
	b := newBench(t)
	must(t, b.SetConfig("allow_group", "61240"))
	for _, at := range []string{"pending/drop.json", "pending/20201123T180000.123456Z-5-x.json"} {
		must(t, unix.Mkfifo(b.at(at), 0o600))
		fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
		must(t, err)
		_, err = unix.InotifyAddWatch(fd, b.at(at), unix.IN_OPEN)
		must(t, err)
		p := b.pool()
		if _, err := p.Claim(at); !errors.Is(err, ErrDrop) {
			t.Errorf("claim of %s: %v", at, err)
		}
		if _, err := p.Adopt(ctx, at); !errors.Is(err, ErrRefused) {
			t.Errorf("adopt of %s: %v", at, err)
		}
		if n, _ := unix.Read(fd, make([]byte, 4096)); n > 0 {
			t.Errorf("%s was opened", at)
		}
		must(t, unix.Close(fd))
	}
}
