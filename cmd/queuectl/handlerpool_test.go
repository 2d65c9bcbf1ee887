//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"queuectl/runner"
	"queuectl/spool"
)

func init() { programs["handlerpool"] = handlerPool }

// handlerPool is a program of a user's own, "handlerpool SPOOL SLOTS": a pool
// that runs commands, and jobs of the kind "effect" by a Go handler. A handler
// costs no process, so it does a million jobs in the time of some ten thousand
// commands.
func handlerPool() {
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "handlerpool:", err)
		os.Exit(int(codeOf(err)))
	}
}

func serve(dir, slots string) error {
	n, err := strconv.Atoi(slots)
	if err != nil {
		return err
	}
	ctx, done := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer done()
	s, err := spool.Open(dir, spool.Options{Create: true})
	if err != nil {
		return err
	}
	defer s.Close()
	p, err := runner.New(s, runner.Options{
		Slots: n, Commands: true, Grace: time.Minute, Handlers: map[string]runner.Handler{"effect": effect},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "handlerpool: pool %s, spool %s\n", p.Name(), dir)
	return p.Run(ctx)
}

// An effectJob is what a job of the kind "effect" is told.
type effectJob struct {
	N     int64 // its number
	Ms    int   // how long it takes
	Fails int   // how many of its first attempts fail
}

// effect notes the job's id in $D/effects, as commands do. While it runs it
// holds the lock on the byte of its number in $D/locks: a second copy that
// finds it held says so in $D/overlaps. The kernel frees it at kill -9.
func effect(ctx context.Context, j *runner.Job) error {
	var e effectJob
	if err := json.Unmarshal(j.Args, &e); err != nil {
		return err
	}
	dir := os.Getenv("D")
	locks, err := os.OpenFile(filepath.Join(dir, "locks"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer locks.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: e.N, Len: 1}
	err = unix.FcntlFlock(locks.Fd(), unix.F_OFD_SETLK, &lock)
	if errors.Is(err, unix.EAGAIN) {
		return errors.Join(err, appendLine(filepath.Join(dir, "overlaps"), "beside "+j.ID))
	}
	if err != nil {
		return err
	}
	if e.Ms > 0 {
		select {
		case <-time.After(time.Duration(e.Ms) * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := appendLine(filepath.Join(dir, "effects"), j.ID); err != nil {
		return err
	}
	if j.Attempt <= e.Fails {
		return errors.New("as it was told")
	}
	return nil
}

// appendLine adds a line with one write, so that lines of many processes do
// not mix.
func appendLine(path, line string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}
