//go:build !windows

package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"queuectl/spool"
)

type logsOptions struct {
	*cli
	follow bool
}

func newLogs(c *cli) *cobra.Command {
	o := &logsOptions{cli: c}
	cmd := &cobra.Command{
		Use:   "logs ID",
		Short: "Print what a job printed",
		Long: `Print what a job printed, in all its attempts; a line separates them.

On a terminal, characters that could steer it are escaped. Elsewhere the log
comes byte for byte.`,
		Args:              exactly("ID"),
		ValidArgsFunction: once(c.completeIDs()),
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) },
	}
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on until the job is completed or dead")
	return cmd
}

func (o *logsOptions) run(cmd *cobra.Command, short string) error {
	return o.look(cmd, func(s *spool.Spool) error {
		id, err := s.Resolve(short)
		if err != nil {
			return err
		}
		j, err := s.Job(id)
		if err != nil {
			return err
		}
		var to io.Writer = o.Out
		if o.OutTerminal {
			e := &escaper{w: o.Out}
			defer e.Close()
			to = e
		}
		n, err := o.copy(cmd.Context(), s, j, to)
		if err == nil && n == 0 {
			o.say(cmd, "job %q has printed nothing (it is %s)", j.ID, j.State)
		}
		return err
	})
}

// look is how often a log that is followed is read.
const look = 100 * time.Millisecond

// copy prints the log. With --follow it goes on until the job has come to
// rest; that is asked before the log is read, so that nothing is missed.
func (o *logsOptions) copy(ctx context.Context, s *spool.Spool, j *spool.JobInfo, to io.Writer) (n int64, err error) {
	var log *os.File
	defer func() { log.Close() }() // nil can be closed, too
	rest := func() error {
		if log == nil {
			return nil
		}
		m, err := io.Copy(to, log)
		n += m
		return err
	}
	for {
		if err := rest(); err != nil {
			return n, err
		}
		if j.Log != "" {
			now, err := s.OpenLog(j.ID)
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				return n, err
			case sameFile(log, now):
				now.Close()
			default: // the first one, or one since the logs were emptied
				log.Close()
				log = now
				if err := rest(); err != nil {
					return n, err
				}
			}
		}
		if !o.follow || atRest(j.State) {
			return n, nil
		}
		select {
		case <-ctx.Done():
			return n, ctx.Err()
		case <-time.After(look):
		}
		if j, err = s.Job(j.ID); err != nil {
			return n, err
		}
	}
}

func atRest(st spool.State) bool { return st == spool.Completed || st == spool.Dead }

func sameFile(a, b *os.File) bool {
	x, errX := a.Stat()
	y, errY := b.Stat()
	return errX == nil && errY == nil && os.SameFile(x, y)
}
