//go:build !windows

// Package torture finds out whether queuectl keeps its promises on a machine
// and a file system: it is what "queuectl torture" does.
//
// First come the probes (probe.go): processes that race for the single
// operations of the protocol. Then a crew of real pools and enqueuers works on
// a spool of its own while the storm kills, moves, pauses and drops (plan.go,
// crew.go, storm.go, hand.go). When all has come to an end, what was promised
// is compared with what is there (account.go): the ledger holds what was
// acknowledged and done by us, the records what queuectl says, and the marks
// what jobs really did (job.go).
//
// All processes are this program again. Those that are not queuectl itself are
// helpers, started by the hidden flag --as (helper.go).
package torture
