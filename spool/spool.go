package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"queuectl/spool/internal/fsys"
)

// formatVersion is the number in the file "format". A higher one is refused.
const formatVersion = 1

// directories of a spool that are made with it. Those below ids and logs
// are made when first needed, as is every other that a person has removed.
var directories = []string{
	string(Pending), string(Processing), string(Failed), string(Completed), string(Dead), string(Held),
	"ids", "logs", "tmp", "workers", "control",
}

// A Spool is an open spool. It may be used by many goroutines at once, and any
// number of processes may have the same directory open.
type Spool struct {
	dir     string
	fs      fsys.FS
	sys     system
	me      uint32 // whose writing is trusted, beside root's: ours, or where only to look, the owner's
	look    bool
	way     func() error // whether others could put another spool in its place; nil in simulations
	network bool
	atOnce  bool // several goroutines may look at the states; not in simulations, where each step has its turn
	lockFor int  // os.O_RDONLY, or os.O_RDWR where locks need it (network file systems)

	mu     sync.Mutex
	single *staging // of the enqueuers that publish one job at a time
	room   map[State]*room
	closed bool
	making sync.WaitGroup // enqueues at work

	config configCache
	group  syncGroup
	random randomIDs
}

// Options of Open.
type Options struct {
	// Create makes the spool where there is none.
	Create bool
	// Look opens the spool to read in it, of whomever it is: it is not refused
	// because others could have written to it. What would change it is refused
	// then: ErrUnusable.
	Look bool
	// Now is the clock; time.Now where nil.
	Now func() time.Time
}

// DefaultDir is the spool that is used where none is named: $QUEUECTL_SPOOL,
// else $XDG_STATE_HOME/queuectl/default, else ~/.local/state/queuectl/default.
func DefaultDir(getenv func(string) string) (string, error) {
	if d := getenv("QUEUECTL_SPOOL"); d != "" {
		return d, nil
	}
	if d := getenv("XDG_STATE_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "queuectl", "default"), nil
	}
	if d := getenv("HOME"); d != "" {
		return filepath.Join(d, ".local", "state", "queuectl", "default"), nil
	}
	return "", &SpoolError{Dir: "(default)", Reason: "HOME is not set", Hint: "name a directory with --spool or QUEUECTL_SPOOL"}
}

// Open opens the spool in dir. Errors that say why it cannot be used are
// ErrUnusable; a spool that does not exist is also fs.ErrNotExist.
func Open(dir string, o Options) (*Spool, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, &SpoolError{Dir: dir, Reason: err.Error(), Err: err}
	}
	if o.Create {
		if err := makeDirs(abs); err != nil {
			return nil, err
		}
	}
	osfs, err := fsys.Open(abs)
	switch {
	case notExist(err):
		return nil, &SpoolError{Dir: abs, Reason: "there is no spool yet", Hint: `"queuectl enqueue" or "queuectl worker start" makes one`, Err: err}
	case err != nil:
		return nil, &SpoolError{Dir: abs, Reason: reason(err), Hint: dropHint(abs, ""), Err: err}
	}
	s := newSpool(abs, osfs, newSystem(o.Now))
	s.way = func() error { return s.checkWay(abs) }
	s.atOnce = true
	if o.Look {
		s.fs = lookFS{osfs, abs}
	}
	if s.look = o.Look; !o.Look {
		// In this order: what a way leads to that nobody else can change is
		// still what we have opened.
		if err = s.way(); err == nil {
			err = s.inPlace()
		}
	}
	if err == nil {
		err = s.open(o.Create)
	}
	if err != nil {
		_ = osfs.Close()
		return nil, err
	}
	return s, nil
}

// makeDirs makes the spool's directory, and those on the way to it that are
// missing, where nobody else can lead the way elsewhere. The way to one that is
// there is looked at once that is open.
func makeDirs(abs string) error {
	info, err := os.Stat(abs)
	if err == nil && info.IsDir() {
		return nil
	}
	if errors.Is(err, fs.ErrPermission) { // it may be there
		return &SpoolError{Dir: abs, Reason: reason(err), Hint: "name another directory with --spool", Err: err}
	}
	s := &Spool{dir: abs, me: uint32(os.Geteuid())}
	if err := s.checkWay(abs); err != nil {
		return err
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return &SpoolError{Dir: abs, Reason: "cannot be made: " + reason(err), Err: err}
	}
	return nil
}

func newSpool(dir string, f fsys.FS, sys system) *Spool {
	s := &Spool{dir: dir, fs: f, sys: sys, network: f.Network(), me: uint32(os.Geteuid()), room: make(map[State]*room)}
	s.lockFor = os.O_RDONLY
	if s.network {
		s.lockFor = os.O_RDWR
	}
	s.group.fs = f
	return s
}

func (s *Spool) open(create bool) error {
	if s.look {
		if info, err := s.fs.Lstat("."); err == nil {
			s.me = info.UID
		}
	} else if err := s.checkOwner(); err != nil {
		return err
	}
	err := s.checkFormat()
	if !notExist(err) {
		return err
	}
	if !create {
		return &SpoolError{Dir: s.dir, Reason: "is not a spool (it has no file named format)", Hint: "name another directory with --spool", Err: fs.ErrNotExist}
	}
	return s.create()
}

func (s *Spool) checkFormat() error {
	b, err := s.readFile("format", 256)
	if notExist(err) {
		return err
	}
	if err != nil {
		return &SpoolError{Dir: s.dir, Reason: "format: " + reason(err), Err: err}
	}
	word, num, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	n, err := strconv.Atoi(num)
	if word != "queuectl" || err != nil || n < 1 {
		return &SpoolError{Dir: s.dir, Reason: fmt.Sprintf("its file format says %.20q, not \"queuectl %d\"", b, formatVersion), Hint: "name another directory with --spool"}
	}
	if n > formatVersion {
		return &SpoolError{Dir: s.dir, Reason: fmt.Sprintf("it has format %d; this queuectl knows %d", n, formatVersion), Hint: "use a newer queuectl"}
	}
	return nil
}

// create makes the directories, proves that the file system can do what the
// queue needs, and writes the format last: until then there is no spool.
func (s *Spool) create() error {
	if err := s.onlyOurs(); err != nil {
		return err
	}
	for _, d := range directories {
		if err := s.fs.Mkdir(d); err != nil && !exists(err) {
			return &SpoolError{Dir: s.dir, Reason: "cannot be made: " + reason(err), Err: err}
		}
	}
	if err := s.Probe(); err != nil {
		return err
	}
	tmp := "tmp/format." + s.sys.rand(6)
	if err := s.writeNew(tmp, []byte(fmt.Sprintf("queuectl %d\n", formatVersion)), true); err != nil {
		return &SpoolError{Dir: s.dir, Reason: "cannot be made: " + reason(err), Err: err}
	}
	err := s.fs.RenameNoReplace(tmp, "format")
	if exists(err) { // made by somebody else meanwhile
		err = s.fs.Unlink(tmp)
	}
	if err == nil {
		err = s.fs.SyncDir(".")
	}
	if err != nil {
		return &SpoolError{Dir: s.dir, Reason: "cannot be made: " + reason(err), Err: err}
	}
	// The directory's own name, in its parent. Where that cannot be opened,
	// its durability is the owner's affair.
	if d, err := os.Open(filepath.Dir(s.dir)); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
	return s.checkFormat()
}

// onlyOurs refuses to make a spool of a directory that holds other things.
func (s *Spool) onlyOurs() error {
	known := map[string]bool{"config.json": true, "paused": true, "format": true, "lost+found": true}
	for _, d := range directories {
		known[d] = true
	}
	foreign := ""
	err := s.fs.List(".", func(name string) bool {
		if !known[name] && name[0] != '.' {
			foreign = name
		}
		return foreign == ""
	})
	if err != nil {
		return &SpoolError{Dir: s.dir, Reason: reason(err), Err: err}
	}
	if foreign != "" {
		return &SpoolError{Dir: s.dir, Reason: fmt.Sprintf("is no spool and not empty (it holds %q)", foreign), Hint: "name another directory with --spool"}
	}
	return nil
}

// Probe proves that the file system has hard links and locks; it is refused by
// name where it has not.
func (s *Spool) Probe() error {
	a := "tmp/probe." + s.sys.rand(6)
	b := a + "b"
	f, err := s.fs.Open(a, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return &SpoolError{Dir: s.dir, Reason: reason(err), Err: err}
	}
	defer f.Close()
	defer s.fs.Unlink(a)
	if err := f.TryLock(); err != nil && !held(err) {
		return &SpoolError{Dir: s.dir, Reason: "its file system has no locks (flock): " + reason(err), Hint: "put the spool on a local file system", Err: err}
	}
	err = s.fs.Link(a, b)
	if noHardLinks(err) {
		return &SpoolError{Dir: s.dir, Reason: "its file system has no hard links: " + reason(err), Hint: "put the spool on a local file system", Err: err}
	}
	if err != nil {
		return &SpoolError{Dir: s.dir, Reason: reason(err), Err: err}
	}
	return s.fs.Unlink(b)
}

// Here says whether the spool is where it was opened. What is done with one
// that was moved away happens in its new place, of which nobody here knows the
// path; so who works on it for long looks now and then, and ends. The error is
// ErrUnusable.
func (s *Spool) Here() error {
	if err := s.inPlace(); err != nil {
		return err
	}
	if _, err := s.fs.Lstat("format"); notExist(err) {
		return s.lost()
	}
	return nil
}

// inPlace is Here for who does not care whether all of it is there.
func (s *Spool) inPlace() error {
	if s.fs.Moved() {
		return s.lost()
	}
	return nil
}

func (s *Spool) lost() error {
	return &SpoolError{
		Dir: s.dir, Reason: "was moved or deleted, or its file system was unmounted, while it was in use",
		Hint: "nothing more is done here; go on at its new place",
	}
}

// Refresh lets go of directories in the spool that a person has moved away:
// what is done next happens in those that have their names now.
func (s *Spool) Refresh() { s.fs.Refresh() }

// Dir is the spool's absolute path.
func (s *Spool) Dir() string { return s.dir }

// Close gives back what the spool holds, once the enqueues at work have ended.
// Claims and pools must have ended. What comes later is fs.ErrClosed.
func (s *Spool) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.making.Wait()
	s.mu.Lock()
	g := s.single
	s.single = nil
	s.mu.Unlock()
	if g != nil {
		g.discard()
	}
	return s.fs.Close()
}

// enter begins an enqueue, which a Close waits for until s.making.Done.
func (s *Spool) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("%s: %w", s.dir, fs.ErrClosed)
	}
	s.making.Add(1)
	return nil
}

// Paused reports whether nothing new may start.
func (s *Spool) Paused() bool {
	_, err := s.fs.Lstat("paused")
	return err == nil
}

// Pause keeps every pool from starting jobs until Resume. What runs goes on.
func (s *Spool) Pause() error {
	err := s.writeNew("paused", nil, false)
	if exists(err) {
		return nil
	}
	return err
}

// Resume ends a pause.
func (s *Spool) Resume() error { return s.removeIfThere("paused") }

// abs is the absolute path of something in the spool.
func (s *Spool) abs(path string) string { return filepath.Join(s.dir, path) }

// readFile reads a plain file of our own of at most max bytes.
func (s *Spool) readFile(path string, max int64) ([]byte, error) {
	return s.readIf(path, max, func(info fsys.Info) error {
		if info.Nlink > 1 && !s.ours(info.UID) {
			return fmt.Errorf("belongs to user %d and has other names (hard links): it may be anything of theirs", info.UID)
		}
		return nil
	})
}

// readIf reads a plain file that accept takes.
func (s *Spool) readIf(path string, max int64, accept func(fsys.Info) error) ([]byte, error) {
	f, err := s.fs.Open(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode.IsRegular() {
		return nil, errNotPlain
	}
	if info.Size > max {
		return nil, fmt.Errorf("is %d bytes, the limit is %d", info.Size, max)
	}
	if err := accept(info); err != nil {
		return nil, err
	}
	return readAll(f, info.Size)
}

var errNotPlain = errors.New("not a plain file")

// readAll reads a file that is expected to have size bytes, and more if it has,
// up to more than is ever taken.
func readAll(f fsys.File, size int64) ([]byte, error) {
	b := make([]byte, size+1)
	n, err := f.ReadAt(b, 0)
	for err == nil {
		if len(b) > 2*maxFile {
			return nil, errors.New("has no end")
		}
		b = append(b, make([]byte, len(b))...)
		var m int
		m, err = f.ReadAt(b[n:], int64(n))
		n += m
	}
	if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:n], nil
}

// unwritable says of an error of a change that the spool takes none, or none of
// ours.
func (s *Spool) unwritable(err error) error {
	var untrusted *UntrustedError
	if errors.Is(err, ErrUnusable) || errors.Is(err, ErrUnsynced) || errors.As(err, &untrusted) {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &SpoolError{Dir: s.dir, Reason: "cannot be written to: " + reason(err), Hint: "make room there, then try again", Err: err}
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return &SpoolError{Dir: s.dir, Reason: "cannot be written to: " + reason(err), Hint: "work on it as its owner, on a file system that takes changes", Err: err}
	}
	return err
}

// writeNew makes a file that must not exist yet.
func (s *Spool) writeNew(path string, data []byte, sync bool) error {
	f, err := s.fs.Open(path, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return s.unwritable(err)
	}
	defer f.Close()
	_, err = f.WriteAt(data, 0)
	if err == nil && sync {
		err = f.Sync()
	}
	if err != nil {
		_ = s.fs.Unlink(path)
	}
	return err
}

// writeOver replaces a small file that has a path of its own: all or nothing.
func (s *Spool) writeOver(path string, data []byte) error {
	tmp := "tmp/" + filepath.Base(path) + "." + s.sys.rand(6)
	if err := s.writeNew(tmp, data, true); err != nil {
		return err
	}
	if err := s.fs.Rename(tmp, path); err != nil {
		_ = s.fs.Unlink(tmp)
		return err
	}
	return s.fs.SyncDir(filepath.Dir(path))
}

// reason is an error's innermost text: what is wrong, without the path that
// the message around it already names.
func reason(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}
