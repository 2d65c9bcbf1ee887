package spool

import (
	"os"
	"testing"
	"time"
)

// long switches the long forms of tests on.
func long() bool { return os.Getenv("QUEUECTL_LONG") != "" }

// scenes explores each of them.
func races(t *testing.T, list ...scene) {
	t.Helper()
	for _, sc := range list {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			if sc.want == nil {
				sc.want = func(*outcomes) []int { return []int{1} }
			}
			start, x := time.Now(), sc.exploration()
			bound := max(1, sc.bound)
			if long() {
				bound = 3
			}
			if err := x.all(bound); err != nil {
				t.Fatalf("after %d runs: %v", x.runs, err)
			}
			t.Logf("%d disturbances: %d runs, %d states, %d ends, %v", bound, x.runs, len(x.seen), x.ends, time.Since(start).Round(time.Millisecond))
		})
	}
}
