package runner

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"queuectl/spool"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// add puts a job into the order that is due so long after noon.
func (o *order) addJob(id string, priority int, due time.Duration, now time.Time) *item {
	n := spool.Name{Time: noon.Add(due), Priority: priority, ID: id}
	return o.add("pending/"+n.String(), n, true, now)
}

// all takes out everything that may be tried now.
func (o *order) all() string {
	var ids []string
	for it := o.next(); it != nil; it = o.next() {
		ids = append(ids, it.id())
	}
	return strings.Join(ids, " ")
}

func TestOrderIsByPriorityThenDueThenID(t *testing.T) {
	o := newOrder(100, 0)
	now := noon.Add(time.Hour)
	o.addJob("late", 5, 30*time.Minute, now)
	o.addJob("b", 5, 0, now)
	o.addJob("a", 5, 0, now)
	o.addJob("urgent", 9, 40*time.Minute, now)
	o.addJob("idle", 0, -time.Hour, now)
	if got := o.all(); got != "urgent a b late idle" {
		t.Error(got)
	}
}

// With aging of 10 minutes a step, a job overtakes one of two steps more that
// came over 20 minutes later, and no sooner.
func TestOrderWithAging(t *testing.T) {
	for _, c := range []struct {
		lead time.Duration
		want string
	}{{19 * time.Minute, "high low"}, {21 * time.Minute, "low high"}} {
		o := newOrder(100, 10*time.Minute)
		now := noon.Add(time.Hour)
		o.addJob("low", 4, 0, now)
		o.addJob("high", 6, c.lead, now)
		if got := o.all(); got != c.want {
			t.Errorf("%s: %s", c.lead, got)
		}
	}
	o := newOrder(100, 0)
	o.addJob("low", 4, 0, noon.Add(time.Hour))
	o.addJob("high", 6, 21*time.Minute, noon.Add(time.Hour))
	o.setAging(10 * time.Minute)
	if got := o.all(); got != "low high" {
		t.Errorf("after a change: %s", got)
	}
}

// What is not due is opened once, after all that is due; then it waits.
func TestOrderOfWhatIsNotDue(t *testing.T) {
	o := newOrder(100, 0)
	o.addJob("soon", 9, time.Minute, noon)
	o.addJob("now", 0, 0, noon)
	if got := o.next(); got.id() != "now" {
		t.Fatal(got.id())
	}
	it := o.next()
	if it == nil || it.id() != "soon" {
		t.Fatalf("%v", it)
	}
	it.opened = true
	o.place(it, noon)
	if got := o.all(); got != "" {
		t.Fatalf("%q was opened again", got)
	}
	if at := o.wake(); !at.Equal(noon.Add(time.Minute)) {
		t.Errorf("wakes at %s", at)
	}
	o.promote(noon.Add(time.Minute))
	if got := o.all(); got != "soon" {
		t.Errorf("%q when it is due", got)
	}
}

func TestOrderKnowsANameOnce(t *testing.T) {
	o := newOrder(100, 0)
	if o.addJob("a", 5, 0, noon) == nil || o.addJob("a", 5, 0, noon) != nil {
		t.Error("taken in twice")
	}
	it := o.next()
	if o.addJob("a", 5, 0, noon) != nil {
		t.Error("taken in while an attempt has it")
	}
	o.putOff(it, noon.Add(time.Second))
	o.promote(noon)
	if got := o.all(); got != "" {
		t.Errorf("%q before its time", got)
	}
	o.promote(noon.Add(time.Second))
	if got := o.all(); got != "a" {
		t.Errorf("%q at its time", got)
	}
}

// Of more names than it holds the order keeps the first ones, from hints and
// from listings, and says that there are more.
func TestOrderIsBounded(t *testing.T) {
	const limit = 8
	ids := make([]int, 100)
	for i := range ids {
		ids[i] = i
	}
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	now := noon.Add(time.Hour)
	o, g := newOrder(limit, 0), newListing(limit, now, 0)
	for _, i := range ids {
		n := spool.Name{Time: noon.Add(time.Duration(i) * time.Second), Priority: 5, ID: fmt.Sprintf("j%02d", i)}
		o.add("pending/"+n.String(), n, true, now)
		g.add("pending/"+n.String(), n, true)
		if o.ready.Len() > 2*limit || len(o.known) > 2*limit || len(g.ready.items) > limit+limit/4 {
			t.Fatalf("grown to %d, %d known, %d listed", o.ready.Len(), len(o.known), len(g.ready.items))
		}
	}
	merged := newOrder(limit, 0)
	g.sort()
	merged.merge(g)
	for name, o := range map[string]*order{"hints": o, "listing": merged} {
		if !o.ready.more {
			t.Errorf("%s: does not know that there are more", name)
		}
		got := strings.Fields(o.all())
		for i := range limit {
			if want := fmt.Sprintf("j%02d", i); got[i] != want {
				t.Errorf("%s: place %d has %s", name, i, got[i])
			}
		}
		if !o.dry() {
			t.Errorf("%s: is not dry", name)
		}
	}
}

// Jobs that come while more wait than the order keeps do not overtake those
// that only the disk knows, and none is left out.
func TestOrderIsKeptWhereThereIsMore(t *testing.T) {
	const limit = 8
	now := noon.Add(time.Hour)
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		o := newOrder(limit, 0)
		disk := make(map[string]*item)
		came := 0
		come := func(priority int, hint bool) {
			n := spool.Name{Time: noon.Add(time.Duration(came) * time.Second), Priority: priority, ID: fmt.Sprintf("j%04d", came)}
			came++
			it := makeItem("pending/"+n.String(), n, true, 0)
			disk[it.path] = &it
			if hint {
				o.add(it.path, n, true, now)
			}
		}
		list := func() {
			g := newListing(limit, now, 0)
			for p, it := range disk {
				n, _ := spool.ParseName(it.base())
				g.add(p, n, true)
			}
			g.sort()
			o.merge(g)
		}
		for range 100 {
			come(5, false)
		}
		list()
		for len(disk) > 0 {
			if o.dry() {
				list()
			}
			for came < 400 && rnd.IntN(3) > 0 {
				come(5+rnd.IntN(2)*rnd.IntN(2), true)
			}
			if came < 400 && rnd.IntN(30) == 0 { // many at once, of which no event told
				for range 20 {
					come(9, false)
				}
				list()
			}
			it, want := o.next(), slices.MinFunc(slices.Collect(maps.Values(disk)), compareBy(sooner))
			if it == nil || it.path != want.path {
				t.Fatalf("seed %d: %v before %s", seed, it, want.path)
			}
			o.forget(it)
			delete(disk, it.path)
			if len(o.known) > 2*limit {
				t.Fatalf("seed %d: %d are known", seed, len(o.known))
			}
		}
	}
}

// A listing that was made under another aging comes in by the present one.
func TestOrderOfAListingUnderAnotherAging(t *testing.T) {
	now := noon.Add(time.Hour)
	o, g := newOrder(100, 10*time.Minute), newListing(100, now, 0)
	for _, j := range []struct {
		id       string
		priority int
		due      time.Duration
	}{{"low", 4, 0}, {"high", 6, 21 * time.Minute}, {"mid", 5, 12 * time.Minute}} {
		n := spool.Name{Time: noon.Add(j.due), Priority: j.priority, ID: j.id}
		g.add("pending/"+n.String(), n, true)
	}
	g.sort()
	o.merge(g)
	if got := o.all(); got != "low high mid" {
		t.Error(got)
	}
}

// What a listing makes too long is known to be on disk still.
func TestOrderIsCutByAListing(t *testing.T) {
	const limit = 8
	now := noon.Add(time.Hour)
	o, g := newOrder(limit, 0), newListing(limit, now, 0)
	for i := range 2*limit - 1 {
		o.addJob(fmt.Sprintf("a%02d", i), 5, time.Duration(i)*time.Second, now)
	}
	n := spool.Name{Time: noon, Priority: 9, ID: "b"}
	g.add("pending/"+n.String(), n, true)
	g.sort()
	o.merge(g)
	if !o.ready.more || o.ready.Len() != limit {
		t.Errorf("%d are kept, more %v", o.ready.Len(), o.ready.more)
	}
}

// A name that is missing in one listing stays; in two, it is forgotten.
func TestOrderForgetsWhatIsGone(t *testing.T) {
	o := newOrder(8, 0)
	o.addJob("a", 5, time.Hour, noon)
	empty := func() *listing { return newListing(8, noon, 0) }
	o.merge(empty())
	if len(o.known) != 1 {
		t.Fatal("one absence was enough")
	}
	o.merge(empty())
	if len(o.known) != 0 || o.due.Len() != 0 {
		t.Error("still known after two")
	}
}

func TestScatteredKeepsPriorities(t *testing.T) {
	for _, aging := range []time.Duration{0, time.Hour} {
		o := newOrder(100, aging)
		for i := range 20 {
			o.addJob(fmt.Sprintf("j%d", i), i%2*9, time.Duration(i)*time.Second, noon.Add(time.Minute))
		}
		if it := o.scattered(func() float64 { return 0.1 }); it.id() != "j5" { // the third one of those of priority 9
			t.Errorf("with aging %v: %s", aging, it.id())
		}
		for i := 1; i < 20; i++ {
			it := o.scattered(rand.Float64)
			if n, _ := spool.ParseName(it.base()); (n.Priority == 9) != (i < 10) {
				t.Fatalf("with aging %v: priority %d at place %d", aging, n.Priority, i)
			}
		}
	}
}

func TestEarliest(t *testing.T) {
	a, b := noon, noon.Add(1)
	var never time.Time
	got := []time.Time{earliest(a, b), earliest(b, a), earliest(never, b), earliest(b, never), earliest(never, never)}
	if !slices.Equal(got, []time.Time{a, a, b, b, never}) {
		t.Error(got)
	}
}

// What becomes due before its file was asked is let go, however long others wait
// to start.
func TestProbesAreLetGo(t *testing.T) {
	now := time.Now()
	o := newOrder(1000, 0)
	add := func(in time.Duration, id string) {
		n := spool.Name{Time: now.Add(in), Priority: 5, ID: id}
		o.add("failed/"+n.String(), n, true, now)
	}
	add(-time.Hour, "backlog") // so that something is always ready
	for i := range 10_000 {
		add(time.Millisecond, fmt.Sprint("j", i))
		now = now.Add(2 * time.Millisecond)
		o.promote(now)
		o.forget(o.next())
	}
	if n := len(o.probe); n > 2000 {
		t.Errorf("%d items are noted, of which %d wait", n, o.due.Len())
	}
	add(time.Hour, "later")
	o.forget(o.next())
	if it := o.next(); it == nil || it.id() != "later" {
		t.Errorf("asked next is %+v, want later", it)
	}
}
