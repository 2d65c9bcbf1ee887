//go:build !windows

package main

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// outletRoom is how much of what nobody reads is kept, in bytes.
	outletRoom = 256 << 10
	// outletPatience is how long the end of a worker waits for who reads.
	outletPatience = time.Second
)

// An outlet passes on what is written to it, from a goroutine of its own: a
// worker does not wait for who reads its messages, which may be nobody (a pipe
// that is not emptied, a terminal that was stopped). What there is no room for
// is left out, and how much that was is told.
type outlet struct {
	w    io.Writer
	wake chan struct{}
	done chan struct{}

	mu     sync.Mutex
	kept   []byte
	lost   int // lines since
	closed bool
}

func newOutlet(w io.Writer) *outlet {
	o := &outlet{w: w, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go o.pass()
	return o
}

// Write takes whole lines, and never fails.
func (o *outlet) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return len(b), nil
	}
	if o.lost == 0 && len(o.kept)+len(b) <= outletRoom { // nothing is left out in between
		o.kept = append(o.kept, b...)
	} else {
		o.lost += max(1, bytes.Count(b, []byte("\n")))
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (o *outlet) pass() {
	defer close(o.done)
	var b []byte
	for more := true; more; {
		_, more = <-o.wake
		o.mu.Lock()
		o.kept, b = b[:0], o.kept
		lost := o.lost
		o.lost = 0
		o.mu.Unlock()
		_, _ = o.w.Write(b)
		if lost > 0 {
			fmt.Fprintf(o.w, "(%s left out here, for which there was no room)\n", plural(lost, "line was", "lines were"))
		}
	}
}

// close passes on the rest, and waits for that, but not for long.
func (o *outlet) close() {
	o.mu.Lock()
	if !o.closed {
		o.closed = true
		close(o.wake)
	}
	o.mu.Unlock()
	select {
	case <-o.done:
	case <-time.After(outletPatience):
	}
}
