//go:build !windows

package main

import (
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"queuectl/spool"
)

type listOptions struct {
	*cli
	states []string
	limit  int
	json   bool
}

func newList(c *cli) *cobra.Command {
	o := &listOptions{cli: c}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the jobs",
		Long: `List the jobs: state by state, in each by due time or by end.

The column DUE/ENDED says when a waiting job may run, or how long ago one ended.
ATTEMPTS counts those of this round, of as many as the job may have. A file that
was dropped into pending/ has no id until a worker has made a job of it.`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	cmd.Flags().StringSliceVar(&o.states, "state", nil, "only jobs in state `S` (may be repeated): "+stateNames(", "))
	cmd.Flags().IntVar(&o.limit, "limit", 0, "at most `N` jobs; 0 is all")
	jsonFlag(cmd, &o.json, "one JSON object per job and line")
	_ = cmd.RegisterFlagCompletionFunc("state", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return strings.Fields(stateNames(" ")), cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

func stateNames(sep string) string {
	names := make([]string, len(spool.States))
	for i, st := range spool.States {
		names[i] = string(st)
	}
	return strings.Join(names, sep)
}

func (o *listOptions) run(cmd *cobra.Command) error {
	states := spool.States
	if cmd.Flags().Changed("state") {
		states = nil
		if len(o.states) == 0 { // of --state ""
			o.states = []string{""}
		}
	}
	for _, name := range o.states {
		st, err := spool.ParseState(name)
		if err != nil {
			return usagef("the states are "+stateNames(", "), "--state: no state is named %q", name)
		}
		if !slices.Contains(states, st) {
			states = append(states, st)
		}
	}
	if o.limit < 0 {
		return usagef("", "--limit must not be negative")
	}
	return o.look(cmd, func(s *spool.Spool) error {
		if o.json {
			return o.listJSON(cmd, s, states, o.limit)
		}
		t := o.table()
		t.head("ID", "STATE", "PRI", "DUE/ENDED", "ATTEMPTS", "COMMAND")
		n, err := o.walk(cmd, s, states, o.limit, func(j *spool.JobInfo) error {
			t.add(o.jobRow(j)...)
			return nil
		})
		if n > 0 {
			return firstOf(t.flush(), err)
		}
		if err == nil {
			o.say(cmd, "no jobs")
		}
		return err
	})
}

// listJSON prints jobs, an object a line.
func (c *cli) listJSON(cmd *cobra.Command, s *spool.Spool, states []spool.State, limit int) error {
	return lines(c.Out, func(w io.Writer) error {
		_, err := c.walk(cmd, s, states, limit, func(j *spool.JobInfo) error { return writeJSON(w, j) })
		return err
	})
}

// walk calls f for every job and counts. What cannot be read is said, and the
// walk goes on; the status tells.
func (c *cli) walk(cmd *cobra.Command, s *spool.Spool, states []spool.State, limit int, f func(*spool.JobInfo) error) (n int, err error) {
	for j, e := range s.List(states, limit) {
		if e != nil {
			c.complain(cmd, e)
			err = told(codeOf(e))
			continue
		}
		n++
		if e := f(j); e != nil {
			return n, e
		}
	}
	return n, err
}

func (o *listOptions) jobRow(j *spool.JobInfo) []cell {
	if j.Dropped {
		return []cell{{}, stateCell(j.State), {}, {}, {}, {text: whatOf(j)}}
	}
	attempts := strconv.Itoa(j.Attempts)
	if !j.Refused {
		attempts += "/" + strconv.Itoa(j.MaxRetries+1)
	}
	return []cell{
		{text: j.ID},
		stateCell(j.State),
		{text: strconv.Itoa(j.Priority)},
		{text: dueOrEnded(j, o.Now())},
		{text: attempts},
		{text: whatOf(j)},
	}
}

// whatOf is the command, or why there is none.
func whatOf(j *spool.JobInfo) string {
	switch name := filepath.Base(j.File); {
	case j.Refused:
		return "(refused: " + j.LastError + ")"
	case j.Dropped && j.LastError != "":
		return "(" + name + " " + j.LastError + ", and no job)"
	case j.Dropped:
		return "(dropped: " + name + "; a worker makes a job of it)"
	}
	return commandText(j)
}

func dueOrEnded(j *spool.JobInfo, now time.Time) string {
	switch {
	case j.WaitingFor != nil:
		return "waits"
	case j.State == spool.Processing:
		return "runs"
	case j.State == spool.Held:
		return "held"
	case !j.EndedAt.IsZero() && (j.State == spool.Completed || j.State == spool.Dead):
		return when(j.EndedAt, now)
	case j.State == spool.Pending || j.State == spool.Failed:
		return whenDue(j.Due, now)
	}
	return ""
}

// stateCell paints a state by how good it is.
func stateCell(st spool.State) cell {
	paint := map[spool.State]string{
		spool.Processing: "36", spool.Failed: "33", spool.Completed: "32", spool.Dead: "31",
	}
	return cell{string(st), paint[st]}
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
