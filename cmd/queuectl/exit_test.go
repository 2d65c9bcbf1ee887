//go:build !windows

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"queuectl/spool"
)

func TestCodeOf(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want exitCode
	}{
		{nil, exitDone},
		{errors.New("anything"), exitFailed},
		{spool.ErrBusy, exitFailed},
		{spool.ErrState, exitFailed},
		{spool.ErrAmbiguous, exitFailed},
		{usagef("", "wrong"), exitUsage},
		{&spool.InvalidError{Member: "id", Reason: "odd"}, exitUsage},
		{&spool.ConfigError{Key: "k"}, exitUsage},
		{&spool.JobError{ID: "a", Err: spool.ErrNotFound}, exitNotFound},
		{&spool.TakenError{ID: "a"}, exitTaken},
		{&spool.BatchError{Err: &spool.TakenError{ID: "a"}}, exitTaken},
		{&spool.SpoolError{Dir: "d", Err: fs.ErrNotExist}, exitUnusable},
		{told(exitTaken), exitTaken},
		{fmt.Errorf("line 3: %w", &spool.InvalidError{}), exitUsage},
	} {
		if got := codeOf(tc.err); got != tc.want {
			t.Errorf("codeOf(%v) = %d, want %d", tc.err, got, tc.want)
		}
	}
}

// The numbers are a contract: change the code, not the table.
func TestStatuses(t *testing.T) {
	want := []int{0, 1, 2, 3, 4, 5, 130}
	if len(statuses) != len(want) {
		t.Fatalf("%d statuses, want %d", len(statuses), len(want))
	}
	for i, s := range statuses {
		if int(s.code) != want[i] {
			t.Errorf("%q has status %d, want %d", s.text, s.code, want[i])
		}
	}
}

func TestStory(t *testing.T) {
	for in, want := range map[error]string{
		&spool.TakenError{ID: "job-A", State: spool.Completed}:  `id "job-A" is taken (completed); choose another or delete it`,
		errors.Join(errors.New("one"), errors.New("two\x1b[m")): `one; two\x1b[m`,
		usagef("do that", "wrong"):                              "wrong; do that",
	} {
		if got := story(in); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
