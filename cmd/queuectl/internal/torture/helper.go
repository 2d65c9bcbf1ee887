//go:build !windows

package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
)

// Roles of a helper: what follows --as.
const (
	roleRace = "race" // KIND DIR ME N
	roleHold = "hold" // FILE: hold its lock until standard input ends
	roleHeir = "heir" // FILE: hold its lock, and let a child inherit it
	roleSit  = "sit"  // the child: live until standard input ends
	roleMove = "move" // FROM TO

	roleJob    = "job"    // TASK: be the first process of a job
	roleChild  = "child"  // TASK KEY: be its child
	roleDaemon = "daemon" // TASK KEY: be what it leaves behind
)

// Help is the whole life of a helper.
func Help(role string, args []string, in io.Reader, out io.Writer) error {
	return help(real, append([]string{role}, args...), in, out)
}

func help(sys system, args []string, in io.Reader, out io.Writer) error {
	role, args := args[0], args[1:]
	switch {
	case role == roleRace && len(args) == 4:
		return helpRace(sys, args, out)
	case role == roleHold && len(args) == 1:
		return helpHold(sys, args[0], in, out)
	case role == roleHeir && len(args) == 1:
		return helpHeir(sys, args[0], in, out)
	case role == roleSit:
		return sit(in, out)
	case role == roleMove && len(args) == 2:
		return sys.rename(args[0], args[1])
	case role == roleJob:
		return helpJob(args)
	case role == roleChild:
		return helpChild(args)
	case role == roleDaemon:
		return helpDaemon(args)
	}
	return fmt.Errorf("no helper is called %q with %q", role, args)
}

func helpRace(sys system, args []string, out io.Writer) error {
	me, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	won, err := race(sys, args[0], args[1], me, n)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(won)
}

func helpHold(sys system, path string, in io.Reader, out io.Writer) error {
	f, err := locked(sys, path)
	if err != nil {
		return err
	}
	defer f.Close()
	return sit(in, out)
}

// helpHeir lets a child inherit the lock. The child has the same standard
// streams: it says that it is there, and lives until the input ends.
func helpHeir(sys system, path string, in io.Reader, out io.Writer) error {
	f, err := locked(sys, path)
	if err != nil {
		return err
	}
	defer f.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c := exec.Command(self, "torture", "--as", roleSit)
	c.Args[0] = os.Args[0]
	c.Stdin, c.Stdout, c.ExtraFiles = in, out, []*os.File{f}
	return c.Run()
}

func locked(sys system, path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	got, err := sys.tryLock(f)
	if err == nil && !got {
		err = fmt.Errorf("%s: locked", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// sit says that it is there, and returns when the input ends.
func sit(in io.Reader, out io.Writer) error {
	if _, err := fmt.Fprintln(out, "here"); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, in)
	return err
}

// A starter runs a helper to its end, and returns what it wrote.
type starter func(ctx context.Context, args ...string) ([]byte, error)

// A program is how this one is started again: its file, and the name that it
// was called by.
type program struct{ path, name string }

func (p program) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, p.path, args...)
	c.Args[0] = p.name
	return c
}

func (p program) helper(ctx context.Context, args ...string) *exec.Cmd {
	c := p.command(ctx, append([]string{"torture", "--as"}, args...)...)
	c.Stderr = os.Stderr
	return c
}

func (p program) start(ctx context.Context, args ...string) ([]byte, error) {
	return p.helper(ctx, args...).Output()
}
