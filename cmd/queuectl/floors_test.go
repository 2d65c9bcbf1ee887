package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A floor is a row of the table in docs/design.md: what a package may import.
// Where this test fails, change the code and not the table.
type floor struct {
	ours []string // packages of this module, "spool" for queuectl/spool
	libs []string // packages outside the standard library
}

// readFloors reads the table below "## Floors".
func readFloors(t *testing.T) map[string]floor {
	t.Helper()
	b, err := os.ReadFile("../../docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	_, doc, ok := strings.Cut(string(b), "\n## Floors\n")
	if !ok {
		t.Fatal("docs/design.md has no section Floors")
	}
	floors := make(map[string]floor)
	for line := range strings.Lines(doc) {
		if strings.HasPrefix(line, "## ") {
			break
		}
		cells := strings.Split(line, "|")
		if len(cells) != 6 || !strings.HasPrefix(line, "| `") {
			continue
		}
		names := func(cell string) (list []string) {
			for i, s := range strings.Split(cell, "`") {
				if i%2 == 1 {
					list = append(list, s)
				}
			}
			return list
		}
		for _, p := range names(cells[1]) {
			floors[p] = floor{ours: names(cells[3]), libs: names(cells[4])}
		}
	}
	return floors
}

// A listed package, as "go list -json" prints it. Imports leaves out tests.
type listed struct {
	ImportPath string
	Imports    []string
}

func list(t *testing.T, goos string) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "queuectl/...")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// TestFloors keeps every package on its floor: it imports only what the design
// says, on each system that the code knows.
func TestFloors(t *testing.T) {
	floors := readFloors(t)
	if len(floors) == 0 {
		t.Fatal("the table of floors is empty")
	}
	for _, goos := range []string{"linux", "darwin", "freebsd"} {
		packages := list(t, goos)
		if len(packages) < 3 {
			t.Fatalf("%s: go list found only %d packages", goos, len(packages))
		}
		for _, p := range packages {
			name := strings.TrimPrefix(p.ImportPath, "queuectl/")
			f, ok := floors[name]
			if !ok {
				t.Errorf("%s: package %s stands on no floor in docs/design.md", goos, name)
				continue
			}
			for _, imp := range p.Imports {
				checkImport(t, goos, name, imp, f)
			}
		}
	}
}

func checkImport(t *testing.T, goos, name, imp string, f floor) {
	t.Helper()
	if ours, ok := strings.CutPrefix(imp, "queuectl/"); ok {
		if !slices.Contains(f.ours, ours) {
			t.Errorf("%s: %s imports %s, which is not below it", goos, name, ours)
		}
		return
	}
	first, _, _ := strings.Cut(imp, "/")
	if strings.Contains(first, ".") && !slices.Contains(f.libs, imp) {
		t.Errorf("%s: %s imports %s, which belongs on another floor", goos, name, imp)
	}
}

// TestOneFileSignals: only runner/process.go signals, and only what it has
// started: a pid from a file may be another process's. Signal 0 only asks.
func TestOneFileSignals(t *testing.T) {
	signals := regexp.MustCompile(`\b(Kill|Signal|PidfdSendSignal|FindProcess)\([^)]`)
	for _, dir := range []string{"../../spool", "../../spool/internal/fsys", "../../runner", "."} {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %q, %v", dir, files, err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") || f == "../../runner/process.go" {
				continue
			}
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for i, line := range strings.Split(string(text), "\n") {
				if signals.MatchString(line) && !strings.Contains(line, ", 0)") {
					t.Errorf("%s:%d: %s", f, i+1, strings.TrimSpace(line))
				}
			}
		}
	}
}
