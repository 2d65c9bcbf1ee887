package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"queuectl/spool/internal/fsys"
)

// A SyncLevel is how much a power cut may cost.
type SyncLevel string

// The levels of durability.
const (
	SyncFull   SyncLevel = "full"   // an enqueue returns when its job is on disk; state changes follow at sync_interval
	SyncAlways SyncLevel = "always" // each state change, too, is on disk before it counts
	SyncOff    SyncLevel = "off"    // for scratch work: a power cut may lose jobs
)

// A Config is the settings in force. Durations of 0 mean "none" or "for ever",
// as the setting's help says.
type Config struct {
	RetryBase          float64
	MaxRetries         int
	RetryMaxDelay      time.Duration
	RetryJitter        float64
	Timeout            time.Duration
	KeepCompleted      time.Duration
	KeepCompletedCount int
	KeepDead           time.Duration
	PriorityAging      time.Duration
	Sync               SyncLevel
	SyncInterval       time.Duration
	ScanInterval       time.Duration
	MaxJobSize         int64
	AllowGroup         int64    // -1: none
	AllowUsers         []uint32 // beside ourselves and root
	EnvDeny            []string // patterns in capitals; see DeniesEnv
	RunAs              RunAs
}

const maxMaxJobSize = 64 << 20

// A Setting is one key of the configuration, as a person sees it.
type Setting struct {
	Key     string `json:"key"`
	Value   string `json:"value"`
	Set     bool   `json:"set"` // in config.json; else Value is the default
	Default string `json:"default"`
	Type    string `json:"type"`
	Unit    string `json:"unit"`
	Bounds  string `json:"bounds"`
	Help    string `json:"help"`
	// Invalid says what is wrong with the value in config.json, "" where nothing is.
	Invalid string `json:"invalid,omitempty"`
}

// A ConfigError says why a key or its value is refused.
type ConfigError struct {
	Key, Value, Reason string
}

func (e *ConfigError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("config key %q %s", e.Key, e.Reason)
	}
	return fmt.Sprintf("config %s: %q %s", e.Key, e.Value, e.Reason)
}

const configFile = "config.json"

// settings is what stands in config.json, by key.
type settings map[string]json.RawMessage

// readConfig reads config.json.
func (s *Spool) readConfig() (settings, error) {
	b, err := s.readFile(configFile, 1<<20)
	if notExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var raw settings
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, fmt.Errorf("%s is not valid JSON (%w); mend it, or remove it to have the defaults", s.abs(configFile), err)
	}
	set := make(settings, len(raw))
	for name, v := range raw {
		if k, err := findKey(name); err == nil && k.name != name { // by hand, with dashes
			if _, both := raw[k.name]; both {
				continue
			}
			name = k.name
		}
		set[name] = v
	}
	return set, nil
}

// readTrustedConfig is readConfig of a file that only we or root could have
// written: it says whom else to trust.
func (s *Spool) readTrustedConfig() (settings, error) {
	info, err := s.fs.Lstat(configFile)
	if err == nil {
		nobody := defaults
		if why := s.distrust(configFile, info, &nobody); why != "" {
			return nil, fmt.Errorf("%s is not read: it %s; %s", s.abs(configFile), why, s.ownWayOut(configFile, info))
		}
	}
	return s.readConfig()
}

// configOf is the configuration with these values. What is wrong with some of
// them does not touch the others.
func configOf(set settings) (Config, error) {
	c := defaults
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(set)) { // so that the error is always the same
		k, err := findKey(name)
		if err == nil {
			var v any
			if v, err = k.read(set[name]); err == nil {
				k.set(&c, v)
			} else if k.name == runAsKey {
				c.RunAs = runAsUnknown
			}
		} else {
			err = standsInFile(name, err)
		}
		errs = append(errs, err)
	}
	return c, errors.Join(errs...)
}

// Config returns the values in force. An error says what in config.json is
// wrong: a wrong value has its default in its place, and of a file that cannot be
// read the last values go on, or all defaults.
func (s *Spool) Config() (Config, error) { return s.config.get(s) }

func (s *Spool) cfg() Config {
	c, _ := s.config.get(s)
	return c
}

// configCache saves reading config.json each time. It looks whether the file
// has changed at most every configAge.
type configCache struct {
	mu     sync.Mutex
	looked time.Time
	info   fsys.Info
	value  Config
	err    error
	known  bool
}

const configAge = 100 * time.Millisecond

func (c *configCache) get(s *Spool) (Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := s.sys.now()
	if age := now.Sub(c.looked); c.known && age >= 0 && age < configAge {
		return c.value, c.err
	}
	c.looked = now
	info, err := s.fs.Lstat(configFile)
	if err != nil && !notExist(err) && c.known {
		return c.value, c.err
	}
	if c.known && info == c.info {
		return c.value, c.err
	}
	c.info = info
	set, err := s.readTrustedConfig()
	if err != nil {
		if errors.As(err, new(syscall.Errno)) {
			c.info = fsys.Info{Size: -1} // says nothing of the file: it is read again
		}
		if !c.known {
			c.value, c.known = defaults, true
			c.value.RunAs = runAsUnknown
		}
		c.err = err
		return c.value, c.err
	}
	c.value, c.err = configOf(set)
	c.known = true
	return c.value, c.err
}

// forget has the next get read the file, and one that is missing by then be
// missed.
func (c *configCache) forget() {
	c.mu.Lock()
	c.looked, c.info = time.Time{}, fsys.Info{Size: -1}
	c.mu.Unlock()
}

// Setting is one key with the value in force. Of a value in config.json that is
// wrong, that is the default, and Invalid says why.
func (s *Spool) Setting(name string) (Setting, error) {
	k, err := findKey(name)
	if err != nil {
		return Setting{}, err
	}
	set, err := s.readTrustedConfig()
	if err != nil {
		return Setting{}, err
	}
	return k.in(set), nil
}

// in is the key with the value that a configuration gives it.
func (k *key) in(set settings) Setting {
	raw, isSet := set[k.name]
	if !isSet {
		return k.setting(k.def, false)
	}
	v, err := k.read(raw)
	if err != nil {
		invalid := k.setting(k.def, true)
		invalid.Invalid = err.Error()
		return invalid
	}
	return k.setting(k.kind.format(v), true)
}

// Settings lists all keys with the values in force. With an error, which says
// what in config.json is wrong, there is a list, too, if it could be read.
func (s *Spool) Settings() ([]Setting, error) {
	set, err := s.readTrustedConfig()
	if err != nil {
		return nil, err
	}
	return set.list()
}

func (set settings) list() ([]Setting, error) {
	list := make([]Setting, len(keys))
	var errs []error
	for i := range keys {
		list[i] = keys[i].in(set)
		if list[i].Invalid != "" {
			errs = append(errs, errors.New(list[i].Invalid))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if _, err := findKey(name); err != nil {
			errs = append(errs, standsInFile(name, err))
		}
	}
	return list, errors.Join(errs...)
}

// SetConfig sets a key. Pools that run take it up by themselves.
func (s *Spool) SetConfig(name, value string) error {
	k, err := findKey(name)
	if err != nil {
		return err
	}
	if _, err := k.parse(value); err != nil {
		if strings.TrimSpace(value) == "" {
			err = &ConfigError{Key: k.name, Reason: fmt.Sprintf(`is given nothing%s; "queuectl config unset %s" gives it its default`, k.allowed(), k.name)}
		}
		return err
	}
	return s.changeConfig(func(set settings) { set[k.name] = k.written(strings.TrimSpace(value)) })
}

// UnsetConfig gives a key its default again. One that does not exist is removed
// from config.json where it stands there.
func (s *Spool) UnsetConfig(name string) error {
	k, err := findKey(name)
	if err != nil {
		if set, e := s.readTrustedConfig(); e == nil {
			if _, there := set[name]; there {
				return s.changeConfig(func(set settings) { delete(set, name) })
			}
		}
		return err
	}
	return s.changeConfig(func(set settings) { delete(set, k.name) })
}

// changeConfig reads, changes and replaces config.json under a lock of its
// own.
func (s *Spool) changeConfig(change func(settings)) error {
	defer s.config.forget()
	return s.exclusively("tmp/config.lock", func() error {
		set, err := s.readTrustedConfig()
		if err != nil {
			return err
		}
		if set == nil {
			set = make(settings)
		}
		change(set)
		return s.unwritable(s.writeOver(configFile, set.file()))
	})
}

// file is config.json: sorted, a key a line.
func (set settings) file() []byte {
	b := []byte("{")
	for i, name := range slices.Sorted(maps.Keys(set)) {
		if i > 0 {
			b = append(b, ',')
		}
		quoted, _ := marshal(name)
		b = fmt.Appendf(b, "\n  %s: %s", quoted, set[name])
	}
	return append(b, "\n}\n"...)
}
