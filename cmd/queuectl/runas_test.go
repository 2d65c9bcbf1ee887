//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Users as the system of a test knows them: a file system name space of its
// own has them in /etc/passwd and /etc/group.
const (
	testPasswd = `root:x:0:0:root:/root:/bin/sh
alice:x:61235:61235::%[1]s/alice:/bin/false
bob:x:61236:61236::%[1]s/bob:/bin/false
carol:x:61237:61237::/nonexistent:/bin/false
`
	testGroup = `root:x:0:
submit:x:61240:alice,bob
staff:x:61241:alice
alice:x:61235:
bob:x:61236:
carol:x:61237:
`
)

// newOwners makes a drop box of root whose jobs run as their owners.
func newOwners(t *testing.T) *box {
	b := newBox(t, 0, false)
	b.must(0, "mkdir alice bob; chown 61235:61235 alice; chown 61236:61236 bob; chmod 700 alice bob")
	for name, text := range map[string]string{"passwd": fmt.Sprintf(testPasswd, b.dir), "group": testGroup} {
		if err := os.WriteFile(b.dir+"/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := b.as(0, "unshare -m sh -c 'mount --bind passwd /etc/passwd; mount --bind group /etc/group; id alice'"); err != nil || !strings.Contains(out, "staff") {
		t.Skipf("needs a mount name space, to know users of its own: %s", out)
	}
	b.must(0, "./queuectl --spool box config set run_as owner; ./queuectl --spool box delete seed")
	return b
}

// workWithUsers starts a pool of root that knows the users.
func (b *box) workWithUsers() {
	b.Helper()
	cmd := exec.Command("unshare", "-m", "sh", "-c",
		"mount --bind passwd /etc/passwd && mount --bind group /etc/group && exec ./queuectl --spool box worker start")
	cmd.Dir, cmd.Env = b.dir, append(os.Environ(), "POOLS_OWN=secret", "HOME=/root")
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
}

// TestRunAsOwner: two users' jobs run as who dropped them, as cron runs theirs.
func TestRunAsOwner(t *testing.T) {
	b := newOwners(t)
	b.drop(61235, "alice", `id -u; id -G; pwd; env | sort`)
	b.drop(61236, "bob", `id -un; cat ../alice/private; cat $QUEUECTL_JOB_FILE; : >>$QUEUECTL_SPOOL/x`)
	b.must(61235, "echo 'of alice' >alice/private; chmod 644 alice/private")
	b.must(61236, `umask 077; echo '{"argv":["id","-u"],"cwd":"/"}' >box/pending/argv.json`)
	b.must(61236, `umask 077; echo '{"argv":["pwd"],"cwd":"'$PWD/alice'"}' >box/pending/closed.json`)
	b.drop(61237, "homeless", "true")
	b.drop(61238, "unknown", "true")
	b.must(0, "./queuectl --spool box enqueue --id roots -- true")
	b.workWithUsers()
	b.says("show alice", "completed")
	log := "\n" + b.q("logs alice")
	for _, want := range []string{
		"61235\n61235 61240 61241\n" + b.dir + "/alice\n",
		"\nHOME=" + b.dir + "/alice\n", "\nUSER=alice\n", "\nLOGNAME=alice\n", "\nSHELL=/bin/sh\n", "\nPATH=/usr/bin:/bin\n", "\nQUEUECTL_JOB_ID=alice\n",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("alice's job does not say %q:%s", want, log)
		}
	}
	if strings.Contains(log, "POOLS_OWN") || strings.Contains(log, "/root") {
		t.Errorf("alice's job has something of root's environment:%s", log)
	}
	b.says("list", "bob") // its last command fails, and so it does
	b.says("logs bob", "queuectl: attempt 1 failed")
	if log := b.q("logs bob"); !strings.HasPrefix(log, "bob\n") || strings.Contains(log, "of alice") || strings.Contains(log, "history") {
		t.Errorf("bob's job got at what is not his:\n%s", log)
	}
	b.says("logs argv", "61236")
	b.says("show closed", "permission denied")
	b.says("show homeless", "cannot start in /nonexistent as user carol")
	b.says("show unknown", "unknown userid 61238")
	b.says("status", "belongs to root, as whom no job runs")
	if out := b.q("show roots"); !strings.Contains(out, "pending") {
		t.Errorf("root's job:\n%s", out)
	}
	if out := b.must(0, "stat -c '%a %u' box/logs/*/alice.log box/ids/*/alice.json"); out != "600 0\n600 0\n" {
		t.Errorf("log and file are\n%s", out)
	}
}

// TestRunAsOwnerOnly: what others could have written does not run as its owner,
// although their group may write to the box.
func TestRunAsOwnerOnly(t *testing.T) {
	b := newOwners(t)
	b.must(61235, fmt.Sprintf("echo '{\"command\":\"true\"}' >open; chgrp %d open; chmod 660 open; mv open box/pending/open.json", submitters))
	b.drop(61235, "good", "true")
	b.workWithUsers()
	b.says("show good", "completed")
	b.says("status", "would run as user 61235, and others may write to it")
	b.must(61235, "chmod 600 box/pending/open.json")
	b.says("show open", "completed")
}

// TestRunAsOwnerNeedsRoot: a pool that is not root does not even start.
func TestRunAsOwnerNeedsRoot(t *testing.T) {
	b := newBox(t, poolUser, false)
	b.must(poolUser, "./queuectl --spool box config set run_as owner")
	if out := b.cannot(poolUser, "./queuectl --spool box worker start --drain"); !strings.Contains(out, "only root") {
		t.Errorf("it says %s", out)
	}
}
