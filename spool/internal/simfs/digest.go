package simfs

import (
	"encoding/binary"
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
	text := ""
	if err != nil {
		text = err.Error()
	}
	p.saw(s.Op, s.Path, s.Path2, text, p.disk.timeOf(p))
}

// saw puts what a step has told into the trace.
func (p *Process) saw(all ...any) {
	if p.disk.apart {
		p.trace = digest(append(all, p.trace)...)
	}
}

// digest hashes values in their order.
func digest(all ...any) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, v := range all {
		write(&h, v)
	}
	return h.Sum64()
}

func write(h *maphash.Hash, v any) {
	switch v := v.(type) {
	case string:
		_, _ = h.WriteString(v)
		_ = h.WriteByte(0)
	case []string:
		for _, s := range v {
			write(h, s)
		}
	case []byte:
		_, _ = h.Write(v)
		write(h, len(v))
	case bool:
		_ = h.WriteByte(map[bool]byte{true: 1}[v])
	case time.Time:
		write(h, uint64(v.UnixNano()))
	case int:
		write(h, uint64(v))
	case uint64:
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], v)
		_, _ = h.Write(b[:])
	case fsys.Info: // its inode is known by its label
		write(h, uint64(v.Mode))
		if v.Mode.IsRegular() { // nobody asks for more of a directory
			write(h, uint64(v.Size))
			write(h, v.Nlink)
			write(h, v.Mtime)
		}
	default:
		panic("simfs: no digest")
	}
}

// label is the name by which digests know the next inode: who makes it, and
// which one of theirs it is. Its number would tell of all other processes.
func (d *Disk) label() uint64 {
	switch {
	case !d.apart:
		return uint64(len(d.inodes))
	case d.actor == nil:
		d.births++
		return digest("person", d.births)
	default:
		d.actor.births++
		return digest(d.actor.name, d.actor.births)
	}
}

// Digest tells one state of the disk from another: all names, contents, times
// of files, and who has what open and locked. What is synced is left out.
func (d *Disk) Digest() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	sum := digest(d.now)
	for _, n := range d.inodes {
		if n == nil || (n.nlink == 0 && len(n.open) == 0) {
			continue
		}
		sum += digest(n.label, uint64(n.mode), n.nlink, n.data)
		if !n.isDir() {
			sum += digest("mtime", n.label, n.mtime)
		}
		for name, ino := range n.names {
			sum += digest(n.label, name, d.inodes[ino].label)
		}
		for _, of := range n.open {
			sum += digest(n.label, of.holders())
		}
	}
	return sum
}

func (of *description) holders() uint64 {
	sum := digest(of.flag, int(of.lock))
	for _, f := range of.files {
		sum += digest("by", f.p.name)
	}
	return sum
}
