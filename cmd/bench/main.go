package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == poolCommand {
		exit(poolMain(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(benchMain(ctx))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

type flags struct {
	bin, tmp, out, only string
	reps                int
	scale               float64
	quick, huge         bool
}

func parseFlags() (f flags) {
	flag.StringVar(&f.bin, "queuectl", "bin/queuectl", "the queuectl command, `PATH`")
	flag.StringVar(&f.tmp, "tmp", os.TempDir(), "write everything that is measured below `DIR`")
	flag.StringVar(&f.out, "o", "", "write benchmarks.md and benchmarks.svg to `DIR`, where sections that are not measured now are kept (default: the report on standard output)")
	flag.StringVar(&f.only, "only", "", "run only these workloads, `NAME,…`; of NAME:TEXT only the lines that contain the text")
	flag.IntVar(&f.reps, "reps", 5, "turns of each contender, `N`")
	flag.Float64Var(&f.scale, "scale", 1, "multiply all sizes by `F`")
	flag.BoolVar(&f.quick, "quick", false, "the same as -reps 2 -scale 0.005, to see that all works; the figures mean nothing")
	flag.BoolVar(&f.huge, "huge", false, "also 10 million jobs: takes as many inodes, 45 GB and an hour more")
	flag.Parse()
	if f.quick {
		f.reps, f.scale = 2, 0.005
	}
	return f
}

func benchMain(ctx context.Context) (err error) {
	f := parseFlags()
	if flag.NArg() > 0 || f.reps < 1 || f.scale <= 0 {
		return fmt.Errorf("see %s -h", filepath.Base(os.Args[0]))
	}
	b, err := newBench(f)
	if err != nil {
		return err
	}
	defer func() {
		if e := os.RemoveAll(b.tmp); err == nil {
			err = e
		}
	}()
	chosen, err := choose(b.workloads(), f.only, f.huge)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(chosen, func(w workload) bool { return w.huge }) {
		if err := room(f.tmp, int(hugeJobs*f.scale)); err != nil {
			return err
		}
	}
	r, err := newReport(b, f)
	if err != nil {
		return err
	}
	for _, w := range chosen {
		m := measure(ctx, w, f.reps, os.Stderr)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.add(m)
		if f.out != "" { // what is there is there
			if err := r.write(f.out); err != nil {
				return err
			}
		}
	}
	if f.out == "" {
		return r.print(os.Stdout)
	}
	return nil
}

func newBench(f flags) (*bench, error) {
	bin, err := filepath.Abs(f.bin)
	if err == nil {
		_, err = os.Stat(bin)
	}
	if err != nil {
		return nil, fmt.Errorf("%w (make build; or -queuectl PATH)", err)
	}
	tmp, err := os.MkdirTemp(f.tmp, "queuectl-bench-")
	if err != nil {
		return nil, err
	}
	// A server that runs as another user has its data below.
	if err := os.Chmod(tmp, 0o711); err != nil {
		return nil, err
	}
	return &bench{bin: bin, tmp: tmp, scale: f.scale, fills: map[int]*backlog{}}, nil
}

// choose picks the workloads with these names, in their own order; of NAME:TEXT
// the lines in which the text occurs. Without names it picks all, the huge ones
// where they are wanted.
func choose(all []workload, only string, huge bool) (chosen []workload, err error) {
	if only == "" {
		return slices.DeleteFunc(all, func(w workload) bool { return w.huge && !huge }), nil
	}
	texts := map[string][]string{} // by name
	for name := range strings.SplitSeq(only, ",") {
		name, text, _ := strings.Cut(name, ":")
		texts[name] = append(texts[name], text)
	}
	var names []string
	for _, w := range all {
		names = append(names, w.name)
		if wanted := texts[w.name]; wanted != nil {
			w.lines = slices.DeleteFunc(slices.Clone(w.lines), func(l line) bool { return !containsAny(l.name, wanted) })
			chosen = append(chosen, w)
		}
		delete(texts, w.name)
	}
	for name := range texts {
		return nil, fmt.Errorf("no workload %q; there are %s", name, strings.Join(names, ", "))
	}
	return chosen, nil
}

func containsAny(s string, texts []string) bool {
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(s, t) })
}

// perJob is what a job takes on most disks: a block, two names and an inode.
const perJob = 4500

// room reports an error where a file system cannot take so many jobs.
func room(dir string, jobs int) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return fmt.Errorf("look for room in %s: %w", dir, err)
	}
	free := uint64(s.Bavail) * uint64(s.Bsize) // signed on some systems
	// Some file systems make inodes as they need them, and say 0.
	if (s.Files > 0 && uint64(s.Ffree) < uint64(jobs)) || free < uint64(jobs)*perJob {
		return fmt.Errorf("%s has %d GB and %d inodes free; %s jobs take %d GB and an inode each (-tmp DIR)",
			dir, free/1e9, s.Ffree, thousands(jobs), jobs*perJob/1e9)
	}
	return nil
}
