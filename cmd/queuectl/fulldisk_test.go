//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A small disk is a file system of its own in a file, 16 MiB long. The bench's
// spool lies on it; effects and messages of pools do not.
type smallDisk struct {
	*bench
	image, dir string
}

// diskBench makes an ext4 with those options of mkfs and mounts it.
func diskBench(t *testing.T, options ...string) smallDisk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may mount a file system")
	}
	for _, program := range []string{"mkfs.ext4", "mount", "umount", "mountpoint", "fsck.ext4"} {
		need(t, program)
	}
	dir := t.TempDir() // before the bench's: it is removed after the disk is unmounted
	mkfs := append([]string{"mkfs.ext4", "-q", "-F"}, options...)
	d := smallDisk{image: filepath.Join(dir, "image"), dir: mounted(t, dir, 16<<20, mkfs, "loop,errors=remount-ro")}
	d.bench = &bench{T: t, dir: t.TempDir(), spool: filepath.Join(d.dir, "spool")}
	t.Cleanup(d.end)
	return d
}

func (d smallDisk) root(name string, args ...string) string {
	d.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		d.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// exhaust fills the disk with one file to its last byte, or with empty files
// to its last inode, and returns what gives the room back.
func (d smallDisk) exhaust(inodes bool) (release func()) {
	d.Helper()
	dir := filepath.Join(d.dir, "filler")
	// What one large file leaves over, small ones take.
	script := `mkdir filler; cat /dev/zero >filler/big; sync -f .; i=0; while echo >filler/$i; do i=$((i+1)); done`
	if inodes {
		script = `mkdir filler; i=0; while : >filler/$i; do i=$((i+1)); done`
	}
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = d.dir
	_ = cmd.Run() // what it cannot write ends it
	if err := os.WriteFile(filepath.Join(dir, "more"), []byte("x"), 0o600); !errors.Is(err, syscall.ENOSPC) {
		d.Fatalf("the disk does not fill up: %v", err)
	}
	return func() {
		if err := os.RemoveAll(dir); err != nil {
			d.Fatal(err)
		}
	}
}

// ages makes the directories that a spool of some age has: a log needs none then.
func (d smallDisk) ages() {
	d.Helper()
	for i := range 256 {
		if err := os.MkdirAll(filepath.Join(d.spool, "logs", fmt.Sprintf("%02x", i)), 0o700); err != nil {
			d.Fatal(err)
		}
	}
}

// refuses has an enqueue fail, with the reason and no id.
func (d smallDisk) refuses(id, reason string) {
	d.Helper()
	out, msg, status := d.try("enqueue", d.encode(job{"id": id, "command": "true"}))
	if status == exitDone || out != "" || !strings.Contains(msg, reason) || strings.Count(msg, "\n") > 3 {
		d.Errorf("enqueue: status %d, %q, %q; want the reason %q", status, out, msg, reason)
	}
}

// On a full disk nothing is accepted that would be lost, nothing that was
// accepted is lost, and all goes on when there is room again: without blocks,
// and without inodes.
func TestFullDisk(t *testing.T) {
	for _, kind := range []struct {
		name    string
		options []string
		inodes  bool
	}{{name: "space"}, {"inodes", []string{"-N", "1024"}, true}} {
		t.Run(kind.name, func(t *testing.T) {
			d := diskBench(t, kind.options...)
			n := rounds(10, 20, 50)
			d.batch(n, `echo "$QUEUECTL_JOB_ID" >>"$D/effects"; until [ -e "$D/go" ]; do sleep 0.01; done; head -c 20000 /dev/zero | tr '\0' x`)
			p := d.start("--count", "2")
			d.till("two run", func() bool { return len(d.effects()) == 2 })
			release := d.exhaust(kind.inodes)
			d.refuses("late", "no space left on device")
			d.write("go", "")
			p.says("nothing is started until the file system takes changes again")
			if out := d.q("status"); !strings.Contains(out, "the file system of the spool is full: no "+kind.name) {
				d.Errorf("status does not tell why nothing goes on:\n%s", out)
			}
			release()
			d.till("all have ended", func() bool { return d.count("completed") == n })
			d.enqueue(job{"id": "late", "command": "true"})
			d.await("late", "completed")
			if c := strings.Count(p.messages(), "nothing is started"); c > 4 {
				d.Errorf("the pool says %d times that it waits:\n%s", c, p.messages())
			}
			ran := make(map[string]int)
			for _, id := range d.effects() {
				ran[id]++
			}
			for id, n := range ran {
				if got := d.show(id).Attempts; got != n { // what did not begin is no attempt
					d.Errorf("%s ran %d times and has %d attempts", id, n, got)
				}
			}
		})
	}
}

// Where a claim needs no room, jobs would die of what they cannot print: none is
// started on a full disk.
func TestFullDiskStartsNothing(t *testing.T) {
	d := diskBench(t, "-m", "0")
	const n = 6
	for i := range n {
		d.enqueue(job{"id": fmt.Sprint("b", i), "command": `echo "$QUEUECTL_JOB_ID" >>"$D/effects"; echo printed`, "max_retries": 1})
	}
	d.ages()
	d.q("pause")
	p := d.start("--count", "2")
	release := d.exhaust(false)
	if err := os.Remove(filepath.Join(d.spool, "paused")); err != nil {
		d.Fatal(err)
	}
	p.says("nothing is started until the file system takes changes again")
	if begun := d.effects(); len(begun) > 0 {
		d.Errorf("on a full disk began %q", begun)
	}
	release()
	d.till("all have ended", func() bool { return d.count("completed") == n })
	if got := d.effects(); len(got) != n {
		d.Errorf("there ran %q", got)
	}
}

// One that a job has filled does not have all others fail, too: each begins when
// there is room again.
func TestFullDiskByAJob(t *testing.T) {
	d := diskBench(t, "-m", "0")
	const n = 8
	for i := range n {
		d.enqueue(job{"id": fmt.Sprint("b", i), "max_retries": 0, "command": `r=` + d.dir + `/room-$QUEUECTL_JOB_ID
			head -c 65536 /dev/zero >$r 2>/dev/null || echo "$QUEUECTL_JOB_ID" >>"$D/effects"
			cat /dev/zero >` + d.dir + `/big 2>/dev/null; rm -f $r; cat /dev/zero >>` + d.dir + `/big 2>/dev/null; echo printed; exit 1`})
	}
	d.ages()
	p := d.start("--count", "1")
	for dead := 1; dead <= 3; dead++ {
		d.till(fmt.Sprint(dead, " have failed"), func() bool { return d.count("dead") >= dead })
		if err := os.Remove(filepath.Join(d.dir, "big")); err != nil {
			d.Fatal(err)
		}
	}
	if full := d.effects(); len(full) > 0 {
		d.Errorf("on a full disk began %q\n%s", full, p.messages())
	}
	d.q("pause")
	_ = os.Remove(filepath.Join(d.dir, "big"))
}

// A file system that goes read-only under the queue, as ext4 does when it
// finds an error: pools wait and say so, and after a repair all runs.
func TestReadOnlyDisk(t *testing.T) {
	d := diskBench(t)
	trigger := fmt.Sprintf("/sys/fs/ext4/%s/trigger_fs_error", filepath.Base(d.root("findmnt", "-no", "SOURCE", d.dir)))
	if f, err := os.OpenFile(trigger, os.O_WRONLY, 0); err != nil {
		t.Skipf("no errors on demand here: %v", err)
	} else {
		f.Close()
	}
	const n = 6
	d.batch(n, `echo "$QUEUECTL_JOB_ID" >>"$D/effects"; until [ -e "$D/go" ]; do sleep 0.01; done`)
	p := d.start("--count", "2")
	d.till("two run", func() bool { return len(d.effects()) == 2 })
	if err := os.WriteFile(trigger, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	d.refuses("late", "read-only file system")
	d.write("go", "")
	p.says("read-only file system")
	if got := len(d.effects()); got != 2 {
		d.Errorf("%d jobs have run on a disk that takes no outcome", got)
	}
	if c := strings.Count(p.messages(), "read-only file system"); c > 4 {
		d.Errorf("the pool says it %d times:\n%s", c, p.messages())
	}
	p.signal(syscall.SIGKILL)
	p.wait()
	unmount(d.T, d.dir)
	_ = exec.Command("fsck.ext4", "-fy", d.image).Run() // its status says that it has repaired
	mount(d.T, d.image, d.dir, "loop")
	d.drain()
	if c := d.count("completed"); c != n {
		d.Errorf("%d of %d jobs are completed", c, n)
	}
}
