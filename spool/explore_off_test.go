package spool

import (
	"errors"
	"os"
	"path"
	"strings"

	"queuectl/spool/internal/fsys"
)

// What is done where a rule is switched off.

// unclaimedName is a name in processing/ that no claim has given.
func unclaimedName(p string) bool {
	n, ok := ParseName(path.Base(p))
	return ok && stateOf(p) == Processing && n.Pool == ""
}

// claimedName is a name in processing/ that a claim has given.
func claimedName(_, p string) bool {
	n, ok := ParseName(path.Base(p))
	return ok && stateOf(p) == Processing && n.Pool != ""
}

func oneName(where, name string) func() string {
	return func() string {
		if within(where) {
			return name
		}
		return ""
	}
}

// forgets removes what a staging has taken instead of putting it back.
func forgets(f fsys.FS, from, to string) func() error {
	if stateOf(from) != "tmp" || !strings.HasSuffix(from, "/"+to) || strings.Contains(from, "/new/") {
		return nil
	}
	return func() error { return f.Unlink(from) }
}

func inTwoSteps(f fsys.FS, from, to string) func() error {
	if stateOf(to) != "ids" {
		return nil
	}
	return func() error { return errors.Join(f.Unlink(to), f.Link(from, to), f.Unlink(from)) }
}

// uncommitted takes back the commit of a staging whose owner is dead.
func uncommitted(f fsys.FS, name string) string {
	before, ok := strings.CutSuffix(name, committed)
	if !ok {
		return name
	}
	dir, err := f.Open("tmp/"+name, os.O_RDONLY)
	if err != nil {
		return name
	}
	defer dir.Close()
	if dir.TryLock() != nil || f.RenameNoReplace("tmp/"+name, "tmp/"+before) != nil {
		return name
	}
	return before
}

// replacesInPlace leaves the old file where it is, until the new one is
// renamed over it.
func replacesInPlace(f fsys.FS, from, to string) func() error {
	switch {
	case isState(stateOf(from)) && strings.HasPrefix(to, "tmp/") && strings.HasSuffix(to, "/"+from):
		return func() error { return f.Link(from, to) }
	case stateOf(from) == "tmp" && strings.HasSuffix(from, "/new/"+to):
		return func() error { return f.Rename(from, to) }
	}
	return nil
}

func dropsCancelFirst(f fsys.FS, from, to string) func() error {
	n, ok := ParseName(path.Base(to))
	if !ok || stateOf(to) != Dead {
		return nil
	}
	return func() error {
		_ = f.Unlink("control/" + n.ID + cancelSuffix)
		return f.RenameNoReplace(from, to)
	}
}

// linksPool has others see a pool's file that is about to be locked.
func linksPool(f fsys.FS, p string) {
	if stateOf(p) == "tmp" {
		_ = f.Link(p, "workers/"+path.Base(p))
	}
}
