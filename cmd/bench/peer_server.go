//go:build peers

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// A server is a process that a peer has its jobs in, on the loopback address.
type server struct {
	cmd  *exec.Cmd
	log  string
	done chan error
}

// startServer starts a server that says what it has to say in dir, and waits
// until it answers.
func startServer(ctx context.Context, dir string, ready func() error, args ...string) (*server, error) {
	s := &server{cmd: exec.Command(args[0], args[1:]...), log: filepath.Join(dir, "log"), done: make(chan error, 1)}
	log, err := os.Create(s.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = dir, log, log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { s.done <- s.cmd.Wait() }()
	_, err = until(ctx, 10*time.Millisecond, func() (bool, error) {
		if len(s.done) > 0 {
			return false, errors.New("it ended at once")
		}
		return ready() == nil, nil
	})
	if err != nil {
		said, _ := os.ReadFile(s.log)
		return nil, errors.Join(fmt.Errorf("%s: %w: %s", args[0], err, tail(said)), s.stop(syscall.SIGKILL))
	}
	return s, nil
}

// stop ends the server with a signal, and waits until it is gone. How it ends
// is its own affair.
func (s *server) stop(sig os.Signal) error {
	if s == nil {
		return nil
	}
	_ = s.cmd.Process.Signal(sig) // it may have ended
	<-s.done
	return nil
}

// freePort is a port on the loopback address that nobody listens on.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// answers reports whether somebody listens at an address.
func answers(addr string) func() error {
	return func() error {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		return c.Close()
	}
}
