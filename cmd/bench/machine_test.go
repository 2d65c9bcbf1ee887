package main

import (
	"os"
	"runtime"
	"testing"
	"time"
)

// TestEffort proves that an idle worker's 0 wake-ups are not 0 because nothing
// is counted.
func TestEffort(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("effort reads Linux's /proc")
	}
	before := effort(os.Getpid())
	for end := time.Now().Add(20 * time.Millisecond); time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	after := effort(os.Getpid())
	for i, what := range []string{"sleeps", "milliseconds"} {
		if after[i] <= before[i] {
			t.Errorf("%s: %v before, %v after", what, before[i], after[i])
		}
	}
}
