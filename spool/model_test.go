package spool

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"queuectl/spool/internal/fsys"
)

// The model: what a spool must look like after anything that processes and
// people do, one after the other, kept in plain memory and compared with the
// disk after every step. QUEUECTL_LONG=1 tries much more, and -rapid.checks
// and -rapid.steps as much as one likes; a failure prints the seed that brings
// it back.

func TestModelInMemory(t *testing.T) {
	checks(t, "60", "20000")
	rapid.Check(t, func(t *rapid.T) { play(t, newSimMachine()) })
}

func TestModelOnDisk(t *testing.T) {
	checks(t, "5", "1000")
	rapid.Check(t, func(r *rapid.T) {
		play(r, newRealMachine(t, filepath.Join(t.TempDir(), "spool")))
	})
}

// checks sets how many runs there are, unless the command line does.
func checks(t *testing.T, short, long string) {
	f := flag.Lookup("rapid.checks")
	if f.Value.String() != f.DefValue {
		return
	}
	n := short
	if os.Getenv("QUEUECTL_LONG") == "1" {
		n = long
	}
	if err := flag.Set("rapid.checks", n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set("rapid.checks", f.DefValue) })
}

func newRealMachine(t *testing.T, dir string) machine {
	must(t, os.Mkdir(dir, 0o700))
	b := openBench(t, dir, true)
	must(t, b.SetConfig("sync", "off"))
	must(t, b.Close())
	eye, err := fsys.Open(dir)
	must(t, err)
	return &realMachine{b: b, dir: dir, eye: eye}
}

// play takes steps at random.
func play(t *rapid.T, mach machine) {
	defer mach.close()
	defer func() {
		if t.Failed() {
			t.Log(mach.dump())
		}
	}()
	m := newModel(t, mach)
	t.Repeat(map[string]func(*rapid.T){
		"":             m.agree,
		"enqueue":      m.enqueue,
		"claim":        m.claim,
		"claim again":  m.claim, // twice as often as others
		"settle":       m.settle,
		"adopt":        m.adopt,
		"retry":        m.retry,
		"delete":       m.remove,
		"mv":           m.mv,
		"mv running":   m.mvRunning,
		"mv to a name": m.mvToName,
		"cp completed": m.cp,
		"rm":           m.rm,
		"edit":         m.edit,
		"drop":         m.drop,
		"pause":        m.pause,
		"crash":        m.crash,
		"die":          m.die,
		"recover":      m.recover,
		"clock":        m.clock,
	})
}
