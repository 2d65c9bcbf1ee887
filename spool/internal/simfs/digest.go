package simfs

import (
	"hash/maphash"
	"time"

	"queuectl/spool/internal/fsys"
)

// Two runs that lead to one state need not both be followed to their ends.
// What tells that a state is the same: Disk.Digest of what is on the disk, and
// Process.Trace of each process, because code that has done and seen the same
// does the same next.

// Apart gives every process a clock of its own, which begins with the disk's
// and goes on with its own steps only, and keeps traces. With one clock for
// all, what each process writes would tell of every step of the others, and no
// two runs would lead to one state.
func (d *Disk) Apart() { d.apart = true }

// Trace is a digest of all that the process has done and seen since clocks are
// apart.
func (p *Process) Trace() uint64 { return p.trace }

var seed = maphash.MakeSeed()

// did puts a step and its result into the trace.
func (p *Process) did(s Step, err error) {
	if !p.disk.apart {
		return
	}
	failure := ""
	if err != nil {
		failure = err.Error()
	}
	p.saw(Text(s.Op), Text(s.Path), Text(s.Path2), Text(failure), moment(p.disk.timeOf(p)))
}

// saw puts what a step has told into the trace.
func (p *Process) saw(all ...uint64) {
	if p.disk.apart {
		p.trace = Mix(p.trace, digest(all...))
	}
}

// digest hashes values in their order.
func digest(all ...uint64) (h uint64) {
	for _, v := range all {
		h = Mix(h, v)
	}
	return h
}

// Mix puts one more value into a digest: the step of splitmix64 (Steele, Lea and Flood 2014), whose constants
// these are.
func Mix(h, v uint64) uint64 {
	h = (h ^ v) + 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// Text is a value of a text that has it in this process only.
func Text(s string) uint64 { return maphash.String(seed, s) }

func moment(t time.Time) uint64 { return uint64(t.UnixNano()) }

func texts(list []string) (h uint64) {
	for _, s := range list {
		h = Mix(h, Text(s))
	}
	return h
}

func yes(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// facts are what a file is, but for its inode, which is known by its label.
func facts(i fsys.Info) uint64 {
	if !i.Mode.IsRegular() { // nobody asks for more of a directory
		return uint64(i.Mode)
	}
	return digest(uint64(i.Mode), uint64(i.Size), i.Nlink, moment(i.Mtime))
}

// label is the name by which digests know the next inode: who makes it, and
// which one of theirs it is. Its number would tell of all other processes.
func (d *Disk) label() uint64 {
	switch {
	case !d.apart:
		return uint64(len(d.inodes))
	case d.actor == nil:
		d.births++
		return digest(Text("person"), d.births)
	default:
		d.actor.births++
		return digest(Text(d.actor.name), d.actor.births)
	}
}

// Digest tells one state of the disk from another: all names, contents, times
// of files, and who has what open and locked. What is synced is left out.
func (d *Disk) Digest() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	sum := moment(d.now)
	for _, n := range d.inodes {
		if n == nil || (n.nlink == 0 && len(n.open) == 0) {
			continue
		}
		sum += digest(n.label, uint64(n.mode), uint64(n.nlink), maphash.Bytes(seed, n.data))
		if !n.isDir() {
			sum += digest(Text("mtime"), n.label, moment(n.mtime))
		}
		for name, ino := range n.names {
			sum += digest(n.label, Text(name), d.inodes[ino].label)
		}
		for _, of := range n.open {
			sum += digest(n.label, of.holders())
		}
	}
	return sum
}

func (of *description) holders() uint64 {
	sum := digest(uint64(of.flag), uint64(of.lock))
	for _, f := range of.files {
		sum += digest(Text("by"), Text(f.p.name))
	}
	return sum
}
