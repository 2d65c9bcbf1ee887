//go:build !windows

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"queuectl/spool"
)

type showOptions struct {
	*cli
	json bool
}

func newShow(c *cli) *cobra.Command {
	o := &showOptions{cli: c}
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a job, its attempts, and where its file and log are",
		Long: `Show a job: what it runs, its state, every attempt and how it ended, and where
its file and its log are. A random id may be shortened to 4 or more characters.`,
		Args:              exactly("ID"),
		ValidArgsFunction: once(c.completeIDs()),
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) },
	}
	jsonFlag(cmd, &o.json, "one JSON object")
	return cmd
}

func (o *showOptions) run(cmd *cobra.Command, short string) error {
	return o.look(cmd, func(s *spool.Spool) error {
		id, err := s.Resolve(short)
		if err != nil {
			return err
		}
		j, err := s.Job(id)
		if err != nil {
			return err
		}
		if o.json {
			return writeJSON(o.Out, j)
		}
		return o.print(j)
	})
}

func (o *showOptions) print(j *spool.JobInfo) error {
	t := o.table()
	t.width = 0 // nothing is cut here
	key := func(name, value string) {
		if value != "" {
			t.row(name, value)
		}
	}
	now := o.Now()
	key("id", j.ID)
	t.add(cell{text: "state"}, stateCell(j.State))
	key("command", j.Command)
	if len(j.Argv) > 0 {
		key("argv", shellLine(j.Argv))
	}
	key("kind", j.Kind)
	key("priority", strconv.Itoa(j.Priority))
	key("attempts", fmt.Sprintf("%d of %d", j.Attempts, j.MaxRetries+1))
	key("created", o.both(j.CreatedAt, now))
	if j.State == spool.Pending || j.State == spool.Failed || j.State == spool.Held {
		key("due", o.both(j.Due, now))
	}
	key("ended", o.both(j.EndedAt, now))
	key("last error", j.LastError)
	if w := j.WaitingFor; w != nil {
		key("waits", waitText(w.Reason, w.PID))
	}
	key("file", j.File)
	key("log", j.Log)
	if err := t.flush(); err != nil || len(j.History) == 0 {
		return err
	}
	return o.history(j)
}

// both is a time, and how far off it is.
func (o *showOptions) both(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return local(t) + " (" + when(t, now) + ")"
}

func waitText(reason string, pid int) string {
	if pid != 0 && !strings.Contains(reason, strconv.Itoa(pid)) {
		return fmt.Sprintf("%s (pid %d)", reason, pid)
	}
	return reason
}

func (o *showOptions) history(j *spool.JobInfo) error {
	fmt.Fprintln(o.Out)
	t := o.table()
	t.width, t.widest = 0, 0
	t.head("TIME", "EVENT", "TOOK", "DETAILS")
	for _, e := range j.History {
		if e.Event != "" {
			t.row(local(e.At.Time), e.Event, "", eventDetails(e))
			continue
		}
		took := ""
		if !e.Ended.IsZero() {
			took = about(e.Ended.Sub(e.Started.Time))
		}
		details := attemptDetails(e)
		if e.Outcome == "" && j.WaitingFor != nil {
			details = "its end is not known yet"
		}
		t.row(local(e.Started.Time), "attempt "+strconv.Itoa(e.Attempt), took, details)
	}
	return t.flush()
}

func eventDetails(e spool.Entry) string {
	var d []string
	if e.From != "" {
		d = append(d, "from "+e.From)
	}
	if e.By != "" {
		d = append(d, "by "+e.By)
	}
	if e.Dropped > 0 {
		d = append(d, plural(e.Dropped, "older line", "older lines")+" dropped")
	}
	if e.Reason != "" {
		d = append(d, e.Reason)
	}
	return strings.Join(d, ", ")
}

func attemptDetails(e spool.Entry) string {
	if e.Outcome == "" {
		if e.PID == 0 {
			return "running"
		}
		return fmt.Sprintf("running, pid %d", e.PID)
	}
	s := strings.ReplaceAll(string(e.Outcome), "_", " ")
	if strings.HasPrefix(e.Reason, s) || e.Outcome == spool.WorkerDied || e.Outcome == spool.WorkerLost {
		return e.Reason // which says it all
	}
	if e.Reason != "" {
		return s + ": " + e.Reason
	}
	if e.Signal != "" {
		return s + ": signal " + e.Signal
	}
	if e.Exit != nil && *e.Exit != 0 {
		return fmt.Sprintf("%s: exit status %d", s, *e.Exit)
	}
	return s
}
