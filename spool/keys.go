package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
)

// A kind of values: how they are read, written and described.
type valueKind struct {
	name, unit string
	bare       bool // it stands in config.json as a number
	parse      func(string) (any, error)
	format     func(any) string
}

// A key of the configuration.
type key struct {
	name     string
	kind     valueKind
	bounds   string
	def      string
	help     string
	min, max float64
	set      func(*Config, any)
}

var (
	number = valueKind{
		name: "number", bare: true,
		parse:  func(s string) (any, error) { return strconv.ParseFloat(s, 64) },
		format: func(v any) string { return strconv.FormatFloat(v.(float64), 'g', -1, 64) },
	}
	integer = valueKind{
		name: "integer", bare: true,
		parse:  func(s string) (any, error) { n, err := strconv.ParseInt(s, 10, 64); return float64(n), err },
		format: func(v any) string { return strconv.FormatFloat(v.(float64), 'f', -1, 64) },
	}
	bytesKind = valueKind{name: "integer", unit: "bytes", bare: true, parse: integer.parse, format: integer.format}
	span      = valueKind{
		name: "duration",
		parse: func(s string) (any, error) {
			d, err := ParseDuration(s)
			if err != nil {
				return nil, errors.New(`is not a duration such as "90s", "1h30m" or "7d"`)
			}
			return d.Seconds(), nil
		},
		format: func(v any) string { return FormatDuration(seconds(v)) },
	}
	level = valueKind{
		name: "word",
		parse: func(s string) (any, error) {
			switch l := SyncLevel(s); l {
			case SyncFull, SyncAlways, SyncOff:
				return l, nil
			}
			return nil, errNoWord
		},
		format: func(v any) string { return string(v.(SyncLevel)) },
	}
)

// errNoWord: what is allowed is told beside it.
var errNoWord = errors.New("is none of the words that it may be")

// runAsKey is the key that must never be passed over.
const runAsKey = "run_as"

var runAsKind = valueKind{
	name: "word",
	parse: func(s string) (any, error) {
		switch r := RunAs(s); r {
		case RunAsWorker, RunAsOwner:
			return r, nil
		}
		return nil, errNoWord
	},
	format: func(v any) string { return string(v.(RunAs)) },
}

func seconds(v any) time.Duration {
	return time.Duration(math.Round(v.(float64) * float64(time.Second)))
}

const century = 100 * 365 * 24 * 3600

// keys is the configuration, in the order in which it is shown.
var keys = []key{
	{
		name: "retry_base", kind: number, def: "2", min: 0, max: 1e6, bounds: "0 to 1000000",
		help: "a job waits retry_base^n seconds after its n-th failed attempt",
		set:  func(c *Config, v any) { c.RetryBase = v.(float64) },
	},
	{
		name: "max_retries", kind: integer, def: "3", min: 0, max: maxMaxRetries, bounds: "0 to 1000000",
		help: "how often a failed job is tried again before it is dead",
		set:  func(c *Config, v any) { c.MaxRetries = int(v.(float64)) },
	},
	{
		name: "retry_max_delay", kind: span, def: "1d", min: 0, max: century, bounds: "0 to 100 years",
		help: "the longest wait before a retry",
		set:  func(c *Config, v any) { c.RetryMaxDelay = seconds(v) },
	},
	{
		name: "retry_jitter", kind: number, def: "0", min: 0, max: 1, bounds: "0 to 1",
		help: "spreads the wait before a retry by up to this part of it, both ways",
		set:  func(c *Config, v any) { c.RetryJitter = v.(float64) },
	},
	{
		name: "timeout", kind: span, def: "0s", min: 0, max: century, bounds: "0 to 100 years",
		help: "how long an attempt may take where the job does not say (0: no limit)",
		set:  func(c *Config, v any) { c.Timeout = seconds(v) },
	},
	{
		name: "keep_completed", kind: span, def: "7d", min: 0, max: century, bounds: "0 to 100 years",
		help: "how long a completed job is kept (0: for ever)",
		set:  func(c *Config, v any) { c.KeepCompleted = seconds(v) },
	},
	{
		name: "keep_completed_count", kind: integer, def: "1000000", min: 0, max: 1e9, bounds: "0 to 1000000000",
		help: "how many completed jobs are kept at most (0: no limit)",
		set:  func(c *Config, v any) { c.KeepCompletedCount = int(v.(float64)) },
	},
	{
		name: "keep_dead", kind: span, def: "0s", min: 0, max: century, bounds: "0 to 100 years",
		help: "how long a dead job is kept (0: for ever)",
		set:  func(c *Config, v any) { c.KeepDead = seconds(v) },
	},
	{
		name: "priority_aging", kind: span, def: "0s", min: 0, max: century, bounds: "0 to 100 years",
		help: "how much waiting makes up for one step of priority (0: strict priorities)",
		set:  func(c *Config, v any) { c.PriorityAging = seconds(v) },
	},
	{
		name: "sync", kind: level, def: "full", bounds: "full, always, off",
		help: "what is on disk when: full: what was enqueued; always: every state change too; off: nothing for sure",
		set:  func(c *Config, v any) { c.Sync = v.(SyncLevel) },
	},
	{
		name: "sync_interval", kind: span, def: "1s", min: 0.01, max: 3600, bounds: "10ms to 1h",
		help: "with sync full, how often state changes are made durable",
		set:  func(c *Config, v any) { c.SyncInterval = seconds(v) },
	},
	{
		name: "scan_interval", kind: span, def: "1s", min: 0.01, max: 3600, bounds: "10ms to 1h",
		help: "how often pools list the spool where no events tell of all changes",
		set:  func(c *Config, v any) { c.ScanInterval = seconds(v) },
	},
	{
		name: "max_job_size", kind: bytesKind, def: "1048576", min: 64, max: maxMaxJobSize, bounds: "64 to 67108864",
		help: "the longest job that is taken",
		set:  func(c *Config, v any) { c.MaxJobSize = int64(v.(float64)) },
	},
	{
		name: "allow_group", kind: accountKind("group", 1, groupNumber), bounds: "a group's name or number, or nothing",
		help: "the group that may write to the spool's directories and job files: with pending/, a drop box",
		set:  func(c *Config, v any) { c.AllowGroup = firstID(v) },
	},
	{
		name: "allow_users", kind: accountKind("user", math.MaxInt, userNumber), bounds: "names or numbers of users, separated by commas, or nothing",
		help: "users that may own directories and job files of the spool, and so run commands as the worker",
		set:  func(c *Config, v any) { c.AllowUsers = v.(accounts).ids },
	},
	{
		name: "env_deny", kind: patternsKind, def: defaultDeny, bounds: "names of variables, with * and ?, separated by commas, or nothing",
		help: "variables of the worker's environment that commands do not get",
		set:  func(c *Config, v any) { c.EnvDeny = v.(patterns).list },
	},
	{
		name: runAsKey, kind: runAsKind, def: "worker", bounds: "worker, owner",
		help: "as whom jobs run: the worker's user, or with a worker of root the user who dropped the job (never root)",
		set:  func(c *Config, v any) { c.RunAs = v.(RunAs) },
	},
}

// parse reads and bounds a value of this key.
func (k *key) parse(value string) (any, error) {
	v, err := k.kind.parse(strings.TrimSpace(value))
	if err != nil {
		if k.kind.name == "number" || k.kind.name == "integer" {
			err = fmt.Errorf("is not %s", map[string]string{"number": "a number", "integer": "a whole number"}[k.kind.name])
		}
		return nil, &ConfigError{Key: k.name, Value: value, Reason: err.Error() + k.allowed()}
	}
	if f, ok := v.(float64); ok && !(f >= k.min && f <= k.max) {
		return nil, &ConfigError{Key: k.name, Value: value, Reason: "is out of bounds" + k.allowed()}
	}
	return v, nil
}

// read reads and bounds a value of this key as it stands in config.json: a text,
// or a bare number.
func (k *key) read(raw json.RawMessage) (any, error) {
	var value any
	_ = json.Unmarshal(raw, &value) // it is valid
	switch v := value.(type) {
	case string:
		return k.parse(v)
	case float64:
		return k.parse(string(raw))
	}
	return nil, &ConfigError{Key: k.name, Value: string(raw), Reason: "is neither a text nor a number" + k.allowed()}
}

// written is a value as it stands in config.json: numbers as numbers.
func (k *key) written(value string) json.RawMessage {
	if k.kind.bare && json.Valid([]byte(value)) {
		return json.RawMessage(value)
	}
	text, _ := marshal(value)
	return text
}

func (k *key) allowed() string { return "; allowed is " + k.bounds }

func (k *key) setting(value string, set bool) Setting {
	return Setting{
		Key: k.name, Value: value, Set: set, Default: k.def, Type: k.kind.name, Unit: k.kind.unit,
		Bounds: k.bounds, Help: k.help,
	}
}

// findKey returns the key of that name; a dash counts as an underscore.
func findKey(name string) (*key, error) {
	clean := strings.ReplaceAll(name, "-", "_")
	for i := range keys {
		if keys[i].name == clean {
			return &keys[i], nil
		}
	}
	// The name that the key had in QueueCTL.
	if clean == "backoff_base" {
		return nil, &ConfigError{Key: name, Reason: `does not exist; did you mean "retry_base"?`}
	}
	best, near := "", 4
	for i := range keys {
		if d := levenshtein.ComputeDistance(clean, keys[i].name); d < near {
			best, near = keys[i].name, d
		}
	}
	if best != "" {
		return nil, &ConfigError{Key: name, Reason: fmt.Sprintf("does not exist; did you mean %q?", best)}
	}
	return nil, &ConfigError{Key: name, Reason: `does not exist; "queuectl config list" shows all keys`}
}

// standsInFile adds to the error of a key that does not exist what to do where it
// stands in config.json.
func standsInFile(name string, err error) error {
	var e *ConfigError
	if !errors.As(err, &e) {
		return err
	}
	reason, _ := strings.CutSuffix(e.Reason, `; "queuectl config list" shows all keys`)
	return &ConfigError{Key: name, Reason: reason + fmt.Sprintf(`; "queuectl config unset %s" removes it`, name)}
}

var defaults = func() (c Config) {
	for i := range keys {
		v, err := keys[i].parse(keys[i].def)
		if err != nil {
			panic(err) // a wrong default in the table above
		}
		keys[i].set(&c, v)
	}
	return c
}()

// SettingKeys lists all keys with their defaults.
func SettingKeys() []Setting {
	list := make([]Setting, len(keys))
	for i := range keys {
		list[i] = keys[i].setting(keys[i].def, false)
	}
	return list
}
