package runner

import (
	"slices"
	"time"

	"queuectl/spool"
)

// A listing collects the first names of each kind while a directory is read.
type listing struct {
	now, aging        int64
	ready, due, drops firsts
	this              item // of add: most of many are not kept
}

func newListing(limit int, now time.Time, aging int64) *listing {
	return &listing{
		now: now.UnixMicro(), aging: aging,
		ready: firsts{less: sooner, limit: limit}, due: firsts{less: dueSooner, limit: limit}, drops: firsts{less: byBase, limit: limit},
	}
}

func (g *listing) add(p string, n spool.Name, canonical bool) {
	g.this = makeItem(p, n, canonical, g.aging)
	switch {
	case g.this.drop:
		g.drops.add(&g.this)
	case g.this.due <= g.now:
		g.ready.add(&g.this)
	default:
		g.due.add(&g.this)
	}
}

// sort puts all in order.
func (g *listing) sort() {
	g.ready.sort()
	g.due.sort()
	g.drops.sort()
}

// age has the listing be one under this aging.
func (g *listing) age(aging int64) {
	if g.aging == aging {
		return
	}
	g.aging, g.ready.sorted = aging, 0
	for _, it := range g.ready.items {
		it.age(aging)
	}
	g.ready.sort()
}

// firsts are the first items of many: at most a quarter more than the limit,
// and once there were more than that, no item that comes after the first ones.
type firsts struct {
	less   func(a, b *item) bool
	limit  int
	items  []*item
	sorted int // so many of items are in order
	more   bool
}

// add keeps a copy, if anything.
func (f *firsts) add(it *item) {
	if f.more && f.less(f.items[f.limit-1], it) {
		return
	}
	kept := *it
	f.items = append(f.items, &kept)
	if len(f.items) > f.limit+f.limit/4 {
		f.sort()
		clear(f.items[f.limit:])
		f.items, f.sorted, f.more = f.items[:f.limit], f.limit, true
	}
}

func (f *firsts) sort() {
	fresh := f.items[f.sorted:]
	slices.SortFunc(fresh, compareBy(f.less))
	f.items = mergeSorted(f.items[:f.sorted], fresh, f.less)
	f.sorted = len(f.items)
}

// merge takes a sorted listing in. What was known before the listing began and
// is missing in two of them is forgotten: a single one may miss a name that is
// being moved.
func (o *order) merge(g *listing) (fresh int) {
	o.gen++
	g.age(o.aging) // it was set meanwhile
	if len(o.known) == 0 {
		// As large at once as it grows to.
		o.known = make(map[string]*item, len(g.due.items)+len(g.ready.items)+len(g.drops.items))
	}
	due := o.mergeInto(&o.due, &g.due)
	o.toProbe(due...)
	fresh = len(due) + len(o.mergeInto(&o.ready, &g.ready)) + len(o.mergeInto(&o.drops, &g.drops))
	o.again.more = false
	if g.ready.more || g.due.more || g.drops.more {
		return fresh
	}
	for _, it := range o.known {
		if it.in == nil || it.in == &o.again || it.seen == o.gen {
			continue // an attempt has it, or is about to look
		}
		if it.gone++; it.gone >= 2 {
			o.forget(it)
		}
	}
	return fresh
}

// mergeInto takes in what was listed for a line, and returns what was not known
// yet.
func (o *order) mergeInto(l *line, f *firsts) (fresh []*item) {
	if l.more = f.more; f.more {
		l.end = *f.items[len(f.items)-1]
	}
	fresh = slices.DeleteFunc(f.items, func(it *item) bool {
		old := o.known[it.path]
		if old != nil {
			old.seen, old.gone = o.gen, 0
			return true
		}
		o.know(it)
		return false
	})
	l.putSorted(fresh)
	l.cut(func(it *item) { delete(o.known, it.path) })
	o.trim(l)
	return fresh
}
