package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"queuectl/spool/internal/fsys"
)

// How long a file must have stayed as it is before it counts as whole where
// the system cannot tell whether somebody still writes it, and how long an
// incomplete one may stay so before it is refused.
const (
	settleTime     = 50 * time.Millisecond
	unfinishedTime = time.Hour
)

// adopt makes a job of the file at path, which is not the inode of its id's
// second name. A person dropped it into pending/, or exchanged the file of a
// known job, or copied the tree. It returns where the job lies now.
//
// ErrUnfinished: it is not whole yet. ErrHeld: somebody has it locked.
// ErrRefused: it can be no job and was moved to dead/. ErrGone: it is not
// there any more.
func (s *Spool) adopt(ctx context.Context, p string) (string, error) {
	f, info, err := s.lockJob(p)
	if err != nil {
		err = s.closedFile(p, err)
		if errors.Is(err, errNotPlain) || notPlain(err) {
			return "", s.refuseOdd(p)
		}
		return "", err
	}
	defer f.Close()
	defer f.Unlock()
	if err := s.trustDrop(p, info); err != nil {
		return "", err
	}
	if !s.foreign(info) { // what is, is not even read
		if to, known, err := s.homecoming(p, info, f); known || err != nil {
			return to, err
		}
	}
	if err := s.trustLinks(p, info); err != nil {
		return "", s.refuse(p, info, err)
	}
	dec, err := s.whole(f, info)
	if err != nil {
		return "", s.refuseOr(p, info, err)
	}
	return s.adoptWhole(ctx, p, info, dec)
}

// homecoming gives the inode of a known job its canonical name back, which a
// person has moved to a name of their own or to that of another job, or from
// processing/ under its claim's name.
func (s *Spool) homecoming(p string, info fsys.Info, f fsys.File) (to string, known bool, err error) {
	id, ok := s.idOfFile(f, info)
	if !ok {
		return "", false, nil
	}
	if same, err := s.same(idPath(id), info); err != nil || !same {
		return "", err != nil, err
	}
	if n, ok := ParseName(path.Base(p)); ok && n.ID == id && n.Pool == "" {
		return p, true, nil // it has come home meanwhile
	}
	r := &record{s: s, id: id, path: p, lock: f, info: info}
	defer r.close() // it may hold another file than f by then
	if err := r.load(); err != nil {
		return "", true, err
	}
	st, n := s.home(p, r.dec, id)
	e := Entry{Event: EventMoved, At: s.stamp(), From: path.Base(p), To: string(st) + "/" + n.String()}
	if err := r.addThen(e, func() error { return r.move(st, n) }); err != nil {
		return "", true, err
	}
	return r.path, true, nil
}

// home is where the file of a known job belongs that lies at p, where its name is
// not as it should be: where things run from, in pending/, and due now if the name
// is not the job's at all; elsewhere where it is.
func (s *Spool) home(p string, dec *decoded, id string) (State, Name) {
	n, ok := ParseName(path.Base(p))
	st := stateOf(p)
	if !ok || runsFrom(st) {
		st = Pending
	}
	if !ok || n.ID != id && st == Pending {
		return st, Name{Time: s.sys.now(), Priority: lastPriority(dec), ID: id}
	}
	return st, Name{Time: n.Time, Priority: n.Priority, ID: id}
}

// lastPriority is the one of the job's last canonical name.
func lastPriority(dec *decoded) int {
	for i := len(dec.history) - 1; i >= 0; i-- {
		if n, ok := ParseName(path.Base(dec.history[i].To)); ok {
			return n.Priority
		}
	}
	return priorityOf(dec)
}

// idOfFile reads the id that a job's file says.
func (s *Spool) idOfFile(f fsys.File, info fsys.Info) (string, bool) {
	if info.Size > maxFile || info.Nlink < 2 {
		return "", false
	}
	data, err := readAll(f, info.Size)
	if err != nil {
		return "", false
	}
	dec, err := decodeFile(data, maxFile)
	if err != nil {
		return "", false
	}
	return dec.ID, validID(dec.ID)
}

// whole reads a dropped file if it is complete: one JSON object, and nobody
// has it open for writing.
func (s *Spool) whole(f fsys.File, info fsys.Info) (*decoded, error) {
	max := s.cfg().MaxJobSize
	if info.Size > max+maxHistory*2 {
		return nil, &InvalidError{Reason: fmt.Sprintf("is %d bytes, the limit is %d (config max_job_size)", info.Size, max)}
	}
	quiet, err := f.NoWriter()
	if err != nil || s.network {
		// The system cannot tell: nothing may have changed for a while.
		// A time that lies far ahead was given to it (cp -p).
		age := s.sys.now().Sub(info.Mtime)
		quiet = age > settleTime || age < -unfinishedTime
	}
	if !quiet {
		return nil, ErrUnfinished
	}
	data, err := readAll(f, info.Size)
	if err != nil {
		return nil, err
	}
	dec, err := decodeFile(data, max) // a copy may be torn as the original was
	if errors.Is(err, errIncomplete) {
		if s.sys.now().Sub(info.Mtime) < unfinishedTime {
			return nil, ErrUnfinished
		}
		return nil, &InvalidError{Reason: "is not a whole JSON object, and has not changed for an hour"}
	}
	if err != nil {
		return nil, err
	}
	if now, err := f.Stat(); err != nil || now.Size != info.Size || !now.Mtime.Equal(info.Mtime) {
		return nil, errors.Join(ErrUnfinished, err)
	}
	if dec.history == nil {
		if err := dec.early(); err != nil {
			return nil, err
		}
	}
	if dec.history != nil && info.UID != uint32(os.Geteuid()) {
		return nil, &InvalidError{Member: "history", Reason: fmt.Sprintf("belongs to queuectl, and the file to user %d", info.UID)}
	}
	return dec, nil
}

// refuseOr moves what can be no job to dead/, and passes other errors on.
func (s *Spool) refuseOr(p string, info fsys.Info, err error) error {
	var invalid *InvalidError
	var taken *TakenError
	if errors.As(err, &invalid) || errors.As(err, &taken) {
		return s.refuse(p, info, err)
	}
	return err
}

// adoptWhole decides what a whole file is: a known job whose file was
// exchanged, or a new job.
func (s *Spool) adoptWhole(ctx context.Context, p string, info fsys.Info, dec *decoded) (string, error) {
	if dec.ID != "" && len(dec.history) > 0 {
		if !validID(dec.ID) {
			return "", s.refuse(p, info, &InvalidError{Member: "id", Reason: "can be no id of a job"})
		}
		to, done, err := s.adoptExchanged(p, info, dec)
		if done || err != nil {
			return to, err
		}
	}
	if dec.ID != "" && len(dec.history) == 0 {
		if err := validUserID(dec.ID); err != nil {
			return "", s.refuse(p, info, &InvalidError{Member: "id", Reason: err.Error()})
		}
	}
	return s.adoptNew(ctx, p, info, dec)
}

// adoptNew makes a new job of a drop: its bytes, with what is missing, go to a
// file of our own, which is committed together with the removal of the drop.
func (s *Spool) adoptNew(ctx context.Context, p string, info fsys.Info, dec *decoded) (string, error) {
	g, err := s.stage()
	if err != nil {
		return "", err
	}
	if err := g.take(p, info); err != nil {
		_ = g.finish()
		return "", err
	}
	dest, err := g.adopted(ctx, p, info, dec)
	if err != nil {
		_ = g.finish() // rolls back: the drop is where it was
		return "", s.refuseOr(p, info, err)
	}
	return dest, g.finish()
}

// adopted writes the new job's file, links its id, and commits. Without an id
// of its own it has one made from the file's name, and where that is taken,
// with a random ending.
func (g *staging) adopted(ctx context.Context, p string, info fsys.Info, dec *decoded) (string, error) {
	s := g.s
	id := dec.ID
	for suffix := ""; ; suffix = "~" + s.sys.rand(6) {
		random := false
		if dec.ID == "" {
			if id = idOfPath(p, suffix); id == "" {
				id, random = s.randomID(), true
			}
		}
		b := s.adoptedBirth(p, info, dec, id, random)
		err := g.adoptAs(ctx, b, len(dec.history) == 0 && runsFrom(stateOf(p)))
		if dec.ID != "" || !errors.Is(err, ErrTaken) {
			return b.dest, err
		}
	}
}

// idOfPath is the id that a file without one has from its name, "" where that
// makes none. Where nothing runs from, it keeps the id under which it lies.
func idOfPath(p, suffix string) string {
	if n, ok := ParseName(path.Base(p)); ok && suffix == "" && !runsFrom(stateOf(p)) {
		return n.ID
	}
	id := idFromFileName(path.Base(p))
	if id == "" {
		return ""
	}
	return id + suffix
}

// adoptAs tries one id, which is for a fresh job or one that there was.
func (g *staging) adoptAs(ctx context.Context, b birth, fresh bool) error {
	s := g.s
	staged := g.path + "/" + path.Base(b.dest)
	if stateOf(b.dest) != Pending {
		staged = g.path + "/new/" + b.dest
		if _, err := s.madeDir(path.Dir(staged)); err != nil {
			return err
		}
	}
	f, err := s.fs.Open(staged, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err = f.WriteAt(b.data, 0); err == nil {
		err = s.linkID(ctx, staged, b.name.ID, fresh)
	}
	if err != nil {
		return errors.Join(err, s.fs.Unlink(staged))
	}
	dirs := []string{path.Dir(idPath(b.name.ID)), path.Dir(staged)}
	if stateOf(b.dest) != Pending {
		dirs = append(dirs, g.path+"/new")
	}
	return g.syncAndCommit(f, dirs...)
}

// adoptedBirth is the new job of a drop. A file under a canonical name with a
// history of ours (from a copy of the tree) keeps its place, P and DUE, and so
// does one where nothing runs from, which a person has put there; else its JSON
// says.
func (s *Spool) adoptedBirth(p string, info fsys.Info, dec *decoded, id string, random bool) birth {
	uid := info.UID
	line := Entry{Event: EventAdopted, From: path.Base(p), UID: &uid}
	if random {
		line.Life = id // as in newJob
	}
	n, canonical := ParseName(path.Base(p))
	copied := len(dec.history) > 0 && n.ID == id
	if canonical && (copied || !runsFrom(stateOf(p))) {
		n.ID = id
		if known := dropperOf(dec.history); known != nil {
			line.UID = known // the copy is ours, and the job still theirs
		}
		if stateOf(p) != Processing { // moved out of there by hand
			n.Pool, n.Claim = "", 0
		}
		return s.birthAt(dec, n, path.Dir(p)+"/"+n.String(), s.sys.now(), line)
	}
	return s.newBirth(dec, id, s.sys.now(), line)
}

// runsFrom reports whether what a person puts into a state is to run.
func runsFrom(st State) bool { return st == Pending || st == Processing }

// adoptExchanged adopts a file that a person put in the place of a known job's
// (sed -i, jq … > t && mv t, a copied tree) under the same id, with its
// history. done is false where it is no such file.
func (s *Spool) adoptExchanged(p string, info fsys.Info, dec *decoded) (to string, done bool, err error) {
	second, err := s.fs.OpenPlain(idPath(dec.ID), s.lockFor)
	if notExist(err) {
		return "", false, nil
	}
	if err != nil {
		return "", true, err
	}
	defer second.Close()
	if err := second.TryLock(); err != nil {
		if held(err) {
			err = ErrHeld // the job runs, or a command is at work with it
		}
		return "", true, err
	}
	defer second.Unlock()
	known, err := second.Stat()
	if err != nil {
		return "", true, err
	}
	if !s.is(idPath(dec.ID), known) {
		return "", true, ErrHeld
	}
	if known.Nlink != 1 {
		return "", false, nil // a living job has the id: a copy is refused
	}
	for range 2 {
		others, err := s.namesOf(dec.ID)
		if err != nil {
			return "", true, err
		}
		for _, o := range others {
			if o != p {
				return "", false, nil
			}
		}
	}
	to, err = s.exchange(p, info, dec)
	return to, true, err
}

// exchange replaces the exchanged file by one of ours with the same content.
func (s *Spool) exchange(p string, info fsys.Info, dec *decoded) (string, error) {
	dest := p
	if n, ok := ParseName(path.Base(p)); !ok || n.ID != dec.ID {
		st, n := s.home(p, dec, dec.ID)
		dest = string(st) + "/" + n.String()
	}
	line := Entry{Event: EventReplaced, At: s.stamp(), By: "hand", To: dest}
	history := dec.history
	if openAttempt(history) == nil {
		history = append(history[:len(history):len(history)], line)
	}
	data := fileOf(dec, dec.ID, s.sys.now(), history)
	lock, err := s.replace(dec.ID, p, info, data, dest)
	if err != nil {
		return "", err
	}
	_ = lock.Unlock()
	return dest, lock.Close()
}

// refuse moves a dropped file that can be no job to dead/, byte for byte. Its
// name and the reason become the first line of its log.
func (s *Spool) refuse(p string, info fsys.Info, why error) error {
	if !s.is(p, info) {
		return ErrGone
	}
	return s.bury(p, why.Error())
}

// errDirectory is a syscall.EISDIR that tells what to do.
var errDirectory error = isDirectory{}

type isDirectory struct{}

func (isDirectory) Error() string { return "is a directory, and no job: move it elsewhere" }

func (isDirectory) Unwrap() error { return syscall.EISDIR }

// refuseOdd moves what is no plain file to dead/, unopened. Directories stay.
func (s *Spool) refuseOdd(p string) error {
	info, err := s.fs.Lstat(p)
	if err != nil {
		return ErrGone
	}
	if info.Mode.IsDir() {
		return errDirectory
	}
	if info.Mode.IsRegular() {
		return ErrHeld // exchanged this very moment
	}
	return s.bury(p, "is not a plain file ("+kindName(info)+")")
}

func kindName(i fsys.Info) string {
	switch {
	case i.Mode&os.ModeSymlink != 0:
		return "a symbolic link"
	case i.Mode&os.ModeNamedPipe != 0:
		return "a FIFO"
	case i.Mode&os.ModeSocket != 0:
		return "a socket"
	default:
		return "a device"
	}
}

func (s *Spool) bury(p, why string) error {
	base := path.Base(p)
	id := idFromFileName(base)
	if id == "" {
		id = "drop"
	}
	id += "~" + s.sys.rand(6)
	line := refusedPrefix + strconv.Quote(base) + ": " + oneLine(why) + "\n"
	if err := s.appendLog(id, line); err != nil {
		return err
	}
	_, err := s.moveTo(p, Dead, Name{Time: s.sys.now(), Priority: defaultPriority, ID: id})
	if elsewhere(err) {
		return ErrGone
	}
	if err != nil {
		return err
	}
	return &RefusedError{Name: base, Reason: oneLine(why)}
}

const refusedPrefix = "refused "

func oneLine(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "; ") }
