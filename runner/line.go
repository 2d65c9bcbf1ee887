package runner

import (
	"container/heap"
	"slices"
)

// A line is items in order. Most of them come sorted, from a listing, and stay
// in a slice, from which one is taken without a look at any other. What comes
// one by one goes into a heap beside it.
type line struct {
	less func(a, b *item) bool
	run  []*item // in order; nil where one was taken out
	from int     // those before it were taken out
	live int     // how many were not
	rest rest
	more bool // there are more names on disk, after end
	end  item
}

// rest is the heap of a line.
type rest struct {
	items []*item
	less  func(a, b *item) bool
}

func (r *rest) Len() int           { return len(r.items) }
func (r *rest) Less(i, j int) bool { return r.less(r.items[i], r.items[j]) }
func (r *rest) Swap(i, j int) {
	r.items[i], r.items[j] = r.items[j], r.items[i]
	r.items[i].pos, r.items[j].pos = int32(i), int32(j)
}

func (r *rest) Push(x any) {
	it := x.(*item)
	it.pos = int32(len(r.items))
	r.items = append(r.items, it)
}

func (r *rest) Pop() any {
	last := len(r.items) - 1
	it := r.items[last]
	r.items[last] = nil
	r.items = r.items[:last]
	return it
}

func newLine(less func(a, b *item) bool) line { return line{less: less, rest: rest{less: less}} }

func (l *line) Len() int { return l.live + l.rest.Len() }

func (l *line) put(it *item) {
	it.in = l
	heap.Push(&l.rest, it)
}

// set has the line consist of these, which are in order.
func (l *line) set(items []*item) {
	l.rest.items = nil
	l.setRun(items)
}

func (l *line) setRun(items []*item) {
	l.run, l.from, l.live = items, 0, len(items)
	for i, it := range items {
		it.in, it.pos = l, inRun(int32(i))
	}
}

// inRun is the position of an item in the slice: those in the heap are not
// negative. It is its own inverse.
func inRun(i int32) int32 { return ^i }

// putSorted takes in items that are in order.
func (l *line) putSorted(items []*item) {
	if len(items) > 0 {
		l.setRun(mergeSorted(l.ofRun(), items, l.less))
	}
}

// beyond reports whether an item comes after the last one of which all before
// are here. It is found by the next listing, with those on disk before it.
func (l *line) beyond(it *item) bool { return l.more && l.less(&l.end, it) }

// cut removes all items that are beyond.
func (l *line) cut(removed func(*item)) {
	if !l.more {
		return
	}
	past := func(it *item) bool {
		if it == nil || !l.beyond(it) {
			return it == nil
		}
		it.in = nil
		removed(it)
		return true
	}
	l.setRun(slices.DeleteFunc(l.run[l.from:], past))
	l.rest.items = slices.DeleteFunc(l.rest.items, past)
	for i, it := range l.rest.items {
		it.pos = int32(i)
	}
	heap.Init(&l.rest)
}

// ofRun is what is left of the slice.
func (l *line) ofRun() []*item {
	return slices.DeleteFunc(l.run[l.from:], func(it *item) bool { return it == nil })
}

// sorted is all items in order. The line is to be set after it.
func (l *line) sorted() []*item {
	all := append(l.ofRun(), l.rest.items...)
	slices.SortFunc(all, compareBy(l.less))
	return all
}

// mergeSorted is a new slice of both.
func mergeSorted(a, b []*item, less func(a, b *item) bool) []*item {
	all := make([]*item, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if less(b[0], a[0]) {
			all, b = append(all, b[0]), b[1:]
		} else {
			all, a = append(all, a[0]), a[1:]
		}
	}
	return append(append(all, a...), b...)
}

// head is the first item, nil where there is none.
func (l *line) head() *item {
	for l.from < len(l.run) && l.run[l.from] == nil {
		l.from++
	}
	switch {
	case l.from == len(l.run) && l.rest.Len() == 0:
		return nil
	case l.from == len(l.run), l.rest.Len() > 0 && l.less(l.rest.items[0], l.run[l.from]):
		return l.rest.items[0]
	}
	return l.run[l.from]
}

// nth is an item for each k below Len: of the slice the first ones first.
func (l *line) nth(k int) *item {
	if k >= l.live {
		return l.rest.items[k-l.live]
	}
	for _, it := range l.run[l.from:] {
		if it == nil {
			continue
		}
		if k == 0 {
			return it
		}
		k--
	}
	return nil
}

// takeOut removes an item from the line in which it stands.
func (it *item) takeOut() {
	l := it.in
	switch {
	case l == nil:
		return
	case it.pos < 0:
		l.run[inRun(it.pos)] = nil
		l.live--
	default:
		heap.Remove(&l.rest, int(it.pos))
	}
	it.in = nil
}

func compareBy(less func(a, b *item) bool) func(a, b *item) int {
	return func(a, b *item) int {
		switch {
		case less(a, b):
			return -1
		case less(b, a):
			return 1
		}
		return 0
	}
}
