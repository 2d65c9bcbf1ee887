package runner

import (
	"context"
	"os"
	"sync"
	"syscall"
	"testing"
)

// BenchmarkTrue runs commands that do nothing, in two slots.
func BenchmarkTrue(b *testing.B) {
	s := newSpool(b)
	for range b.N {
		enqueue(b, s, `{"command":"true"}`)
	}
	b.ResetTimer()
	drained(b, s, Options{Commands: true, Slots: 2})
}

// BenchmarkSpawn is the same without a queue, to compare.
func BenchmarkSpawn(b *testing.B) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	var wg sync.WaitGroup
	next := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for range next {
				p, err := os.StartProcess("/bin/sh", []string{"sh", "-c", "true"}, &os.ProcAttr{
					Env: os.Environ(), Files: []*os.File{null, null, null}, Sys: &syscall.SysProcAttr{Setpgid: true},
				})
				if err == nil {
					_, err = p.Wait()
				}
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	for range b.N {
		next <- struct{}{}
	}
	close(next)
	wg.Wait()
}

// BenchmarkHandler runs handlers that do nothing, in eight slots.
func BenchmarkHandler(b *testing.B) {
	s := newSpool(b)
	jobs := make([][]byte, b.N)
	for i := range jobs {
		jobs[i] = []byte(`{"kind":"nothing"}`)
	}
	if _, err := s.EnqueueBatch(b.Context(), jobs); err != nil {
		b.Fatal(err)
	}
	nothing := func(context.Context, *Job) error { return nil }
	b.ResetTimer()
	drained(b, s, Options{Handlers: map[string]Handler{"nothing": nothing}, Slots: 8})
}
