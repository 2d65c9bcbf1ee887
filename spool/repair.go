package spool

import (
	"errors"
	"maps"
	"path"
	"slices"
)

// tidy does, with repair, what pools do by themselves, and adopts what was
// copied or exchanged.
func (c *checker) tidy() error {
	if !c.repair {
		return nil
	}
	s := c.s
	for _, d := range directories {
		if made, err := s.madeDir(d); err != nil {
			return err
		} else if made && d != string(Held) { // that is made when first needed
			c.mended(invSpool, d, "", "the directory was missing")
		}
	}
	rep, err := s.Recover(c.ctx)
	if rep.Rolled > 0 {
		c.mended(invTmp, "tmp", "", "rolled %d unfinished change(s) of dead processes", rep.Rolled)
	}
	for _, id := range rep.Recovered {
		c.mended(invRunning, string(Processing), id, "was recovered from a dead pool")
	}
	for _, pool := range s.strayStops() { // whose name is never used again
		if s.fs.Unlink("control/"+pool+stopSuffix) == nil {
			c.mended(invBelongs, "control/"+pool+stopSuffix, "", "asked a pool to stop that does not exist")
		}
	}
	return errors.Join(err, c.tidyFiles(), c.tidyOrphans(), c.tidyLogs(), s.pruneTmp())
}

// tidyLogs removes logs of nothing.
func (c *checker) tidyLogs() error {
	s := c.s
	stray := make(map[string]string) // by id
	err := s.strayLogs(func(p, id string) bool {
		stray[id] = p
		return c.ctx.Err() == nil
	})
	if err != nil || len(stray) == 0 {
		return err
	}
	for range 2 { // one listing can miss a name that is being moved
		for _, st := range States { // a file that was refused, or that no pool has adopted yet
			err := s.Scan(st, func(_ string, n Name, _ bool) bool {
				delete(stray, n.ID)
				return c.ctx.Err() == nil
			})
			if err != nil && !notExist(err) {
				return err
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(stray)) {
		if c.ctx.Err() == nil && s.dropStrayLog(stray[id], id) {
			c.mended(invBelongs, stray[id], id, "was the log of a job that does not exist")
		}
	}
	return nil
}

// dropStrayLog removes a log, unless a job has just got the id, and writes to it.
func (s *Spool) dropStrayLog(p, id string) bool {
	tmp := "tmp/" + s.sys.rand(12) + ".log"
	if s.fs.RenameNoReplace(p, tmp) != nil {
		return false
	}
	if _, err := s.fs.Lstat(idPath(id)); !notExist(err) {
		_ = s.fs.RenameNoReplace(tmp, p)
		return false
	}
	return s.fs.Unlink(tmp) == nil
}

// tidyFiles adopts foreign inodes and mends torn tails.
func (c *checker) tidyFiles() error {
	s := c.s
	for _, st := range States {
		var paths []string
		err := s.Scan(st, func(p string, _ Name, canonical bool) bool {
			if canonical || st == Pending {
				paths = append(paths, p)
			}
			return true
		})
		if err != nil && !notExist(err) {
			return err
		}
		for _, p := range paths {
			if err := c.ctx.Err(); err != nil {
				return err
			}
			c.tidyFile(p)
		}
	}
	return nil
}

func (c *checker) tidyFile(p string) {
	s := c.s
	n, canonical := ParseName(path.Base(p))
	dec, info, err := s.peek(p)
	if err != nil || s.refused(p, n, dec) {
		return
	}
	if canonical && s.is(idPath(n.ID), info) {
		if r, err := s.openRecord(p); err == nil { // reading it mends a torn tail
			if dec.torn {
				c.mended(invWhole, p, n.ID, "its last write was cut off")
			}
			r.close()
		}
		return
	}
	if to, err := s.adopt(c.ctx, p); err == nil {
		c.mended(invSecond, p, n.ID, "was made the job's own file (%s)", to)
	}
}

func (c *checker) tidyOrphans() error {
	s := c.s
	return s.eachID(func(p, id string) bool {
		if _, _, err := s.locate(id); !errors.Is(err, ErrNotFound) || s.staging(id) {
			return c.ctx.Err() == nil
		}
		if freed, err := s.freeID(id); freed && err == nil {
			c.mended(invOwned, p, id, "its job was removed by hand; the id is free")
		}
		return c.ctx.Err() == nil
	})
}
