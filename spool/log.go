package spool

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"sync"

	"queuectl/spool/internal/fsys"
)

const (
	// workerLog is where the messages of workers in the background go, and oldLog
	// where those lie that were there before.
	workerLog = "workers/worker.log"
	oldLog    = workerLog + ".1"
	// maxWorkerLog, in bytes, is how long it may become before it is put aside.
	maxWorkerLog = 10 << 20
)

// OpenLog opens a job's log to read it. Where the job has printed nothing there
// is none: fs.ErrNotExist.
func (s *Spool) OpenLog(id string) (*os.File, error) {
	if !validID(id) {
		return nil, jobErr(id, fs.ErrNotExist)
	}
	f, err := s.readLog(id)
	if err != nil {
		return nil, err
	}
	return f.OS(), nil
}

// WorkerLog opens the file for the messages of workers in the background, to
// append to it and to read it; it is made when missing. One of 10 MiB or more is
// first put aside as worker.log.1, which it replaces; where that cannot be done it
// goes on.
func (s *Spool) WorkerLog() (*os.File, error) {
	const flag = os.O_RDWR | os.O_APPEND | os.O_CREATE
	f, err := s.ownLog(workerLog, flag)
	if err != nil {
		return nil, err
	}
	if !s.putAside(f) {
		return f.OS(), nil
	}
	_ = f.Close()
	if f, err = s.ownLog(workerLog, flag); err != nil {
		return nil, err
	}
	return f.OS(), nil
}

// putAside puts the log of the workers aside if it is long, and reports whether
// another one has its name. Its lock keeps two from doing so one after the other,
// and with that from throwing away what was put aside.
func (s *Spool) putAside(f fsys.File) bool {
	info, err := f.Stat()
	if err != nil || info.Size < maxWorkerLog || f.TryLock() != nil {
		return false
	}
	defer f.Unlock()
	return !s.is(workerLog, info) || s.fs.Rename(workerLog, oldLog) == nil
}

// readLog opens a job's log to read it.
func (s *Spool) readLog(id string) (fsys.File, error) {
	f, err := s.fs.OpenPlain(logPath(id), os.O_RDONLY)
	if notPlain(err) {
		err = &fs.PathError{Op: "open", Path: s.abs(logPath(id)), Err: errNotPlain}
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = s.linkOfTheirs(logPath(id), info)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// openLog opens a job's log to append to it; its directory is made when
// missing.
func (s *Spool) openLog(id string) (fsys.File, error) {
	p := logPath(id)
	const flag = os.O_WRONLY | os.O_APPEND | os.O_CREATE
	f, err := s.ownLog(p, flag)
	if notExist(err) {
		if _, err = s.madeDir(path.Dir(p)); err != nil {
			return nil, err
		}
		f, err = s.ownLog(p, flag)
	}
	return f, err
}

// ownLog opens a file to append to it, which has to be a plain one that is
// ours: it might be another name of a file of somebody else.
func (s *Spool) ownLog(p string, flag int) (fsys.File, error) {
	f, err := s.fs.Open(p, flag)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode.IsRegular() {
		err = &fs.PathError{Op: "open", Path: s.abs(p), Err: errNotPlain}
	}
	if err == nil && s.foreign(info) {
		err = s.trusted(p, info)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// appendLog writes to a job's log.
func (s *Spool) appendLog(id, text string) error {
	f, err := s.openLog(id)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write([]byte(text))
	return err
}

// OpenLog opens the job's log to append to it; it is made when missing.
func (c *Claim) OpenLog() (*os.File, error) {
	s := c.pool.s
	c.pool.spares.use(s, logPath(c.ID))
	f, err := s.openLog(c.ID)
	if err != nil {
		return nil, err
	}
	return f.OS(), nil
}

// LogEndsInLine reports whether what was printed into the job's log last is a part
// of a line. A job cannot read what it prints into, so the log is opened anew.
func (c *Claim) LogEndsInLine() bool { return c.pool.s.logEndsInLine(c.ID) }

func (s *Spool) logEndsInLine(id string) bool {
	f, err := s.readLog(id)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size == 0 {
		return false
	}
	last := make([]byte, 1)
	_, err = f.ReadAt(last, info.Size-1)
	return err == nil && last[0] != '\n'
}

// logLost says in the log of a job how an attempt ended whose worker could not
// say it. A job that has printed nothing has none, and what cannot be written
// keeps nothing from going on.
func (s *Spool) logLost(id string, attempt int, e Entry) {
	f, err := s.ownLog(logPath(id), os.O_WRONLY|os.O_APPEND)
	if err != nil {
		return
	}
	defer f.Close()
	end, how := "", "ended: "+e.Reason
	if s.logEndsInLine(id) {
		end = "\n"
	}
	if e.Outcome == Cancelled {
		how = e.Reason
	}
	_, _ = fmt.Fprintf(f, "%squeuectl: attempt %d %s\n", end, attempt, how)
}

// DropEmptyLog takes the job's log away if nothing was printed into it.
func (c *Claim) DropEmptyLog() {
	s := c.pool.s
	p := logPath(c.ID)
	if info, err := s.fs.Lstat(p); err == nil && info.Size == 0 && !c.pool.spares.keep(s, p) {
		_ = s.fs.Unlink(p)
	}
}

// spareLogs are empty logs, each of which becomes the log of another job. A
// command writes straight into its log, so there has to be one, and most
// print nothing. To create and remove a file for each is slow on ext4, which
// does not use an inode again for a minute after it was freed, and looks at
// all of those anew for each file that it creates.
//
// They lie in a staging directory: who finds it without its pool removes it.
type spareLogs struct {
	mu    sync.Mutex
	max   int
	in    *staging
	n     int      // names given so far
	paths []string // of those that are free
}

const spareLog = "log-"

// use gives a log that is missing a spare file. Where there is none, or the
// log is there already, nothing is done.
func (l *spareLogs) use(s *Spool, log string) {
	l.mu.Lock()
	n := len(l.paths)
	if n == 0 {
		l.mu.Unlock()
		return
	}
	spare := l.paths[n-1]
	l.paths = l.paths[:n-1]
	l.mu.Unlock()
	err := s.fs.RenameNoReplace(spare, log)
	if notExist(err) {
		if _, err = s.madeDir(path.Dir(log)); err == nil {
			err = s.fs.RenameNoReplace(spare, log)
		}
	}
	if err != nil && !notExist(err) {
		l.add(spare)
	}
}

func (l *spareLogs) add(spare string) {
	l.mu.Lock()
	l.paths = append(l.paths, spare)
	l.mu.Unlock()
}

// keep puts an empty log aside and reports whether it is gone. A log that
// somebody else still has open is not used again.
func (l *spareLogs) keep(s *Spool, log string) bool {
	spare := l.name(s)
	if spare == "" || s.fs.RenameNoReplace(log, spare) != nil {
		return false
	}
	sole, size := s.soleUser(spare)
	switch {
	case sole && size == 0:
		l.add(spare)
	case size > 0: // written since
		_ = s.fs.RenameNoReplace(spare, log)
	default:
		_ = s.fs.Unlink(spare)
	}
	return true
}

// name is the path of a new spare log; "" where there are enough.
func (l *spareLogs) name(s *Spool) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.paths) >= l.max {
		return ""
	}
	if l.in == nil {
		g, err := s.stage()
		if err != nil {
			return ""
		}
		l.in = g
	}
	l.n++
	return l.in.path + "/" + spareLog + strconv.Itoa(l.n)
}

// close removes them all.
func (l *spareLogs) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.in != nil {
		_ = l.in.finish()
	}
	l.in, l.paths, l.max = nil, nil, 0
}

// soleUser reports whether it is certain that no other process has a file
// open, and the file's size.
func (s *Spool) soleUser(path string) (sole bool, size int64) {
	f, err := s.fs.Open(path, os.O_RDONLY)
	if err != nil {
		return false, 0
	}
	defer f.Close()
	sole, err = f.Sole()
	info, statErr := f.Stat()
	if err != nil || statErr != nil {
		return false, info.Size
	}
	return sole, info.Size
}
