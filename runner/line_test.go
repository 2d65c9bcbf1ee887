package runner

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A line does what a sorted slice does, however its items came and went.
func TestLine(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	some := func() *item { return &item{due: rnd.Int64N(1000)} }
	l, want := newLine(dueSooner), []*item{}
	for step := range 20_000 {
		switch k := rnd.IntN(8); {
		case k < 2:
			it := some()
			l.put(it)
			want = append(want, it)
		case k == 2 && step%50 == 0:
			var more []*item
			for range rnd.IntN(200) {
				more = append(more, some())
			}
			slices.SortFunc(more, compareBy(dueSooner))
			want = append(want, more...)
			l.putSorted(more)
		case k == 3 && step%100 == 0:
			l.set(l.sorted())
		case k == 4 && len(want) > 0:
			i := rnd.IntN(len(want))
			want[i].takeOut()
			want = slices.Delete(want, i, i+1)
		case len(want) > 0:
			it := l.head()
			it.takeOut()
			it.takeOut() // harmless
			i := slices.Index(want, it)
			if i < 0 {
				t.Fatalf("step %d: the head was taken out before", step)
			}
			want = slices.Delete(want, i, i+1)
			if i := slices.IndexFunc(want, func(o *item) bool { return dueSooner(o, it) }); i >= 0 {
				t.Fatalf("step %d: the head is due at %d, another one at %d", step, it.due, want[i].due)
			}
		}
		if l.Len() != len(want) || (l.head() == nil) != (len(want) == 0) {
			t.Fatalf("step %d: %d items, want %d", step, l.Len(), len(want))
		}
		if step%100 == 0 {
			each := make(map[*item]bool)
			for k := range l.Len() {
				each[l.nth(k)] = true
			}
			for _, it := range want {
				if !each[it] {
					t.Fatalf("step %d: not each item has a number", step)
				}
			}
		}
	}
}
