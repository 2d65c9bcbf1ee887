//go:build linux

package simfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"queuectl/spool/internal/fsys"
)

const (
	ro        = os.O_RDONLY
	rw        = os.O_RDWR
	newRW     = os.O_RDWR | os.O_CREATE | os.O_EXCL
	appending = os.O_WRONLY | os.O_APPEND | os.O_CREATE
)

// A script is one sequence of operations on an empty file system. Whatever it
// sees is noted; the notes must be the same on both implementations.
type script struct {
	fs    fsys.FS
	plant func(path string, mode fs.FileMode, target string) error
	inos  []uint64
	notes []string
}

// note writes down what was done and what came of it.
func (s *script) note(err error, format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...)+": "+outcome(err))
}

// outcome is an error without its path, which differs.
func outcome(err error) string {
	var pe *os.PathError
	var le *os.LinkError
	var no syscall.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &pe) && errors.As(err, &no):
		return fmt.Sprintf("path error of %s: %v", pe.Op, no)
	case errors.As(err, &le) && errors.As(err, &no):
		return fmt.Sprintf("link error of %s: %v", le.Op, no)
	}
	return err.Error()
}

func (s *script) open(path string, flag int) fsys.File {
	f, err := s.fs.Open(path, flag)
	s.note(err, "open %.20s %#x", path, flag)
	return f
}

func (s *script) openPlain(path string) fsys.File {
	f, err := s.fs.OpenPlain(path, ro)
	s.note(err, "open plain %s", path)
	return f
}

func (s *script) put(path, data string) {
	f := s.open(path, newRW)
	n, err := f.WriteAt([]byte(data), 0)
	s.note(err, "write %d", n)
	s.note(f.Close(), "close")
}

func (s *script) read(f fsys.File, n int, off int64) {
	b := make([]byte, n)
	m, err := f.ReadAt(b, off)
	s.note(err, "read %d at %d: %q", n, off, b[:m])
}

func (s *script) cat(path string) {
	f, err := s.fs.Open(path, ro)
	if err != nil {
		s.note(err, "cat %s", path)
		return
	}
	defer f.Close()
	s.read(f, 100, 0)
}

func (s *script) info(what string, i fsys.Info, err error) {
	if err != nil {
		s.note(err, "%s", what)
		return
	}
	at := slices.Index(s.inos, i.Ino)
	if at < 0 {
		at = len(s.inos)
		s.inos = append(s.inos, i.Ino)
	}
	size := i.Size
	if i.Mode.IsDir() {
		size = -1 // differs by file system
	}
	s.note(nil, "%s: inode %d %v size %d links %d uid %d", what, at, i.Mode, size, i.Nlink, i.UID)
}

func (s *script) lstat(path string) {
	i, err := s.fs.Lstat(path)
	s.info("lstat "+path, i, err)
}

func (s *script) stat(f fsys.File) {
	i, err := f.Stat()
	s.info("stat", i, err)
}

func (s *script) list(path string) {
	var names []string
	err := s.fs.List(path, func(n string) bool { names = append(names, n); return true })
	slices.Sort(names)
	s.note(err, "list %s %v", path, names)
}

func (s *script) mkdir(path string)   { s.note(s.fs.Mkdir(path), "mkdir %s", path) }
func (s *script) unlink(path string)  { s.note(s.fs.Unlink(path), "unlink %s", path) }
func (s *script) rmdir(path string)   { s.note(s.fs.Rmdir(path), "rmdir %s", path) }
func (s *script) link(a, b string)    { s.note(s.fs.Link(a, b), "link %s %s", a, b) }
func (s *script) rename(a, b string)  { s.note(s.fs.Rename(a, b), "rename %s %s", a, b) }
func (s *script) move(a, b string)    { s.note(s.fs.RenameNoReplace(a, b), "move %s %s", a, b) }
func (s *script) syncdir(path string) { s.note(s.fs.SyncDir(path), "syncdir %s", path) }
func (s *script) lock(f fsys.File)    { s.note(f.TryLock(), "lock") }
func (s *script) unlock(f fsys.File)  { s.note(f.Unlock(), "unlock") }
func (s *script) close(f fsys.File)   { s.note(f.Close(), "close") }

func (s *script) noWriter(f fsys.File) {
	none, err := f.NoWriter()
	s.note(err, "no writer %v", none)
}

func (s *script) pathLock(path string) fsys.Lock {
	l, err := s.fs.Lock(path)
	s.note(err, "lock of %s", path)
	return l
}

func (s *script) try(l fsys.Lock) {
	ok, err := l.TryLock()
	s.note(err, "try %v", ok)
}

func (s *script) tryR(l fsys.Lock) {
	ok, err := l.TryRLock()
	s.note(err, "try shared %v", ok)
}

var scripts = []struct {
	name string
	run  func(s *script)
}{
	{"create and read", func(s *script) { s.put("a", "hello"); s.cat("a"); s.lstat("a") }},
	{"create exclusively what exists", func(s *script) { s.put("a", ""); s.open("a", newRW) }},
	{"create exclusively over a directory", func(s *script) { s.mkdir("d"); s.open("d", newRW) }},
	{"create exclusively over a link", func(s *script) { s.note(s.plant("l", fs.ModeSymlink, "nowhere"), "plant"); s.open("l", newRW) }},
	{"create without a directory", func(s *script) { s.open("d/a", newRW) }},
	{"create below a file", func(s *script) { s.put("a", ""); s.open("a/b", newRW); s.open("a/b", ro) }},
	{"open what is missing", func(s *script) { s.open("a", ro); s.open("a", rw); s.mkdir("d"); s.open("d/a", ro) }},
	{"open a directory", func(s *script) {
		s.mkdir("d")
		f := s.open("d", ro)
		s.stat(f)
		s.read(f, 10, 0)
		s.note(f.Sync(), "sync")
		s.note(f.Truncate(0), "truncate")
		s.open("d", rw)
		s.open("d", appending)
		s.open("d", ro|os.O_CREATE)
	}},
	{"the root", func(s *script) {
		s.stat(s.open(".", ro))
		s.mkdir(".")
		s.rmdir(".")
		s.unlink(".")
		s.syncdir(".")
		s.list(".")
	}},
	{"open a link", func(s *script) {
		s.put("a", "")
		s.note(s.plant("l", fs.ModeSymlink, "a"), "plant")
		s.open("l", ro)
		s.open("l", rw)
		s.open("l", appending)
		s.lstat("l")
	}},
	{"link as directory", func(s *script) {
		s.mkdir("d")
		s.note(s.plant("l", fs.ModeSymlink, "d"), "plant")
		s.open("l/a", ro)
		s.list("l")
		s.syncdir("l")
		s.rmdir("l")
	}},
	{"fifo", func(s *script) {
		s.note(s.plant("p", fs.ModeNamedPipe, ""), "plant")
		f := s.open("p", ro)
		s.stat(f)
		s.read(f, 1, 0)
		s.lock(f)
		s.noWriter(f)
		s.open("p", appending)
		s.close(f)
	}},
	{"fifo without a reader", func(s *script) { s.note(s.plant("p", fs.ModeNamedPipe, ""), "plant"); s.open("p", appending) }},
	{"socket", func(s *script) { s.note(s.plant("s", fs.ModeSocket, ""), "plant"); s.open("s", ro); s.lstat("s") }},
	{"name too long", func(s *script) {
		long := strings.Repeat("x", 256)
		s.open(long, newRW)
		s.open(long[1:], newRW)
		s.mkdir("d")
		s.note(s.fs.Rename(long[1:], "d/"+long), "rename")
	}},
	{"read beyond the end", func(s *script) {
		s.put("a", "hello")
		f := s.open("a", ro)
		s.read(f, 5, 0)
		s.read(f, 6, 0)
		s.read(f, 2, 4)
		s.read(f, 1, 5)
		s.read(f, 1, 99)
		s.read(f, 0, 0)
		s.read(f, 1, -1)
	}},
	{"write beyond the end", func(s *script) {
		f := s.open("a", newRW)
		n, err := f.WriteAt([]byte("x"), 3)
		s.note(err, "write %d", n)
		_, err = f.WriteAt([]byte("x"), -1)
		s.note(err, "write")
		s.stat(f)
		s.cat("a")
	}},
	{"write and write again", func(s *script) {
		f := s.open("a", newRW)
		for range 2 {
			n, err := f.Write([]byte("ab"))
			s.note(err, "write %d", n)
		}
		s.cat("a")
	}},
	{"append", func(s *script) {
		s.put("a", "one ")
		f, g := s.open("a", appending), s.open("a", appending)
		for _, h := range []fsys.File{f, g, f} {
			n, err := h.Write([]byte("two "))
			s.note(err, "append %d", n)
		}
		n, err := f.WriteAt([]byte("end"), 0)
		s.note(err, "write at %d", n)
		s.read(f, 1, 0)
		s.cat("a")
	}},
	{"read-only description", func(s *script) {
		s.put("a", "x")
		f := s.open("a", ro)
		n, err := f.WriteAt([]byte("y"), 0)
		s.note(err, "write %d", n)
		s.note(f.Truncate(0), "truncate")
		s.note(f.Sync(), "sync")
	}},
	{"truncate", func(s *script) {
		s.put("a", "hello")
		f := s.open("a", rw)
		s.note(f.Truncate(2), "truncate")
		s.cat("a")
		s.note(f.Truncate(4), "truncate")
		s.cat("a")
		s.note(f.Truncate(-1), "truncate")
	}},
	{"closed file", func(s *script) {
		s.put("a", "x")
		f := s.open("a", rw)
		s.close(f)
		s.close(f)
		s.stat(f)
		s.read(f, 1, 0)
		s.lock(f)
		s.note(f.Sync(), "sync")
		_, err := f.Write([]byte("y"))
		s.note(err, "write")
	}},
	{"mkdir", func(s *script) {
		s.mkdir("d")
		s.mkdir("d")
		s.mkdir("x/y")
		s.put("a", "")
		s.mkdir("a")
		s.mkdir("a/b")
		s.lstat("d")
	}},
	{"rmdir", func(s *script) {
		s.mkdir("d")
		s.put("d/a", "")
		s.rmdir("d")
		s.unlink("d/a")
		s.rmdir("d")
		s.rmdir("d")
		s.put("a", "")
		s.rmdir("a")
	}},
	{"rmdir and make it again", func(s *script) {
		s.mkdir("d")
		s.put("d/a", "1")
		s.unlink("d/a")
		s.rmdir("d")
		s.put("x", "")
		s.link("x", "d/a")
		s.mkdir("d")
		s.put("d/a", "2")
		s.list("d")
		s.rename("x", "d/x")
		s.list("d")
	}},
	{"links of directories", func(s *script) {
		s.mkdir("d")
		s.mkdir("d/e")
		s.mkdir("f")
		s.lstat("d")
		s.rename("d/e", "f/e")
		s.lstat("d")
		s.lstat("f")
		s.rmdir("f/e")
		s.lstat("f")
	}},
	{"unlink", func(s *script) {
		s.unlink("a")
		s.mkdir("d")
		s.unlink("d")
		s.put("a", "")
		s.unlink("a")
		s.lstat("a")
	}},
	{"unlink an open file", func(s *script) {
		s.put("a", "x")
		f := s.open("a", rw)
		s.unlink("a")
		s.stat(f)
		s.read(f, 1, 0)
		_, err := f.WriteAt([]byte("y"), 1)
		s.note(err, "write")
		s.put("a", "other")
		s.stat(f)
		s.lstat("a")
		s.read(f, 2, 0)
	}},
	{"link", func(s *script) {
		s.put("a", "x")
		s.mkdir("d")
		s.link("a", "d/b")
		s.lstat("a")
		s.lstat("d/b")
		s.link("a", "d/b")
		s.link("x", "y")
		s.link("x", "d/b")
		s.link("a", "e/b")
		s.link("d", "e")
		s.link("d", "a")
		s.unlink("a")
		s.lstat("d/b")
	}},
	{"link a link", func(s *script) {
		s.note(s.plant("l", fs.ModeSymlink, "x"), "plant")
		s.link("l", "m")
		s.lstat("m")
		s.unlink("l")
		s.lstat("m")
	}},
	{"rename", func(s *script) {
		s.put("a", "x")
		s.mkdir("d")
		s.rename("a", "d/b")
		s.lstat("a")
		s.cat("d/b")
		s.rename("a", "d/b")
		s.rename("d/b", "e/b")
		s.rename("d/b", "d/b/c")
		s.rename("d/b", ".")
	}},
	{"rename over", func(s *script) {
		s.put("a", "new")
		s.put("b", "old")
		s.link("b", "c")
		s.rename("a", "b")
		s.cat("b")
		s.lstat("b")
		s.lstat("c")
	}},
	{"rename between two names of one inode", func(s *script) {
		s.put("a", "x")
		s.link("a", "b")
		s.rename("a", "b")
		s.lstat("a")
		s.lstat("b")
		s.rename("a", "a")
		s.move("a", "b")
		s.move("a", "a")
		s.lstat("a")
	}},
	{"move", func(s *script) {
		s.put("a", "x")
		s.put("b", "y")
		s.move("a", "b")
		s.move("a", "c")
		s.move("a", "c")
		s.move("a", "d")
		s.list(".")
		s.cat("b")
	}},
	{"rename a directory", func(s *script) {
		s.mkdir("d")
		s.put("d/a", "x")
		s.mkdir("e")
		s.rename("d", "e")
		s.list("e")
		s.mkdir("f")
		s.rename("f", "e")
		s.rename("e", "f")
		s.mkdir("e")
		s.move("f", "e")
		s.move("f", "g")
		s.cat("g/a")
		s.rename("g", "g/h")
		s.rename("g/a", "g")
		s.move("g", "g/a")
	}},
	{"rename across kinds", func(s *script) {
		s.mkdir("d")
		s.put("a", "")
		s.rename("a", "d")
		s.rename("d", "a")
		s.move("a", "d")
		s.note(s.plant("l", fs.ModeSymlink, "a"), "plant")
		s.rename("l", "a")
		s.lstat("a")
		s.lstat("l")
	}},
	{"list", func(s *script) {
		s.list("d")
		s.mkdir("d")
		s.list("d")
		for i := range 30 {
			s.put(fmt.Sprintf("d/%d", i), "")
		}
		s.mkdir("d/dir")
		s.list("d")
		n := 0
		s.note(s.fs.List("d", func(string) bool { n++; return n < 3 }), "list")
		s.note(nil, "%d names", n)
		s.put("a", "")
		s.list("a")
		s.list("a/b")
	}},
	{"open plain", func(s *script) {
		s.openPlain("a")
		s.put("a", "text")
		s.read(s.openPlain("a"), 10, 0)
		s.mkdir("d")
		s.openPlain("d")
		for what, mode := range map[string]fs.FileMode{"fifo": fs.ModeNamedPipe, "link": fs.ModeSymlink} {
			s.note(s.plant(what, mode, "a"), "plant")
		}
		s.openPlain("fifo")
		s.openPlain("link")
	}},
	{"sync", func(s *script) {
		s.syncdir("d")
		s.mkdir("d")
		s.syncdir("d")
		s.put("a", "")
		s.syncdir("a")
		s.note(s.fs.SyncFS(), "sync")
		var files []fsys.File
		for i := range 5 {
			s.note(s.fs.SyncAll(files, []string{"d"}), "sync %d files", i)
			files = append(files, s.open(fmt.Sprint("d/", i), newRW))
		}
	}},
	{"lock across descriptions", func(s *script) {
		s.put("a", "")
		f, g := s.open("a", ro), s.open("a", rw)
		s.lock(f)
		s.lock(f)
		s.lock(g)
		s.unlock(f)
		s.lock(g)
		s.lock(f)
		s.unlock(f)
		s.lock(f)
		s.unlock(g)
		s.unlock(g)
		s.lock(f)
	}},
	{"lock freed on close", func(s *script) {
		s.put("a", "")
		f, g := s.open("a", ro), s.open("a", ro)
		s.lock(f)
		s.close(g)
		g = s.open("a", ro)
		s.lock(g)
		s.close(f)
		s.lock(g)
	}},
	{"lock follows rename and other names", func(s *script) {
		s.put("a", "")
		s.link("a", "b")
		f := s.open("a", ro)
		s.lock(f)
		s.rename("a", "c")
		s.put("a", "")
		s.lock(s.open("a", ro))
		s.lock(s.open("b", ro))
		s.lock(s.open("c", ro))
		s.unlink("b")
		s.unlink("c")
		s.stat(f)
	}},
	{"lock of a directory", func(s *script) {
		s.mkdir("d")
		f, g := s.open("d", ro), s.open("d", ro)
		s.lock(f)
		s.lock(g)
		s.rename("d", "e")
		s.lock(s.open("e", ro))
		s.close(f)
		s.lock(g)
	}},
	{"path lock", func(s *script) {
		s.pathLock("a")
		s.put("a", "")
		l, m := s.pathLock("a"), s.pathLock("a")
		s.try(l)
		s.try(l)
		s.try(m)
		s.tryR(m)
		s.lock(s.open("a", ro))
		s.note(l.Close(), "close")
		s.note(l.Close(), "close")
		s.try(m)
		s.try(l)
		s.note(m.Close(), "close")
		s.try(l)
	}},
	{"shared path lock", func(s *script) {
		s.put("a", "")
		l, m := s.pathLock("a"), s.pathLock("a")
		s.tryR(l)
		s.note(m.RLock(), "rlock")
		s.lock(s.open("a", ro))
		s.note(l.Close(), "close")
		s.lock(s.open("a", ro))
		s.note(m.Close(), "close")
		s.lock(s.open("a", ro))
		s.tryR(l)
	}},
	{"path lock changes its kind", func(s *script) {
		s.put("a", "")
		l, m := s.pathLock("a"), s.pathLock("a")
		s.tryR(l)
		s.try(l)
		s.tryR(m)
		s.note(l.Close(), "close")
		s.tryR(l)
		s.tryR(m)
		s.try(l)
		s.note(m.Close(), "close")
		s.lock(s.open("a", ro))
		s.try(l)
		s.try(m)
	}},
	{"path lock of what moves", func(s *script) {
		s.put("a", "")
		l := s.pathLock("a")
		s.rename("a", "b")
		s.try(l)
		s.put("a", "")
		s.try(l)
		s.lock(s.open("b", ro))
		s.lock(s.open("a", ro))
		s.mkdir("d")
		s.pathLock("d")
	}},
	{"no writer", func(s *script) {
		s.put("a", "")
		f := s.open("a", ro)
		s.noWriter(f)
		g := s.open("a", rw)
		s.noWriter(f)
		s.noWriter(g)
		s.close(g)
		h := s.open("a", appending)
		s.noWriter(f)
		s.close(h)
		s.noWriter(f)
		s.noWriter(s.open("a", ro))
	}},
}

// plantReal is Disk.Plant on the real file system.
func plantReal(path string, mode fs.FileMode, target string) error {
	switch mode {
	case fs.ModeSymlink:
		return os.Symlink(target, path)
	case fs.ModeNamedPipe:
		return syscall.Mkfifo(path, 0o600)
	}
	return syscall.Mknod(path, syscall.S_IFSOCK|0o600, 0)
}

// TestConform plays every script on both implementations.
func TestConform(t *testing.T) {
	for _, sc := range scripts {
		t.Run(sc.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Chmod(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			osfs, err := fsys.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer osfs.Close()
			real := &script{fs: osfs, plant: func(path string, mode fs.FileMode, target string) error {
				return plantReal(filepath.Join(dir, path), mode, target)
			}}
			disk := New()
			sim := &script{fs: disk.Process("p"), plant: disk.Plant}
			sc.run(real)
			sc.run(sim)
			for i := range max(len(real.notes), len(sim.notes)) {
				if i >= len(real.notes) || i >= len(sim.notes) || real.notes[i] != sim.notes[i] {
					t.Fatalf("note %d differs\nreal:\n%s\nsimulated:\n%s", i, strings.Join(real.notes, "\n"), strings.Join(sim.notes, "\n"))
				}
			}
			t.Logf("\n%s", strings.Join(sim.notes, "\n"))
		})
	}
}
