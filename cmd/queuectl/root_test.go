//go:build !windows

package main

import (
	"strings"
	"testing"
	"time"
)

// A command line makes the command that it names and no other; one that names
// none makes all, to choose from.
func TestOneCommandIsMade(t *testing.T) {
	made := func(line string) (names []string) {
		t.Helper()
		root := newRoot(&env{Getenv: func(string) string { return "" }, Now: time.Now}, wordOf(strings.Fields(line)))
		for _, cmd := range root.Commands() {
			names = append(names, cmd.Name())
		}
		return names
	}
	all := 0
	for _, g := range groups {
		all += len(g.commands)
		for _, cmd := range g.commands {
			if got := made(cmd.name); len(got) != 1 || got[0] != cmd.name {
				t.Errorf("%s makes %q", cmd.name, got)
			}
		}
	}
	for line, want := range map[string]string{
		"--spool list enqueue -- show": "enqueue",
		"--spool=list show x":          "show",
		"--help status":                "",
		"-h enqueue":                   "",
		"--spool x status --help":      "status",
		"":                             "",
		"--help":                       "",
		"--spool":                      "",
		"--spool show":                 "",
		"help show":                    "",
		"__complete show ":             "",
		"enqeue list":                  "",
	} {
		switch got := made(line); {
		case want == "" && len(got) != all:
			t.Errorf("%q makes %q and not all", line, got)
		case want != "" && (len(got) != 1 || got[0] != want):
			t.Errorf("%q makes %q, want %s", line, got, want)
		}
	}
}
