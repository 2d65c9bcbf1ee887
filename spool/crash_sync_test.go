package spool

import (
	"slices"
	"strings"
	"testing"

	"queuectl/spool/internal/simfs"
)

// syncsOf lists the syncs of an operation: what each is of.
func syncsOf(c crashTest) (list []string) {
	e := newEnumeration(c)
	w := e.w.clone()
	a := w.actor("actor")
	if e.setup != nil {
		e.setup(a)
	}
	w.Hook = func(s simfs.Step) {
		if strings.HasPrefix(s.Op, "sync") {
			list = append(list, strings.TrimSpace(s.Op+" "+s.Path))
		}
	}
	_ = e.act(a)
	return list
}

// TestEverySyncIsNeeded takes one sync after the other away and demands that
// the enumeration notices: that proves the enumeration as much as the sync.
func TestEverySyncIsNeeded(t *testing.T) {
	for _, c := range []crashTest{
		enqueueing,
		onSyncing(enqueueing),
		batching,
		adopting("adoption", "x.json", jobText("job"), "job"),
		replacing(Failed),
	} {
		syncs := syncsOf(c)
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for i, what := range syncs {
				e := newEnumeration(c)
				e.ignore = append(e.ignore, i+1)
				if j := otherSide(syncs, i); j >= 0 {
					e.ignore = append(e.ignore, j+1)
				}
				if e.run() == nil {
					t.Errorf("nobody misses %q", what)
				}
			}
		})
	}
}

// otherSide is the sync of the other directory of the rename by which a file
// is taken from STATE into tmp/RAND/STATE. A rename is on the disk as a whole
// here, so that either sync covers it; where one is not, both are needed.
func otherSide(syncs []string, i int) int {
	_, st, _ := strings.Cut(syncs[i], " ")
	parts := strings.Split(st, "/")
	if !isState(State(parts[len(parts)-1])) || slices.Contains(parts, "new") {
		return -1
	}
	return slices.IndexFunc(syncs, func(s string) bool {
		_, other, _ := strings.Cut(s, " ")
		return other != st && !strings.Contains(other, "/new/") && (strings.HasSuffix(other, "/"+st) || strings.HasSuffix(st, "/"+other))
	})
}
