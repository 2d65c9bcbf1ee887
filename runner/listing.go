package runner

import (
	"slices"

	"queuectl/spool"
)

// A listing collects the first names of each kind while a directory is read.
type listing struct {
	limit              int
	now, aging         int64
	ready, due, drops  []*item
	moreReady, moreDue bool
	moreDrops          bool
}

func (g *listing) add(p string, n spool.Name, canonical bool) {
	it := newItem(p, n, canonical, g.aging)
	switch {
	case it.drop:
		g.drops = firstOf(append(g.drops, it), g.limit, byBase, &g.moreDrops)
	case it.due <= g.now:
		g.ready = firstOf(append(g.ready, it), g.limit, sooner, &g.moreReady)
	default:
		g.due = firstOf(append(g.due, it), g.limit, dueSooner, &g.moreDue)
	}
}

// sort puts all in order.
func (g *listing) sort() {
	slices.SortFunc(g.ready, compareBy(sooner))
	slices.SortFunc(g.due, compareBy(dueSooner))
	slices.SortFunc(g.drops, compareBy(byBase))
}

// firstOf keeps at most twice the limit; once more were seen, what comes after
// the last one kept is not taken in at all.
func firstOf(items []*item, limit int, less func(a, b *item) bool, more *bool) []*item {
	last := len(items) - 1
	if *more && last >= limit && less(items[limit-1], items[last]) {
		return items[:last]
	}
	if len(items) < 2*limit {
		return items
	}
	slices.SortFunc(items, compareBy(less))
	*more = true
	clear(items[limit:])
	return items[:limit]
}

// merge takes a sorted listing in. What was known before the listing began and
// is missing in two of them is forgotten: a single one may miss a name that is
// being moved.
func (o *order) merge(g *listing) (fresh int) {
	o.gen++
	if g.aging != o.aging { // it was set meanwhile
		for _, it := range g.ready {
			it.age(o.aging)
		}
		g.sort()
	}
	ready, due, drops := o.unknown(g.ready), o.unknown(g.due), o.unknown(g.drops)
	o.ready.putSorted(ready)
	o.due.putSorted(due)
	o.drops.putSorted(drops)
	o.probe = append(o.probe, due...)
	o.ready.more, o.due.more, o.drops.more = g.moreReady, g.moreDue, g.moreDrops
	o.again.more = false
	for _, l := range []*line{&o.ready, &o.due, &o.drops} {
		o.trim(l)
	}
	if g.moreReady || g.moreDue || g.moreDrops {
		return len(ready) + len(due) + len(drops)
	}
	for _, it := range o.known {
		if it.in == nil || it.in == &o.again || it.seen == o.gen {
			continue // an attempt has it, or is about to look
		}
		if it.gone++; it.gone >= 2 {
			o.forget(it)
		}
	}
	return len(ready) + len(due) + len(drops)
}

// unknown are those of a listing that were not known yet.
func (o *order) unknown(listed []*item) []*item {
	return slices.DeleteFunc(listed, func(it *item) bool {
		old := o.known[it.path]
		if old != nil {
			old.seen, old.gone = o.gen, 0
			return true
		}
		o.know(it)
		return false
	})
}
