// Package simfs is the simulating twin of package fsys: a file system in
// memory that is shared by simulated processes.
//
// Every operation of a process is a numbered step. Before each one the disk
// can end the process (Disk.Hook, Process.Kill) or give the turn to another
// one (Disk.Scheduler), and at any moment it can tell what would be left after
// a power cut (Disk.PowerCuts), because it knows what was synced and what was
// not. So crashes and interleavings are enumerated, not hoped for.
//
// Semantics and errno values are those of Linux; a test runs one suite against
// both implementations. What differs: permissions are shown but not checked,
// symbolic links are never followed (one in the middle of a path is ENOTDIR),
// a path is looked up anew from the root each time, and a listing is the
// moment's truth: it never misses a name that is being renamed.
package simfs

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"queuectl/spool/internal/fsys"
)

// A Disk is one simulated file system.
//
// Its methods other than those of processes are for a person at the machine
// and for the test itself: they count no steps and call no hook.
type Disk struct {
	// Hook is called before every operation of a process. It may call anything
	// of the disk: kill the process (the operation then does not happen), cut
	// the power of a copy, move a file as a person would, run another process
	// (whose steps call the hook too). Set it while nothing runs.
	Hook func(Step)
	// Fail, where set, is asked after Hook; an error that is not nil becomes
	// the operation's result, in its *os.PathError or *os.LinkError, and
	// nothing else happens.
	Fail func(Step) error

	mu      sync.Mutex
	changed *sync.Cond // a lock has become free, or a process has died
	inodes  []*inode   // by number; the root is 1; nil where it is gone for good
	log     []change   // changes of names since the durable state, in time order
	now     time.Time
	steps   int
	syncs   int
	ignored map[int]bool
	space   fsys.Space
	network bool

	syncsNames bool

	apart  bool     // see Apart
	actor  *Process // who does the step that is being done; nil: a person
	births uint64   // inodes that a person has made
}

const (
	root    = 1
	maxName = 255 // NAME_MAX
)

// An inode is a file, a directory or something odd. Its contents are never
// changed in place but replaced, so that copies of the disk can share them.
type inode struct {
	ino      uint64
	mode     fs.FileMode
	nlink    int    // of a directory: 1, or 0 once it is removed
	label    uint64 // what Digest knows it by
	mtime    time.Time
	uid, gid uint32
	size     int64 // of a directory, for tests of big ones
	data     []byte
	unsynced [][]byte // what data was at the last sync and between the writes since; empty: all synced
	parent   *inode   // of a directory
	names    map[string]uint64
	durable  map[string]uint64 // names as they are on the medium before the log
	open     []*description
}

// epoch is when every simulated clock starts.
var epoch = time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)

// New returns an empty disk. Its files belong to the user who runs the test.
func New() *Disk {
	d := &Disk{now: epoch}
	d.changed = sync.NewCond(&d.mu)
	d.space = fsys.Space{FreeBytes: 1 << 40, TotalBytes: 1 << 40, FreeFiles: 1 << 20, TotalFiles: 1 << 20}
	d.inodes = []*inode{nil}
	d.newInode(fs.ModeDir | 0o700).nlink = 1
	return d
}

// bare is a disk with the settings of d and nothing on it.
func (d *Disk) bare() *Disk {
	c := &Disk{now: d.now, apart: d.apart, space: d.space, network: d.network, syncsNames: d.syncsNames}
	c.changed = sync.NewCond(&c.mu)
	return c
}

// Clone returns a copy to try things on. It has the files, what is synced of
// them and the clock; it has no processes, no descriptors and no locks, as if
// all processes had been killed, and its counts of steps and syncs start at 0.
func (d *Disk) Clone() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.bare()
	c.inodes = copyInodes(d.inodes)
	for _, n := range c.inodes {
		if n != nil && n.parent != nil {
			n.parent = c.inodes[n.parent.ino]
		}
	}
	c.log = slices.Clone(d.log)
	return c
}

// copyInodes copies inodes without who has them open; parents still point to
// the originals.
func copyInodes(from []*inode) []*inode {
	to := make([]*inode, len(from))
	block := make([]inode, len(from))
	for i, n := range from {
		if n == nil {
			continue
		}
		block[i] = *n
		c := &block[i]
		c.open = nil
		c.names, c.durable = maps.Clone(n.names), maps.Clone(n.durable)
		c.unsynced = slices.Clip(n.unsynced)
		to[i] = c
	}
	return to
}

func (d *Disk) newInode(mode fs.FileMode) *inode {
	n := &inode{ino: uint64(len(d.inodes)), mode: mode, label: d.label(), mtime: d.clock(), uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}
	if n.isDir() {
		n.size = 4096
	}
	d.inodes = append(d.inodes, n)
	return n
}

func (n *inode) isDir() bool     { return n.mode.IsDir() }
func (n *inode) isSymlink() bool { return n.mode&fs.ModeSymlink != 0 }

func (d *Disk) info(n *inode) fsys.Info {
	i := fsys.Info{Dev: 1, Ino: n.ino, Mode: n.mode, Size: n.size, Nlink: uint64(n.nlink), UID: n.uid, GID: n.gid, Mtime: n.mtime}
	if !n.isDir() {
		i.Size = int64(len(n.data))
		return i
	}
	if n.nlink == 0 {
		return i
	}
	i.Nlink = 2
	for _, ino := range n.names {
		if d.inodes[ino].isDir() {
			i.Nlink++
		}
	}
	return i
}

// tick lets every operation take a microsecond, so that times differ.
func (d *Disk) tick() {
	switch {
	case !d.apart:
		d.now = d.now.Add(time.Microsecond)
	case d.actor != nil:
		d.actor.ticks += time.Microsecond
	}
}

// clock is the time of who does the step that is being done.
func (d *Disk) clock() time.Time { return d.timeOf(d.actor) }

func (d *Disk) timeOf(p *Process) time.Time {
	if p == nil {
		return d.now
	}
	return d.now.Add(p.ticks)
}

// Now is the simulated wall clock.
func (d *Disk) Now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

// Advance sets the clock forward.
func (d *Disk) Advance(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = d.now.Add(by)
}

// Steps is how many operations processes have done or begun.
func (d *Disk) Steps() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.steps
}

// SetSpace sets what Space tells. Writes that would grow files by more than
// FreeBytes stop short with ENOSPC, as do new files where FreeFiles is 0;
// what grows counts against it, what is removed does not come back. ReadOnly
// makes every change fail with EROFS.
func (d *Disk) SetSpace(s fsys.Space) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.space = s
}

// SetNetwork sets what Network tells.
func (d *Disk) SetNetwork(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.network = on
}

// SetSyncsNames has a sync of a file make its names durable, too.
func (d *Disk) SetSyncsNames(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.syncsNames = on
}

// Dump prints the tree, one name a line in order, with inode numbers, link
// counts, contents, locks and what is not synced.
func (d *Disk) Dump() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dump()
}

func (d *Disk) dump() string {
	var b strings.Builder
	d.dumpDir(&b, "", d.inodes[root])
	return b.String()
}

func (d *Disk) dumpDir(b *strings.Builder, prefix string, dir *inode) {
	for _, name := range slices.Sorted(maps.Keys(dir.names)) {
		n := d.inodes[dir.names[name]]
		switch {
		case n.isDir():
			fmt.Fprintf(b, "%s%s/%s\n", prefix, name, n.marks())
			d.dumpDir(b, prefix+name+"/", n)
		case n.mode.IsRegular():
			fmt.Fprintf(b, "%s%s #%d links=%d%s %q\n", prefix, name, n.ino, n.nlink, n.marks(), n.data)
		default:
			fmt.Fprintf(b, "%s%s #%d %v %q\n", prefix, name, n.ino, n.mode, n.data)
		}
	}
}

// marks tells of an inode's locks and syncs.
func (n *inode) marks() string {
	s := ""
	if len(n.unsynced) > 0 {
		s = " unsynced"
	}
	for _, of := range n.open {
		if of.lock == unlocked {
			continue
		}
		for _, f := range of.files {
			s += " locked by " + f.p.name
		}
	}
	return s
}
