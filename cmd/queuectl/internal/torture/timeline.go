//go:build !windows

package torture

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"queuectl/spool"
)

// timeline is all that is known of a job, in the order of time.
func (t *Torture) timeline(all []*books, id string) []string {
	i := slices.IndexFunc(all, func(b *books) bool { return b.id == id })
	events := slices.DeleteFunc(slices.Clone(t.l.notes), func(n note) bool { return n.what != id })
	if i >= 0 {
		events = append(events, all[i].events(t.l.notes)...)
	}
	slices.SortStableFunc(events, func(a, b note) int { return a.at.Compare(b.at) })
	lines := make([]string, len(events))
	for i, e := range events {
		lines[i] = e.at.UTC().Format("15:04:05.000000") + "  " + e.text
	}
	return lines
}

// events are the job's history and marks, and what happened to its pools.
func (b *books) events(notes []note) (events []note) {
	pools := make(map[string]bool)
	for _, h := range b.history {
		events = append(events, told(h)...)
		if h.Claim != "" {
			pools[poolOf(h.Claim)] = true
		}
	}
	for _, m := range b.marks {
		events = append(events, note{m.at, b.id, "job:     process " + m.key + " " + m.word})
	}
	for _, n := range notes {
		if pools[n.what] {
			events = append(events, n)
		}
	}
	if len(b.places) > 0 {
		events = append(events, note{time.Now(), b.id, "at last: " + strings.Join(b.places, ", ")})
	}
	return events
}

// told are the events of a line of a history.
func told(h spool.Entry) []note {
	if h.Claim == "" {
		return []note{{h.At.Time, "", join("history: "+h.Event, "from", h.From, "to", h.To)}}
	}
	begin := note{h.Started.Time, "", fmt.Sprintf("history: attempt %d, claim %s, process %d", h.Attempt, h.Claim, h.PID)}
	if h.Outcome == "" {
		return []note{begin}
	}
	return []note{begin, {h.Ended.Time, "", join(fmt.Sprintf("history: attempt %d %s", h.Attempt, h.Outcome), "because of", h.Reason, "to", h.To)}}
}

// join adds the pairs that have a second half.
func join(text string, pairs ...string) string {
	var b strings.Builder
	b.WriteString(text)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			b.WriteString(" " + pairs[i] + " " + pairs[i+1])
		}
	}
	return b.String()
}
