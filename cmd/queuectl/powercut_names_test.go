//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// nameSteps are ways to give a file in a/ its names. Each is followed by one
// sync of the file, or by none, and by no sync of a directory.
var nameSteps = []struct {
	name  string
	names []string // the directories where it is to be found afterwards
	step  func(at, name string) error
}{
	{"link", []string{"a", "b"}, func(at, name string) error {
		return os.Link(filepath.Join(at, "a", name), filepath.Join(at, "b", name))
	}},
	{"link-rename", []string{"b", "c"}, func(at, name string) error {
		if err := os.Link(filepath.Join(at, "a", name), filepath.Join(at, "b", name)); err != nil {
			return err
		}
		return os.Rename(filepath.Join(at, "a", name), filepath.Join(at, "c", name))
	}},
}

// nameKinds is how many of cutKinds are tried: all in the long form, else one.
func nameKinds() int {
	if long() {
		return len(cutKinds)
	}
	return 1
}

// TestNamesByOneSync: does one sync of a file, after it has got its names, make
// its content and all of its names durable?
func TestNamesByOneSync(t *testing.T) {
	outer := reflinkDisk(t)
	for _, k := range cutKinds[:nameKinds()] {
		for _, w := range nameSteps {
			t.Run(k.name+"/"+w.name, func(t *testing.T) {
				r := nameRound{T: t, names: w.names, step: w.step, sync: (*os.File).Sync}
				looked, lost := r.run(outer, k.mkfs, k.mount, k.size, rounds(2, 3, 200))
				t.Logf("%d names looked for, %d lost", looked, lost)
				if looked == 0 || lost > 0 {
					t.Errorf("of %d names %d are lost", looked, lost)
				}
			})
		}
	}
}

// TestNamesWithoutSync: if no name is lost so, the test above cannot fail.
func TestNamesWithoutSync(t *testing.T) {
	outer := reflinkDisk(t)
	for _, k := range cutKinds[:nameKinds()] {
		t.Run(k.name, func(t *testing.T) {
			r := nameRound{T: t, names: nameSteps[1].names, step: nameSteps[1].step, sync: func(*os.File) error { return nil }}
			looked, lost := r.run(outer, k.mkfs, k.mount, k.size, 3)
			t.Logf("%d names looked for, %d lost", looked, lost)
			if lost == 0 {
				t.Errorf("none of %d names is lost", looked)
			}
		})
	}
}

// A nameRound makes files on a disk whose power is cut.
type nameRound struct {
	*testing.T
	names []string
	step  func(at, name string) error
	sync  func(*os.File) error
}

// run returns how many names of files made before a cut it looked for after
// it, and how many of them were not there with all that was written.
func (r *nameRound) run(outer string, mkfs []string, options string, size int64, n int) (looked, lost int) {
	r.Helper()
	dir, err := os.MkdirTemp(outer, "")
	if err != nil {
		r.Fatal(err)
	}
	defer os.RemoveAll(dir)
	at := mounted(r.T, dir, size, mkfs, options)
	for _, d := range []string{"a", "b", "c"} {
		if err := os.Mkdir(filepath.Join(at, d), 0o700); err != nil {
			r.Fatal(err)
		}
	}
	unix.Sync()
	e := &ackers{bench: &bench{T: r.T}, acked: make(map[string]string), done: make(chan struct{})}
	for who := range 3 {
		e.loop(func(n int) error {
			if n%50 == 0 {
				time.Sleep(10 * time.Millisecond) // so that those that do not sync leave room on the disk
			}
			return r.make(e, at, fmt.Sprintf("%d-%d", who, n))
		})
	}
	e.awaitFirst()
	cuts := make([]snapshot, n)
	for i := range cuts {
		time.Sleep(time.Duration(5+rand.IntN(50)) * time.Millisecond)
		cuts[i] = snapshot{filepath.Join(dir, fmt.Sprint("cut", i)), e.known()}
		clone(r.T, filepath.Join(dir, "image"), cuts[i].image)
	}
	e.stop()
	unmount(r.T, at)
	for _, c := range cuts {
		at := mount(r.T, c.image, filepath.Join(dir, "after"), options)
		looked += len(c.acked) * len(r.names)
		lost += r.missing(at, c.acked)
		unmount(r.T, at)
	}
	return looked, lost
}

func (r *nameRound) missing(at string, acked map[string]string) (lost int) {
	for name, text := range acked {
		for _, d := range r.names {
			if got, err := os.ReadFile(filepath.Join(at, d, name)); err != nil || string(got) != text {
				lost++
			}
		}
	}
	return lost
}

// make makes a file, gives it its names, syncs it, and notes it.
func (r *nameRound) make(e *ackers, at, name string) error {
	f, err := os.Create(filepath.Join(at, "a", name))
	if err != nil {
		return err
	}
	defer f.Close()
	text := strings.Repeat(name+" ", 50)
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	if err := r.step(at, name); err != nil {
		return err
	}
	if err := r.sync(f); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.acked[name] = text
	return nil
}
