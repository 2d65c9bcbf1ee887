package spool

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

var updateAllocs = flag.Bool("update", false, "write testdata/allocs.txt anew")

// allocsFile holds what each operation may allocate. Its first line says by
// which Go and on which system that was counted.
const allocsFile = "testdata/allocs.txt"

// TestAllocs compares what the operations allocate with what is written down.
// Unlike times these numbers are the same on every machine and under any load.
// Fewer are no less a reason to fail: unless they are written down, a later
// change could have them back unseen.
func TestAllocs(t *testing.T) {
	if racing() {
		t.Skip("the race detector allocates, too")
	}
	head, want, err := readAllocs()
	if !*updateAllocs && head != counted() {
		t.Skipf("%s says %q, this is %q (%v)", allocsFile, head, counted(), err)
	}
	text := counted() + "\n"
	for _, o := range operations {
		got := countAllocs(t, o)
		text += fmt.Sprintln(got, o.name)
		w, ok := want[o.name]
		if d := abs(got - w); !*updateAllocs && (!ok || d > tolerance(w)) {
			t.Errorf("%s: %d allocations, where %s has %d; go test ./spool -run TestAllocs -update writes them down", o.name, got, allocsFile, w)
		}
	}
	if *updateAllocs {
		must(t, os.WriteFile(allocsFile, []byte(text), 0o644))
	}
}

// countAllocs is how often an operation allocates, on average of so many calls
// that it does not matter how many directories of ids/ the random ids are the
// first of.
func countAllocs(t *testing.T, o operation) int {
	const calls = 200
	run, end := o.start(t, calls+1) // AllocsPerRun has one more, to warm up
	defer end()
	i := 0
	return int(testing.AllocsPerRun(calls, func() {
		run(i)
		i++
	}))
}

// tolerance is for buffers that grow now and then, and pools that a garbage
// collection empties: 2 in 100, and at least one; but what allocates nothing
// may not begin to.
func tolerance(n int) int {
	if n == 0 {
		return 0
	}
	return max(1, n*2/100)
}

// counted says what the numbers depend on.
func counted() string {
	v := strings.SplitAfterN(runtime.Version(), ".", 3)
	return strings.TrimSuffix(strings.Join(v[:min(2, len(v))], ""), ".") + " " + runtime.GOOS + "/" + runtime.GOARCH
}

func readAllocs() (head string, allocs map[string]int, err error) {
	data, err := os.ReadFile(allocsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, err
	}
	head, rest, _ := strings.Cut(string(data), "\n")
	allocs = make(map[string]int)
	for line := range strings.Lines(rest) {
		number, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		var n int
		if _, err := fmt.Sscan(number, &n); err != nil {
			return "", nil, fmt.Errorf("%s: %q: %w", allocsFile, line, err)
		}
		allocs[name] = n
	}
	return head, allocs, nil
}

// racing reports whether this is built with the race detector.
func racing() bool {
	info, _ := debug.ReadBuildInfo()
	for _, s := range info.Settings {
		if s.Key == "-race" && s.Value == "true" {
			return true
		}
	}
	return false
}

func abs(n int) int { return max(n, -n) }
