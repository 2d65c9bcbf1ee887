package spool

import (
	"io/fs"
	"os"
	"path"

	"queuectl/spool/internal/fsys"
)

// workerLog is where the messages of workers in the background go.
const workerLog = "workers/worker.log"

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
// append to it and to read it; it is made when missing.
func (s *Spool) WorkerLog() (*os.File, error) {
	f, err := s.ownLog(workerLog, os.O_RDWR|os.O_APPEND|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	return f.OS(), nil
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
