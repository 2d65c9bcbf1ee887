package runner

import (
	"slices"
	"strings"
	"time"

	"queuectl/spool"
)

// maxOrder is how many names of each kind the dispatcher keeps: an item and a
// path each. Of more it keeps the first ones, and lists again when they run out.
const maxOrder = 200_000

// An item is one name in pending/ or failed/. There may be many, so it is small
// (64 bytes).
type item struct {
	path string
	due  int64 // µs since 1970
	key  int64 // the place in line: the lower, the sooner

	in    *line  // nil while an attempt has it
	pos   int32  // there
	seen  uint32 // the last listing that had it
	trial *trial // nil of one that was never put off

	baseAt uint16 // where base begins in path
	idAt   uint16 // where id does; 0 of a drop
	gone   uint8  // how many listings have not had it since it was seen

	drop   bool // to be adopted first
	opened bool // its due time lies ahead, and its file says the same
	hinted bool // something happened to the name while an attempt had it
}

// base is the last element of the path, by which names of one key are ordered.
func (it *item) base() string { return it.path[it.baseAt:] }

// id is the job's id, "" of a drop.
func (it *item) id() string {
	if it.idAt == 0 {
		return ""
	}
	return it.path[it.idAt : len(it.path)-len(".json")]
}

// A trial is what is known of an item that was tried in vain.
type trial struct {
	again time.Time     // when it is tried again
	pause time.Duration // how long it was put off last
	since time.Time     // since when it is unfinished
	held  time.Time     // since when its lock is held
}

// trialOrNew is the item's trial, which it has from now on.
func (it *item) trialOrNew() *trial {
	if it.trial == nil {
		it.trial = new(trial)
	}
	return it.trial
}

// setPath names an item, and has it be that of a job where there is an id.
func (it *item) setPath(p, id string) {
	it.path, it.baseAt, it.idAt = p, uint16(strings.LastIndexByte(p, '/')+1), 0
	if id != "" {
		it.idAt = uint16(len(p) - len(".json") - len(id))
	}
}

// scatter is among how many jobs pools choose that are after the same ones.
const scatter = 32

// order is what the dispatcher knows of pending/ and failed/.
type order struct {
	limit int
	aging int64 // µs of waiting that make up for one step of priority; 0: nothing does

	known map[string]*item // by path
	ready line             // due, in the order in which they are to start
	due   line             // not due yet, the soonest first
	again line             // tried in vain, the next to try first
	drops line             // to be adopted
	probe []*item          // of due: those whose files were not asked yet
	gen   uint32           // counts listings
}

func newOrder(limit int, aging time.Duration) *order {
	return &order{
		limit: limit, aging: aging.Microseconds(), known: make(map[string]*item),
		ready: newLine(sooner), due: newLine(dueSooner), drops: newLine(byBase),
		again: newLine(func(a, b *item) bool { return a.trial.again.Before(b.trial.again) }),
	}
}

func sooner(a, b *item) bool {
	if a.key != b.key {
		return a.key < b.key
	}
	return a.base() < b.base()
}

func dueSooner(a, b *item) bool {
	if a.due != b.due {
		return a.due < b.due
	}
	return a.base() < b.base()
}

func byBase(a, b *item) bool { return a.base() < b.base() }

// keyOf is a job's place in line. With strict priorities it is the priority
// alone, and names decide between equals: they begin with the due time.
//
// With aging, a job's effective priority is P + waited/aging. What has waited
// is now - due, so that the job with the highest P + (now-due)/aging goes
// first. Now is the same for all: it is the one with the lowest due - P·aging,
// and the order of two jobs never changes while they wait.
func keyOf(due int64, priority int, aging int64) int64 {
	if aging == 0 {
		return int64(9 - priority)
	}
	return due - int64(priority)*aging
}

// makeItem makes an item of a name.
func makeItem(p string, n spool.Name, canonical bool, aging int64) item {
	if !canonical {
		it := item{drop: true}
		it.setPath(p, "")
		return it
	}
	due := n.Time.UnixMicro()
	it := item{due: due, key: keyOf(due, n.Priority, aging)}
	it.setPath(p, n.ID)
	return it
}

// add takes a name in, unless it is known or comes after more than are kept:
// then it returns nil.
func (o *order) add(p string, n spool.Name, canonical bool, now time.Time) *item {
	if it := o.known[p]; it != nil {
		return nil
	}
	it := makeItem(p, n, canonical, o.aging)
	o.know(&it)
	o.place(&it, now)
	return o.known[p]
}

func (o *order) know(it *item) {
	it.seen = o.gen
	o.known[it.path] = it
}

// anew gives an item another path, and keeps it out of every line.
func (o *order) anew(it *item, p string) *item {
	o.forget(it)
	if old := o.known[p]; old != nil {
		o.forget(old) // a hint came first
	}
	it.setPath(p, it.id())
	it.trial = nil
	o.known[p] = it
	return it
}

// place puts an item where it belongs now.
func (o *order) place(it *item, now time.Time) {
	it.takeOut()
	it.hinted = false
	switch {
	case it.drop:
		o.put(&o.drops, it)
	case it.due <= now.UnixMicro():
		o.put(&o.ready, it)
	default:
		if !it.opened {
			o.toProbe(it)
		}
		o.put(&o.due, it)
	}
}

// toProbe notes items whose files are to be asked when nothing is ready. Most
// become due before that, and are let go.
func (o *order) toProbe(items ...*item) {
	o.probe = append(o.probe, items...)
	if len(o.probe) > 2*o.due.Len()+1024 {
		o.probe = slices.DeleteFunc(o.probe, func(it *item) bool { return !o.probes(it) })
	}
}

// probes reports whether an item's file is still to be asked.
func (o *order) probes(it *item) bool { return it.in == &o.due && !it.opened }

// put puts an item into a line, or leaves it to a later listing.
func (o *order) put(l *line, it *item) {
	if l.beyond(it) {
		o.forget(it)
		return
	}
	l.put(it)
	o.trim(l)
}

// putOff lets an item be tried again at a time.
func (o *order) putOff(it *item, at time.Time) {
	it.takeOut()
	it.hinted = false
	it.trialOrNew().again = at
	o.again.put(it)
	o.trim(&o.again)
}

// forget removes an item.
func (o *order) forget(it *item) {
	it.takeOut()
	if o.known[it.path] == it {
		delete(o.known, it.path)
	}
}

// promote moves what has become due, or is to be tried again, into line.
func (o *order) promote(now time.Time) {
	for it := o.due.head(); it != nil && it.due <= now.UnixMicro(); it = o.due.head() {
		o.place(it, now)
	}
	for it := o.again.head(); it != nil && !it.trial.again.After(now); it = o.again.head() {
		o.place(it, now)
	}
}

// next takes out the item to claim next: the first one that is due, or one
// that is not by its name, and whose file was not asked yet: where clocks
// differ that may know better.
func (o *order) next() *item {
	if o.ready.Len() > 0 {
		it := o.ready.head()
		it.takeOut()
		return it
	}
	for len(o.probe) > 0 {
		it := o.probe[0]
		o.probe = o.probe[1:]
		if o.probes(it) {
			it.takeOut()
			return it
		}
	}
	return nil
}

// scattered is next for pools that are after the same jobs, or cannot hear of
// each other: it takes any of the first few of the same priority, so that they do
// not all go for one name.
func (o *order) scattered(rand func() float64) *item {
	if n := min(o.ready.Len(), scatter); n > 1 {
		it := o.ready.nth(int(rand() * float64(n)))
		if o.level(it) == o.level(o.ready.head()) {
			it.takeOut()
			return it
		}
	}
	return o.next()
}

// level is the same for items of the same priority.
func (o *order) level(it *item) int64 {
	if o.aging == 0 {
		return it.key
	}
	return (it.due - it.key) / o.aging // see keyOf
}

// trim keeps the first ones of a line that has grown to twice the limit.
func (o *order) trim(l *line) {
	if l.Len() < 2*o.limit {
		return
	}
	items := l.sorted()
	for _, it := range items[o.limit:] {
		it.in = nil
		delete(o.known, it.path)
	}
	clear(items[o.limit:])
	l.set(items[:o.limit])
	l.more, l.end = true, *items[o.limit-1]
}

// dry reports whether a line runs out while there is more on disk.
func (o *order) dry() bool {
	for _, l := range []*line{&o.ready, &o.due, &o.drops, &o.again} {
		if l.more && l.Len() <= o.limit/4 {
			return true
		}
	}
	return false
}

// setAging orders anew where the configuration has changed, and reports
// whether it has: other names may be the first ones on disk now.
func (o *order) setAging(aging time.Duration) (changed bool) {
	us := aging.Microseconds()
	if us == o.aging {
		return false
	}
	o.aging = us
	for _, it := range o.known {
		it.age(us)
	}
	o.ready.end.age(us)
	o.ready.set(o.ready.sorted())
	return true
}

// age gives an item the place in line that it has with this aging.
func (it *item) age(aging int64) {
	if n, ok := spool.ParseName(it.base()); ok {
		it.key = keyOf(it.due, n.Priority, aging)
	}
}

// wake is when an item is next to be moved into line: zero for never.
func (o *order) wake() time.Time {
	var at time.Time
	if it := o.due.head(); it != nil {
		at = time.UnixMicro(it.due)
	}
	if it := o.again.head(); it != nil {
		at = earliest(at, it.trial.again)
	}
	return at
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// earliest is the earlier of two times, of which a zero one is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
