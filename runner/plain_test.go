package runner

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPlainWords(t *testing.T) {
	for command, want := range map[string]string{
		"true":                             "true",
		"  convert\tin":                    "", // a tab is rare enough
		" ls  -l /tmp ":                    "ls|-l|/tmp",
		"make -j2 CC=gcc":                  "make|-j2|CC=gcc",
		"ffmpeg -i a.mp4 -s 640:480 b%d":   "ffmpeg|-i|a.mp4|-s|640:480|b%d",
		"./run.sh user@host":               "./run.sh|user@host",
		"":                                 "",
		"   ":                              "",
		"A=b true":                         "",
		"echo hello":                       "",
		"exit 3":                           "",
		". ./env":                          "",
		"if":                               "",
		"time true":                        "",
		"ls *":                             "",
		"ls a?":                            "",
		"ls [a]":                           "",
		"ls ~":                             "",
		"ls ~user":                         "",
		"ls $HOME":                         "",
		"ls `pwd`":                         "",
		"ls 'a b'":                         "",
		`ls "a"`:                           "",
		`ls a\ b`:                          "",
		"ls|wc":                            "",
		"ls ^ wc":                          "", // a pipe in the oldest shells
		"ls;ls":                            "",
		"ls&":                              "",
		"ls>x":                             "",
		"ls <x":                            "",
		"(ls)":                             "",
		"{ ls":                             "",
		"! ls":                             "",
		"ls #x":                            "",
		"ls\nls":                           "",
		"ls \x00":                          "",
		"lsé":                              "",
		strings.Repeat("a", 3) + " a{b,c}": "",
	} {
		if got := strings.Join(plainWords(command), "|"); got != want {
			t.Errorf("%q: %q instead of %q", command, got, want)
		}
	}
}

// TestShellWordsAreKnown asks the shells of this machine about every word that
// begins with a letter and is a builtin or a reserved word there.
func TestShellWordsAreKnown(t *testing.T) {
	same := []string{"true", "false", "sleep", "cat", "getconf", "mknod", "nohup", "realpath", "rename"}
	asked := 0
	for shell, script := range map[string]string{
		"bash": "compgen -b; compgen -k",
		"dash": `for w in $(ls /usr/bin /bin) ` + strings.Join(shellWords, " ") + `; do case $(type "$w" 2>&1) in *builtin*|*keyword*) echo "$w";; esac; done`,
	} {
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		out, err := exec.Command(shell, "-c", script).Output()
		if err != nil {
			t.Fatal(shell, err)
		}
		for _, w := range strings.Fields(string(out)) {
			if len(plainWords(w)) == 0 {
				asked++
			} else if !slices.Contains(same, w) {
				t.Errorf("%s has %q itself, and we would start a program", shell, w)
			}
		}
	}
	if asked == 0 {
		t.Skip("neither bash nor dash is here")
	}
}

// TestPlainAsSh compares what a plain command does with what the same does
// when the shell is made to read it.
func TestPlainAsSh(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"nproc":      "echo no first line; exit 4\n",
		"shebang":    "#!/bin/sh\necho $0 $# $1; exit 5\n",
		"no-program": "#!/no/such/interpreter\n",
		"locked":     "",
		"sub/own":    "#!/bin/sh\necho own\n",
	} {
		p := filepath.Join(dir, name)
		mode := os.FileMode(0o755)
		if name == "locked" {
			mode = 0o600
		}
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	// The shell tells the environment its own mind on these.
	own := func(l string) bool {
		name, _, _ := strings.Cut(l, "=")
		return name == "_" || name == "SHLVL" || name == "OLDPWD" || strings.HasPrefix(name, "QUEUECTL_JOB_")
	}
	for i, c := range []struct{ command, path string }{
		{"true", ""},
		{"false", ""},
		{"env", ""},
		{"printenv PWD", ""},
		{"ls /no/such", ""},
		{"no-such-command", ""},
		{"no-such-command", "/no/such"},
		{"true", "/no/such"},
		{"./nproc", ""},
		{"./shebang a b", ""},
		{"./no-program", ""},
		{"./locked", ""},
		{"./sub", ""},
		{"./none", ""},
		{"./nproc/x", ""},
		{"nproc", dir},
		{"shebang 1", dir},
		{"no-program", dir},
		{"locked", dir},
		{"sub", dir},
		{"own", "sub:/usr/bin:/bin"},
		{"own", "/usr/bin:" + dir + "/sub"},
		{"nproc", ":/usr/bin"},
	} {
		if plainWords(c.command) == nil {
			t.Fatalf("%q is not plain", c.command)
		}
		s := newSpool(t)
		env := ""
		if c.path != "" {
			env = `,"env":{"PATH":"` + c.path + `"}`
		}
		enqueue(t, s, `{"id":"plain","command":%q,"cwd":%q,"max_retries":0%s}`, c.command, dir, env)
		enqueue(t, s, `{"id":"shell","command":%q,"cwd":%q,"max_retries":0%s}`, c.command+" #", dir, env)
		drained(t, s, Options{Commands: true})
		var got [2]string
		for i, id := range []string{"plain", "shell"} {
			j := job(t, s, id)
			log := ""
			if j.Log != "" {
				if b, err := os.ReadFile(j.Log); err == nil {
					log = string(b)
				}
			}
			lines := slices.DeleteFunc(strings.Split(log, "\n"), own)
			slices.Sort(lines)
			got[i] = last(t, j).Reason + "\n" + strings.Join(lines, "\n")
		}
		if got[0] != got[1] {
			t.Errorf("%d: %q with PATH %q, plain: %s\nby the shell: %s", i, c.command, c.path, got[0], got[1])
		}
	}
}
