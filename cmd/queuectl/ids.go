//go:build !windows

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"queuectl/spool"
)

// someIDs is the Args of a command that takes the ids of jobs.
func someIDs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("usage: "+cmd.UseLine(), "name at least one job")
	}
	return nil
}

// idsOr is someIDs for a command that has --all.
func idsOr(all *bool) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case *all && len(args) > 0:
			return usagef("", "takes ids or --all, not both")
		case !*all && len(args) == 0:
			return usagef("usage: "+cmd.UseLine(), "name at least one job, or --all")
		}
		return nil
	}
}

// each does something with every job named. All are tried; what fails is said
// at once, and the first failure gives the status.
func (c *cli) each(cmd *cobra.Command, s *spool.Spool, ids []string, do func(id string) error) error {
	var first error
	for _, short := range ids {
		id, err := s.Resolve(short)
		if err == nil {
			err = do(id)
		}
		if err == nil {
			continue
		}
		c.complain(cmd, err)
		if first == nil {
			first = told(codeOf(err))
		}
	}
	return first
}

// did says what was done with a job. Where that cannot be written, the error says
// that it was: to try again would do it twice, or fail.
func (c *cli) did(id, how string) error {
	if _, err := fmt.Fprintln(c.Out, escape(id), escape(how)); err != nil {
		return fmt.Errorf("job %q %s, but that cannot be written: %w", id, how, err)
	}
	return nil
}

// all does something with every job in these states; where there is none, it
// says so. A job of which nothing can be told is passed over, and gives the
// status.
func (c *cli) all(cmd *cobra.Command, s *spool.Spool, states []spool.State, none string, do func(id string) error) error {
	var ids []string
	n, err := c.walk(cmd, s, states, 0, func(j *spool.JobInfo) error {
		ids = append(ids, j.ID)
		return nil
	})
	if n == 0 && err == nil {
		c.say(cmd, "%s", none)
	}
	return firstOf(err, c.each(cmd, s, ids, do))
}

// completeIDs offers the ids of the jobs in these states, or in all.
func (c *cli) completeIDs(states ...spool.State) cobra.CompletionFunc {
	if len(states) == 0 {
		states = spool.States
	}
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		const most = 200
		var found []cobra.Completion
		_ = c.look(cmd, func(s *spool.Spool) error {
			for j, err := range s.List(states, most) {
				if err == nil && !j.Dropped {
					found = append(found, cobra.CompletionWithDesc(j.ID, escape(cut(commandText(j), 40))))
				}
			}
			return nil
		})
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// once offers completions for the first argument only.
func once(f cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return f(cmd, args, word)
	}
}
