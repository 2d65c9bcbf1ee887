//go:build !windows

package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestEvents(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 1, 0, time.Local)
	var out strings.Builder
	h := newEvents(&env{Err: &out, ErrTerminal: true, Now: func() time.Time { return at }, Getenv: func(string) string { return "1" }})
	log := func(l slog.Level, msg string, attrs ...any) {
		r := slog.NewRecord(at, l, msg, 0)
		r.Add(attrs...)
		if err := h.WithAttrs([]slog.Attr{slog.String("pool", "web-1-abc")}).Handle(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	log(slog.LevelInfo, "started", "id", "job-A", "attempt", 1, "max_retries", 3)
	log(slog.LevelInfo, "succeeded", "id", "job-A", "attempt", 1)
	log(slog.LevelInfo, "failed", "id", "longer-id", "attempt", 1, "max_retries", 3, "reason", "exit status 1", "retry_at", at.Add(2*time.Second))
	log(slog.LevelInfo, "dead", "id", "job-A", "attempt", 4, "max_retries", 3, "reason", "signal \x1b[31m")
	log(slog.LevelWarn, "disk", "error", "no space", "path", "a\nb")
	log(slog.LevelWarn, "config.json", "error", errors.Join(errors.New("one"), errors.New("two\x07")))
	want := `12:00:01  job-A  started
12:00:01  job-A  succeeded
12:00:01  longer-id  failed: exit status 1, attempt 1 of 4, again in 2s
12:00:01  job-A      dead: signal \x1b[31m, attempt 4 of 4
12:00:01  disk: no space, path=a\nb
12:00:01  config.json: one; two\x07
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	if h.Enabled(context.Background(), slog.LevelDebug) {
		t.Error("debug messages are shown")
	}
}
