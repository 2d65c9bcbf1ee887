package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"queuectl/spool"
)

// process measures a call of the command that makes one job.
func (b *bench) process() workload {
	n := b.n(200, 20)
	w := workload{
		name:  "process",
		title: "One job by one call of a program",
		how: fmt.Sprintf("How long the call takes, the median of %d in each turn. Nothing runs the jobs meanwhile. "+
			"The disk syncs are those that a new name on disk takes, by themselves: of a new file of 150 bytes and of its directory, "+
			"after `queuectl --version`, which is not timed, so that the disk has rested as long as before the sync of a call.", n),
		columns: []column{{"time", "ms"}},
	}
	add := func(name, level string, run func(ctx context.Context, dir string, n int) ([]float64, error)) {
		w.lines = append(w.lines, line{name, level, b.inDir("process", func(ctx context.Context, dir string) ([]float64, error) {
			took, err := run(ctx, dir, n)
			if err != nil {
				return nil, err
			}
			return []float64{quantile(took, 0.5)}, nil
		})})
	}
	const off, full, syncs, empty = "queuectl enqueue, sync off", "queuectl enqueue, sync full", "two disk syncs", "a Go program that does nothing"
	add(off, "sync off", b.enqueueCall(spool.SyncOff))
	add(full, "sync full", b.enqueueCall(spool.SyncFull))
	add(syncs, "", b.twoSyncs)
	add(empty, "none", b.emptyProgram)
	w.checks = append(w.checks, check{
		text: "sync full over sync off and two disk syncs", unit: "×", most: 1.1, limited: true,
		value: func(at figures) float64 { return at(full, 0) / (at(off, 0) + at(syncs, 0)) },
	})
	w.checks = append(w.checks, ratio(empty+" over queuectl enqueue, sync off", empty, off, 0, 0))
	for _, p := range processPeers() {
		add(p.name, p.level, p.run)
		w.checks = append(w.checks, ratio(p.name+" over queuectl enqueue, sync off", p.name, off, 0, p.reach))
	}
	return w
}

// A processPeer is another program that makes one job.
type processPeer struct {
	name, level string
	reach       float64 // how many times as long as ours its call is to take
	run         func(ctx context.Context, dir string, n int) ([]float64, error)
}

// repeat times n calls, in milliseconds.
func repeat(n int, call func() error) (took []float64, err error) {
	for range n {
		began := time.Now()
		if err := call(); err != nil {
			return nil, err
		}
		took = append(took, ms(time.Since(began)))
	}
	return took, nil
}

// calls times n runs of a program.
func calls(n int, cmd func() *exec.Cmd) ([]float64, error) {
	return repeat(n, func() error { return cmd().Run() })
}

func (b *bench) enqueueCall(l spool.SyncLevel) func(ctx context.Context, dir string, n int) ([]float64, error) {
	return func(ctx context.Context, dir string, n int) ([]float64, error) {
		s, err := openSpool(filepath.Join(dir, "spool"), l)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		return calls(n, func() *exec.Cmd { return b.queuectl(ctx, s.Dir(), "enqueue", "--", "true") })
	}
}

// emptyProgram is the least that a call of a Go program can take.
func (b *bench) emptyProgram(ctx context.Context, dir string, n int) ([]float64, error) {
	source, program := filepath.Join(dir, "empty.go"), filepath.Join(dir, "empty")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		return nil, err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", program, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := run(build); err != nil {
		return nil, err
	}
	return calls(n, func() *exec.Cmd { return exec.CommandContext(ctx, program) })
}

// twoSyncs makes files that are on disk, as far apart as calls of queuectl. A
// disk that has rested takes longer than one that is kept busy.
func (b *bench) twoSyncs(ctx context.Context, dir string, n int) ([]float64, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var took []float64
	for i := range n {
		if err := b.queuectl(ctx, dir, "--version").Run(); err != nil {
			return nil, err
		}
		began := time.Now()
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return nil, err
		}
		_, err = f.Write(make([]byte, 150))
		if err := errors.Join(err, f.Sync(), f.Close(), d.Sync()); err != nil {
			return nil, err
		}
		took = append(took, ms(time.Since(began)))
	}
	return took, nil
}
