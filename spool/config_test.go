package spool

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// valuesOf are, for each key, values that are taken, with what is shown of
// them, and values that are refused.
var valuesOf = map[string]struct {
	good map[string]string
	bad  []string
}{
	"retry_base":           {map[string]string{"2": "2", "1.5": "1.5", "0": "0", "1e6": "1e+06"}, []string{"", "x", "-1", "1000001", "NaN", "Inf"}},
	"max_retries":          {map[string]string{"0": "0", "1000000": "1000000", " 7 ": "7"}, []string{"", "-1", "1.5", "1000001", "0x10"}},
	"retry_max_delay":      {map[string]string{"0s": "0s", "90s": "1m30s", "36500d": "36500d"}, []string{"", "90", "-1s", "36501d", "week"}},
	"retry_jitter":         {map[string]string{"0": "0", "0.25": "0.25", "1": "1"}, []string{"-0.1", "1.1", "NaN", "10%"}},
	"timeout":              {map[string]string{"0": "0s", "1h": "1h"}, []string{"1", "-1h"}},
	"keep_completed":       {map[string]string{"0": "0s", "7d": "7d"}, []string{"7 days"}},
	"keep_completed_count": {map[string]string{"0": "0", "1000000000": "1000000000"}, []string{"-1", "1000000001", "many"}},
	"keep_dead":            {map[string]string{"30d": "30d"}, []string{"-"}},
	"priority_aging":       {map[string]string{"10m": "10m"}, []string{"10"}},
	"sync":                 {map[string]string{"full": "full", "always": "always", "off": "off"}, []string{"on", "", "FULL", "1"}},
	"sync_interval":        {map[string]string{"10ms": "10ms", "1h": "1h"}, []string{"0", "9ms", "61m"}},
	"scan_interval":        {map[string]string{"10ms": "10ms", "1h": "1h"}, []string{"0", "1ms", "2h"}},
	"max_job_size":         {map[string]string{"64": "64", "67108864": "67108864"}, []string{"63", "67108865", "1M"}},
	"allow_group":          {map[string]string{"": "", "14": "14"}, []string{"nosuchgroup", "1,2", "-1"}},
	"env_deny":             {map[string]string{"": "", "A_*, *b": "A_*, *b", "*": "*", "null": "null", `"A"`: `"A"`, "7": "7"}, []string{"A[", "A=B", "a/b", "A B", "A,B\tC"}},
	"run_as":               {map[string]string{"worker": "worker", "owner": "owner"}, []string{"", "root", "Owner"}},
	"allow_users":          {map[string]string{"": "", "14,root": "14,root"}, []string{"nosuchuser", "root,nosuchuser"}},
}

func setting(t *testing.T, s *Spool, name string) Setting {
	t.Helper()
	list, err := s.Settings()
	must(t, err)
	for _, l := range list {
		if l.Key == name {
			return l
		}
	}
	t.Fatalf("no setting %q", name)
	return Setting{}
}

func TestConfigKeys(t *testing.T) {
	b := newBench(t)
	must(t, b.UnsetConfig("sync"))
	for _, k := range SettingKeys() {
		c, ok := valuesOf[k.Key]
		if !ok {
			t.Errorf("this test has no values for %s", k.Key)
		}
		if k.Help == "" || k.Bounds == "" || k.Type == "" || k.Value != k.Default || k.Set {
			t.Errorf("%s is described as %+v", k.Key, k)
		}
		if s := setting(t, b.Spool, k.Key); s != k {
			t.Errorf("%s is %+v; want the default", k.Key, s)
		}
		for value, shown := range c.good {
			must(t, b.SetConfig(k.Key, value))
			if s := setting(t, b.Spool, k.Key); s.Value != shown || !s.Set || s.Default != k.Default {
				t.Errorf("%s set to %q is %+v; want %q", k.Key, value, s, shown)
			}
			if _, err := b.Config(); err != nil {
				t.Errorf("%s = %q: %v", k.Key, value, err)
			}
		}
		before := b.read(configFile)
		for _, value := range c.bad {
			err := b.SetConfig(k.Key, value)
			var ce *ConfigError
			if !errors.As(err, &ce) || ce.Key != k.Key || !strings.Contains(err.Error(), k.Bounds) {
				t.Errorf("%s set to %q: %v", k.Key, value, err)
			}
		}
		if b.read(configFile) != before {
			t.Errorf("%s: a refused value changed the file", k.Key)
		}
		must(t, b.UnsetConfig(k.Key))
		if s := setting(t, b.Spool, k.Key); s != k {
			t.Errorf("%s is %+v; want the default again", k.Key, s)
		}
	}
	if c, err := b.Config(); !reflect.DeepEqual(c, defaults) || err != nil {
		t.Errorf("in force is %+v, %v; want the defaults", c, err)
	}
	must(t, b.SetConfig("sync", "off"))
}

func TestConfigInForce(t *testing.T) {
	b := newBench(t)
	for k, v := range map[string]string{
		"retry_base": "3", "max_retries": "4", "retry-max-delay": "5m", "retry_jitter": "0.5", "timeout": "6s", "keep_completed": "7d",
		"keep_completed_count": "8", "keep_dead": "9d", "priority_aging": "10s", "sync": "always", "sync_interval": "11ms",
		"scan_interval": "12ms", "max_job_size": "1300", "allow_group": "14", "allow_users": "15, root", "env_deny": "X*,y", "run_as": "owner",
	} {
		must(t, b.SetConfig(k, v))
	}
	day := 24 * time.Hour
	want := Config{3, 4, 5 * time.Minute, 0.5, 6 * time.Second, 7 * day, 8, 9 * day, 10 * time.Second, SyncAlways, 11 * time.Millisecond, 12 * time.Millisecond, 1300, 14, []uint32{15, 0}, []string{"X*", "Y"}, RunAsOwner}
	if c, err := b.Config(); !reflect.DeepEqual(c, want) || err != nil {
		t.Errorf("in force is %+v, %v", c, err)
	}
	if c, err := b.another().Config(); !reflect.DeepEqual(c, want) || err != nil {
		t.Errorf("for another process in force is %+v, %v", c, err)
	}
}

func TestConfigDefaults(t *testing.T) {
	want := Config{2, 3, 24 * time.Hour, 0, 0, 7 * 24 * time.Hour, 1000000, 0, 0, SyncFull, time.Second, time.Second, 1 << 20, -1, nil, strings.Split(defaultDeny, ","), RunAsWorker}
	if !reflect.DeepEqual(defaults, want) {
		t.Errorf("defaults are %+v", defaults)
	}
}

func TestConfigUnknownKey(t *testing.T) {
	b := newBench(t)
	for name, hint := range map[string]string{
		"max_retry":    `did you mean "max_retries"?`,
		"MAX_RETRIES":  `config list`,
		"synch":        `did you mean "sync"?`,
		"backoff_base": `did you mean "retry_base"?`,
		"colour":       `config list`,
		"":             `does not exist`,
	} {
		for what, err := range map[string]error{"set": b.SetConfig(name, "1"), "unset": b.UnsetConfig(name)} {
			var ce *ConfigError
			if !errors.As(err, &ce) {
				t.Fatalf("%s %q: %v", what, name, err)
			}
			wantText(t, err, hint)
		}
	}
}

// A key that does not exist, or that a person wrote with a dash as in a command,
// can be unset; and what is wrong is always told in one order.
func TestConfigKeysByHand(t *testing.T) {
	b := newBench(t)
	b.clk.freeze()
	b.put(configFile, `{"max-retries": 9, "retry-base": 5, "retry_base": 4, "nonsense": true, "a": 1, "b": 1, "c": 1, "timeout": "soon"}`)
	b.clk.add(configAge)
	first := ""
	for range 20 {
		set, err := b.readConfig()
		must(t, err)
		_, err = configOf(set)
		if first == "" {
			first = err.Error()
		}
		if got := err.Error(); got != first {
			t.Fatalf("it says\n%s, and before\n%s", got, first)
		}
	}
	wantText(t, errors.New(first), `"nonsense" does not exist; "queuectl config unset nonsense" removes it`)
	all, err := b.Settings()
	wantText(t, err, `"queuectl config unset nonsense" removes it`)
	c, _ := b.Config()
	if c.MaxRetries != 9 || c.RetryBase != 4 || all[0].Value != "4" || all[1].Value != "9" || !all[1].Set {
		t.Errorf("in force is %+v, and told is %+v", c, all[:2])
	}
	for _, name := range []string{"nonsense", "a", "b", "c", "max-retries", "timeout"} {
		must(t, b.UnsetConfig(name))
	}
	if got := b.read(configFile); got != "{\n  \"retry_base\": 4\n}\n" {
		t.Errorf("left is %s", got)
	}
	if err := b.UnsetConfig("nonsense"); err == nil {
		t.Error("it is unset a second time")
	}
}

// What is wrong in a file that was edited by hand does not touch the rest.
func TestConfigWrongByHand(t *testing.T) {
	b := newBench(t)
	b.clk.freeze()
	look := func() { b.clk.add(configAge) }
	b.put(configFile, `{"max_retries": "many", "retry_base": 4, "nonsense": true, "timeout": "2s", "sync": "off"}`)
	look()
	c, err := b.Config()
	wantText(t, err, "max_retries")
	wantText(t, err, "nonsense")
	if c.MaxRetries != defaults.MaxRetries || c.RetryBase != 4 || c.Timeout != 2*time.Second {
		t.Errorf("in force is %+v", c)
	}
	st, err := b.Status()
	must(t, err)
	if len(st.Problems) != 1 || !strings.Contains(st.Problems[0].Reason, "max_retries") {
		t.Errorf("problems are %+v", st.Problems)
	}
	rep, err := b.Check(ctx, false)
	must(t, err)
	if v := violated(rep); len(v) != 1 || v[0] != invConfig {
		t.Errorf("violated is %v\n%s", v, findings(rep))
	}

	b.put(configFile, `{"max_retries": 9,`) // half: what was in force stays
	look()
	if c, err := b.Config(); err == nil || c.RetryBase != 4 {
		t.Errorf("in force is %+v, %v", c, err)
	}
	if err := b.SetConfig("timeout", "3s"); err == nil {
		t.Error("a file that cannot be read was replaced")
	}
	// A process that begins now has the defaults, and does not know as whom jobs run.
	unread := defaults
	unread.RunAs = runAsUnknown
	if c, err := b.another().Config(); err == nil || !reflect.DeepEqual(c, unread) {
		t.Errorf("in force is %+v, %v", c, err)
	}

	b.rm(configFile)
	look()
	if c, err := b.Config(); err != nil || !reflect.DeepEqual(c, defaults) {
		t.Errorf("in force is %+v, %v", c, err)
	}
	must(t, b.SetConfig("sync", "off"))
	b.clk.thaw()
}

// What is neither a text nor a number is no value of any key, and least of all
// one that sets secrets free.
func TestConfigOfOtherTypes(t *testing.T) {
	b := newBench(t)
	for _, value := range []string{"null", "true", "[]", `["A"]`, "{}"} {
		for _, k := range keys {
			b.put(configFile, fmt.Sprintf("{%q: %s}", k.name, value))
			set, err := b.Setting(k.name)
			must(t, err)
			if !strings.Contains(set.Invalid, "neither a text nor a number") || set.Value != k.setting(k.def, false).Value {
				t.Errorf("%s of %s is %+v", k.name, value, set)
			}
			raw, err := b.readConfig()
			must(t, err)
			if c, err := configOf(raw); err == nil || !slices.Equal(c.EnvDeny, defaults.EnvDeny) || (c.RunAs == RunAsWorker) == (k.name == runAsKey) {
				t.Errorf("%s of %s: in force is %+v, %v", k.name, value, c, err)
			}
		}
	}
	must(t, b.UnsetConfig(runAsKey))
	must(t, b.SetConfig("sync", "off"))
}

// A change is seen by others without a restart.
func TestConfigChangeIsSeen(t *testing.T) {
	b := newBench(t)
	other := b.another()
	other.clk.freeze()
	if c, _ := other.Config(); c.MaxRetries != 3 {
		t.Fatalf("in force is %+v", c)
	}
	must(t, b.SetConfig("max_retries", "8"))
	other.clk.add(configAge)
	if c, _ := other.Config(); c.MaxRetries != 8 {
		t.Errorf("in force is %+v", c)
	}
	if c, _ := b.Config(); c.MaxRetries != 8 {
		t.Errorf("who changed it has %+v", c)
	}
}

// No change is lost among many at once.
func TestConfigChangesAtOnce(t *testing.T) {
	b := newBench(t)
	var group sync.WaitGroup
	for key, v := range map[string]string{"max_retries": "1", "retry_base": "1", "timeout": "1s", "keep_dead": "1d", "retry_jitter": "1", "max_job_size": "100"} {
		s := b.another()
		group.Go(func() {
			if err := s.SetConfig(key, v); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	list, err := b.Settings()
	must(t, err)
	set := 0
	for _, s := range list {
		if s.Set {
			set++
		}
	}
	if set != 7 {
		t.Errorf("%d keys are set:\n%s", set, b.read(configFile))
	}
}

func TestConfigFileIsJSON(t *testing.T) {
	b := newBench(t)
	must(t, b.SetConfig("max_retries", "5"))
	must(t, b.SetConfig("timeout", "90s"))
	const want = "{\n  \"max_retries\": 5,\n  \"sync\": \"off\",\n  \"timeout\": \"90s\"\n}\n"
	if got := b.read(configFile); got != want {
		t.Errorf("the file is\n%s", got)
	}
	info, err := os.Stat(b.at(configFile))
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %o", info.Mode().Perm())
	}
}

func TestDeniesEnv(t *testing.T) {
	c := defaults
	for name, want := range map[string]bool{
		"GITHUB_TOKEN": true, "CLIENT_SECRET": true, "SECRET_KEY_BASE": true, "PGPASSWORD": true, "db_password": true,
		"OPENAI_API_KEY": true, "AWS_ACCESS_KEY_ID": true, "AWS_SECRET_ACCESS_KEY": true, "AWS_SESSION_TOKEN": true,
		"SSH_PRIVATE_KEY": true, "GOOGLE_APPLICATION_CREDENTIALS": true, "A/B_TOKEN": true,
		"PATH": false, "HOME": false, "LANG": false, "AWS_REGION": false, "TOKENIZERS_PARALLELISM": false, "SSH_AUTH_SOCK": false,
	} {
		if got := c.DeniesEnv(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	c.EnvDeny = nil
	if c.DeniesEnv("GITHUB_TOKEN") {
		t.Error("an empty list denies something")
	}
}

// An error of the moment says nothing of config.json, which is read again.
func TestConfigReadAgain(t *testing.T) {
	b := newBench(t)
	must(t, b.SetConfig("max_retries", "7"))
	if n := b.cfg().MaxRetries; n != 7 {
		t.Fatalf("max_retries is %d", n)
	}
	must(t, b.another().SetConfig("max_retries", "9"))
	b.clk.add(2 * configAge)
	b.faults.before("open", "config.json", func() error {
		return &os.PathError{Op: "open", Path: "config.json", Err: syscall.EMFILE}
	})
	if c, err := b.Config(); c.MaxRetries != 7 || !errors.Is(err, syscall.EMFILE) {
		t.Errorf("with the error: max_retries %d, %v", c.MaxRetries, err)
	}
	b.clk.add(2 * configAge)
	if c, err := b.Config(); c.MaxRetries != 9 || err != nil {
		t.Errorf("after it: max_retries %d, %v", c.MaxRetries, err)
	}
}

// What others could have written into config.json is neither shown as in force,
// nor made ours by the next change.
func TestUntrustedConfigStaysSo(t *testing.T) {
	b := newBench(t)
	b.put("config.json", `{"sync":"off","max_retries":7,"allow_users":"61235"}`)
	must(t, os.Chmod(b.at("config.json"), 0o666))
	b.clk.add(configAge)
	_, get := b.Setting("max_retries")
	_, list := b.Settings()
	for what, err := range map[string]error{
		"get": get, "list": list, "set": b.SetConfig("max_retries", "6"), "unset": b.UnsetConfig("max_retries"), "unset of an unknown key": b.UnsetConfig("nosuch"),
	} {
		if err == nil || what != "unset of an unknown key" && !strings.Contains(err.Error(), "is not read") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if c, _ := b.Config(); len(c.AllowUsers) > 0 || c.MaxRetries == 7 {
		t.Errorf("in force: %+v", c)
	}
	must(t, os.Chmod(b.at("config.json"), 0o600))
}
