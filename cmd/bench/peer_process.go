//go:build peers

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// processPeers are other programs that make a job. In nq and task-spooler the
// first job keeps the others waiting, so that none runs while it is measured.
func processPeers() []processPeer {
	return []processPeer{
		{"nq", "a file, not synced", 1, nqCalls},
		{"tsp", "none: in memory", 1, tspCalls},
		{"redis-cli lpush, everysec", "appendfsync everysec", 0, redisCalls("everysec")},
		{"redis-cli lpush, always", "appendfsync always", 0, redisCalls("always")},
	}
}

// A gate is a command that ends when it is opened.
type gate struct{ path string }

func newGate(dir string) (gate, error) {
	g := gate{filepath.Join(dir, "gate")}
	return g, syscall.Mkfifo(g.path, 0o600)
}

// command waits for somebody to write.
func (g gate) command() []string { return []string{"cat", g.path} }

func (g gate) open() error { return os.WriteFile(g.path, nil, 0) }

func nqCalls(ctx context.Context, dir string, n int) ([]float64, error) {
	g, err := newGate(dir)
	if err != nil {
		return nil, err
	}
	queue := queueDir(dir, 0)
	defer nqEnd(queue)
	if err := nqCmd(ctx, queue, append([]string{"nq", "-q"}, g.command()...)...).Run(); err != nil {
		return nil, err
	}
	took, err := calls(n, func() *exec.Cmd { return nqCmd(ctx, queue, "nq", "true") })
	return took, errors.Join(err, g.open(), nqDone(ctx, queue))
}

func tspCalls(ctx context.Context, dir string, n int) ([]float64, error) {
	g, err := newGate(dir)
	if err != nil {
		return nil, err
	}
	t := tsp{dir}
	if err := t.cmd(ctx, g.command()...).Run(); err != nil {
		return nil, err
	}
	took, err := calls(n, func() *exec.Cmd { return t.cmd(ctx, "true") })
	return took, errors.Join(err, g.open(), t.done(ctx), t.cmd(context.WithoutCancel(ctx), "-K").Run())
}

func redisCalls(fsync string) func(ctx context.Context, dir string, n int) ([]float64, error) {
	return func(ctx context.Context, dir string, n int) ([]float64, error) {
		r, err := startRedis(ctx, dir, fsync)
		if err != nil {
			return nil, err
		}
		took, err := calls(n, func() *exec.Cmd {
			return exec.CommandContext(ctx, "redis-cli", "-p", r.port, "lpush", kind, "true")
		})
		return took, errors.Join(err, r.stop(syscall.SIGTERM))
	}
}
