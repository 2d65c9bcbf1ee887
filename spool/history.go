package spool

import (
	"bytes"
	"errors"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// An Outcome is how an attempt ended.
type Outcome string

// The outcomes. Failed, timed out and worker died are charged: they count as
// attempts, as a success does.
const (
	Succeeded     Outcome = "succeeded"
	FailedOutcome Outcome = "failed"
	TimedOut      Outcome = "timed_out"
	Cancelled     Outcome = "cancelled"
	Interrupted   Outcome = "interrupted" // by a stop; not charged
	WorkerDied    Outcome = "worker_died" // its pool was killed; charged
	WorkerLost    Outcome = "worker_lost" // its pool died with the machine, or while it stopped; not charged
)

// Counts reports whether an attempt with this outcome is one of those that
// max_retries bounds, or the success that ends them.
func (o Outcome) Counts() bool {
	return o == Succeeded || o == FailedOutcome || o == TimedOut || o == WorkerDied
}

// The events of a history that are no attempts.
const (
	EventEnqueued  = "enqueued"
	EventAdopted   = "adopted"
	EventRetried   = "retried"
	EventCancelled = "cancelled"
	EventMoved     = "moved"
	EventReplaced  = "replaced"
	EventCompacted = "compacted"
)

// An Entry is one line of a job's history: an event, or an attempt.
type Entry struct {
	Event string `json:"event,omitempty"` // "" for an attempt
	// Attempt is the attempt's number in its round, from 1; in a compacted
	// line, how many attempts the round had made by then.
	Attempt  int     `json:"attempt,omitempty"`
	At       Stamp   `json:"at,omitzero"`
	Life     string  `json:"life,omitempty"` // random; in the line that begins a life
	From     string  `json:"from,omitempty"` // the file name of a drop
	UID      *uint32 `json:"uid,omitempty"`  // who owned the drop
	By       string  `json:"by,omitempty"`
	Dropped  int     `json:"dropped,omitempty"` // lines that a compaction left out
	Claim    string  `json:"claim,omitempty"`   // POOL.K
	Started  Stamp   `json:"started,omitzero"`
	PID      int     `json:"pid,omitempty"`       // of the process group
	PIDStart uint64  `json:"pid_start,omitempty"` // clock ticks after boot
	Ended    Stamp   `json:"ended,omitzero"`
	Outcome  Outcome `json:"outcome,omitempty"`
	Exit     *int    `json:"exit,omitempty"`
	Signal   string  `json:"signal,omitempty"`
	Reason   string  `json:"reason,omitempty"`
	To       string  `json:"to,omitempty"` // where the file goes
}

// What stands around the lines. The history is the last member of the object
// and every line of it a line of the file, so that an event is added by
// writing over the last bytes.
const (
	head = "\"history\":[\n"
	tail = "\n]}\n"
)

// newFile is a whole job file.
func newFile(base []byte, comma bool, history []Entry) []byte {
	b := make([]byte, 0, len(base)+len(head)+len(tail)+200*len(history))
	b = append(b, base...)
	if comma {
		b = append(b, ',')
	}
	b = append(b, head...)
	for i, e := range history {
		if i > 0 {
			b = append(b, ",\n"...)
		}
		b = append(b, line(e)...)
	}
	return append(b, tail...)
}

func line(e Entry) []byte {
	b, err := marshal(e)
	if err != nil { // an Entry holds nothing that cannot be written
		return []byte("{}")
	}
	return b
}

// appendEntry is what is written over the tail to add a line.
func appendEntry(e Entry) []byte {
	return append(append([]byte(",\n"), line(e)...), tail...)
}

// completeEntry is what is written over the last line's brace and the tail to
// add members to that line.
func completeEntry(e Entry) []byte {
	b := line(e)
	b[0] = ','
	return append(b, tail...)
}

// merge is the line a with the members of b added, as completeEntry does it.
func merge(a, b Entry) Entry {
	if b.PID != 0 {
		a.PID, a.PIDStart = b.PID, b.PIDStart
	}
	if b.Outcome != "" {
		a.Ended, a.Outcome, a.Exit = b.Ended, b.Outcome, b.Exit
		a.Signal, a.Reason, a.To = b.Signal, b.Reason, b.To
	}
	return a
}

// repair finds out how much of a job's file can be kept whose tail is torn (by
// a power cut, a full disk): keep is the end of its last complete history
// line, after which the tail belongs; ok is false where there is none. It is
// pure and looks at the bytes alone.
func repair(data []byte) (keep int, ok bool) {
	i := bytes.LastIndex(data, []byte(head))
	if i <= 0 {
		return 0, false
	}
	for at := i + len(head); ; {
		end := bytes.IndexByte(data[at:], '\n')
		if end < 0 {
			end = len(data) - at
		}
		l := data[at : at+end]
		n := leadingObject(l)
		if n == 0 {
			break
		}
		keep, ok = at+n, true
		if string(l[n:]) != "," {
			break
		}
		at = min(at+end+1, len(data))
	}
	return keep, ok
}

// leadingObject is the length of the JSON object with which b begins, 0 where
// it begins with none. Zeros, or anything else, may follow.
func leadingObject(b []byte) int {
	if len(b) == 0 || b[0] != '{' {
		return 0
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(b))
	if _, err := dec.ReadValue(); err != nil {
		return 0
	}
	return int(dec.InputOffset())
}

// decodeFile is decodeJob of a file that may be torn: what it returns is of its
// content with the tail mended then.
func decodeFile(data []byte, max int64) (*decoded, error) {
	dec, err := decodeJob(data, max)
	var invalid *InvalidError
	if !errors.As(err, &invalid) {
		return dec, err
	}
	keep, ok := repair(data)
	if !ok {
		return nil, err
	}
	mended, e := decodeJob(append(data[:keep:keep], tail...), max)
	if e != nil || !mended.appendable() { // what looked like a history was none
		return nil, err
	}
	mended.torn = true
	return mended, nil
}

// appendable reports whether the file has the form to which a line is added by
// writing over its tail.
func (d *decoded) appendable() bool {
	name := d.histStart - (len(head) - len("[\n"))
	return d.history != nil && d.histName == name && bytes.HasPrefix(d.data[name:], []byte(head)) &&
		bytes.HasSuffix(d.data, []byte(tail)) && d.histEnd == len(d.data)-len("}\n") &&
		bytes.Count(d.data[d.histStart:], []byte("\n")) == len(d.history)+2
}

// lifeOf is the life that the history is about, and when it began.
func lifeOf(h []Entry) (life string, since time.Time) {
	for i := len(h) - 1; i >= 0; i-- {
		if h[i].Life != "" {
			return h[i].Life, h[i].At.Time
		}
	}
	return "", time.Time{}
}

// openAttempt is the last line where that is an attempt without an outcome.
func openAttempt(h []Entry) *Entry {
	if len(h) == 0 {
		return nil
	}
	if e := &h[len(h)-1]; e.Claim != "" && e.Outcome == "" {
		return e
	}
	return nil
}

// attempts counts the charged and successful attempts of the present round. A
// round ends in completed or dead, and with a retry by hand. Of one that has
// ended, ended tells whether its count is still meant (it is shown) or that of
// the next round, which is 0. A new file for a job that has ended begins no
// round.
func attempts(h []Entry, ended bool) int {
	n, over := 0, false
	for _, e := range h {
		st := stateOf(e.To)
		rests := (st == Completed || st == Dead) && (e.Event == EventReplaced || e.Event == EventAdopted || e.Event == EventMoved)
		if (over && !rests) || e.Event == EventRetried {
			n = 0
		}
		switch {
		case e.Event == EventCompacted:
			n = e.Attempt
		case e.Outcome.Counts():
			n++
		}
		over = st == Completed || st == Dead || e.Outcome == Succeeded
	}
	if over && !ended {
		return 0
	}
	return n
}

// deathsInRow counts how often in a row the job's worker died, up to now.
func deathsInRow(h []Entry) (charged, uncharged int) {
	if openAttempt(h) != nil {
		h = h[:len(h)-1]
	}
	for i := len(h) - 1; i >= 0 && stateOf(h[i].To) != Dead; i-- {
		switch h[i].Outcome {
		case WorkerDied:
			charged++
		case WorkerLost:
			uncharged++
		default:
			return charged, uncharged
		}
	}
	return charged, uncharged
}

// lastError is why the last attempt of the job was no success, for people.
func lastError(h []Entry) string {
	for i := len(h) - 1; i >= 0; i-- {
		e := h[i]
		switch {
		case e.Outcome == Succeeded:
			return ""
		case e.Outcome == "" || e.Outcome == Interrupted:
			continue
		case e.Reason != "":
			return e.Reason
		}
		return string(e.Outcome)
	}
	return ""
}

func toValidUTF8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
