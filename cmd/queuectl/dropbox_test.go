//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Users and a group of tests, which need not be known to the system.
const (
	poolUser   = 61234
	member     = 61235
	another    = 61236
	submitters = 61240
)

// A box is a spool with a drop box, seen by its worker's user and by members
// of the group.
type box struct {
	*bench
	bin   string
	owner int
}

// newBox makes the drop box as the documentation says.
func newBox(t *testing.T, owner int, acl bool) *box {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be several users")
	}
	b := &box{bench: newBench(t), owner: owner}
	b.bin = filepath.Join(b.dir, "queuectl")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(exe)
	if err == nil {
		err = os.WriteFile(b.bin, text, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.open()
	b.must(0, fmt.Sprintf("mkdir box; chown %d:%d box; chmod 700 box", owner, owner))
	b.must(owner, fmt.Sprintf("./queuectl --spool box enqueue --id seed -- true; ./queuectl --spool box config set allow_group %d", submitters))
	b.must(0, fmt.Sprintf("cd box; chgrp %d . pending; chmod 710 .; chmod 3730 pending", submitters))
	if acl {
		if out, err := b.as(0, fmt.Sprintf("setfacl -d -m u::rw,u:%d:r,g::-,m::r,o::- box/pending", owner)); err != nil {
			t.Skipf("needs ACLs (setfacl of the package acl, and a file system that has them): %s", out)
		}
	}
	return b
}

// open lets other users reach the bench's directory.
func (b *box) open() {
	for dir := b.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.Chmod(b.dir, 0o777|os.ModeSticky); err != nil {
		b.Fatal(err)
	}
}

// as runs a script as a user, a member of the group unless root or the owner.
func (b *box) as(uid int, script string) (string, error) {
	cmd := exec.Command("sh", "-euc", script)
	if uid != 0 {
		groups := "--clear-groups"
		if uid != b.owner {
			groups = fmt.Sprint("--groups=", submitters)
		}
		id := fmt.Sprint(uid)
		cmd = exec.Command("setpriv", "--reuid", id, "--regid", id, groups, "sh", "-euc", script)
	}
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "HOME="+b.dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (b *box) must(uid int, script string) string {
	b.Helper()
	out, err := b.as(uid, script)
	if err != nil {
		b.Fatalf("user %d: %s: %v\n%s", uid, script, err, out)
	}
	return out
}

func (b *box) cannot(uid int, script string) string {
	b.Helper()
	out, err := b.as(uid, script)
	if err == nil {
		b.Errorf("user %d could %s\n%s", uid, script, out)
	}
	return out
}

// drop has a user drop a job.
func (b *box) drop(uid int, name, command string) {
	b.Helper()
	b.must(uid, fmt.Sprintf("umask 077; echo '{\"command\":\"%s\"}' >box/pending/%s.json", command, name))
}

// q is queuectl by the owner.
func (b *box) q(args string) string {
	out, _ := b.as(b.owner, "./queuectl --spool box "+args)
	return out
}

// work starts a pool of the owner.
func (b *box) work() {
	b.Helper()
	id := fmt.Sprint(b.owner)
	cmd := exec.Command("setpriv", "--reuid", id, "--regid", id, "--clear-groups", b.bin, "--spool", "box", "worker", "start")
	cmd.Dir, cmd.Env = b.dir, append(os.Environ(), "HOME="+b.dir)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
}

func (b *box) says(args, text string) {
	b.Helper()
	if !b.within(patience, func() bool { return strings.Contains(b.q(args), text) }) {
		b.Fatalf("%s never says %q, but\n%s\n%s", args, text, b.q(args), b.q("status"))
	}
}

// TestDropBox has two members add jobs to a spool whose pool is not root.
func TestDropBox(t *testing.T) {
	b := newBox(t, poolUser, true)
	b.drop(member, "hello", "id -u")
	b.cannot(another, "cat box/pending/hello.json")
	b.cannot(another, "echo x >box/pending/hello.json")
	b.cannot(another, "rm -f box/pending/hello.json")
	b.cannot(another, "mv box/pending/hello.json box/pending/mine.json")
	b.cannot(another, "ls box/pending")
	b.cannot(another, "echo '{\"command\":\"true\"}' >theirs.json; mv -f theirs.json box/pending/hello.json")
	b.cannot(another, "mkdir box/ids/2a || mkdir box/tmp/x || : >box/paused || : >box/config.json")
	b.must(b.owner, "./queuectl --spool box enqueue --id waits --delay 1h -- true")
	waits := strings.TrimSpace(b.must(b.owner, "ls box/pending | grep waits"))
	b.cannot(another, "cat box/pending/"+waits)
	b.cannot(another, "rm -f box/pending/"+waits)
	b.must(member, `echo "{\"command\":\"true\"}" >closed; chmod 600 closed; mv closed box/pending/closed.json`)
	b.work()
	b.says("logs hello", fmt.Sprint(b.owner))
	b.says("show --json hello", fmt.Sprintf(`"uid":%d`, member))
	b.says("status", fmt.Sprintf("user %d may not read it", b.owner))
	b.must(0, "test -e box/pending/closed.json")
	b.says("check", "allow_group allows")
	b.cannot(member, "ls box/completed")
	b.cannot(member, "cat box/ids/*/hello.json")
	b.cannot(member, "ls box/logs")
	if out := b.cannot(member, "./queuectl --spool box enqueue -- true"); !strings.Contains(out, "cp job.json") {
		t.Errorf("enqueue by a member says\n%s", out)
	}
	if out := b.cannot(0, "./queuectl --spool box worker start --drain"); !strings.Contains(out, "sudo -u") {
		t.Errorf("a worker of root says\n%s", out)
	}
	b.must(0, "./queuectl --spool box status")
}

// TestDropBoxOddFiles: what is no plain file of the member's own is refused,
// unopened.
func TestDropBoxOddFiles(t *testing.T) {
	for _, owner := range []int{poolUser, 0} {
		t.Run(fmt.Sprint(owner), func(t *testing.T) {
			b := newBox(t, owner, owner != 0)
			b.must(0, `echo "{\"command\":\"true\"}" >secret; chmod 644 secret; mkfifo fifo; chmod 600 fifo; mknod device c 1 5`)
			b.must(0, fmt.Sprintf("chown %d fifo; mv fifo box/pending/fifo.json; mv device box/pending/device.json; ln secret box/pending/hard.json", member))
			b.must(member, "ln -s ../../secret box/pending/symlink.json")
			b.must(member, `echo "{\"id\":\"past\",\"command\":\"true\",\"history\":[]}" >box/pending/history.json`)
			b.drop(member, "good", "id -u")
			b.work()
			b.says("logs good", fmt.Sprint(owner))
			for _, name := range []string{"fifo", "device", "hard", "symlink", "history"} {
				b.says("dlq list", name)
			}
			b.says("dlq list", "hard links")
			if list := b.q("list --state completed"); strings.Contains(list, "hard") || strings.Contains(list, "past") {
				t.Errorf("what was refused has run:\n%s", list)
			}
		})
	}
}

// TestContainerWithoutRoot: where the system's root is not mapped, / and /tmp
// belong to nobody, and a spool is worked on all the same.
func TestContainerWithoutRoot(t *testing.T) {
	b := newBox(t, poolUser, false)
	if out, err := b.as(member, "unshare -Ur true"); err != nil {
		t.Skipf("needs user namespaces: %s", out)
	}
	b.must(member, "mkdir mine; unshare -Ur ./queuectl --spool mine/q enqueue -- true")
	if out := b.cannot(member, "mkdir -m 777 open; unshare -Ur ./queuectl --spool open/q enqueue -- true"); !strings.Contains(out, "others may write") {
		t.Errorf("on a way that others may write to: %s", out)
	}
}
