package spool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"queuectl/spool/internal/fsys"
)

// Invariants are what Check looks at; a Finding has the number of one, counted
// from 1. Of the first six a violation may have cost something; the others are a
// matter of tidiness.
var Invariants = []string{
	"the spool has its format file and directories",
	"every job file is a plain file that can be read, and is whole",
	"no id has files in two places",
	"every job file is one inode with its id's second name",
	"every id's second name belongs to a file in a state directory",
	"every file in processing/ is run by a living pool",
	"every name in a state directory has the form of one",
	"no dead process has left anything half-done in tmp/",
	"every pool file belongs to a living pool, or to a job that it left behind",
	"every request and every log belongs to a job or a pool",
	"the configuration is valid",
	"nobody else could have written a job file, or a directory of the spool or on the way to it",
}

const (
	invSpool = iota + 1
	invWhole
	invOnce
	invSecond
	invOwned
	invRunning
	invNames
	invTmp
	invPools
	invBelongs
	invConfig
	invTrust
)

// A Finding is one thing that Check saw.
type Finding struct {
	Invariant int    `json:"invariant"` // its number
	Path      string `json:"path"`
	ID        string `json:"id"`
	Text      string `json:"text"`
	Note      bool   `json:"note"`     // worth knowing, but no violation
	Repaired  bool   `json:"repaired"` // it was mended
}

// A CheckReport is what Check found.
type CheckReport struct {
	Findings []Finding `json:"findings"`
	Jobs     int       `json:"jobs"` // looked at
}

// OK reports whether all invariants hold now.
func (r CheckReport) OK() bool {
	for _, f := range r.Findings {
		if !f.Note && !f.Repaired {
			return false
		}
	}
	return true
}

// Mendable reports whether a repair mends something of it. Where others could have
// written to the spool, a repair is refused.
func (r CheckReport) Mendable() bool {
	some := false
	for _, f := range r.Findings {
		if f.Invariant == invTrust && !f.Note {
			return false
		}
		some = some || strings.Contains(f.Text, "queuectl check --repair") || strings.Contains(f.Text, "queuectl recover")
	}
	return some
}

// Check looks whether all invariants hold. It may run while pools do: what it
// finds is looked at again before it is told. With repair it first recovers
// what dead processes left behind and adopts what was copied or exchanged;
// it removes nothing that holds a job.
func (s *Spool) Check(ctx context.Context, repair bool) (CheckReport, error) {
	c := &checker{s: s, ctx: ctx, repair: repair}
	if err := c.tidy(); err != nil { // one thing keeps nothing else from being checked
		c.fixed = append(c.fixed, Finding{Text: "not all could be repaired: " + oneLine(err.Error())})
	}
	for pass := range 3 {
		again, err := c.pass()
		if err != nil {
			return c.rep, err
		}
		if len(again) == 0 || pass == 2 {
			break
		}
		// Seen once is not seen: a name may have been on its way.
		if err := s.sys.sleep(ctx, 20*time.Millisecond); err != nil {
			return c.rep, err
		}
	}
	slices.SortStableFunc(c.rep.Findings, func(a, b Finding) int { return a.Invariant - b.Invariant })
	c.rep.Findings = append(c.fixed, c.rep.Findings...)
	return c.rep, nil
}

type checker struct {
	s      *Spool
	ctx    context.Context //nolint:containedctx // lives for one call of Check
	repair bool
	fixed  []Finding
	rep    CheckReport
	where  map[string][]string // paths by id
}

func (c *checker) add(inv int, p, id, format string, args ...any) {
	c.rep.Findings = append(c.rep.Findings, Finding{Invariant: inv, Path: p, ID: id, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) note(inv int, p, id, format string, args ...any) {
	c.add(inv, p, id, format, args...)
	c.rep.Findings[len(c.rep.Findings)-1].Note = true
}

func (c *checker) mended(inv int, p, id, format string, args ...any) {
	c.fixed = append(c.fixed, Finding{Invariant: inv, Path: p, ID: id, Text: fmt.Sprintf(format, args...), Repaired: true})
}

// pass looks at everything once, and returns the violations.
func (c *checker) pass() ([]Finding, error) {
	c.rep = CheckReport{}
	c.where = make(map[string][]string)
	for _, look := range []func() error{c.frame, c.states, c.twice, c.seconds, c.staged, c.pools, c.belongings, c.config} {
		if err := look(); err != nil {
			return nil, err
		}
		if err := c.ctx.Err(); err != nil {
			return nil, err
		}
	}
	var bad []Finding
	for _, f := range c.rep.Findings {
		if !f.Note {
			bad = append(bad, f)
		}
	}
	return bad, nil
}

func (c *checker) frame() error {
	if err := c.s.checkFormat(); err != nil {
		c.add(invSpool, "format", "", "%v", err)
	}
	c.trust()
	for _, d := range directories {
		info, err := c.s.fs.Lstat(d)
		switch {
		case err != nil && d == string(Held): // made when first needed
		case err != nil:
			c.add(invSpool, d, "", "the directory is missing; \"queuectl check --repair\" makes it")
		case !info.Mode.IsDir():
			c.add(invSpool, d, "", "is not a directory")
		}
	}
	return nil
}

// states looks at every file in a state directory.
func (c *checker) states() error {
	for _, st := range States {
		err := c.s.Scan(st, func(p string, n Name, canonical bool) bool {
			switch {
			case canonical:
				c.where[n.ID] = append(c.where[n.ID], p)
				c.rep.Jobs++
				c.file(p, n)
			case st == Pending:
				c.waiting(p)
			default:
				c.add(invNames, p, "", "has a name that no job file has; it is left alone: move it away, or to pending/ to have it run")
			}
			return c.ctx.Err() == nil
		})
		if err != nil && !notExist(err) {
			return err
		}
	}
	return nil
}

// file looks at one job file.
func (c *checker) file(p string, n Name) {
	s := c.s
	dec, info, err := s.peek(p)
	if notExist(err) {
		return
	}
	if s.refused(p, n, dec) { // whoever owns it, it is adopted before it runs
		c.note(invWhole, p, n.ID, "was refused: %s; \"queuectl dlq delete\" or mend it and \"queuectl dlq retry\"", s.refusal(n.ID))
		return
	}
	c.trustFile(p, n)
	if err != nil {
		c.unreadable(p, n, err)
		return
	}
	if dec.torn && c.torn(p) {
		c.add(invWhole, p, n.ID, "its last write was cut off; it is mended when the job moves on, or by \"queuectl check --repair\"")
	}
	c.second(p, n, dec, info)
	if n.Pool != "" || stateOf(p) == Processing {
		c.running(p, n, dec)
	} else if last := dec.history; len(last) > 0 && last[len(last)-1].To != "" && stateOf(last[len(last)-1].To) != stateOf(p) {
		c.note(invNames, p, n.ID, "its history says %s/; the directory counts", stateOf(last[len(last)-1].To))
	}
}

func (c *checker) unreadable(p string, n Name, err error) {
	if _, why := c.s.refusedAs(n.ID); stateOf(p) == Dead && why != "" {
		c.note(invWhole, p, n.ID, "was made unreadable: %s", why)
		return
	}
	way := ""
	if errors.Is(err, ErrInvalid) {
		way = "; mend it, or \"queuectl delete " + n.ID + "\""
	}
	c.add(invWhole, p, n.ID, "%v%s", err, way)
}

// torn reports whether a file stays as it is although nobody writes to it.
func (c *checker) torn(p string) bool {
	f, _, err := c.s.lockJob(p)
	if err != nil {
		return false
	}
	defer f.Close()
	defer f.Unlock()
	data, err := readAll(f, 0)
	if err != nil {
		return false
	}
	dec, err := decodeFile(data, maxFile)
	return err == nil && dec.torn
}

// second looks at the id's second name.
func (c *checker) second(p string, n Name, dec *decoded, info fsys.Info) {
	two, err := c.s.fs.Lstat(idPath(n.ID))
	switch {
	case notExist(err) && dec.ID != n.ID && validID(dec.ID) && c.s.is(idPath(dec.ID), info):
		c.where[dec.ID] = append(c.where[dec.ID], p)
		c.add(invSecond, p, dec.ID, "is the file of job %q under the name of another; \"queuectl check --repair\" gives it its own", dec.ID)
	case notExist(err):
		who := ""
		if st := stateOf(p); runsFrom(st) || st == Failed {
			who = "a pool or "
		}
		c.add(invSecond, p, n.ID, "its second name %s is missing; %s\"queuectl check --repair\" makes it", idPath(n.ID), who)
	case err != nil:
		c.add(invSecond, p, n.ID, "its second name: %v", err)
	case !two.Same(info):
		c.add(invSecond, p, n.ID, "is not the file that %s names: it was copied, or an editor exchanged it; \"queuectl check --repair\" adopts it", idPath(n.ID))
	case dec.ID != "" && dec.ID != n.ID:
		c.add(invSecond, p, n.ID, "its JSON says id %q", dec.ID)
	}
}

// running looks whether somebody runs what is in processing/.
func (c *checker) running(p string, n Name, dec *decoded) {
	alive := false
	if n.Pool != "" {
		var err error
		if alive, err = c.s.poolAlive(n.Pool); err != nil {
			return
		}
	}
	if alive {
		return
	}
	if w := c.s.WaitingFor(p); w != nil {
		c.note(invRunning, p, n.ID, "%s", w.Reason)
		return
	}
	c.add(invRunning, p, n.ID, "its worker is dead; a pool or \"queuectl recover\" takes it over")
}

// twice looks for ids with two files.
func (c *checker) twice() error {
	for id, paths := range c.where {
		if len(paths) < 2 {
			continue
		}
		var still []string
		for _, p := range paths {
			if _, err := c.s.fs.Lstat(p); err == nil {
				still = append(still, p)
			}
		}
		if len(still) > 1 {
			c.add(invOnce, still[1], id, "has the same id as %s; remove one of them", still[0])
		}
	}
	return nil
}

// seconds looks at every second name.
func (c *checker) seconds() error {
	s := c.s
	return s.eachID(func(p, id string) bool {
		if len(c.where[id]) > 0 {
			return c.ctx.Err() == nil
		}
		if _, _, err := s.locate(id); err == nil || s.staging(id) {
			return c.ctx.Err() == nil
		}
		switch info, err := s.fs.Lstat(p); {
		case err != nil:
		case info.Nlink > 1: // "mv failed/X pending/now.json", say
			c.note(invOwned, p, id, "its job's file has only names of a person's own; in pending/ a pool gives it a proper one, elsewhere it is no job, and keeps its id taken")
		default:
			c.add(invOwned, p, id, "its job was removed by hand; the name is freed when the id is used again, or by \"queuectl check --repair\"")
		}
		return c.ctx.Err() == nil
	})
}

// eachID calls fn with every second name.
func (s *Spool) eachID(fn func(p, id string) bool) error { return s.eachBelow("ids", ".json", fn) }

// eachBelow calls fn with every file below ids/ or logs/ that has an id's name.
func (s *Spool) eachBelow(top, suffix string, fn func(p, id string) bool) error {
	var dirs []string
	err := s.fs.List(top, func(n string) bool { dirs = append(dirs, n); return true })
	if err != nil && !notExist(err) && !errors.Is(err, syscall.ENOTDIR) { // those are told elsewhere
		return err
	}
	for _, d := range dirs {
		var ids []string
		err := s.fs.List(top+"/"+d, func(n string) bool {
			if id, ok := strings.CutSuffix(n, suffix); ok && validID(id) && idHash(id) == d {
				ids = append(ids, id)
			}
			return true
		})
		if err != nil && !notExist(err) && !errors.Is(err, syscall.ENOTDIR) {
			return err
		}
		for _, id := range ids {
			if !fn(top+"/"+d+"/"+id+suffix, id) {
				return nil
			}
		}
	}
	return nil
}

// staging reports whether some staging has to do with the id.
func (s *Spool) staging(id string) bool {
	info, err := s.fs.Lstat(idPath(id))
	if err != nil {
		return true // it is gone by now
	}
	found := false
	_ = s.fs.List("tmp", func(d string) bool {
		yes, err := s.concerns("tmp/"+d, id, info, false)
		found = found || (err == nil && yes)
		return !found
	})
	return found
}

// staged looks for stagings of dead processes.
func (c *checker) staged() error {
	err := c.s.fs.List("tmp", func(name string) bool {
		lock, err := c.s.lockStaged("tmp/" + name)
		if err != nil || lock == nil {
			return true
		}
		_ = lock.Unlock()
		_ = lock.Close()
		c.add(invTmp, "tmp/"+name, "", "was left behind by a dead process; a pool or \"queuectl recover\" rolls it forward or back")
		return true
	})
	if notExist(err) { // which is told elsewhere
		return nil
	}
	return err
}

func (c *checker) pools() error {
	names, err := c.s.poolNames()
	if err != nil {
		return err
	}
	for _, name := range names {
		if alive, err := c.s.poolAlive(name); alive || err != nil {
			continue
		}
		if used, err := c.s.poolInUse(name); used || err != nil {
			continue
		}
		if _, err := c.s.fs.Lstat(workerPath(name)); err == nil {
			c.add(invPools, workerPath(name), "", "belongs to a dead pool; a pool or \"queuectl recover\" removes it")
		}
	}
	return nil
}

// strayAge is from when on a log of nothing is one: who refuses a file writes
// the log first.
const strayAge = time.Minute

// belongings looks for requests and logs of nothing.
func (c *checker) belongings() error {
	s := c.s
	for _, id := range s.cancelRequests() {
		if _, _, err := s.locate(id); errors.Is(err, ErrNotFound) {
			c.note(invBelongs, "control/"+id+cancelSuffix, id, "asks to cancel a job that does not exist")
		}
	}
	for _, pool := range s.strayStops() {
		c.note(invBelongs, "control/"+pool+stopSuffix, "", "asks a pool to stop that does not exist")
	}
	return s.strayLogs(func(p, id string) bool {
		if len(c.where[id]) == 0 {
			c.note(invBelongs, p, id, "is the log of a job that does not exist; \"queuectl check --repair\" removes it")
		}
		return c.ctx.Err() == nil
	})
}

// strayLogs calls fn with the logs of ids that have no second name. Refused files
// have none either.
func (s *Spool) strayLogs(fn func(p, id string) bool) error {
	return s.eachBelow("logs", ".log", func(p, id string) bool {
		if _, err := s.fs.Lstat(idPath(id)); !notExist(err) {
			return true
		}
		info, err := s.fs.Lstat(p)
		if err != nil || s.sys.now().Sub(info.Mtime) < strayAge {
			return true
		}
		return fn(p, id)
	})
}

func (c *checker) config() error {
	set, err := c.s.readConfig()
	if err == nil {
		_, err = set.list()
	}
	if err != nil {
		c.add(invConfig, configFile, "", "%s", oneLine(err.Error()))
	}
	return nil
}
