//go:build !windows

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"queuectl/spool"

	"github.com/agnivade/levenshtein"
)

// What comes from a job may hold anything. Before it reaches a terminal, all
// that could steer one, or pass for something else, is written as text.

// escape makes one harmless line of s.
func escape(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r != utf8.RuneError && unicode.IsPrint(r) {
			b.WriteString(s[:n])
		} else {
			b.WriteString(code(r, s[:n]))
		}
		s = s[n:]
	}
	return b.String()
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// code is a character that is not printed.
func code(r rune, raw string) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\t':
		return `\t`
	case r == '\r':
		return `\r`
	case r == utf8.RuneError && len(raw) == 1:
		return fmt.Sprintf(`\x%02x`, raw[0])
	case r < 0x100:
		return fmt.Sprintf(`\x%02x`, r)
	case r < 0x10000:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}

// An escaper passes text on to a terminal: lines and tabs stay, all else that
// is no print is escaped.
type escaper struct {
	w    io.Writer
	rest []byte // the beginning of a character
}

func (e *escaper) Write(p []byte) (int, error) {
	text := append(e.rest, p...)
	var out []byte
	for len(text) > 0 && utf8.FullRune(text) {
		r, n := utf8.DecodeRune(text)
		if r == '\n' || r == '\t' || (unicode.IsPrint(r) && r != utf8.RuneError) {
			out = append(out, text[:n]...)
		} else {
			out = append(out, code(r, string(text[:n]))...)
		}
		text = text[n:]
	}
	e.rest = append([]byte(nil), text...)
	_, err := e.w.Write(out)
	return len(p), err
}

// Close writes what was left of a character that never came whole.
func (e *escaper) Close() error {
	_, err := io.WriteString(e.w, escape(string(e.rest)))
	e.rest = nil
	return err
}

// writeJSON writes v on a line. What json leaves as it is and a terminal might
// obey, or show as something else (DEL, the C1 controls, marks of direction), is
// escaped: to a program it is the same.
func writeJSON(w io.Writer, v any) error {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	s := b.String()
	if strings.IndexFunc(s, steers) >= 0 {
		b.Reset()
		for _, r := range s {
			if !steers(r) {
				b.WriteRune(r)
				continue
			}
			for _, u := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, `\u%04x`, u)
			}
		}
		s = b.String()
	}
	_, err := io.WriteString(w, s)
	return err
}

func steers(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }

// when says a time as people do: "now", "in 12s", "3m ago".
func when(t, now time.Time) string {
	switch d := t.Sub(now); {
	case t.IsZero():
		return ""
	case d >= time.Second:
		return "in " + about(d)
	case d <= -time.Second:
		return about(-d) + " ago"
	}
	return "now"
}

// whenDue is when, for what waits: the past is now.
func whenDue(t, now time.Time) string {
	if t.After(now) {
		return when(t, now)
	}
	return "now"
}

const day = 24 * time.Hour

// units are those of about, each up to where the next is used.
var units = []struct {
	below, big, small  time.Duration
	bigName, smallName string
}{
	{time.Minute, time.Second, 0, "s", ""},
	{time.Hour, time.Minute, time.Second, "m", "s"},
	{day, time.Hour, time.Minute, "h", "m"},
	{0, day, time.Hour, "d", "h"}, // however long
}

// about is a duration in its one or two largest units: 250ms, 12s, 3m20s, 45m.
func about(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	for _, u := range units {
		if d >= 10*u.big || u.small == 0 {
			d = d.Round(u.big)
		} else {
			d = d.Round(u.small)
		}
		if d >= u.below && u.below != 0 {
			continue
		}
		s := fmt.Sprintf("%d%s", d/u.big, u.bigName)
		if d < 10*u.big && u.small != 0 && d%u.big != 0 {
			s += fmt.Sprintf("%d%s", d%u.big/u.small, u.smallName)
		}
		return s
	}
	return ""
}

// local is a point in time for people.
func local(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05 -0700")
}

// commandText is what a job does, on a line as a shell would take it.
func commandText(j *spool.JobInfo) string {
	switch {
	case j.Command != "":
		return j.Command
	case len(j.Argv) > 0:
		return shellLine(j.Argv)
	case j.Kind != "":
		return "kind " + j.Kind
	}
	return ""
}

// shellLine quotes arguments for a shell.
func shellLine(argv []string) string {
	q := make([]string, len(argv))
	for i, a := range argv {
		q[i] = a
		if a == "" || strings.IndexFunc(a, special) >= 0 {
			q[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(q, " ")
}

func special(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_./,:=@%+", r)
}

// plural counts things.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// closest is the name that a mistyped word may have meant, or "".
func closest(word string, names []string) string {
	best, near := "", 1+max(1, len(word)/3)
	for _, n := range names {
		if d := levenshtein.ComputeDistance(word, n); d < near {
			best, near = n, d
		}
	}
	return best
}
