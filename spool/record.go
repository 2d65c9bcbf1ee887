package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"

	"queuectl/spool/internal/fsys"
)

// maxHistory is the length in bytes from which a history is compacted to its last
// keepLines lines, or to as many of them as have half that length, but never to
// less than leastLines: what buries a job must stay.
const (
	maxHistory = 256 << 10
	keepLines  = 100
	leastLines = unchargedDeaths + 5
)

// roomForLines is room in memory for what an attempt adds to a file.
const roomForLines = 512

// maxFile is the most that is read of a job's file: what the user wrote, at
// the highest limit that can be configured (a job stays one when the limit is
// lowered), and a history that was not compacted yet.
const maxFile = maxMaxJobSize + 2*maxHistory

// A record is one job's file, held under its lock.
//
// lock is the description that carries the lock; it is opened for reading
// only, so that a job that inherits it cannot write its own record through it.
// rw is ours alone. Where no other process inherits, they are one.
type record struct {
	s    *Spool
	id   string
	path string // where the file lies in a state directory
	name Name
	lock fsys.File
	rw   fsys.File
	info fsys.Info
	data []byte // the file as we last knew it
	dec  *decoded
	ours bool // lines can be appended to it in place
}

// openJob opens a file in a state directory. Where the configuration lets others
// put files there, it may be a FIFO or a device, of which to open them is to use
// them: what is none is found out first. So it is with drops, wherever they are;
// elsewhere it would cost every claim something.
func (s *Spool) openJob(p string, flag int) (fsys.File, error) {
	_, canonical := ParseName(path.Base(p))
	if canonical && s.cfg().AllowGroup < 0 {
		return s.fs.Open(p, flag)
	}
	return s.fs.OpenPlain(p, flag)
}

// lockJob opens and locks the file at p, which lies in a state directory,
// and proves that the name still means what is locked. ErrGone: it is not
// there any more; ErrHeld: somebody holds it.
func (s *Spool) lockJob(p string) (fsys.File, fsys.Info, error) {
	return s.lockJobFor(p, s.lockFor)
}

func (s *Spool) lockJobFor(p string, flag int) (fsys.File, fsys.Info, error) {
	f, err := s.openJob(p, flag)
	if elsewhere(err) {
		return nil, fsys.Info{}, ErrGone
	}
	if err != nil {
		return nil, fsys.Info{}, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode.IsRegular() {
		err = errNotPlain
	}
	if err == nil {
		err = f.TryLock()
	}
	if err == nil {
		var same bool
		if same, err = s.same(p, info); err == nil && !same {
			err = ErrGone
		}
		if err != nil {
			_ = f.Unlock()
		}
	}
	if err != nil {
		_ = f.Close()
		if held(err) {
			err = ErrHeld
		} else if elsewhere(err) {
			err = ErrGone
		}
		return nil, fsys.Info{}, err
	}
	return f, info, nil
}

// openRecord locks the job's file at p and reads it. A file that is not the
// inode of its id's second name is ErrDrop.
func (s *Spool) openRecord(p string) (*record, error) {
	return s.openRecordIf(p, s.lockFor, func(string, fsys.Info) error { return nil })
}

// openRecordIf is openRecord of a file that accept takes, before anything is
// read or mended. Opened with os.O_RDWR, the locked description is also the one
// that is written to; a file that cannot be opened so is told from others then.
func (s *Spool) openRecordIf(p string, flag int, accept func(string, fsys.Info) error) (*record, error) {
	name, ok := ParseName(path.Base(p))
	if !ok {
		return nil, ErrDrop
	}
	lock, info, err := s.lockJobFor(p, flag)
	if err != nil && flag != s.lockFor && !errors.Is(err, ErrGone) && !errors.Is(err, ErrHeld) {
		flag = s.lockFor
		lock, info, err = s.lockJobFor(p, flag)
	}
	err = s.closedFile(p, err)
	if errors.Is(err, errNotPlain) || notPlain(err) {
		return nil, ErrDrop // whose adoption refuses it
	}
	if err != nil {
		return nil, err
	}
	r := &record{s: s, id: name.ID, path: p, name: name, lock: lock, info: info}
	if flag == os.O_RDWR {
		r.rw = lock
	}
	same, err := s.same(idPath(r.id), info)
	if err == nil && !same {
		err = ErrDrop
	}
	if err != nil {
		r.close()
		return nil, err
	}
	if err := accept(p, info); err != nil {
		r.close()
		return nil, err
	}
	if err := r.load(); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// load opens the file for ourselves, reads it, and mends a torn tail. A file
// that was rewritten in place in a form to which no line can be appended is
// replaced by one with the same content in our form. One without a history
// begins a new life.
func (r *record) load() error {
	if r.rw == nil {
		if err := r.openForWriting(); err != nil {
			return err
		}
	}
	if err := r.s.notForeign(r.path, r.info); err != nil { // nothing is written into it
		return err
	}
	if err := r.read(); err != nil {
		return err
	}
	if !r.ours || len(r.data)-r.dec.histStart > maxHistory {
		history := compact(r.history(), r.s.stamp())
		if r.ours && len(history) == len(r.dec.history) {
			return nil // a person has written long lines
		}
		return r.replaceWith(history)
	}
	return nil
}

// history is the record's, or where it has none, of a life that begins.
func (r *record) history() []Entry {
	if len(r.dec.history) > 0 {
		return r.dec.history
	}
	line := Entry{Event: EventAdopted, From: path.Base(r.path), UID: &r.info.UID}
	return []Entry{r.s.beginsLife(line, r.s.sys.now(), r.path)}
}

func (r *record) openForWriting() (err error) {
	if r.rw, err = r.s.fs.Open(r.path, os.O_RDWR); elsewhere(err) {
		return ErrGone
	} else if err != nil {
		return r.s.closedFile(r.path, err)
	}
	if info, err := r.rw.Stat(); err != nil || !info.Same(r.info) {
		_ = r.rw.Close()
		r.rw = nil
		return errors.Join(ErrGone, err)
	}
	return nil
}

// read reads and decodes the file as it is on disk.
func (r *record) read() error {
	info, err := r.rw.Stat()
	if err != nil {
		return err
	} else if !info.Mode.IsRegular() || !info.Same(r.info) {
		return ErrGone // exchanged this very moment
	} else if info.Size > maxFile {
		return &InvalidError{Reason: fmt.Sprintf("is %d bytes long", info.Size)}
	}
	// What somebody appends meanwhile, verify finds.
	data := make([]byte, info.Size, info.Size+roomForLines)
	n, err := r.rw.ReadAt(data, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	data = data[:n]
	dec, err := decodeFile(data, maxFile)
	if err != nil {
		return err
	}
	plain := !bytes.HasPrefix(data, bom)
	if dec.torn && plain {
		if err := r.mend(dec.data); err != nil {
			return err
		}
	}
	if err := dec.isOf(r.id); err != nil {
		return err
	}
	r.data, r.dec, r.ours = dec.data, dec, plain && dec.appendable()
	return nil
}

// isOf refuses a file whose id a person has changed.
func (d *decoded) isOf(id string) error {
	if d.ID == "" || d.ID == id {
		return nil
	}
	return &InvalidError{Member: "id", Reason: fmt.Sprintf("says %q in the file of job %q", d.ID, id)}
}

// mend ends the file after its last complete history line.
func (r *record) mend(data []byte) error {
	if _, err := r.rw.WriteAt([]byte(tail), int64(len(data)-len(tail))); err != nil {
		return err
	}
	return r.rw.Truncate(int64(len(data)))
}

// verify makes sure that the file is as we last knew it before a write, and
// reads it again where it is not: somebody may have edited it in place. Where it
// has to be replaced, that is done with what was to be written, so that the file
// is at no moment without it.
func (r *record) verify(write func([]Entry) []Entry) (written bool, err error) {
	if r.rw == nil { // it could not be opened when the file had been replaced
		if err := r.openForWriting(); err != nil {
			return false, err
		}
	}
	if same, err := r.untouched(); same || err != nil {
		return false, err
	}
	known, dec := r.data, r.dec
	switch err := r.read(); {
	case err != nil && !errors.Is(err, ErrInvalid):
		return false, err // which says nothing of what is there
	case err != nil || !r.ours || !sameLife(dec, r.dec):
		// What is there now is no record of this job: the one we know replaces it.
		r.data, r.dec = known, dec
	case goesOn(dec.history, r.dec.history):
		return false, nil
	}
	// Or it is from before our last line: what it says, with the history we know.
	if err = r.replaceWith(write(slices.Clone(dec.history))); err != nil {
		r.data, r.dec = known, dec
	}
	return err == nil, err
}

// untouched reports whether the file ends as we last knew it.
func (r *record) untouched() (bool, error) {
	if r.rw == nil {
		return false, nil
	}
	info, err := r.rw.Stat()
	if err != nil || info.Size != int64(len(r.data)) {
		return false, err
	}
	end := r.data[max(0, len(r.data)-64):]
	now := make([]byte, len(end))
	if _, err = r.rw.ReadAt(now, info.Size-int64(len(end))); errors.Is(err, io.EOF) {
		err = nil // it has been cut since
	}
	return err == nil && bytes.Equal(now, end), err
}

func sameLife(a, b *decoded) bool {
	la, _ := lifeOf(a.history)
	lb, _ := lifeOf(b.history)
	return la == lb
}

// goesOn reports whether the last line of a history that we know is still in one
// that we have read: an editor may have held the file since before it.
func goesOn(known, now []Entry) bool {
	n := len(known)
	return len(now) >= n && now[n-1].Claim == known[n-1].Claim
}

// add appends a line to the history.
func (r *record) add(e Entry) error {
	written, err := r.verify(func(h []Entry) []Entry { return append(h, e) })
	if written || err != nil {
		return err
	}
	return r.write(appendEntry(e), len(tail), func() { r.dec.history = append(r.dec.history, e) })
}

// addThen appends a line that tells of what is done then. Where that fails, the
// line is taken back: it counts, whether it came to that or not.
func (r *record) addThen(e Entry, do func() error) error {
	if err := r.add(e); err != nil {
		return err
	}
	err := do()
	if err == nil {
		return nil
	}
	if same, _ := r.untouched(); same {
		at := len(r.data) - len(appendEntry(e))
		if _, e := r.rw.WriteAt([]byte(tail), int64(at)); e == nil {
			_ = r.rw.Truncate(int64(at + len(tail)))
			r.data = append(r.data[:at], tail...)
			r.dec.history = r.dec.history[:len(r.dec.history)-1]
		}
	}
	return err
}

// complete adds members to the last line. ErrGone: it has ended meanwhile, by a
// worker that was cut off and had lost its lock.
func (r *record) complete(e Entry) error {
	written, err := r.verify(func(h []Entry) []Entry {
		h[len(h)-1] = merge(h[len(h)-1], e)
		return h
	})
	if written || err != nil {
		return err
	}
	if last := r.dec.history[len(r.dec.history)-1]; last.Outcome != "" {
		return ErrGone
	}
	return r.write(completeEntry(e), len(tail)+1, func() {
		last := &r.dec.history[len(r.dec.history)-1]
		*last = merge(*last, e)
	})
}

// write puts b over the last n bytes of the file, which was verified, with one
// pwrite.
func (r *record) write(b []byte, n int, known func()) error {
	at := len(r.data) - n
	if _, err := r.rw.WriteAt(b, int64(at)); err != nil {
		// A short write (a full disk) is taken back: the old tail again.
		if _, e := r.rw.WriteAt(r.data[at:], int64(at)); e == nil {
			_ = r.rw.Truncate(int64(len(r.data)))
		}
		return err
	}
	r.data = append(r.data[:at], b...)
	known()
	return nil
}

// replaceWith gives the job a new file with the same user's content and this
// history, under the same name, and holds the new one instead.
func (r *record) replaceWith(history []Entry) error {
	data := fileOf(r.dec, r.id, r.s.sys.now(), r.owned(history))
	dec, err := decodeFile(data, maxFile)
	if err != nil {
		return err
	}
	f, err := r.s.replace(r.id, r.path, r.info, data, r.path)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return err
	}
	r.close()
	r.lock, r.info, r.data, r.dec, r.ours = f, info, dec.data, dec, dec.appendable()
	_ = r.openForWriting() // or when it is written to next
	return nil
}

// still proves that the file is where we know it to be. ErrGone: it is not.
// Any other error: that cannot be told now, which is no reason to let it go.
func (r *record) still() error {
	now, err := r.s.fs.Lstat(r.path)
	if elsewhere(err) || err == nil && !now.Same(r.info) {
		return ErrGone
	}
	return err
}

// move renames the file into a state.
func (r *record) move(st State, n Name) error {
	if err := r.still(); err != nil {
		return err
	}
	to, err := r.s.moveTo(r.path, st, n)
	if elsewhere(err) {
		return ErrGone
	}
	if err != nil {
		return err
	}
	r.path = to
	r.name, _ = ParseName(path.Base(to))
	return nil
}

// close frees the lock.
func (r *record) close() {
	if r.lock != nil {
		_ = r.lock.Unlock()
	}
	r.abandon()
}

// abandon closes our descriptors only: whoever inherited the lock keeps it.
func (r *record) abandon() {
	if r.rw != nil && r.rw != r.lock {
		_ = r.rw.Close()
	}
	if r.lock != nil {
		_ = r.lock.Close()
	}
	r.lock, r.rw = nil, nil
}

// compact keeps the line that begins the life and the last lines of a history
// that is too long. The line between them says how many were dropped, and how
// many attempts the round had made by then.
func compact(h []Entry, now Stamp) []Entry {
	first := len(h)
	for size := 0; first > 0 && len(h)-first < keepLines && (size < maxHistory/2 || len(h)-first < leastLines); {
		first--
		size += len(appendEntry(h[first]))
	}
	if first <= 2 {
		return h
	}
	birth, dropped := 0, first-1
	for i, e := range h[:first] {
		if e.Life != "" {
			birth = i
		}
		if e.Event == EventCompacted {
			dropped += e.Dropped - 1
		}
	}
	note := Entry{Event: EventCompacted, At: now, Dropped: dropped, Attempt: attempts(h[:first], false)}
	return append([]Entry{h[birth], note}, h[first:]...)
}
