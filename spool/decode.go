package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// ErrInvalid is what every *InvalidError is.
var ErrInvalid = errors.New("no valid job")

// An InvalidError says why something can be no job.
type InvalidError struct {
	Member string // the JSON member to blame, "" where it is none
	Reason string
	cause  error
}

func (e *InvalidError) Error() string {
	if e.Member == "" {
		return e.Reason
	}
	return fmt.Sprintf("member %q %s", e.Member, e.Reason)
}

// Is makes it an ErrInvalid.
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }

func (e *InvalidError) Unwrap() error { return e.cause }

// errIncomplete: more bytes might make a job of it.
var errIncomplete = errors.New("incomplete")

// A decoded is a job's file, or what is to become one, taken apart.
type decoded struct {
	Job
	data    []byte
	history []Entry // nil where there is none

	// Where the parts lie in data: the history member from the quote of its
	// name to the end of its value, the first byte of that value, and the
	// closing brace of the object. Both histName and histEnd are 0, and
	// histStart is the length of data, where there is no history.
	histName, histStart, histEnd, brace int
	members                             int // besides history

	torn bool // the file ends otherwise, and data with a tail that was mended
}

// base is what the user wrote, up to where a further member can be added;
// comma says that one is needed before it.
func (d *decoded) base() (base []byte, comma bool) {
	comma = d.members > 0
	if d.histEnd == 0 {
		return d.data[:d.brace], comma
	}
	before, after := d.data[:d.histName], d.data[d.histEnd:d.brace]
	if i := bytes.LastIndexByte(before, ','); i >= 0 && len(bytes.TrimSpace(before[i+1:])) == 0 {
		before = before[:i]
	} else if i := bytes.IndexByte(after, ','); i >= 0 {
		after = after[i+1:]
	}
	if len(after) == 0 {
		return before, comma
	}
	return append(before[:len(before):len(before)], after...), comma
}

var bom = []byte("\xef\xbb\xbf")

// decodeJob takes a job's file apart. It is strict, because another command
// than the one meant must never run: names are matched exactly and must not
// stand twice, and bytes that are not UTF-8 are refused. What the user wrote
// (all but the history) may be max bytes long.
func decodeJob(data []byte, max int64) (*decoded, error) {
	data = bytes.TrimPrefix(data, bom)
	if int64(len(data)) > max+2*maxHistory {
		return nil, tooLong(len(data), max)
	}
	d := &decoded{data: data, histStart: len(data)}
	if err := d.object(); err != nil {
		return nil, err
	}
	if n := len(data) - (d.histEnd - d.histName); int64(n) > max {
		return nil, tooLong(n, max)
	}
	return d, d.consistent()
}

func tooLong(n int, max int64) error {
	return &InvalidError{Reason: fmt.Sprintf("is %d bytes long, the limit is %d (config max_job_size)", n, max)}
}

// decoders are kept, because a new one allocates what a job's members need.
var (
	decoders = sync.Pool{New: func() any { return jsontext.NewDecoder(nothing) }}
	nothing  = bytes.NewReader(nil)
)

// object reads the one object that the file has to be.
func (d *decoded) object() error {
	dec := decoders.Get().(*jsontext.Decoder)
	dec.Reset(bytes.NewBuffer(d.data))
	defer func() {
		dec.Reset(nothing) // or it keeps the data
		decoders.Put(dec)
	}()
	if kind := dec.PeekKind(); kind != '{' && kind != 0 {
		return &InvalidError{Reason: "is not a JSON object"}
	}
	if _, err := dec.ReadToken(); err != nil {
		return d.syntax(err)
	}
	for dec.PeekKind() != '}' {
		if err := d.member(dec); err != nil {
			return err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return d.syntax(err)
	}
	end := int(dec.InputOffset())
	d.brace = end - 1
	if rest := bytes.TrimLeft(d.data[end:], " \t\r\n"); len(rest) > 0 {
		return &InvalidError{Reason: fmt.Sprintf("holds something after its JSON object (at byte %d)", len(d.data)-len(rest)+1)}
	}
	return nil
}

// member reads one name and its value.
func (d *decoded) member(dec *jsontext.Decoder) error {
	quoted, err := dec.ReadValue()
	if err != nil {
		return d.syntax(err)
	}
	start := int(dec.InputOffset()) - len(quoted)
	name, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return d.syntax(err)
	}
	value, err := dec.ReadValue()
	if err != nil {
		return d.syntax(err)
	}
	if string(name) == "history" {
		d.histName, d.histEnd = start, int(dec.InputOffset())
		d.histStart = d.histEnd - len(value)
		return d.readHistory(value)
	}
	d.members++
	return d.set(string(name), value)
}

// syntax says what is wrong with the JSON.
func (d *decoded) syntax(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return &InvalidError{Reason: "is not a whole JSON object: it ends too early", cause: errIncomplete}
	}
	var syn *jsontext.SyntacticError
	if !errors.As(err, &syn) {
		return &InvalidError{Reason: "is not valid JSON: " + err.Error()}
	}
	member, at := syn.JSONPointer.LastToken(), syn.ByteOffset+1
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return &InvalidError{Member: member, Reason: "stands twice"}
	case !utf8.Valid(d.data):
		return &InvalidError{Member: member, Reason: fmt.Sprintf("holds bytes that are not UTF-8 (at byte %d)", at)}
	}
	return &InvalidError{Reason: fmt.Sprintf("is not valid JSON: %s (at byte %d)", syn.Err, at)}
}

// setters read the members that queuectl knows.
var setters = map[string]func(*decoded, jsontext.Value) error{
	"id":          func(d *decoded, v jsontext.Value) error { return d.setID(v) },
	"command":     func(d *decoded, v jsontext.Value) error { return plain(v, &d.Command) },
	"argv":        func(d *decoded, v jsontext.Value) error { return d.setArgv(v) },
	"kind":        func(d *decoded, v jsontext.Value) error { return plain(v, &d.Kind) },
	"args":        func(d *decoded, v jsontext.Value) error { d.Args = append(json.RawMessage{}, v...); return nil },
	"max_retries": func(d *decoded, v jsontext.Value) error { return whole(v, maxMaxRetries, &d.MaxRetries) },
	"priority":    func(d *decoded, v jsontext.Value) error { return whole(v, 9, &d.Priority) },
	"run_at":      func(d *decoded, v jsontext.Value) error { return moment(v, &d.RunAt) },
	"delay":       func(d *decoded, v jsontext.Value) error { return duration(v, &d.Delay) },
	"timeout":     func(d *decoded, v jsontext.Value) error { return d.setTimeout(v) },
	"cwd":         func(d *decoded, v jsontext.Value) error { return d.setCwd(v) },
	"env":         func(d *decoded, v jsontext.Value) error { return d.setEnv(v) },
	"created_at":  func(d *decoded, v jsontext.Value) error { return moment(v, &d.CreatedAt) },
}

// maxMaxRetries bounds max_retries.
const maxMaxRetries = 1_000_000

// loose folds a name to how people misspell it: maxRetries, Max-Retries.
func loose(name string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		if r == '_' || r == '-' {
			return -1
		}
		return r
	}, name))
}

// looseMembers are the names of setters, and history, by their loose form.
var looseMembers = func() map[string]string {
	m := map[string]string{"history": "history"}
	for name := range setters {
		m[loose(name)] = name
	}
	return m
}()

func (d *decoded) set(name string, v jsontext.Value) error {
	f, known := setters[name]
	if !known {
		if meant, ok := looseMembers[loose(name)]; ok {
			return &InvalidError{Member: name, Reason: fmt.Sprintf("is not known; did you mean %q?", meant)}
		}
		return nil
	}
	err := f(d, v)
	if err == nil {
		return nil
	}
	return &InvalidError{Member: name, Reason: err.Error()}
}

// kinds says what a JSON value is, for error messages.
func kindOfValue(v jsontext.Value) string {
	switch v.Kind() {
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 'n':
		return "null"
	}
	return "true or false"
}

func text(v jsontext.Value, to *string) error {
	if v.Kind() != '"' {
		return fmt.Errorf("must be a string, not %s", kindOfValue(v))
	}
	b, err := jsontext.AppendUnquote(nil, v)
	*to = string(b)
	return err
}

var (
	errEmpty = errors.New("must not be empty")
	errNUL   = errors.New("must not hold a NUL character")
)

// plain is text that can be given to the system: not empty, no NUL.
func plain(v jsontext.Value, to *string) error {
	err := text(v, to)
	switch {
	case err != nil:
		return err
	case *to == "":
		return errEmpty
	case strings.IndexByte(*to, 0) >= 0:
		return errNUL
	}
	return nil
}

func whole(v jsontext.Value, max int, to **int) error {
	n, err := strconv.Atoi(string(v))
	switch {
	case v.Kind() != '0':
		return fmt.Errorf("must be a whole number, not %s", kindOfValue(v))
	case err != nil || n < 0 || n > max:
		return fmt.Errorf("must be a whole number from 0 to %d, not %s", max, v)
	}
	*to = &n
	return nil
}

func moment(v jsontext.Value, to *time.Time) error {
	var s string
	if err := text(v, &s); err != nil {
		return err
	}
	t, err := time.Parse(time.RFC3339Nano, strings.ToUpper(s)) // t and z will do
	if u := t.UTC(); err != nil || u.Year() < 1 || u.Year() > 9999 || u.IsZero() {
		return fmt.Errorf("must be a time as in RFC 3339, such as %q, not %q", "2026-11-23T18:00:00Z", s)
	}
	*to = t
	return nil
}

func duration(v jsontext.Value, to *time.Duration) (err error) {
	var s string
	if v.Kind() == '0' {
		return fmt.Errorf("must be a string with a unit, such as \"%ss\", not a number", v)
	}
	if err := text(v, &s); err != nil {
		return err
	}
	if *to, err = ParseDuration(s); err != nil {
		return fmt.Errorf("%w, not %q", err, s)
	}
	return nil
}

func (d *decoded) setTimeout(v jsontext.Value) error {
	err := duration(v, &d.Timeout)
	if err == nil && d.Timeout == 0 {
		d.Timeout = NoTimeout
	}
	return err
}

// setID looks only whether there is an id: what it may hold depends on who
// gives it.
func (d *decoded) setID(v jsontext.Value) error {
	if err := text(v, &d.ID); err != nil {
		return err
	}
	if d.ID == "" {
		return errEmpty
	}
	return nil
}

func (d *decoded) setArgv(v jsontext.Value) error {
	var raw []jsontext.Value
	if v.Kind() != '[' || json.Unmarshal(v, &raw) != nil {
		return fmt.Errorf("must be an array of strings, not %s", kindOfValue(v))
	}
	if len(raw) == 0 {
		return errEmpty
	}
	for i, e := range raw {
		var s string
		err := text(e, &s)
		switch {
		case err != nil:
			return fmt.Errorf("[%d] %w", i, err)
		case i == 0 && s == "":
			return fmt.Errorf("[0], the program, %w", errEmpty)
		case strings.IndexByte(s, 0) >= 0:
			return fmt.Errorf("[%d] %w", i, errNUL)
		}
		d.Argv = append(d.Argv, s)
	}
	return nil
}

func (d *decoded) setCwd(v jsontext.Value) error {
	if err := plain(v, &d.Cwd); err != nil {
		return err
	}
	if !filepath.IsAbs(d.Cwd) {
		return fmt.Errorf("must be an absolute path, not %q", d.Cwd)
	}
	return nil
}

func (d *decoded) setEnv(v jsontext.Value) error {
	var raw map[string]jsontext.Value
	if v.Kind() != '{' || json.Unmarshal(v, &raw) != nil {
		return fmt.Errorf("must be an object of strings, not %s", kindOfValue(v))
	}
	d.Env = make(map[string]string, len(raw))
	for k, e := range raw {
		var s string
		err := text(e, &s)
		switch {
		case err != nil:
			return fmt.Errorf("%q %w", k, err)
		case k == "" || strings.ContainsAny(k, "=\x00"):
			return fmt.Errorf("%q can be no variable's name", k)
		case strings.IndexByte(s, 0) >= 0:
			return fmt.Errorf("%q %w", k, errNUL)
		}
		d.Env[k] = s
	}
	return nil
}

// consistent checks what several members say together.
func (d *decoded) consistent() error {
	var what []string
	for _, m := range []struct {
		name string
		set  bool
	}{{"command", d.Command != ""}, {"argv", d.Argv != nil}, {"kind", d.Kind != ""}} {
		if m.set {
			what = append(what, m.name)
		}
	}
	switch {
	case len(what) == 0:
		return &InvalidError{Member: "command", Reason: "is missing (or argv, or kind)"}
	case len(what) > 1:
		return &InvalidError{Member: what[1], Reason: fmt.Sprintf("does not go with %q: a job has one of command, argv and kind", what[0])}
	case d.Args != nil && d.Kind == "":
		return &InvalidError{Member: "args", Reason: fmt.Sprintf("goes with \"kind\" only, not with %q", what[0])}
	case !d.RunAt.IsZero() && d.Delay != 0:
		return &InvalidError{Member: "delay", Reason: `does not go with "run_at"`}
	}
	return nil
}

// readHistory reads the history, which must be one that queuectl wrote.
func (d *decoded) readHistory(v jsontext.Value) error {
	notOurs := &InvalidError{Member: "history", Reason: "is not one that queuectl wrote"}
	d.history = make([]Entry, 0, min(bytes.Count(v, []byte("\n")), keepLines)) // with room for one more
	if v.Kind() != '[' || json.Unmarshal(v, &d.history) != nil || len(d.history) == 0 {
		return notOurs
	}
	for _, e := range d.history {
		if e.Attempt < 0 || e.Dropped < 0 || (e.Event == "" && e.Claim == "") || !validTo(e.To) {
			return notOurs
		}
	}
	if life, _ := lifeOf(d.history); life == "" {
		return notOurs
	}
	return nil
}

// validTo reports whether a line's "to" is a place in a state directory.
func validTo(to string) bool {
	if to == "" {
		return true
	}
	_, ok := ParseName(path.Base(to))
	parts := strings.Split(to, "/")
	return ok && isState(State(parts[0])) && (len(parts) == 2 || (len(parts) == 3 && overflowDir(parts[1])))
}
