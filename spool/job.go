package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Job is what a user asks for. Exactly one of Command, Argv and Kind is set.
type Job struct {
	// ID names the job for ever: [A-Za-z0-9][A-Za-z0-9._-]{0,127}. Where it is
	// empty, a random one is made.
	ID string
	// Command is run by /bin/sh -c. One of plain words may be started without
	// the shell, with the same outcome.
	Command string
	// Argv is a program and its arguments, run without a shell.
	Argv []string
	// Kind names the Go handler that does the job, with Args as it likes them.
	Kind string
	Args json.RawMessage
	// MaxRetries is how often a failed job is tried again; nil: as configured.
	MaxRetries *int
	// Priority is 0 to 9, 9 first; nil: 5.
	Priority *int
	// RunAt is when the job may start; Delay says the same from the moment of
	// its making on. Only one of them may be set.
	RunAt time.Time
	Delay time.Duration
	// Timeout ends an attempt that takes longer; 0: as configured; NoTimeout:
	// nothing does.
	Timeout time.Duration
	// Cwd is the absolute path in which the command runs; "": the pool's.
	Cwd string
	// Env is added to the pool's environment.
	Env map[string]string
	// CreatedAt is the user's own and decides nothing.
	CreatedAt time.Time
}

// NoTimeout is the Timeout of a job that may take as long as it likes, whatever
// is configured. In JSON it is "0s".
const NoTimeout time.Duration = -1

// jobJSON is the form of a Job in JSON.
type jobJSON struct {
	ID         string            `json:"id,omitempty"`
	Command    string            `json:"command,omitempty"`
	Argv       []string          `json:"argv,omitempty"`
	Kind       string            `json:"kind,omitempty"`
	Args       json.RawMessage   `json:"args,omitempty"`
	MaxRetries *int              `json:"max_retries,omitempty"`
	Priority   *int              `json:"priority,omitempty"`
	RunAt      string            `json:"run_at,omitempty"`
	Delay      string            `json:"delay,omitempty"`
	Timeout    string            `json:"timeout,omitempty"`
	Cwd        string            `json:"cwd,omitempty"`
	Env        map[string]string `json:"env,omitempty"`
	CreatedAt  string            `json:"created_at,omitempty"`
}

// MarshalJSON writes the job as it is enqueued: times in RFC 3339, durations
// as in "90s".
func (j Job) MarshalJSON() ([]byte, error) {
	return marshal(jobJSON{
		ID: j.ID, Command: j.Command, Argv: j.Argv, Kind: j.Kind, Args: j.Args,
		MaxRetries: j.MaxRetries, Priority: j.Priority,
		RunAt: timeText(j.RunAt), Delay: durationText(j.Delay), Timeout: durationText(j.Timeout),
		Cwd: j.Cwd, Env: j.Env, CreatedAt: timeText(j.CreatedAt),
	})
}

// validUTF8 refuses what JSON cannot hold as it is: another command would run.
func (j *Job) validUTF8() error {
	bad := func(member, s string) error {
		if utf8.ValidString(s) {
			return nil
		}
		return &InvalidError{Member: member, Reason: fmt.Sprintf("holds bytes that are not UTF-8: %q", s)}
	}
	errs := []error{bad("id", j.ID), bad("command", j.Command), bad("kind", j.Kind), bad("cwd", j.Cwd)}
	for _, a := range j.Argv {
		errs = append(errs, bad("argv", a))
	}
	for k, v := range j.Env {
		errs = append(errs, bad("env", k+"="+v))
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func durationText(d time.Duration) string {
	switch d {
	case 0:
		return ""
	case NoTimeout:
		return "0s"
	}
	return d.String()
}

// marshal is json.Marshal without the escapes that are meant for HTML: people
// read these files.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// RetryDelay is how long a job waits after its n-th failed attempt:
// retry_base^n seconds, spread by retry_jitter, at most retry_max_delay.
// chance is a random number in [0,1).
func RetryDelay(c Config, n int, chance float64) time.Duration {
	longest := c.RetryMaxDelay.Seconds()
	sec := math.Pow(c.RetryBase, float64(n)) // +Inf where it overflows
	sec *= 1 + c.RetryJitter*(2*chance-1)
	if !(sec < longest) {
		return c.RetryMaxDelay
	}
	return time.Duration(sec * float64(time.Second))
}

// ParseDuration reads a duration such as "90s", "1h30m" or "7d" (a day has 24
// hours). It must not be negative; 0 needs no unit.
func ParseDuration(s string) (time.Duration, error) {
	days, rest, found := strings.Cut(s, "d")
	if !found {
		days, rest = "0", s
	}
	n, ok := parseUint(days)
	if !ok || n > maxDuration/(24*uint64(time.Hour)) {
		return 0, errDuration
	}
	total := time.Duration(n) * 24 * time.Hour
	if rest != "" || !found {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 || d > time.Duration(maxDuration)-total {
			return 0, errDuration
		}
		total += d
	}
	return total, nil
}

var errDuration = errors.New(`must be a duration such as "90s", "1h30m" or "7d", at most 100 years`)

// maxDuration is the longest duration that is taken: 100 years.
const maxDuration = uint64(100 * 365 * 24 * time.Hour)

// FormatDuration writes what ParseDuration reads, in the shortest form.
func FormatDuration(d time.Duration) string {
	if d != 0 && d%(24*time.Hour) == 0 {
		return strconv.FormatInt(int64(d/(24*time.Hour)), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
