package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
)

// machine describes what the figures were taken on.
func machine(dir string) []fact {
	return []fact{
		{"processor", processor()},
		{"memory", memory()},
		{"system", said("uname", "-sr")},
		{"file system", said("findmnt", "-n", "-o", "FSTYPE,OPTIONS", "-T", dir)},
	}
}

// processor is the kind and how many cores; each section has it, since a report
// may be of several machines.
func processor() string {
	return fmt.Sprintf("%s, %d cores", firstMatch("/proc/cpuinfo", `model name\s*: (.*)`), runtime.NumCPU())
}

// memory is how much the machine has.
func memory() string {
	var kb int
	_, _ = fmt.Sscan(firstMatch("/proc/meminfo", `MemTotal:\s*(\d+)`), &kb)
	return fmt.Sprintf("%.0f GiB", float64(kb)/(1<<20))
}

// versions are those of all contenders that are here.
func versions() []fact {
	facts := []fact{{"Go", runtime.Version()}}
	for _, c := range [][]string{
		{"gcc", "--version"},
		{"xargs", "--version"},
		{"parallel", "--version"},
		{"tsp", "-V"},
		{"dpkg-query", "-W", "-f", "${Version}", "nq"}, // it does not tell by itself
		{"beanstalkd", "-v"},
		{"redis-server", "--version"},
		{postgresBin("postgres"), "--version"},
	} {
		if have(c[0]) && (withPeers || c[0] == "gcc" || c[0] == "xargs") {
			facts = append(facts, fact{nameOf(c), firstLine(said(c[0], c[1:]...))})
		}
	}
	return append(facts, modules()...)
}

func nameOf(c []string) string {
	if c[0] == "dpkg-query" {
		return c[len(c)-1]
	}
	return c[0][strings.LastIndex(c[0], "/")+1:]
}

// modules are the Go libraries that peers are.
func modules() (facts []fact) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	peer := regexp.MustCompile(`/(asynq|goqite|river|go-beanstalk|go-sqlite3|pgx/v5)$`)
	for _, m := range info.Deps {
		if peer.MatchString(m.Path) {
			facts = append(facts, fact{m.Path, m.Version})
		}
	}
	return facts
}

// said is what a program prints, or that it cannot be asked.
func said(name string, args ...string) string {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// firstMatch is what the first group matches in a file.
func firstMatch(path, pattern string) string {
	data, _ := os.ReadFile(path) // not there: unknown
	m := regexp.MustCompile(`(?m)` + pattern).FindSubmatch(data)
	if m == nil {
		return "unknown"
	}
	return string(m[1])
}

// postgresBin is the path of a program of Postgres: Debian keeps those of the
// server out of PATH.
func postgresBin(name string) string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) == 0 {
		return name
	}
	return found[len(found)-1]
}
