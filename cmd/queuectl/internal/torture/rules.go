//go:build !windows

package torture

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"queuectl/spool"
)

// rules are what must hold for each job. A rule returns what is wrong, or "".
var rules = []func(*books) string{
	oneState,
	atRest,
	oneAcknowledgement,
	notBeside,
	onceEach,
	effectThere,
	notAgain,
	deadForAReason,
	lostWithItsPool,
}

func oneState(b *books) string {
	switch n := len(b.places); {
	case n > 1:
		return "it is in several states: " + strings.Join(b.places, ", ")
	case n == 0 && b.entry.acks > 0:
		return "it was acknowledged, and is in no state"
	case n == 0 && len(b.marks) > 0:
		return "it ran, and is in no state"
	}
	return ""
}

func atRest(b *books) string {
	switch b.state {
	case "", spool.Completed, spool.Dead:
		return ""
	}
	return fmt.Sprintf("it does not come to rest: it is in %s", b.state)
}

func oneAcknowledgement(b *books) string {
	if b.entry.acks > 1 {
		return fmt.Sprintf("its id was given %d times", b.entry.acks)
	}
	return ""
}

func notBeside(b *books) string {
	if tally(b.marks, markBeside, "") > 0 {
		return "it was started while a copy of it lived"
	}
	return ""
}

// onceEach demands that an attempt of the history is at most one run, and a run
// an attempt: also that nothing ran of which nobody knows.
func onceEach(b *books) string {
	unknown := 0 // attempts of which nobody could write down the process any more
	known := make(map[string]bool)
	for _, h := range b.history {
		switch {
		case h.Claim == "":
		case h.PID == 0:
			unknown++
		default:
			known[strconv.Itoa(h.PID)] = true
		}
	}
	for _, m := range b.marks {
		if m.word != markBegin {
			continue
		}
		if n := tally(b.marks, markBegin, m.key); n > 1 {
			return fmt.Sprintf("process %s ran %d times", m.key, n)
		}
		if !known[m.key] {
			unknown--
		}
	}
	if unknown < 0 {
		return "it ran more often than its history says"
	}
	return ""
}

// effectThere demands that an outcome is what the process has noted.
func effectThere(b *books) string {
	if b.state == spool.Completed && tally(b.marks, markDone, "") == 0 {
		return "it is completed, and has had no effect"
	}
	for _, h := range b.history {
		key := strconv.Itoa(h.PID)
		switch {
		case h.Outcome == spool.Succeeded && tally(b.marks, markDone, key) != 1:
			return fmt.Sprintf("attempt %d by process %s succeeded, and has had %d effects", h.Attempt, key, tally(b.marks, markDone, key))
		case h.Outcome == spool.FailedOutcome && h.Exit != nil && *h.Exit == 1 && tally(b.marks, markFailed, key) != 1:
			return fmt.Sprintf("attempt %d by process %s failed, and has not said so", h.Attempt, key)
		}
	}
	return ""
}

// notAgain demands that a success runs again only where somebody moved the job
// to pending by hand.
func notAgain(b *books) string {
	again := -1
	for _, h := range b.history {
		if h.Outcome == spool.Succeeded {
			again++
		}
	}
	byHand := 0
	for _, act := range []string{actAgain, actRunning, actRevive, actFailed, actFailedNow} {
		byHand += b.entry.moves[act]
	}
	if again > byHand {
		return fmt.Sprintf("it succeeded %d times, and was moved by hand %d times", again+1, byHand)
	}
	return ""
}

// deadForAReason demands that a job is dead only if it failed, or its workers
// died, or somebody buried it.
func deadForAReason(b *books) string {
	if b.state != spool.Dead || b.entry.moves[actBury] > 0 {
		return ""
	}
	for _, h := range slices.Backward(b.history) {
		if h.Claim == "" {
			continue
		}
		switch h.Outcome {
		case spool.Succeeded, "", spool.Interrupted:
			return fmt.Sprintf("it is dead after an attempt that ended as %q", h.Outcome)
		}
		return ""
	}
	return "it is dead without having run"
}

// lostWithItsPool demands that an attempt died with its worker only where that
// was killed.
func lostWithItsPool(b *books) string {
	for _, h := range b.history {
		if h.Outcome != spool.WorkerDied && h.Outcome != spool.WorkerLost {
			continue
		}
		if _, killed := b.killed[poolOf(h.Claim)]; !killed {
			return fmt.Sprintf("attempt %d is said to have died with pool %s, which was not killed", h.Attempt, poolOf(h.Claim))
		}
	}
	return ""
}

// poolOf is the pool of a claim POOL.K.
func poolOf(claim string) string {
	if i := strings.LastIndexByte(claim, '.'); i >= 0 {
		return claim[:i]
	}
	return claim
}
