package simfs

import (
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// A Content says what a power cut makes of a file that was written to since
// its last sync. It is given the content at that sync and after each write,
// the last being now, at least two, and must not change them.
type Content func(versions [][]byte) []byte

// Lost is what was synced: nothing, where the file was never synced.
func Lost(versions [][]byte) []byte { return versions[0] }

// Kept is all that was written.
func Kept(versions [][]byte) []byte { return versions[len(versions)-1] }

// Zeroed has the new length, but zeros where the file has grown.
func Zeroed(versions [][]byte) []byte {
	return tear(versions[0], Kept(versions), 0, true)
}

// Torn returns a Content of which k of n parts of what differs from the last
// sync have arrived, and the rest is as it was.
func Torn(k, n int) Content {
	return func(versions [][]byte) []byte {
		old, now := versions[0], Kept(versions)
		from := commonPrefix(old, now)
		return tear(old, now, from+(max(len(old), len(now))-from)*k/n, false)
	}
}

// tear mixes the first bytes of now with the rest of old. What neither has
// written is zeros, up to the length of now, or not there.
func tear(old, now []byte, at int, zeros bool) []byte {
	b := slices.Clone(now[:min(at, len(now))])
	if len(b) < len(old) {
		b = append(b, old[len(b):]...)
	}
	if zeros {
		b = append(b, make([]byte, max(0, len(now)-len(b)))...)
	}
	return b
}

func commonPrefix(a, b []byte) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// AllChanges is a Cut's Changes where all survive.
const AllChanges = -1

// A Cut says what a power cut spares. The zero value spares only what was
// synced.
type Cut struct {
	// Changes is how many of the unsynced changes of names survive, the
	// earliest first.
	Changes int
	// Content is what becomes of unsynced files; nil is Lost.
	Content Content
	// Seed, where it is not 0, draws by lot instead: how many changes, and for
	// each file which of its writes, how much of the next and whether zeros
	// stand for the rest.
	Seed uint64
	// Loose, together with Seed, keeps no order between directories: each
	// loses its own last changes. POSIX promises no more than that.
	Loose bool
	// Name is for messages.
	Name string
}

func (c Cut) String() string { return c.Name }

// PowerCut returns the disk as it might be found after a power cut now. The
// processes on it are gone, with their descriptors and locks; d itself goes on.
func (d *Disk) PowerCut(c Cut) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.powerCut(c)
}

func (d *Disk) powerCut(c Cut) *Disk {
	after := d.bare()
	after.now = d.now.Add(time.Second)
	after.inodes = copyInodes(d.inodes)
	for _, n := range after.inodes {
		if n != nil {
			n.names, n.durable = n.durable, nil
		}
	}
	var lot *rand.Rand
	if c.Seed != 0 {
		lot = rand.New(rand.NewPCG(c.Seed, 0))
	}
	for _, ch := range d.survivors(c, lot) {
		for _, e := range ch.edits {
			if e.dir != 0 {
				e.apply(&after.inodes[e.dir].names)
			}
		}
	}
	after.mount(c.content(lot))
	return after
}

// survivors are the changes that are on the medium.
func (d *Disk) survivors(c Cut, lot *rand.Rand) []change {
	floor := d.floor()
	open := len(d.log) - floor
	switch {
	case lot != nil && c.Loose:
		return d.loose(lot)
	case lot != nil:
		return d.log[:floor+lot.IntN(open+1)]
	case c.Changes == AllChanges:
		return d.log
	}
	return d.log[:floor+min(c.Changes, open)]
}

// loose lets each directory lose its last changes; a rename between two is
// lost with either.
func (d *Disk) loose(lot *rand.Rand) (kept []change) {
	lost := make(map[uint64]bool)
	for _, c := range d.log {
		if !c.synced && (c.touches(lost) || lot.IntN(4) == 0) {
			c.addDirs(lost)
			continue
		}
		kept = append(kept, c)
	}
	return kept
}

func (c Cut) content(lot *rand.Rand) Content {
	switch {
	case lot != nil:
		return func(versions [][]byte) []byte { return draw(versions, lot) }
	case c.Content != nil:
		return c.Content
	}
	return Lost
}

// draw picks a state between two writes.
func draw(versions [][]byte, lot *rand.Rand) []byte {
	i := lot.IntN(len(versions))
	if i == len(versions)-1 {
		return versions[i]
	}
	old, now := versions[i], versions[i+1]
	return tear(old, now, lot.IntN(max(len(old), len(now))+1), lot.IntN(2) == 0)
}

// mount makes a disk of what was found on the medium: link counts and parents
// are what the names say, and what has no name is gone.
func (d *Disk) mount(content Content) {
	for _, n := range d.inodes {
		if n != nil {
			n.nlink, n.parent = 0, nil
		}
	}
	d.inodes[root].nlink = 1
	d.adopt(d.inodes[root])
	for i, n := range d.inodes {
		switch {
		case n == nil:
		case n.nlink == 0:
			d.inodes[i] = nil
		default:
			if len(n.unsynced) > 0 {
				n.data = content(append(n.unsynced, n.data))
				n.unsynced = nil
			}
			n.durable = maps.Clone(n.names)
		}
	}
}

func (d *Disk) adopt(dir *inode) {
	for _, ino := range dir.names {
		n := d.inodes[ino]
		n.nlink++
		if n.isDir() {
			n.parent = dir
			d.adopt(n)
		}
	}
}

// maxPrefixes bounds how many lengths of the surviving changes are tried; of
// more, as many are tried, evenly spread.
const maxPrefixes = 64

// draws is how many states are drawn by lot beside the enumerated ones.
const draws = 4

// PowerCuts enumerates what might be found after a power cut now: nothing
// unsynced, everything, and every prefix of the changes of names, each with
// the unsynced contents lost, kept, zeroed and torn, and a few by lot. States
// that look alike come once. The number is bounded by about 260.
func (d *Disk) PowerCuts() iter.Seq2[Cut, *Disk] {
	return d.distinct(func(yield func(Cut) bool) {
		changes, files := d.Unsynced()
		contents := []Cut{{Name: "lost", Content: Lost}}
		if files > 0 {
			contents = append(contents, Cut{Name: "kept", Content: Kept}, Cut{Name: "zeroed", Content: Zeroed}, Cut{Name: "torn", Content: Torn(1, 2)})
		}
		for n := 0; ; n = min(n+1+changes/maxPrefixes, changes) {
			for _, c := range contents {
				c.Changes, c.Name = n, fmt.Sprintf("%d of %d changes survive, contents %s", n, changes, c.Name)
				if !yield(c) {
					return
				}
			}
			if n == changes {
				break
			}
		}
		for seed := uint64(1); seed <= draws; seed++ {
			if !yield(Cut{Seed: seed, Name: fmt.Sprintf("by lot, seed %d", seed)}) {
				return
			}
		}
	})
}

// LoosePowerCuts draws n states in which each directory has lost its own last
// changes, whatever the order between them was.
func (d *Disk) LoosePowerCuts(n int) iter.Seq2[Cut, *Disk] {
	return d.distinct(func(yield func(Cut) bool) {
		for seed := uint64(1); seed <= uint64(n); seed++ {
			if !yield(Cut{Seed: seed, Loose: true, Name: fmt.Sprintf("loose, seed %d", seed)}) {
				return
			}
		}
	})
}

// distinct makes the cuts and leaves out what looks like one before.
func (d *Disk) distinct(cuts iter.Seq[Cut]) iter.Seq2[Cut, *Disk] {
	return func(yield func(Cut, *Disk) bool) {
		seen := make(map[string]bool)
		for c := range cuts {
			after := d.PowerCut(c)
			look := after.Dump()
			if seen[look] {
				continue
			}
			seen[look] = true
			if !yield(c, after) {
				return
			}
		}
	}
}
