//go:build !windows

package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"queuectl/cmd/queuectl/internal/torture"
)

// progress keeps one line of a terminal up to date. Elsewhere it says nothing.
func (o *tortureOptions) progress() func(torture.Progress) {
	if !o.ErrTerminal {
		return nil
	}
	return func(p torture.Progress) {
		s := fmt.Sprintf("%s of %s", about(p.Took.Truncate(time.Second)), about(p.Of))
		if p.Phase != "" {
			s = p.Phase
		}
		s += fmt.Sprintf(": %d jobs, %d left, %d kills", p.Jobs, p.Left, p.Kills)
		if p.Wrong > 0 {
			s += fmt.Sprintf(", %d broken", p.Wrong)
		}
		o.rewrite(cut(s, max(o.Width()-1, 40)))
	}
}

// rewrite puts a line in the place of the last one.
func (o *tortureOptions) rewrite(line string) {
	if o.ErrTerminal {
		fmt.Fprint(o.Err, "\r\x1b[K"+line)
	}
}

func (o *tortureOptions) print(r *torture.Report) error {
	t := o.table()
	t.width = 0 // what broke is told whole
	t.row("seed", strconv.FormatUint(r.Seed, 10))
	for _, p := range r.Probes {
		t.add(cell{text: p.Name}, verdictCell(p.OK), cell{text: p.Detail})
	}
	if err := t.flush(); err != nil {
		return err
	}
	t = o.table()
	for _, row := range [][2]string{
		{"jobs", jobsText(r)},
		{"killed", didText(r, killed)},
		{"by hand", didText(r, byHand)},
		{"dropped", didText(r, dropped)},
		{"recovery", recoveryText(r.Recovery)},
		{"check", plural(r.Checked, "job", "jobs")},
	} {
		t.row(row[0], row[1])
	}
	if err := t.flush(); err != nil {
		return err
	}
	return o.printViolations(r)
}

func verdictCell(ok bool) cell {
	if ok {
		return cell{"held", "32"}
	}
	return cell{"BROKEN", "31"}
}

func jobsText(r *torture.Report) string {
	return fmt.Sprintf("%d acknowledged, %d of killed enqueuers; %d completed, %d dead; %s, %s",
		r.Acknowledged, r.Unknown, r.Completed, r.Dead,
		plural(r.Attempts, "attempt", "attempts"), plural(r.Effects, "effect", "effects"))
}

// What was done is told in groups: by which word it is counted, and how it is
// said of one and of many.
var (
	killed = [][3]string{
		{"kill_pool", "pool", "pools"},
		{"kill_stopping_pool", "stopping pool", "stopping pools"},
		{"kill_enqueuer", "enqueuer", "enqueuers"},
		{"kill_job", "job", "jobs"},
		{"stop_pool", "pool stopped", "pools stopped"},
		{"time_out", "job timed out", "jobs timed out"},
	}
	byHand = [][3]string{
		{"hold", "held", "held"},
		{"unhold", "put back", "put back"},
		{"bury", "buried", "buried"},
		{"revive", "revived", "revived"},
		{"again", "run again", "run again"},
		{"retry", "retried", "retried"},
		{"retry_now", "retried under a new name", "retried under a new name"},
		{"move_running", "moved while running", "moved while running"},
		{"priority", "other priority", "other priorities"},
		{"later", "made due later", "made due later"},
		{"sooner", "made due sooner", "made due sooner"},
		{"pause", "pause", "pauses"},
	}
	dropped = [][3]string{
		{"drop", "file whole", "files whole"},
		{"drop_torn", "in two halves", "in two halves"},
		{"drop_half", "only half", "only half"},
		{"drop_refused", "that can be no job", "that can be no job"},
	}
)

func didText(r *torture.Report, words [][3]string) string {
	var list []string
	for _, w := range words {
		if n := r.Did[w[0]]; n > 0 {
			list = append(list, plural(n, w[1], w[2]))
		}
	}
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

func recoveryText(r torture.Recovery) string {
	if r.Jobs == 0 {
		return "no job was lost with its pool"
	}
	return fmt.Sprintf("%s of killed pools taken over: p50 %.0f ms, p99 %.0f ms, max %.0f ms", plural(r.Jobs, "job", "jobs"), r.P50, r.P99, r.Max)
}

// mostTold is how many violations are told to people; --json has all.
const mostTold = 10

func (o *tortureOptions) printViolations(r *torture.Report) error {
	if r.OK() {
		_, err := fmt.Fprintln(o.Out, "\nevery promise was kept")
		return err
	}
	return lines(o.Out, func(w io.Writer) error {
		for i, v := range r.Violations {
			if i == mostTold {
				fmt.Fprintf(w, "\nand %d more, which --json tells\n", len(r.Violations)-i)
				break
			}
			fmt.Fprintf(w, "\nBROKEN  %s: %s\n", escape(v.ID), escape(v.Text))
			for _, l := range v.Timeline {
				fmt.Fprintln(w, "  "+escape(l))
			}
		}
		return nil
	})
}
