//go:build !windows

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"queuectl/spool"
)

type checkOptions struct {
	*cli
	repair, json bool
}

func newCheck(c *cli) *cobra.Command {
	o := &checkOptions{cli: c}
	cmd := &cobra.Command{
		Use:               "check",
		Short:             "Check that the spool is sound, and mend it",
		Long:              "Check the spool's invariants. The status is 0 when all hold.\n\n" + invariantHelp(),
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	cmd.Flags().BoolVar(&o.repair, "repair", false, "mend what can be mended")
	jsonFlag(cmd, &o.json, "one JSON object per finding and line")
	return cmd
}

func invariantHelp() string {
	s := "The invariants:\n"
	for i, text := range spool.Invariants {
		s += fmt.Sprintf("\n  %2d  %s", i+1, text)
	}
	return s
}

func (o *checkOptions) run(cmd *cobra.Command) error {
	return o.with(cmd, spool.Options{Look: !o.repair}, func(s *spool.Spool) error {
		rep, err := s.Check(cmd.Context(), o.repair)
		if err != nil {
			return err
		}
		print := o.print
		if o.json {
			print = o.printJSON
		}
		if err := print(rep); err != nil {
			return err
		}
		if !rep.OK() {
			if !o.repair && rep.Mendable() {
				o.say(cmd, `"queuectl check --repair" mends what can be mended`)
			}
			return told(exitFailed)
		}
		return nil
	})
}

func (o *checkOptions) print(rep spool.CheckReport) error {
	t := o.table()
	t.width = 0
	for _, f := range rep.Findings {
		t.row(numberOf(f), f.Path, f.Text+mark(f))
	}
	if err := t.flush(); err != nil {
		return err
	}
	verdict := "all invariants hold"
	if !rep.OK() {
		verdict = "not all invariants hold"
	}
	_, err := fmt.Fprintf(o.Out, "%s checked: %s\n", plural(rep.Jobs, "job", "jobs"), verdict)
	return err
}

func numberOf(f spool.Finding) string {
	if f.Invariant == 0 {
		return "-"
	}
	return fmt.Sprint(f.Invariant)
}

func mark(f spool.Finding) string {
	switch {
	case f.Repaired:
		return " (repaired)"
	case f.Note:
		return " (no fault, but worth knowing)"
	}
	return ""
}

func (o *checkOptions) printJSON(rep spool.CheckReport) error {
	return lines(o.Out, func(w io.Writer) error {
		for _, f := range rep.Findings {
			if err := writeJSON(w, f); err != nil {
				return err
			}
		}
		return nil
	})
}
