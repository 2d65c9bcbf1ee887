// Package spool is a job queue whose only store is a directory.
//
// A job is one JSON file. Its state is the directory that the file is in, and
// a state change is one rename. There is no server: any number of processes
// may enqueue, work, list and be killed at any moment.
//
//	pending/      DUE-P-ID.json          waits; may start once DUE has come
//	processing/   DUE-P-ID@POOL.K.json   runs, and which claim runs it
//	failed/       DUE-P-ID.json          an attempt failed; runs again at DUE
//	completed/    ENDED-P-ID.json        succeeded
//	dead/         ENDED-P-ID.json        gave up: the dead letter queue
//	held/         DUE-P-ID.json          put aside by a person
//	ids/HH/       ID.json                a second name (hard link) of every job file
//	logs/HH/      ID.log                 what the job printed
//	tmp/RAND/                            what is being staged, under a lock on the directory
//	workers/      POOL.json              one per pool, which holds a lock on it for life
//	control/      POOL.stop, ID.cancel   requests to what runs
//
// # The life of a job
//
// Enqueue stages the file in tmp/, links its second name and renames it into
// pending/ (enqueue.go, stage.go). A file that a person drops into pending/ is
// adopted: it becomes a file of our own in one commit (adopt.go). A Pool takes
// it with Claim: lock first, rename second (claim.go). Settle writes the
// outcome at the file's tail and renames it on; Release gives it back. What a
// dead pool leaves behind is taken over by Recover (recover.go). Only replace
// changes what a file says otherwise than at its tail (replace.go).
//
// # What always holds
//
//  1. A job is in one state: its file has one name in the state directories,
//     and ids/HH/ID.json is the same inode.
//  2. Who runs a job holds the lock of its file, and so does the job's own
//     process: the lock means that the job is alive, not that its worker is.
//  3. Nothing is renamed over another file in a state directory.
//  4. A second name is removed only under the lock, when it is the last name.
//  5. What is in tmp/ is seen by nobody until its commit, and from then on
//     everybody completes it.
//  6. The directory is the truth and the history is the story.
//
// Check tests these; docs/format.md has the whole list and the order of writes.
//
// # Concurrency
//
// A Spool and a Pool may be used by many goroutines at once, a Claim by one at
// a time. Errors that a caller decides by are the Err variables.
package spool
