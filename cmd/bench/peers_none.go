//go:build !peers

package main

// withPeers says whether other queues are among the contenders.
const withPeers = false

// peers are the other queues for Go programs.
func peers() []rival { return nil }

// processPeers are other programs that make a job.
func processPeers() []processPeer { return nil }
