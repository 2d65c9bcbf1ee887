package spool

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"queuectl/spool/internal/fsys"
	"queuectl/spool/internal/simfs"
)

// TestDistrust is who is trusted, by owner, group and mode, as another user
// sees it.
func TestDistrust(t *testing.T) {
	s := &Spool{me: 1000, fs: simfs.New().Process("test")}
	plain, allows := defaults, defaults
	allows.AllowGroup, allows.AllowUsers = 50, []uint32{1001}
	for _, c := range []struct {
		uid, gid     uint32
		mode         fs.FileMode
		plain, allow bool // trusted
	}{
		{1000, 100, 0o600, true, true},
		{0, 100, 0o644, true, true},
		{1001, 100, 0o600, false, true},
		{1002, 100, 0o600, false, false},
		{1000, 50, 0o660, false, true},
		{1000, 50, 0o662, false, false},
		{1000, 51, 0o660, false, false},
		{1000, 1000, 0o664, true, true},
		{1000, 1000, 0o770 | fs.ModeDir, false, false},
		{1000, 50, 0o730 | fs.ModeDir | fs.ModeSticky, false, true},
		{1000, 50, 0o777 | fs.ModeDir | fs.ModeSticky, false, false},
	} {
		info := fsys.Info{UID: c.uid, GID: c.gid, Mode: c.mode}
		if why := s.distrust("x", info, &plain); (why == "") != c.plain {
			t.Errorf("%+v: %q", c, why)
		}
		if why := s.distrust("x", info, &allows); (why == "") != c.allow {
			t.Errorf("%+v, allowed: %q", c, why)
		}
	}
}

// TestRootHasNoPrivateGroup: the group with the number 0 has members on some
// systems.
func TestRootHasNoPrivateGroup(t *testing.T) {
	s := &Spool{me: 0, fs: simfs.New().Process("test")}
	c := defaults
	if why := s.distrust("x", fsys.Info{Mode: 0o664}, &c); why == "" {
		t.Error("a file of root that group 0 may write to is trusted")
	}
}

// TestAccessList: where a list of its own says who may write, the group's bits
// of the mode do not tell whom they are for.
func TestAccessList(t *testing.T) {
	b := newBench(t)
	must(t, b.SetConfig("allow_group", strconv.Itoa(os.Getegid())))
	at := b.enqueue("x")
	acl := func(spec string) {
		if out, err := exec.Command("setfacl", "-m", spec, b.at(at)).CombinedOutput(); err != nil {
			t.Skipf("needs setfacl, and a file system with access lists: %v %s", err, out)
		}
	}
	p := b.pool()
	acl("u:61235:rw")
	_, err := p.Claim(at)
	var untrusted *UntrustedError
	if !errors.As(err, &untrusted) || !strings.Contains(err.Error(), "setfacl -b") {
		t.Errorf("a list that lets another user write: %v", err)
	}
	acl("u:61235:r,m::r")
	b.claim(p, "x")
}

// TestForeignLinkIsNotRead: what has other names and is somebody else's may be
// anything.
func TestForeignLinkIsNotRead(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give a file away")
	}
	b := newBench(t)
	must(t, b.SetConfig("allow_group", "61240"))
	must(t, os.Chown(b.at("pending"), -1, 61240))
	must(t, os.Chmod(b.at("pending"), 0o730|os.ModeSetgid|os.ModeSticky))
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte(jobText("x")), 0o600))
	must(t, os.Chown(secret, 61235, 61235))
	must(t, os.Link(secret, b.at("pending/hello.json")))
	atime := accessed(t, secret)
	if _, err := b.pool().Adopt(ctx, "pending/hello.json"); !errors.Is(err, ErrRefused) {
		t.Errorf("adopt: %v", err)
	}
	if now := accessed(t, secret); now != atime {
		t.Errorf("it was read at %v", now)
	}
}

// accessed is when a file was read last, which it says where it has never been
// read since it was written.
func accessed(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command("stat", "-c", "%x", path).Output()
	if err != nil {
		t.Skip("needs GNU stat")
	}
	return string(out)
}

// TestOpenRefuses is each part of a spool that others could write to.
func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		name, path string
		mode       os.FileMode
		hint       string
	}{
		{"the spool", "spool", 0o770, "chmod go-w"},
		{"config.json", "spool/config.json", 0o666, "config.json"},
		{"a directory", "spool/ids", 0o777, "its directory ids"},
		{"the way", ".", 0o777, "could put another in its place"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.unasked = true
			p := filepath.Join(filepath.Dir(b.dir), c.path)
			must(t, os.Chmod(p, c.mode))
			_, err := Open(b.dir, Options{})
			if !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), c.hint) {
				t.Errorf("open: %v", err)
			}
			s, err := Open(b.dir, Options{Look: true})
			must(t, err)
			must(t, s.Close())
			must(t, os.Chmod(p, 0o700))
			s, err = Open(b.dir, Options{})
			must(t, err)
			must(t, s.Close())
		})
	}
}

// TestWayThroughLinks follows symbolic links, also relative ones, and is
// content with a sticky directory.
func TestWayThroughLinks(t *testing.T) {
	b := newBench(t)
	top := filepath.Dir(b.dir)
	must(t, os.Mkdir(top+"/open", 0o700))
	must(t, os.Symlink("../spool", top+"/open/link"))
	open := func() error {
		s, err := Open(top+"/open/link", Options{})
		if err == nil {
			err = s.Close()
		}
		return err
	}
	must(t, open())
	must(t, os.Chmod(top+"/open", 0o777))
	if err := open(); !errors.Is(err, ErrUnusable) {
		t.Errorf("through a link that others could exchange: %v", err)
	}
	must(t, os.Chmod(top+"/open", 0o777|os.ModeSticky))
	must(t, open())
}

// TestWayOfPrivateGroup: where the umask is 002, the directories in a home
// may be written to by a group that is its user's alone.
func TestWayOfPrivateGroup(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give a directory away")
	}
	b := newBench(t)
	home := filepath.Dir(b.dir)
	b.me = 61235
	for _, c := range []struct {
		group int
		mode  os.FileMode
		ok    bool
	}{{61235, 0o775, true}, {61235, 0o777, false}, {61236, 0o775, false}, {61236, 0o755, true}} {
		must(t, os.Chown(home, 61235, c.group))
		must(t, os.Chmod(home, c.mode))
		if err := b.checkWay(b.dir); (err == nil) != c.ok {
			t.Errorf("group %d, mode %04o: %v", c.group, c.mode, err)
		}
	}
	b.me = 0
	must(t, os.Chown(home, 0, 0))
	must(t, os.Chmod(home, 0o700))
}

// TestUntrustedJobIsNotClaimed: it stays where it is and is not charged, and
// runs once it is ours alone.
func TestUntrustedJobIsNotClaimed(t *testing.T) {
	b := newBench(t)
	at := b.enqueue("x")
	p := b.pool()
	must(t, os.Chmod(b.at(at), 0o666))
	before := b.read(at)
	_, err := p.Claim(at)
	var untrusted *UntrustedError
	if !errors.As(err, &untrusted) || !strings.Contains(err.Error(), "chmod go-w") || b.read(at) != before {
		t.Errorf("claim: %v", err)
	}
	must(t, os.Chmod(b.at(at), 0o600))
	b.claim(p, "x")
}

// TestForeignDrop: the file of another user stays until allow_users names them.
func TestForeignDrop(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give a file away")
	}
	b := newBench(t)
	b.put("pending/hello.json", jobText("x"))
	must(t, os.Chown(b.at("pending/hello.json"), 61235, 61235))
	p := b.pool()
	_, err := p.Adopt(ctx, "pending/hello.json")
	var untrusted *UntrustedError
	if !errors.As(err, &untrusted) || !strings.Contains(err.Error(), "allow_users") {
		t.Fatalf("adopt: %v", err)
	}
	must(t, b.SetConfig("allow_users", "61235"))
	b.clk.add(configAge) // what nobody can tell the writer of has to rest for a while, too
	_, err = p.Adopt(ctx, "pending/hello.json")
	must(t, err)
}

// TestForeignHistory: the drop of another user may not bring a history.
func TestForeignHistory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give a file away")
	}
	b := newBench(t)
	must(t, b.SetConfig("allow_users", "61235"))
	b.put("pending/hello.json", `{"command":"true",`+someHistory+`}`)
	must(t, os.Chown(b.at("pending/hello.json"), 61235, 61235))
	b.clk.add(2 * settleTime) // what nobody can tell the writer of has to rest
	b.refuse("pending/hello.json", "belongs to queuectl, and the file to user 61235")
}

// TestMakeRefuses: where others can lead the way elsewhere, nothing is made.
func TestMakeRefuses(t *testing.T) {
	top := t.TempDir()
	must(t, os.Mkdir(top+"/open", 0o700))
	must(t, os.Mkdir(top+"/elsewhere", 0o700))
	must(t, os.Symlink("../elsewhere", top+"/open/link"))
	must(t, os.Chmod(top+"/open", 0o777))
	if _, err := Open(top+"/open/link/a/b", Options{Create: true}); !errors.Is(err, ErrUnusable) {
		t.Errorf("open: %v", err)
	}
	if _, err := os.Lstat(top + "/elsewhere/a"); err == nil {
		t.Error("a directory was made through a link that others could exchange")
	}
	must(t, os.Chmod(top+"/open", 0o700))
	s, err := Open(top+"/open/link/a/b", Options{Create: true})
	must(t, err)
	must(t, s.Close())
}

// TestPathInAHistory: where a history says that the file lies is believed only
// of places in the spool.
func TestPathInAHistory(t *testing.T) {
	for _, to := range []string{"../outside.json", "pending/../../outside.json", "../20261123T180000.123456Z-5-x.json", "pending/../../20261123T180000.123456Z-5-x.json", "/etc/20261123T180000.123456Z-5-x.json"} {
		b := newBench(t)
		at := b.enqueue("x")
		was := b.read(at)
		b.put(at, strings.Replace(was, `"to":"`+at+`"`, `"to":"`+to+`"`, 1))
		outside := filepath.Join(filepath.Dir(b.dir), filepath.Base(to))
		must(t, os.Link(b.at(at), outside))
		if p, _, err := b.locate("x"); err != nil || p != at {
			t.Errorf("with %q it lies at %q, %v", to, p, err)
		}
		if _, err := b.fs.Lstat(to); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%q: %v", to, err)
		}
		must(t, os.Remove(outside))
		b.put(at, was)
	}
}

// A file that may not be read is told with the way out, whether it is a drop or
// has the name of a job.
func TestClosedFile(t *testing.T) {
	b := newBench(t)
	at := b.enqueue("x")
	b.faults.fail("open", at, syscall.EACCES)
	_, err := b.pool().Claim(at)
	var u *UntrustedError
	if !errors.As(err, &u) || !strings.Contains(err.Error(), "may not be opened (mode 0600); see \"chmod u+rw "+b.at(at)+"\"") {
		t.Errorf("a job of our own: %v", err)
	}
	for what, err := range map[string]error{"retry": b.Retry(ctx, "x"), "delete": b.Delete(ctx, "x")} {
		if !errors.As(err, &u) || !strings.Contains(err.Error(), "chmod u+rw") {
			t.Errorf("%s: %v", what, err)
		}
	}
	b.faults.clear()
	b.faults.fail("open", idPath("x"), syscall.EACCES)
	if err := b.Retry(ctx, "x"); !errors.As(err, &u) || !strings.Contains(err.Error(), "chmod u+rw "+b.at(idPath("x"))) {
		t.Errorf("whose second name is closed: %v", err)
	}
	b.faults.clear()
	b.faults.fail("open", at, syscall.EACCES)
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give files away")
	}
	must(t, os.Chown(b.at(at), 61235, 61235))
	_, err = b.pool().Claim(at)
	if !errors.As(err, &u) || !strings.Contains(err.Error(), "belongs to user 61235, and user 0 may not read it") {
		t.Errorf("a job of somebody else: %v", err)
	}
	must(t, os.Chown(b.at(at), 0, 0))
	b.faults.clear()
}

// status tells of what has every command that changes something refused.
func TestStatusOfARefusedSpool(t *testing.T) {
	b := newBench(t)
	must(t, os.Chmod(b.at("pending"), 0o777))
	st, err := b.Status()
	must(t, err)
	if len(st.Problems) != 1 || !strings.Contains(st.Problems[0].Reason, "its directory pending may be written to by everybody") {
		t.Errorf("problems: %+v", st.Problems)
	}
	must(t, os.Chmod(b.at("pending"), 0o700))
}
