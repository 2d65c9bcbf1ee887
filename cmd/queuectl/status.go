//go:build !windows

package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"queuectl/spool"
)

type statusOptions struct {
	*cli
	json bool
}

func newStatus(c *cli) *cobra.Command {
	o := &statusOptions{cli: c}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Count the jobs, and show pools and problems",
		Long: `Count the jobs in each of the six states, and show the pools that run them,
whether the spool is paused, what is due, and what needs attention.`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	jsonFlag(cmd, &o.json, "one JSON object")
	return cmd
}

func (o *statusOptions) run(cmd *cobra.Command) error {
	return o.look(cmd, func(s *spool.Spool) error {
		st, err := s.Status()
		if err != nil {
			return err
		}
		if o.json {
			return writeJSON(o.Out, st)
		}
		return o.print(st)
	})
}

func (o *statusOptions) print(st *spool.Status) error {
	t, now := o.table(), o.Now()
	t.row("spool", st.Spool)
	for _, state := range spool.States {
		n := cell{text: strconv.Itoa(st.Jobs[state])}
		if st.Jobs[state] > 0 {
			n.paint = stateCell(state).paint
		}
		t.add(cell{text: string(state)}, n)
	}
	if st.OldestDue != nil {
		t.row("oldest due", when(st.OldestDue.Time, now))
	}
	if st.NextDue != nil {
		t.row("next due", when(st.NextDue.Time, now))
	}
	if st.Paused {
		t.add(cell{text: "paused"}, cell{`yes; "queuectl resume" ends it`, "33"})
	}
	t.row("pools", poolSummary(st))
	if err := t.flush(); err != nil {
		return err
	}
	t = o.table()
	for _, p := range st.Pools {
		t.row(append([]string{" "}, poolRow(p, now)...)...)
	}
	if err := t.flush(); err != nil || len(st.Problems) == 0 {
		return err
	}
	fmt.Fprintln(o.Out, "problems")
	t = o.table()
	t.width = 0
	for _, p := range st.Problems {
		t.row(" ", p.ID, waitText(p.Reason, p.PID))
	}
	return t.flush()
}

func poolSummary(st *spool.Status) string {
	if len(st.Pools) == 0 {
		if st.Jobs[spool.Pending]+st.Jobs[spool.Failed]+st.Jobs[spool.Processing] > 0 {
			return `none; "queuectl worker start" starts one`
		}
		return "none"
	}
	slots, busy := 0, 0
	for _, p := range st.Pools {
		slots, busy = slots+p.Slots, busy+p.Busy
	}
	return fmt.Sprintf("%d, %d of %s busy", len(st.Pools), busy, plural(slots, "slot", "slots"))
}
