package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// bench is what all workloads share.
type bench struct {
	bin   string  // the queuectl command
	tmp   string  // holds all that is written
	scale float64 // of all sizes

	made  int
	fills map[int]*backlog // by how many jobs wait
}

// n is a size at the chosen scale, at least least.
func (b *bench) n(full, least int) int { return max(least, int(float64(full)*b.scale)) }

// dir makes a directory that nobody has used.
func (b *bench) dir(name string) (string, error) {
	b.made++
	dir := filepath.Join(b.tmp, fmt.Sprintf("%s-%d", name, b.made))
	return dir, os.Mkdir(dir, 0o755)
}

// inDir gives run a directory of its own. What was written before is on disk
// by then, so that nobody waits for the disk because of the contender whose
// turn it was before. What is in the directory stays until all is over: ext4
// does not use an inode again for minutes after it was freed, and looks at all
// of those for each file that it creates, so whoever creates files would pay
// for the removal of what others have made.
func (b *bench) inDir(name string, run func(ctx context.Context, dir string) ([]float64, error)) func(context.Context) ([]float64, error) {
	return func(ctx context.Context) ([]float64, error) {
		dir, err := b.dir(name)
		if err != nil {
			return nil, err
		}
		syscall.Sync()
		return run(ctx, dir)
	}
}

// queuectl is the command on the spool in dir.
func (b *bench) queuectl(ctx context.Context, dir string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, b.bin, append([]string{"--spool", dir}, args...)...)
}

// run runs a command whose output matters only where it fails. The output goes
// to a file: a pipe would slow down what is measured.
func run(cmd *exec.Cmd) error {
	out, err := os.CreateTemp("", "bench-out-")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, tail(said))
	}
	return nil
}

// tail is the end of an output, which is where errors are told.
func tail(said []byte) string {
	return strings.TrimSpace(string(said[max(0, len(said)-500):]))
}

// have reports whether a program is installed.
func have(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}
