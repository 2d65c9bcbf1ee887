//go:build !windows

package torture

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"queuectl/spool"
)

// Options say what is done, and where.
type Options struct {
	Dir     string        // exists; all that is made lies in a new directory below it
	For     time.Duration // how long the storm lasts
	Workers int           // how many pools there are
	Seed    uint64        // decides all that is random
	Path    string        // of this program
	Name    string        // that it was called by
	// Progress is told now and then how far it is.
	Progress func(Progress)
}

// A Torture is one run. Its steps are Probe, Storm and Account, in this order;
// after them the report is whole, and Remove or nothing is to be done.
type Torture struct {
	o      Options
	dir    string
	self   program
	s      *spool.Spool
	l      *ledger
	began  time.Time // of the storm
	pools  []*pool   // as many as there are to be
	Report Report
}

// New makes the directory.
func New(o Options) (*Torture, error) {
	dir, err := os.MkdirTemp(o.Dir, "queuectl-torture-")
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	t := &Torture{o: o, dir: dir, self: program{o.Path, o.Name}, l: newLedger()}
	t.Report.Seed, t.Report.Dir = o.Seed, dir
	if err := t.prepare(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return t, nil
}

// prepare makes what the helpers need.
func (t *Torture) prepare() error {
	path, err := filepath.Abs(t.o.Path)
	if err != nil {
		return err
	}
	return errors.Join(
		os.Mkdir(filepath.Join(t.dir, aliveDir), 0o700),
		os.Mkdir(filepath.Join(t.dir, selfLink), 0o700),
		touch(filepath.Join(t.dir, marksFile)),
		os.Symlink(path, filepath.Join(t.dir, selfLink, filepath.Base(t.o.Name))),
	)
}

// Dir is where everything lies.
func (t *Torture) Dir() string { return t.dir }

// Probe tries out the operations of the protocol, one by one.
func (t *Torture) Probe(ctx context.Context) (err error) {
	p := &prober{sys: real, start: t.self.start, self: t.self, dir: t.dir}
	t.Report.Probes, err = p.all(ctx)
	return err
}

// Close gives back what it holds.
func (t *Torture) Close() error {
	if t.s == nil {
		return nil
	}
	return t.s.Close()
}

// Remove removes all that was made.
func (t *Torture) Remove() error { return os.RemoveAll(t.dir) }
