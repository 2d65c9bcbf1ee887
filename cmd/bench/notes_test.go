package main

import (
	"slices"
	"strings"
	"testing"
)

func TestNote(t *testing.T) {
	const text = "Before.\n\n## first\n\nOne.\n\nTwo.\n## second\nThree.\n"
	for name, want := range map[string]string{"first": "One.\n\nTwo.", "second": "Three.", "third": ""} {
		if got := note(text, name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// TestNotes has every note belong to a workload.
func TestNotes(t *testing.T) {
	var names []string
	for _, w := range (&bench{scale: 0.01}).workloads() {
		names = append(names, w.name)
	}
	for line := range strings.Lines(notesText) {
		if name, ok := strings.CutPrefix(line, "## "); ok && !slices.Contains(names, strings.TrimSpace(name)) {
			t.Errorf("there is no workload %q", name)
		}
	}
}
