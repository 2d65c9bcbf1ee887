//go:build linux

package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestModes: whatever the umask, nobody else can read what is in a spool.
func TestModes(t *testing.T) {
	b := newBench(t)
	q := "queuectl --spool " + b.spool + " "
	t.Cleanup(func() { b.try("worker", "stop", "--now") })
	cmd := exec.Command("sh", "-euc", "umask 0; "+q+"enqueue --id one -- echo hello; echo '{\"id\":\"two\",\"command\":\"false\",\"max_retries\":0}' | "+q+"enqueue -; "+
		q+"config set sync off; echo '{\"command\":\"true\"}' >"+b.spool+"/pending/drop.json; chmod 644 "+b.spool+"/pending/drop.json; "+
		q+"worker start --drain; "+q+"worker start --detach; "+q+"cancel one || true; "+q+"dlq retry two; "+q+"pause")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b.till("the job is dead again", func() bool { return strings.Contains(b.q("show", "two"), "retried") })
	err := filepath.WalkDir(b.spool, func(path string, d fs.DirEntry, err error) error {
		info, statErr := os.Lstat(path)
		switch {
		case os.IsNotExist(err) || os.IsNotExist(statErr):
			return nil // it has moved on
		case err == nil && statErr == nil && info.Mode().Perm()&0o077 != 0:
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestSecurityDoc: what docs/security.md says is shown by a test has that test.
func TestSecurityDoc(t *testing.T) {
	doc, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := ""
	for _, dir := range []string{".", "../../runner", "../../spool"} {
		files, _ := filepath.Glob(dir + "/*_test.go")
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			tests += string(text)
		}
	}
	named := regexp.MustCompile("`(Test[A-Za-z]+)`").FindAllStringSubmatch(string(doc), -1)
	if len(named) < 10 {
		t.Errorf("it names %d tests", len(named))
	}
	for _, m := range named {
		if !strings.Contains(tests, "func "+m[1]+"(") {
			t.Errorf("there is no %s", m[1])
		}
	}
}
