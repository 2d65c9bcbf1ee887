package spool

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// A group whose members are zombies is dead, though the null signal reaches it.
func TestZombiesAreDead(t *testing.T) {
	pid, err := syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Setpgid: true}})
	must(t, err)
	defer syscall.Wait4(pid, nil, 0, nil)
	wait(t, "a zombie", func() bool {
		state, _, _, ok := procStat(fmt.Sprint(pid))
		return ok && state == 'Z'
	})
	if syscall.Kill(-pid, 0) != nil {
		t.Error("the signal does not reach it: this test shows nothing")
	}
	if groupAlive(pid, processStart(pid)) {
		t.Error("a zombie is alive")
	}
}

// One look answers all who asked before it began, and nobody who asked later:
// who is asked of may have begun since.
func TestCensus(t *testing.T) {
	var looks int
	begun, goOn := make(chan int), make(chan struct{})
	c := census{look: func() map[int]struct{} {
		looks++
		if looks <= 2 {
			begun <- looks
			<-goOn
		}
		return map[int]struct{}{looks: {}}
	}}
	ask := func() int {
		for n := range c.groups() {
			return n
		}
		return 0
	}
	first := make(chan int)
	go func() { first <- ask() }()
	<-begun
	const many = 100
	others := make(chan int, many)
	for range many {
		go func() { others <- ask() }()
	}
	time.Sleep(50 * time.Millisecond) // they have asked, or most have
	goOn <- struct{}{}
	if n := <-first; n != 1 {
		t.Errorf("the first has look %d", n)
	}
	<-begun
	late := make(chan int)
	go func() { late <- ask() }()
	time.Sleep(10 * time.Millisecond)
	goOn <- struct{}{}
	for range many {
		if n := <-others; n < 2 {
			t.Errorf("who asked while one was being made has look %d", n)
		}
	}
	if n := <-late; n < 3 {
		t.Errorf("who asked while the second was being made has look %d", n)
	}
	if looks > many/2 {
		t.Errorf("%d looks for %d", looks, many+2)
	}
}
