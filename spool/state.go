package spool

import "fmt"

// A State is where a job stands: the directory that its file is in.
type State string

// The states.
const (
	Pending    State = "pending"    // waiting; may start once its time has come
	Processing State = "processing" // a slot runs it
	Failed     State = "failed"     // an attempt failed; runs again when due
	Completed  State = "completed"  // succeeded
	Dead       State = "dead"       // gave up: the dead letter queue
	Held       State = "held"       // put aside by a person
)

// States lists all states in the order in which they are shown.
var States = []State{Pending, Processing, Failed, Completed, Dead, Held}

// ParseState returns the state of that name.
func ParseState(s string) (State, error) {
	if isState(State(s)) {
		return State(s), nil
	}
	return "", fmt.Errorf("no state is named %q; the states are pending, processing, failed, completed, dead and held", s)
}

func isState(s State) bool {
	switch s {
	case Pending, Processing, Failed, Completed, Dead, Held:
		return true
	}
	return false
}

// A Transition is a move that queuectl makes by itself or on a command. What a
// person does with mv is not among them: any move by hand is allowed.
type Transition struct {
	From, To State
	By       string
}

// Transitions is the state diagram.
var Transitions = []Transition{
	{Pending, Processing, "claim"},
	{Failed, Processing, "claim"},
	{Processing, Completed, "success"},
	{Processing, Failed, "failure with retries left"},
	{Processing, Dead, "failure without retries left, cancel, 3 dead workers in a row"},
	{Processing, Pending, "release, worker died"},
	{Failed, Pending, "retry"},
	{Dead, Pending, "retry"},
	{Completed, Pending, "retry"},
	{Pending, Dead, "cancel, refused drop"},
	{Failed, Dead, "cancel"},
	{Held, Dead, "cancel"},
	{Held, Pending, "retry"},
}
