package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"queuectl/runner"
	"queuectl/spool"
)

// poolCommand is the first argument of a bench that is a pool for another one.
// Pools are processes of their own where their number, their memory or their
// death is what is measured.
const poolCommand = "pool"

type poolOptions struct {
	dir, counters string
	index, slots  int
	block         bool // jobs run until the pool stops
	drain         bool // it ends when nothing waits
}

func (o poolOptions) args() []string {
	return []string{
		poolCommand, "-spool", o.dir, "-counters", o.counters, "-index", strconv.Itoa(o.index),
		"-slots", strconv.Itoa(o.slots), "-block=" + strconv.FormatBool(o.block), "-drain=" + strconv.FormatBool(o.drain),
	}
}

// poolMain is a pool of Go handlers that count.
func poolMain(args []string) error {
	var o poolOptions
	f := flag.NewFlagSet(poolCommand, flag.ExitOnError)
	f.StringVar(&o.dir, "spool", "", "")
	f.StringVar(&o.counters, "counters", "", "")
	f.IntVar(&o.index, "index", 0, "")
	f.IntVar(&o.slots, "slots", 1, "")
	f.BoolVar(&o.block, "block", false, "")
	f.BoolVar(&o.drain, "drain", false, "")
	_ = f.Parse(args)
	c, err := openCounters(o.counters)
	if err != nil {
		return err
	}
	s, err := spool.Open(o.dir, spool.Options{})
	if err != nil {
		return err
	}
	do := func(ctx context.Context, _ *runner.Job) error {
		c.add(o.index)
		if o.block {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		return nil
	}
	p, err := runner.New(s, runner.Options{Slots: o.slots, Drain: o.drain, Handlers: map[string]runner.Handler{kind: do}})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return errors.Join(p.Run(ctx), s.Close())
}

// pools are some pools on one spool.
type pools struct {
	*counters
	s    *spool.Spool
	log  string // what they say
	cmds []*exec.Cmd
	dead chan error // what they ended with
}

// startPools starts k pools with the slots of each, and waits until all have
// joined.
func (b *bench) startPools(ctx context.Context, s *spool.Spool, k int, o poolOptions) (*pools, error) {
	dir, err := b.dir("counters")
	if err != nil {
		return nil, err
	}
	o.dir, o.counters = s.Dir(), filepath.Join(dir, "counters")
	c, err := openCounters(o.counters)
	if err != nil {
		return nil, err
	}
	others, err := s.Pools()
	if err != nil {
		return nil, err
	}
	p := &pools{counters: c, s: s, log: filepath.Join(dir, "log"), dead: make(chan error, k)}
	for o.index = range k {
		if err := p.start(o); err != nil {
			return nil, errors.Join(err, p.kill())
		}
	}
	if err := p.joined(ctx, len(others)+k); err != nil {
		return nil, errors.Join(err, p.kill())
	}
	return p, nil
}

func (p *pools) start(o poolOptions) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(p.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(self, o.args()...)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmds = append(p.cmds, cmd)
	go func() { p.dead <- cmd.Wait() }()
	return nil
}

// joined waits until so many pools live.
func (p *pools) joined(ctx context.Context, all int) error {
	_, err := until(ctx, 5*time.Millisecond, func() (bool, error) {
		living, err := p.s.Pools()
		return len(living) >= all, errors.Join(err, p.alive())
	})
	return err
}

// alive is an error where a pool has ended that was not told to.
func (p *pools) alive() error {
	if len(p.dead) == 0 {
		return nil
	}
	said, _ := os.ReadFile(p.log)
	return fmt.Errorf("a pool has ended: %s", tail(said))
}

// when waits until the number of called handlers is as wanted, and returns it
// with the time.
func (p *pools) when(ctx context.Context, wanted func(sum int) bool) (at time.Time, sum int, err error) {
	at, err = until(ctx, time.Millisecond, func() (bool, error) {
		sum = p.sum()
		return wanted(sum), p.alive()
	})
	if err != nil {
		err = fmt.Errorf("%s jobs have begun: %w", thousands(sum), err)
	}
	return at, sum, err
}

// stop ends the pools softly.
func (p *pools) stop() error { return p.end(syscall.SIGTERM) }

// kill ends them at once.
func (p *pools) kill() error {
	_ = p.end(syscall.SIGKILL)
	return nil
}

// wait waits until they have ended by themselves.
func (p *pools) wait() error { return p.end(nil) }

func (p *pools) end(sig os.Signal) error {
	var errs []error
	for _, cmd := range p.cmds {
		if sig != nil {
			_ = cmd.Process.Signal(sig) // it may have ended
		}
	}
	for range p.cmds {
		errs = append(errs, <-p.dead)
	}
	p.cmds = nil
	return errors.Join(errs...)
}
