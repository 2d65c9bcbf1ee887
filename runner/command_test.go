package runner

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"queuectl/spool"
)

func TestCommandOutcomes(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id, members string
		state       spool.State
		outcome     spool.Outcome
		reason      string
	}{
		{"ok", `"command":"true"`, spool.Completed, spool.Succeeded, ""},
		{"argv", `"argv":["sh","-c","exit 0"]`, spool.Completed, spool.Succeeded, ""},
		{"relative", `"argv":["./prog"],"cwd":"` + dir + `"`, spool.Dead, spool.FailedOutcome, `command "./prog" not found`},
		{"cwd", `"command":"[ $(pwd) = ` + dir + ` ]","cwd":"` + dir + `"`, spool.Completed, spool.Succeeded, ""},
		{"exit", `"command":"exit 3"`, spool.Dead, spool.FailedOutcome, "exit status 3"},
		{"signal", `"command":"kill -SEGV $$"`, spool.Dead, spool.FailedOutcome, "killed by SIGSEGV"},
		{"unknown", `"command":"no-such-command"`, spool.Dead, spool.FailedOutcome, "exit status 127 (command not found)"},
		{"dash", `"command":"-x; exit 4"`, spool.Dead, spool.FailedOutcome, "exit status 4"},
		{"plus", `"command":"+x || true"`, spool.Completed, spool.Succeeded, ""},
		{"unknown-argv", `"argv":["no-such-command"]`, spool.Dead, spool.FailedOutcome, `command "no-such-command" not found`},
		{"plain", `"argv":["` + plain + `"]`, spool.Dead, spool.FailedOutcome, "is not executable"},
		{"directory", `"argv":["` + dir + `"]`, spool.Dead, spool.FailedOutcome, "is a directory"},
		{"no-cwd", `"command":"true","cwd":"/no/such"`, spool.Dead, spool.FailedOutcome, "cwd /no/such does not exist"},
		{"file-cwd", `"command":"true","cwd":"` + plain + `"`, spool.Dead, spool.FailedOutcome, "is not a directory"},
		{"timeout", `"command":"sleep 60","timeout":"50ms"`, spool.Dead, spool.TimedOut, "timed out after 50ms (killed by SIGTERM)"},
		{"late-success", `"command":"trap 'exit 0' TERM; sleep 60 & wait","timeout":"200ms"`, spool.Dead, spool.TimedOut, "timed out after"},
	} {
		t.Run(c.id, func(t *testing.T) {
			s := newSpool(t)
			enqueue(t, s, `{"id":%q,"max_retries":0,%s}`, c.id, c.members)
			drained(t, s, Options{Commands: true})
			j := job(t, s, c.id)
			e := last(t, j)
			if j.State != c.state || e.Outcome != c.outcome || (c.reason == "") != (e.Reason == "") {
				t.Fatalf("state %s, outcome %s, reason %q", j.State, e.Outcome, e.Reason)
			}
			mustHold(t, e.Reason, c.reason)
			if c.reason != "" {
				mustHold(t, logOf(t, j), c.reason)
			} else if j.Log != "" && logOf(t, j) == "" {
				if _, err := os.Stat(j.Log); err == nil {
					t.Error("an empty log was left behind")
				}
			}
		})
	}
}

func TestExitAndSignalAreRecorded(t *testing.T) {
	s := newSpool(t)
	enqueue(t, s, `{"id":"exit","command":"exit 3","max_retries":0}`)
	enqueue(t, s, `{"id":"signal","command":"kill -KILL $$","max_retries":0}`)
	drained(t, s, Options{Commands: true, Slots: 2})
	if e := last(t, job(t, s, "exit")); e.Exit == nil || *e.Exit != 3 || e.Signal != "" {
		t.Errorf("%+v", e)
	}
	if e := last(t, job(t, s, "signal")); e.Exit != nil || e.Signal != "SIGKILL" {
		t.Errorf("%+v", e)
	}
}

func TestOutputAndRetries(t *testing.T) {
	s := newSpool(t)
	enqueue(t, s, `{"id":"a","command":"echo out $QUEUECTL_ATTEMPT; echo err >&2; exit 1","max_retries":2}`)
	drained(t, s, Options{Commands: true})
	j := job(t, s, "a")
	if j.State != spool.Dead || j.Attempts != 3 {
		t.Errorf("%s after %d attempts", j.State, j.Attempts)
	}
	text := logOf(t, j)
	if !strings.HasPrefix(text, "out 1\nerr\nqueuectl: attempt 1 failed: exit status 1\n--- attempt 2, ") {
		t.Errorf("log:\n%s", text)
	}
	if n := strings.Count(text, "--- attempt"); n != 2 {
		t.Errorf("%d separators in:\n%s", n, text)
	}
}

// A job may say that it has no timeout where one is configured.
func TestNoTimeout(t *testing.T) {
	s := newSpool(t, "timeout", "200ms")
	enqueue(t, s, `{"id":"long","command":"sleep 0.5","timeout":"0","max_retries":0}`)
	enqueue(t, s, `{"id":"short","command":"sleep 5","max_retries":0}`)
	drained(t, s, Options{Commands: true, Slots: 2})
	if a, b := job(t, s, "long").State, job(t, s, "short").State; a != spool.Completed || b != spool.Dead {
		t.Errorf("the one without a timeout is %s, the other one %s", a, b)
	}
}

// What queuectl writes into a log begins a line, also after output that ends none.
func TestLogLines(t *testing.T) {
	s := newSpool(t)
	enqueue(t, s, `{"id":"a","command":"printf out; exit 1","max_retries":1}`)
	drained(t, s, Options{Commands: true})
	text := regexp.MustCompile(`2\d{3}-\S+`).ReplaceAllString(logOf(t, job(t, s, "a")), "TIME")
	const want = "out\nqueuectl: attempt 1 failed: exit status 1\n--- attempt 2, TIME\nout\nqueuectl: attempt 2 failed: exit status 1\n"
	if text != want {
		t.Errorf("log:\n%s", text)
	}
}

// A job cannot read through its standard output what it, or another job that had
// its id, has printed.
func TestLogIsOnlyWritten(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("asks /proc")
	}
	s := newSpool(t)
	enqueue(t, s, `{"id":"a","command":"grep flags: /proc/self/fdinfo/1 /proc/self/fdinfo/2"}`)
	drained(t, s, Options{Commands: true})
	modes := regexp.MustCompile(`flags:\s*[0-7]*([0-7])\n`).FindAllStringSubmatch(logOf(t, job(t, s, "a")), -1)
	if len(modes) != 2 || modes[0][1] != "1" || modes[1][1] != "1" { // O_WRONLY
		t.Errorf("its log is open as %q", modes)
	}
}

// A failed job is due retry_base^n seconds after its end, to the microsecond.
func TestRetryIsDueAfterTheEnd(t *testing.T) {
	s := newSpool(t, "retry_base", "1.5")
	enqueue(t, s, `{"id":"a","command":"false"}`)
	start(t, s, Options{Commands: true})
	for n := 1; n <= 2; n++ {
		until(t, "it has failed again", func() bool { return job(t, s, "a").State == spool.Failed && job(t, s, "a").Attempts == n })
		j := job(t, s, "a")
		want := time.Duration(math.Pow(1.5, float64(n)) * float64(time.Second))
		if got := j.Due.Sub(last(t, j).Ended.Time); got != want {
			t.Errorf("after attempt %d it is due %v after its end; want %v", n, got, want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	s := newSpool(t)
	cwd := t.TempDir()
	enqueue(t, s, `{"id":"a","argv":["env"],"cwd":%q,"env":{"B":"job","C":"job","QUEUECTL_JOB_ID":"mine"},"max_retries":7}`, cwd)
	drained(t, s, Options{Commands: true, Environ: []string{"PATH=" + os.Getenv("PATH"), "A=old", "A=pool", "B=pool", "QUEUECTL_ATTEMPT=9"}})
	text := "\n" + logOf(t, job(t, s, "a"))
	for _, want := range []string{
		"A=pool", "B=job", "C=job", "QUEUECTL_JOB_ID=a", "QUEUECTL_ATTEMPT=1", "QUEUECTL_MAX_RETRIES=7",
		"QUEUECTL_SPOOL=" + s.Dir(), "PWD=" + cwd,
	} {
		if strings.Count(text, "\n"+want+"\n") != 1 {
			t.Errorf("not once %q in:%s", want, text)
		}
		name, _, _ := strings.Cut(want, "=")
		if strings.Count(text, "\n"+name+"=") != 1 {
			t.Errorf("%s is set several times in:%s", name, text)
		}
	}
	file := text[strings.Index(text, "QUEUECTL_JOB_FILE=")+len("QUEUECTL_JOB_FILE="):]
	file, _, _ = strings.Cut(file, "\n")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	mustHold(t, string(b), `"id":"a"`)
}

// Secrets of the pool do not reach its commands, unless the job has them itself
// or the configuration says otherwise, which counts from the next start on.
func TestDeniedEnvironment(t *testing.T) {
	s := newSpool(t)
	o := Options{Commands: true, Environ: []string{"PATH=" + os.Getenv("PATH"), "MY_TOKEN=pool", "DB_PASSWORD=pool", "KEEP=pool"}}
	enqueue(t, s, `{"id":"a","argv":["env"],"env":{"MY_TOKEN":"job"}}`)
	r := start(t, s, o)
	text := "\n" + logOf(t, untilState(t, s, "a", spool.Completed))
	for want, there := range map[string]bool{"\nMY_TOKEN=job\n": true, "DB_PASSWORD": false, "\nKEEP=pool\n": true} {
		if strings.Contains(text, want) != there {
			t.Errorf("%q: not %v in%s", want, there, text)
		}
	}
	if err := s.SetConfig("env_deny", "keep"); err != nil {
		t.Fatal(err)
	}
	until(t, "the new list counts", func() bool { return !slices.ContainsFunc(r.given(), func(kv string) bool { return kv == "KEEP=pool" }) })
	enqueue(t, s, `{"id":"b","argv":["env"]}`)
	mustHold(t, logOf(t, untilState(t, s, "b", spool.Completed)), "DB_PASSWORD=pool")
}

// A job has its own lock as descriptor 63 and nothing else of the pool's, its
// standard input is empty, and it leads its process group.
func TestProcessSetup(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("needs /proc")
	}
	for range lockFD + 1 { // a start closes the lower numbers, so that they prove nothing
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	s := newSpool(t)
	enqueue(t, s, `{"id":"a","command":"for f in /proc/$$/fd/*; do echo ${f##*/} $(readlink $f); done; grep flags /proc/$$/fdinfo/63; cut -d' ' -f1,5 /proc/$$/stat; echo $$"}`)
	drained(t, s, Options{Commands: true})
	text := logOf(t, job(t, s, "a"))
	lines := strings.Split(strings.TrimSpace(text), "\n")
	fds := map[string]string{}
	for _, l := range lines {
		if n, to, ok := strings.Cut(strings.Replace(l, ":\t", " ", 1), " "); ok {
			fds[n] = to
		}
	}
	if fds["0"] != "/dev/null" || !strings.HasSuffix(fds["1"], "/a.log") || fds["1"] != fds["2"] {
		t.Errorf("streams: %v", fds)
	}
	if !strings.Contains(fds["63"], "/processing/") {
		t.Errorf("descriptor 63 is %q", fds["63"])
	}
	if flags := fds["flags"]; !strings.HasSuffix(flags, "0") {
		t.Errorf("descriptor 63 is open with the flags %s", flags)
	}
	pid := lines[len(lines)-1]
	if got := lines[len(lines)-2]; got != pid+" "+pid {
		t.Errorf("pid and group are %q, want %s twice", got, pid)
	}
	for n, to := range fds {
		if strings.HasPrefix(to, s.Dir()) && n != "1" && n != "2" && n != "63" {
			t.Errorf("descriptor %s leads to %s", n, to)
		}
	}
}

// A child that keeps the output open does not keep the job from ending, and is
// left alone.
func TestBackgroundChild(t *testing.T) {
	s := newSpool(t)
	flag := filepath.Join(t.TempDir(), "flag")
	enqueue(t, s, `{"id":"a","command":"(while [ ! -e %s ]; do sleep 0.01; done; echo late) & true"}`, flag)
	drained(t, s, Options{Commands: true})
	j := job(t, s, "a")
	if j.State != spool.Completed {
		t.Fatalf("%s", j.State)
	}
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "the child writes", func() bool { return strings.Contains(logOf(t, j), "late") })
}

// A shell ends at once when its group is told to; what it runs may clean up.
func TestGroupMayCleanUp(t *testing.T) {
	for name, argv := range map[string]string{
		"shell":     `["sh","-c","sh clean.sh; true"]`,
		"two":       `["sh","-c","sh clean.sh & exec sleep 60"]`,
		"no shell":  `["sh","clean.sh"]`,
		"its child": `["sh","-c","(sh clean.sh; true); true"]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSpool(t)
			dir := t.TempDir()
			script := "trap 'sleep 0.3; echo cleaned; exit' TERM; echo ready; while :; do sleep 0.01; done\n"
			if err := os.WriteFile(filepath.Join(dir, "clean.sh"), []byte(script), 0o600); err != nil {
				t.Fatal(err)
			}
			enqueue(t, s, `{"id":"a","argv":%s,"cwd":%q}`, argv, dir)
			r := start(t, s, Options{Commands: true})
			until(t, "it runs", func() bool { return strings.Contains(logOf(t, job(t, s, "a")), "ready") })
			if _, err := s.Cancel(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			untilState(t, s, "a", spool.Dead)
			if log := logOf(t, job(t, s, "a")); !strings.Contains(log, "cleaned") {
				t.Errorf("it printed %q", log)
			}
			r.ends()
		})
	}
}

// After a kill of ours nothing of the group is left.
func TestKillReachesTheGroup(t *testing.T) {
	s := newSpool(t)
	pid := filepath.Join(t.TempDir(), "pid")
	enqueue(t, s, `{"id":"a","command":"(trap '' TERM; echo $$ > %s; while :; do sleep 0.01; done) & while :; do sleep 0.01; done","timeout":"300ms","max_retries":0}`, pid)
	drained(t, s, Options{Commands: true})
	e := last(t, job(t, s, "a"))
	if e.Outcome != spool.TimedOut {
		t.Fatalf("%+v", e)
	}
	until(t, "the group has ended", func() bool { return !groupLives(e.PID) })
}
