// Bench measures queuectl side by side with other ways to do the same work, on
// the machine it runs on, and writes the report.
//
// It is a module of its own, so that what it compares with is no dependency of
// queuectl. Built with the tag "peers" it has other queues among its
// contenders: programs that must be installed, and Go libraries whose servers
// it starts on the loopback address with their data in a temporary directory.
//
//	go build -C cmd/bench -tags peers -o ../../bin/bench .
//	bin/bench -quick          tiny sizes, to see that all works
//	bin/bench -o docs         the real thing
//
// A workload (the files work_*.go) is one section of the report. It has
// contenders, the lines of its table, which do the same work. The contenders
// take turns, A B C A B C …, so that a slow minute of the machine slows them
// all, and every figure is a median with its smallest and largest value. What
// is compared is compared within a turn. Other queues are peer_*.go.
package main
