//go:build !windows

package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// lock lets another process hold a lock: it is refused to us, also under the
// file's next name, and ours when that process is killed.
func (p *prober) lock(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "file")
	return "holds between processes, follows a rename, is free after kill -9", p.held(ctx, roleHold, path,
		func(f *os.File, c *exec.Cmd, _ io.Closer) error {
			if err := p.refused(f, "while another process holds it"); err != nil {
				return err
			}
			if err := p.sys.rename(path, path+"-renamed"); err != nil {
				return err
			}
			again, err := os.Open(path + "-renamed")
			if err != nil {
				return err
			}
			defer again.Close()
			if err := p.refused(again, "after a rename, while another process holds it"); err != nil {
				return err
			}
			return p.freed(ctx, f, kill(c))
		})
}

// inherit kills the parent of a process that has inherited the lock.
func (p *prober) inherit(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "file")
	return "a child that inherits the descriptor holds it after its parent's kill -9", p.held(ctx, roleHeir, path,
		func(f *os.File, c *exec.Cmd, in io.Closer) error {
			if err := kill(c); err != nil {
				return err
			}
			if err := p.refused(f, "while a child that inherited it lives"); err != nil {
				return err
			}
			return p.freed(ctx, f, in.Close())
		})
}

// held runs f while a helper holds the lock on a new file.
func (p *prober) held(ctx context.Context, role, path string, f func(*os.File, *exec.Cmd, io.Closer) error) error {
	if err := touch(path); err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	c := p.self.helper(ctx, role, path)
	// Not exec's pipes, which end with the process: its child has them too.
	theirIn, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close()
	out, theirOut, err := os.Pipe()
	if err != nil {
		return errors.Join(err, theirIn.Close())
	}
	defer out.Close()
	c.Stdin, c.Stdout = theirIn, theirOut
	err = errors.Join(c.Start(), theirIn.Close(), theirOut.Close())
	if err != nil {
		return err
	}
	defer kill(c)
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		return fmt.Errorf("the lock cannot be taken: %w", err)
	}
	return f(file, c, in)
}

func kill(c *exec.Cmd) error {
	if c.ProcessState != nil {
		return nil
	}
	err := c.Process.Kill()
	_ = c.Wait() // killed: an error in any case
	return err
}

func (p *prober) refused(f *os.File, when string) error {
	got, err := p.sys.tryLock(f)
	if got {
		return fmt.Errorf("the lock was given to us %s", when)
	}
	return err
}

func (p *prober) freed(ctx context.Context, f *os.File, err error) error {
	if err != nil {
		return err
	}
	err = await(ctx, patience, func() bool {
		got, err := p.sys.tryLock(f)
		return got || err != nil
	})
	if err != nil {
		return fmt.Errorf("the lock is not freed when its last holder ends: %w", err)
	}
	return nil
}
