package simfs

import "slices"

// The disk is modelled on journalling file systems. Changes of names are
// durable in the order in which they were made, each whole (a rename is two
// entries or none); so after a power cut a prefix of them is there. Contents
// are no part of that order: a name can be there before the bytes of its file.
//
// A sync promises no more than POSIX: File.Sync the content of that file but
// none of its names, SyncDir the names in that directory, and with them, for
// the order's sake, the changes before the last one there. With SetSyncsNames,
// File.Sync does so for the directories in which the file got its names.

// A change is one operation on names, as one or two entries of directories.
type change struct {
	edits  [2]edit
	synced bool
}

// An edit gives an entry of a directory another inode; 0 removes it.
type edit struct {
	dir  uint64
	name string
	ino  uint64
}

func (e edit) apply(names *map[string]uint64) {
	if e.ino == 0 {
		delete(*names, e.name)
		return
	}
	if *names == nil {
		*names = make(map[string]uint64)
	}
	(*names)[e.name] = e.ino
}

// touches reports whether the change is in one of the directories.
func (c change) touches(dirs map[uint64]bool) bool {
	return dirs[c.edits[0].dir] || dirs[c.edits[1].dir]
}

// names reports whether the change gives an inode a name.
func (c change) names(ino uint64) bool { return c.edits[0].ino == ino || c.edits[1].ino == ino }

func (c change) addDirs(dirs map[uint64]bool) {
	for _, e := range c.edits {
		if e.dir != 0 {
			dirs[e.dir] = true
		}
	}
}

// change makes and logs a change of names.
func (d *Disk) change(edits ...edit) {
	var c change
	copy(c.edits[:], edits)
	for _, e := range edits {
		dir := d.inodes[e.dir]
		e.apply(&dir.names)
		dir.mtime = d.clock()
	}
	d.log = append(d.log, c)
}

// skipSync counts a sync and reports whether it is one of those that
// IgnoreSync has disabled.
func (d *Disk) skipSync() bool {
	d.syncs++
	return d.ignored[d.syncs]
}

// sync makes one inode durable.
func (d *Disk) sync(n *inode) {
	if d.skipSync() {
		return
	}
	dirs := make(map[uint64]bool)
	if n.isDir() {
		dirs[n.ino] = true
	} else {
		n.unsynced = nil
		if !d.syncsNames {
			return
		}
	}
	for i, c := range slices.Backward(d.log) {
		if c.touches(dirs) || (!n.isDir() && c.names(n.ino)) {
			d.log[i].synced = true
			c.addDirs(dirs) // what came before on the other side of a rename
		}
	}
	d.fold()
}

func (d *Disk) syncAll() {
	if d.skipSync() {
		return
	}
	d.settle()
}

// settle makes everything durable.
func (d *Disk) settle() {
	for i := range d.log {
		d.log[i].synced = true
	}
	d.fold()
	for i, n := range d.inodes {
		if n == nil {
			continue
		}
		n.unsynced = nil
		if n.nlink == 0 && len(n.open) == 0 {
			d.inodes[i] = nil // no name can come back to it
		}
	}
}

// fold moves the changes that are durable, up to the first that is not, from
// the log into the durable state.
func (d *Disk) fold() {
	n := 0
	for ; n < len(d.log) && d.log[n].synced; n++ {
		for _, e := range d.log[n].edits {
			if e.dir != 0 {
				e.apply(&d.inodes[e.dir].durable)
			}
		}
	}
	d.log = d.log[n:]
}

// Syncs is how many sync operations there have been: Sync, SyncDir, SyncFS.
func (d *Disk) Syncs() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.syncs
}

// IgnoreSync makes the n-th sync operation (from 1) succeed without doing
// anything, to prove that some test notices.
func (d *Disk) IgnoreSync(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ignored == nil {
		d.ignored = make(map[int]bool)
	}
	d.ignored[n] = true
}

// SyncAll makes everything durable, for tests that start from there. It is
// not counted.
func (d *Disk) SyncAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settle()
}

// floor is how many changes of the log are there after any power cut.
func (d *Disk) floor() int {
	for i, c := range slices.Backward(d.log) {
		if c.synced {
			return i + 1
		}
	}
	return 0
}

// Unsynced tells how many changes of names and how many files a power cut
// could undo now.
func (d *Disk) Unsynced() (changes, files int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range d.inodes {
		if n != nil && len(n.unsynced) > 0 {
			files++
		}
	}
	return len(d.log) - d.floor(), files
}
