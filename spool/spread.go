package spool

import (
	"runtime"
	"sync"
)

// share is for how many jobs of a batch it is worth the while to have one more
// goroutine make them.
const share = 500

// spread calls f with each number below n, in order of the numbers where they
// are few, and from a goroutine for each processor where they are many. No
// number is begun after an error; the error returned is the one of the least
// number that has one, as all below it were begun before.
func spread(n int, f func(i int) error) error {
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		next   int
		at     = n
		failed error
	)
	take := func() (i int, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1, next <= n && failed == nil
	}
	work := func() {
		for i, ok := take(); ok; i, ok = take() {
			if err := f(i); err != nil {
				mu.Lock()
				if i < at {
					at, failed = i, err
				}
				mu.Unlock()
			}
		}
	}
	for range min(n/share, runtime.GOMAXPROCS(0)) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	return failed
}
