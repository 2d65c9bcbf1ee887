//go:build !windows

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// gate lets writes through once it is open.
type gate struct {
	open chan struct{}
	bytes.Buffer
}

func (g *gate) Write(b []byte) (int, error) {
	<-g.open
	return g.Buffer.Write(b)
}

func TestOutlet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		o := newOutlet(g)
		const lines = 50_000
		fmt.Fprintln(o, "line 0")
		synctest.Wait() // it is being written
		for i := 1; i < lines; i++ {
			fmt.Fprintf(o, "line %d\n", i)
		}
		began := time.Now()
		o.close() // nobody reads
		if d := time.Since(began); d != outletPatience {
			t.Errorf("it waited for %v", d)
		}
		fmt.Fprintln(o, "too late")
		close(g.open)
		<-o.done
		got := strings.Split(strings.TrimSuffix(g.String(), "\n"), "\n")
		n := 0
		for n < len(got) && got[n] == fmt.Sprintf("line %d", n) {
			n++
		}
		want := fmt.Sprintf("(%d lines were left out here, for which there was no room)", lines-n)
		if n < 1000 || n == lines || len(got) != n+1 || got[n] != want {
			t.Errorf("%d lines came, %d of them one after the other, and then %.100q", len(got), n, got[n:min(n+1, len(got))])
		}
	})
}

// One message that is too long keeps no other one back.
func TestOutletOfALongLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		o := newOutlet(&b)
		fmt.Fprintln(o, strings.Repeat("x", outletRoom))
		synctest.Wait()
		fmt.Fprintln(o, "next")
		o.close()
		if want := "(1 line was left out here, for which there was no room)\nnext\n"; b.String() != want {
			t.Errorf("it passed on %.100q", b.String())
		}
	})
}

func TestOutletPassesAllOn(t *testing.T) {
	for range 100 {
		var b strings.Builder
		o := newOutlet(&b)
		want := ""
		for i := range 10 {
			want += fmt.Sprintf("line %d\n", i)
			fmt.Fprintf(o, "line %d\n", i)
		}
		if o.close(); b.String() != want {
			t.Fatalf("it passed on %q", b.String())
		}
	}
}

// A worker whose messages nobody reads works, and can be stopped.
func TestWorkerWithUnreadMessages(t *testing.T) {
	b := parallelBench(t)
	_, _, status := b.tryWith(strings.Repeat(`{"command":"true"}`+"\n", 50), "enqueue", "-")
	if status != exitDone {
		t.Fatal(status)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := w.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for err == nil { // until it is full
		_, err = w.Write(make([]byte, 1<<20))
	}
	cmd := exec.Command("queuectl", "--spool", b.spool, "worker", "start", "--count", "2")
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	b.till("all jobs are done", func() bool { return b.count("completed") == 50 })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	b.till("it has ended", func() bool { return len(ended) > 0 })
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
