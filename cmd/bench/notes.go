package main

import (
	_ "embed"
	"strings"
)

//go:embed notes.md
var notesText string

// note is what notes.md has under a workload's name, or nothing.
func note(text, name string) string {
	for part := range strings.SplitSeq("\n"+text, "\n## ") {
		if head, body, _ := strings.Cut(part, "\n"); head == name {
			return strings.TrimSpace(body)
		}
	}
	return ""
}
