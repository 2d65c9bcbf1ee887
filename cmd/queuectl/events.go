//go:build !windows

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// An events handler writes what a pool does, a line per event:
//
//	12:00:01  job-A  failed: exit status 1, attempt 1 of 4, again in 2s
//
// Attributes that it does not know follow as name=value.
type events struct {
	out   *eventWriter
	attrs []slog.Attr
	group string
}

type eventWriter struct {
	mu     sync.Mutex
	w      io.Writer
	layout string
	colour bool
	now    func() time.Time
	width  int // of the ids so far, so that lines align
}

func newEvents(e *env) *events {
	layout := "15:04:05"
	if !e.ErrTerminal { // a log is read on another day
		layout = "2006-01-02 15:04:05"
	}
	return &events{out: &eventWriter{w: e.Err, layout: layout, colour: e.colour(e.ErrTerminal), now: e.Now}}
}

func (h *events) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

func (h *events) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.attrs = append(c.attrs[:len(c.attrs):len(c.attrs)], c.prefixed(attrs)...)
	return &c
}

func (h *events) WithGroup(name string) slog.Handler {
	c := *h
	c.group += name + "."
	return &c
}

func (h *events) prefixed(attrs []slog.Attr) []slog.Attr {
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i] = slog.Attr{Key: h.group + a.Key, Value: a.Value}
	}
	return out
}

func (h *events) Handle(_ context.Context, r slog.Record) error {
	e := event{level: r.Level, message: r.Message, time: r.Time}
	for _, a := range h.attrs {
		e.attr(a)
	}
	r.Attrs(func(a slog.Attr) bool {
		e.attr(slog.Attr{Key: h.group + a.Key, Value: a.Value})
		return true
	})
	return h.out.write(&e)
}

// An event is a record taken apart.
type event struct {
	level      slog.Level
	message    string
	time       time.Time
	id, reason string
	attempt    string
	maxRetries int64
	bounded    bool // maxRetries is known
	retryAt    time.Time
	took       time.Duration
	more       []string
}

func (e *event) attr(a slog.Attr) {
	v := a.Value.Resolve()
	switch a.Key {
	case "id":
		e.id = escape(v.String())
	case "attempt":
		e.attempt = v.String()
	case "max_retries":
		if v.Kind() == slog.KindInt64 {
			e.maxRetries, e.bounded = v.Int64(), true
		}
	case "pool": // all lines are of one
	case "name": // of a file that is no job
		if e.id == "" {
			e.id = escape(v.String())
		}
	case "reason":
		e.reason = escape(v.String())
	case "err", "error":
		e.reason = oneLine(v.String())
	case "retry_at":
		if v.Kind() == slog.KindTime {
			e.retryAt = v.Time()
		}
	case "took":
		if v.Kind() == slog.KindDuration {
			e.took = v.Duration()
		}
	default:
		e.more = append(e.more, escape(a.Key)+"="+escape(v.String()))
	}
}

// text is the event without time and id.
func (e *event) text(now time.Time) string {
	parts := []string{escape(e.message)}
	if e.reason != "" {
		parts[0] += ": " + e.reason
	}
	if e.took > 0 {
		parts = append(parts, "after "+about(e.took))
	}
	// Of a first attempt that succeeds, the number says nothing.
	if e.attempt != "" && (e.attempt != "1" || e.reason != "") {
		s := "attempt " + e.attempt
		if e.bounded {
			s += fmt.Sprintf(" of %d", e.maxRetries+1)
		}
		parts = append(parts, s)
	}
	if !e.retryAt.IsZero() {
		if d := e.retryAt.Sub(now); d > 0 {
			parts = append(parts, "again in "+about(d))
		} else {
			parts = append(parts, "again now")
		}
	}
	return strings.Join(append(parts, e.more...), ", ")
}

func (w *eventWriter) write(e *event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.time.IsZero() {
		e.time = w.now()
	}
	line := e.time.Local().Format(w.layout) + "  "
	if e.id != "" {
		w.width = min(max(w.width, utf8.RuneCountInString(e.id)), 24)
		line += e.id + strings.Repeat(" ", max(w.width-utf8.RuneCountInString(e.id), 0)) + "  "
	}
	line += w.painted(e)
	_, err := io.WriteString(w.w, line+"\n")
	return err
}

func (w *eventWriter) painted(e *event) string {
	text := e.text(e.time)
	paint := map[string]string{"succeeded": "32", "failed": "33", "dead": "31"}[e.message]
	if paint == "" && e.level >= slog.LevelWarn {
		paint = "33"
	}
	if !w.colour || paint == "" {
		return text
	}
	return "\x1b[" + paint + "m" + text + "\x1b[0m"
}
