//go:build !windows

package torture

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"
)

// lies are file systems that break one promise each, and the probe that finds
// it.
var lies = []struct {
	probe, says string
	lie         func(*system)
}{
	{"rename", "were told that they won", func(s *system) {
		s.rename = func(from, to string) error { // a stale view: gone, and won all the same
			if err := os.Rename(from, to); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		}
	}},
	{"replace", "no such file", func(s *system) {
		s.rename = func(from, to string) error { // in two steps
			err := ignoreMissing(os.Remove(to))
			time.Sleep(time.Millisecond)
			return errors.Join(err, os.Rename(from, to))
		}
	}},
	{"link", "were told that they won", func(s *system) {
		s.link = func(from, to string) error {
			return errors.Join(ignoreMissing(os.Remove(to)), ignoreMissing(os.Link(from, to)))
		}
	}},
	{"no-replace", "were told that they won", func(s *system) { s.noReplace = os.Rename }},
	{"directory sync", "invalid", func(s *system) {
		s.syncDir = func(dir string) error { return &fs.PathError{Op: "fsync", Path: dir, Err: fs.ErrInvalid} }
	}},
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// TestProbesFindLies lets every probe run on a file system that lies, with
// goroutines in the place of processes.
func TestProbesFindLies(t *testing.T) {
	for _, l := range lies {
		t.Run(l.probe, func(t *testing.T) {
			sys := real
			l.lie(&sys)
			got := tryOne(t, sys, l.probe)
			if got.OK || !strings.Contains(got.Detail, l.says) {
				t.Errorf("found %+v, want %q", got, l.says)
			}
			if got := tryOne(t, real, l.probe); !got.OK {
				t.Errorf("without the lie: %+v", got)
			}
		})
	}
}

// tryOne runs one probe.
func tryOne(t *testing.T, sys system, name string) Probe {
	t.Helper()
	p := &prober{sys: sys, start: func(_ context.Context, args ...string) ([]byte, error) {
		var out bytes.Buffer
		err := help(sys, args, nil, &out)
		return out.Bytes(), err
	}}
	for _, each := range probes {
		if each.name == name {
			return p.try(t.Context(), t.TempDir(), each.name, each.try)
		}
	}
	t.Fatalf("there is no probe %q", name)
	return Probe{}
}
