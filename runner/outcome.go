package runner

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"queuectl/spool"
)

// An ending is how the run of a job ended.
type ending struct {
	outcome     spool.Outcome
	exit        *int
	signal      string
	reason      string
	detail      string // for the log alone: the stack of a panic
	permanent   bool   // it is not tried again
	interrupted bool   // the pool stops: it is released
	killed      bool   // by us, and something may have escaped
	unstarted   error  // it could not be started, for no fault of its own
	left        bool   // it did not end, and the pool has gone on without it
}

func failed(format string, args ...any) ending {
	return ending{outcome: spool.FailedOutcome, reason: fmt.Sprintf(format, args...)}
}

// result says what becomes of the job: after its n-th failed attempt it is
// tried again if n is at most its max_retries.
func (p *Pool) result(n, maxRetries int, e ending) spool.Result {
	now := time.Now().Truncate(time.Microsecond) // as it is written
	res := spool.Result{Outcome: e.outcome, Exit: e.exit, Signal: e.signal, Reason: e.reason, Killed: e.killed, Ended: now}
	if e.outcome != spool.FailedOutcome && e.outcome != spool.TimedOut {
		return res
	}
	if !e.permanent && n <= maxRetries {
		cfg, _ := p.q.Config()
		res.RetryAt = now.Add(spool.RetryDelay(cfg, n, p.rand()))
	}
	return res
}

// endingOf is what the end of a process means.
func endingOf(st *os.ProcessState, end earlyEnd, poolStopping bool) ending {
	why := end.why
	ws, _ := st.Sys().(syscall.WaitStatus)
	e := ending{outcome: spool.FailedOutcome, killed: why != byItself}
	if ws.Signaled() {
		e.signal = signalName(ws.Signal())
		e.reason = "killed by " + e.signal
	} else {
		code := st.ExitCode()
		e.exit, e.reason = &code, exitReason(code)
	}
	ok := st.Success()
	switch {
	case why == timeout:
		e.outcome, e.reason = spool.TimedOut, fmt.Sprintf("timed out after %s (%s)", spool.FormatDuration(end.limit), e.reason)
	case why == cancelled:
		e.outcome, e.reason = spool.Cancelled, "cancelled ("+e.reason+")"
	case ok:
		e.outcome, e.reason = spool.Succeeded, ""
	case why == stopping:
		e.interrupted, e.reason = true, "the pool was stopped ("+e.reason+")"
	case poolStopping && stoppedFromOutside(ws):
		// Who stopped the pool has signalled its jobs, too (systemd does).
		e.interrupted, e.killed, e.reason = true, true, "stopped together with its pool ("+e.reason+")"
	}
	return e
}

// stopSignals end a process when its service or terminal ends.
var stopSignals = []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGKILL}

// stoppedFromOutside reports an end by such a signal. A shell whose child died
// of one exits with 128 and its number.
func stoppedFromOutside(ws syscall.WaitStatus) bool {
	for _, sig := range stopSignals {
		if (ws.Signaled() && ws.Signal() == sig) || (ws.Exited() && ws.ExitStatus() == 128+int(sig)) {
			return true
		}
	}
	return false
}

func exitReason(code int) string {
	switch code {
	case 126:
		return "exit status 126 (command cannot be executed)"
	case 127:
		return "exit status 127 (command not found)"
	}
	return fmt.Sprintf("exit status %d", code)
}

func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(sig))
}
