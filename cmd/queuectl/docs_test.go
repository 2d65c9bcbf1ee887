//go:build !windows

package main

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write docs/cli.md and docs/man anew")

// TestDocs compares docs/cli.md and docs/man with the commands. With -update it
// writes them.
func TestDocs(t *testing.T) {
	docs := filepath.Join("..", "..", "docs")
	made := t.TempDir()
	if err := os.WriteFile(filepath.Join(made, "cli.md"), markdown(docRoot()), 0o644); err != nil {
		t.Fatal(err)
	}
	manuals(t, filepath.Join(made, "man"))
	if *update {
		if err := os.RemoveAll(filepath.Join(docs, "man")); err != nil {
			t.Fatal(err)
		}
	}
	want, have := pages(t, made), pages(t, docs)
	for name, text := range want {
		path := filepath.Join(docs, name)
		switch {
		case *update:
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, text, 0o644); err != nil {
				t.Fatal(err)
			}
		case !bytes.Equal(text, have[name]):
			t.Errorf("%s is not what the commands say; write it anew: go test ./cmd/queuectl -run TestDocs -update", path)
		}
	}
	for name := range have {
		if _, ok := want[name]; !ok && !*update {
			t.Errorf("%s belongs to no command", filepath.Join(docs, name))
		}
	}
}

// TestTestsInDocs: the tests of which docs/ say that they show something are
// there.
func TestTestsInDocs(t *testing.T) {
	tests := make(map[string]bool)
	walk(t, filepath.Join("..", ".."), "_test.go", func(_ string, text []byte) {
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(text, -1) {
			tests[string(m[1])] = true
		}
	})
	named := 0
	walk(t, filepath.Join("..", "..", "docs"), ".md", func(path string, text []byte) {
		for _, m := range regexp.MustCompile("`(Test\\w+)`").FindAllSubmatch(text, -1) {
			if named++; !tests[string(m[1])] {
				t.Errorf("%s: there is no %s", path, m[1])
			}
		}
	})
	if named == 0 {
		t.Error("no test is named")
	}
}

func walk(t *testing.T, dir, suffix string, fn func(path string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, suffix) {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil {
			fn(path, text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// pages reads what is generated of a docs directory.
func pages(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "man", "*"))
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string][]byte)
	for _, p := range append(paths, filepath.Join(dir, "cli.md")) {
		text, err := os.ReadFile(p)
		if os.IsNotExist(err) {
			continue
		}
		name, relErr := filepath.Rel(dir, p)
		if err != nil || relErr != nil {
			t.Fatal(err, relErr)
		}
		found[name] = text
	}
	return found
}

// docRoot is the tree of commands, in a world where nothing is.
func docRoot() *cobra.Command {
	root := newRoot(&env{Getenv: func(string) string { return "" }, Now: time.Now}, "")
	root.Version = "" // no --version with the version of this build
	root.InitDefaultHelpCmd()
	return root
}

// walkCommands visits a command and all below it that users see.
func walkCommands(cmd *cobra.Command, f func(*cobra.Command)) {
	if cmd.Hidden {
		return
	}
	f(cmd)
	for _, c := range cmd.Commands() {
		walkCommands(c, f)
	}
}

func manuals(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	root := docRoot()
	walkCommands(root, func(c *cobra.Command) {
		c.DisableAutoGenTag = true
		var b strings.Builder
		for l := range strings.Lines(c.Long) { // two spaces are a paragraph there, four are code
			if strings.HasPrefix(l, "  ") {
				b.WriteString("  ")
			}
			b.WriteString(l)
		}
		c.Long = b.String()
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if strings.Contains(f.Usage, "(default: ") { // which is no value of its own
				f.DefValue = ""
			}
		})
	})
	root.Flags().BoolP("version", "v", false, "print the version")
	root.Long += manStatuses() + manFiles
	root.Use, root.DisableFlagsInUseLine = "queuectl COMMAND [ARGUMENT…]", true
	date := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC) // fixed: the pages are to be the same each time
	err := doc.GenManTree(root, &doc.GenManHeader{
		Title: "QUEUECTL", Section: "1", Date: &date, Source: "queuectl", Manual: "queuectl",
	}, dir)
	if err != nil {
		t.Fatal(err)
	}
}

const manFiles = `
# ENVIRONMENT
**QUEUECTL_SPOOL**: the spool's directory, where --spool does not say it.

**NO_COLOR**: no colours on a terminal.

# FILES
**~/.local/state/queuectl/default**: the spool, where nothing says another one; in XDG_STATE_HOME where that is set. In it:

**pending/**, **processing/**, **failed/**, **completed/**, **dead/**, **held/**: the jobs, a file each

**config.json**: the settings, see queuectl-config(1)

**logs/**: what jobs printed

**workers/worker.log**: the messages of workers in the background
`

func manStatuses() string {
	text := "\n\n# EXIT STATUS\n"
	for _, s := range statuses {
		text += fmt.Sprintf("**%d**: %s\n\n", s.code, strings.ReplaceAll(s.text, "`", ""))
	}
	return text
}

// statuses tells of the exit codes; TestStatuses compares it with them.
var statuses = []struct {
	code exitCode
	text string
}{
	{exitDone, "done"},
	{exitFailed, "failed, or what it needs is busy"},
	{exitUsage, "wrong usage, or a job that is refused"},
	{exitNotFound, "no such job"},
	{exitTaken, "the id is taken"},
	{exitUnusable, "the spool cannot be used"},
	{exitInterrupted, "interrupted by a signal (`torture` only)"},
}

const intro = `# The command line

This page is generated from the commands' own help. ` + "`queuectl COMMAND --help`" + ` says the same.

**The spool** is named by ` + "`--spool DIR`" + `, else by ` + "`QUEUECTL_SPOOL`" + `, else it is
` + "`${XDG_STATE_HOME:-~/.local/state}/queuectl/default`" + `. The first ` + "`enqueue`" + ` or ` + "`worker start`" + ` makes it.

**Output.** Results go to standard output, everything else to standard error. What comes from a job is
escaped in what is meant for people. ` + "`--json`" + ` gives one object for ` + "`status`, `show`, `config list`, `config get`" + `,
` + "`torture` and `version`" + `, and one object per line for lists. Colour and width are for terminals only, and ` + "`NO_COLOR`" + ` is
respected.

**Several ids.** All are tried; the first failure gives the status. A random id may be shortened to 4 or
more characters, one that somebody chose may not.

**Exit status.**

| status | meaning |
|---|---|
`

// markdown is docs/cli.md.
func markdown(root *cobra.Command) []byte {
	var b bytes.Buffer
	b.WriteString(intro)
	for _, s := range statuses {
		fmt.Fprintf(&b, "| %d | %s |\n", s.code, s.text)
	}
	b.WriteString("\n## Commands\n\n| command | |\n|---|---|\n")
	walkCommands(root, func(c *cobra.Command) {
		if c.HasParent() && !c.HasSubCommands() {
			fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", label(c), strings.ReplaceAll(c.CommandPath(), " ", "-"), c.Short)
		}
	})
	b.WriteString("\n")
	walkCommands(root, func(c *cobra.Command) {
		if c.HasParent() {
			section(&b, c)
		}
	})
	return append(bytes.TrimRight(b.Bytes(), "\n"), '\n')
}

// section tells of one command.
func section(b *bytes.Buffer, c *cobra.Command) {
	level := "##"
	if c.Parent().HasParent() {
		level = "###"
	}
	fmt.Fprintf(b, "%s %s\n\n", level, c.CommandPath())
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	var code []string // indented blocks that follow each other
	for _, block := range append(strings.Split(strings.TrimSpace(text), "\n\n"), "") {
		if strings.HasPrefix(block, "  ") {
			code = append(code, block)
			continue
		}
		if len(code) > 0 {
			fence(b, strings.Join(code, "\n\n"))
			code = nil
		}
		if block != "" {
			b.WriteString(block + "\n\n")
		}
	}
	if c.Runnable() && !c.HasSubCommands() {
		fence(b, c.UseLine())
	}
	if c.Example != "" {
		b.WriteString("Examples:\n\n")
		fence(b, c.Example)
	}
	if f := flags(c.NonInheritedFlags()); f != "" {
		b.WriteString("Flags:\n\n")
		fence(b, strings.TrimRight(f, "\n"))
	}
}

func fence(b *bytes.Buffer, text string) { b.WriteString("```text\n" + text + "\n```\n\n") }
