// Package runner works on a spool: it is a pool of slots, each of which runs
// one job at a time.
//
//	s, err := spool.Open(dir, spool.Options{Create: true})
//	…
//	p, err := runner.New(s, runner.Options{
//		Slots:    4,
//		Commands: true,
//		Handlers: map[string]runner.Handler{
//			"thumbnail": func(ctx context.Context, j *runner.Job) error { … },
//		},
//		Grace: 30 * time.Second,
//	})
//	…
//	err = p.Run(ctx) // until ctx is done or Stop is called, and all is ended
//
// # How it works
//
// One goroutine, the dispatcher, owns everything that the pool knows: the
// order of the names that wait, what is not due yet, what is to be tried
// again, and which slots are busy. It opens no job's file. When a slot is free
// it starts a goroutine, an attempt, on the first name in the order; the
// attempt claims the job, runs it, settles it, and reports. Whatever may take
// long (listing, adopting what was dropped, recovering, pruning, syncing) is a
// chore: a goroutine beside the dispatcher, at most one of each kind.
//
// Events are hints, and a listing is the truth: the pool watches first and
// lists second, and lists again every 30 seconds, or at scan_interval where the
// file system sends no events. Between these an idle pool does nothing at all.
//
// # Who may call what
//
// Stop, StopNow and Name may be called by any goroutine at any time, also
// before Run and after it. Run is called once. A Handler is called by many
// goroutines at once, one for each slot.
//
// # How an attempt ends
//
//   - Exit status 0, or a handler that returns nil: the job is completed.
//   - Anything else is a failed attempt. After the n-th one the job waits
//     retry_base^n seconds, or is dead when n is greater than its max_retries.
//   - Its timeout has come: TERM to its process group, and KILL to what is left
//     of that 5 seconds later; a handler's context is done. The attempt counts
//     as a failed one, whatever its exit status. A handler that returns nil
//     even so has done its work.
//   - Somebody cancels it: likewise, and the job is dead.
//   - The pool stops and its grace is over: likewise, and the job waits again
//     under its old place in line; the attempt is not charged. What ends with
//     status 0 even so is completed: a command that leaves on TERM with its
//     work undone must say so by another status.
//
// A command's children that stay in its process group are left alone when the
// command ends by itself.
package runner
