//go:build !windows

package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"queuectl/spool"
)

func newDLQ(c *cli) *cobra.Command {
	return family("dlq", "List, retry and delete jobs that gave up",
		`Work the dead letter queue: jobs that used up their retries or were cancelled,
and dropped files that were refused.`,
		newDLQList(c), newDLQAct(c, dlqAct{
			use: "retry", short: "Run dead jobs again, with all their retries",
			all: "all dead jobs", do: c.retry,
		}), newDLQAct(c, dlqAct{
			use: "delete", short: "Remove dead jobs with their logs",
			all: "all dead jobs", do: c.remove,
		}))
}

type dlqListOptions struct {
	*cli
	json bool
}

func newDLQList(c *cli) *cobra.Command {
	o := &dlqListOptions{cli: c}
	cmd := &cobra.Command{
		Use:               "list",
		Short:             "List the dead jobs, and why each gave up",
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	jsonFlag(cmd, &o.json, "one JSON object per job and line")
	return cmd
}

func (o *dlqListOptions) run(cmd *cobra.Command) error {
	dead := []spool.State{spool.Dead}
	return o.look(cmd, func(s *spool.Spool) error {
		if o.json {
			return o.listJSON(cmd, s, dead, 0)
		}
		t := o.table()
		t.head("ID", "ENDED", "ATTEMPTS", "COMMAND", "REASON")
		n, err := o.walk(cmd, s, dead, 0, func(j *spool.JobInfo) error {
			reason := j.LastError
			if j.Refused {
				reason = "refused: " + reason
			}
			command := commandText(j)
			if o.OutTerminal { // there, the reason is what counts
				command = cut(command, max(8, min(30, o.Width()/4)))
			}
			t.row(j.ID, when(j.EndedAt, o.Now()), strconv.Itoa(j.Attempts), command, reason)
			return nil
		})
		if n > 0 {
			return firstOf(t.flush(), err)
		}
		if err == nil {
			o.say(cmd, "no dead jobs")
		}
		return err
	})
}

// A dlqAct is something done with dead jobs only.
type dlqAct struct {
	use, short, all string
	do              func(*cobra.Command, *spool.Spool, string) error
}

func newDLQAct(c *cli, a dlqAct) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:                   a.use + " {ID… | --all}",
		Short:                 a.short,
		DisableFlagsInUseLine: true,
		Args:                  idsOr(&all),
		ValidArgsFunction:     c.completeIDs(spool.Dead),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return c.on(cmd, func(s *spool.Spool) error {
				do := func(id string) error {
					if err := mustBeDead(s, id); err != nil {
						return err
					}
					return a.do(cmd, s, id)
				}
				if all {
					return c.all(cmd, s, []spool.State{spool.Dead}, "no dead jobs", do)
				}
				return c.each(cmd, s, ids, do)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, a.all)
	return cmd
}

func mustBeDead(s *spool.Spool, id string) error {
	j, err := s.Job(id)
	if err == nil && j.State != spool.Dead {
		err = fmt.Errorf("job %q is %s, not dead", id, j.State)
	}
	return err
}
