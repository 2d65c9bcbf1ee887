//go:build !windows

package torture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"queuectl/spool"
)

// A Probe is one thing that queuectl asks of the file system.
type Probe struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// A prober tries things out, each in a directory of its own.
type prober struct {
	sys   system
	start starter
	self  program
	dir   string
}

// A trial is how something is tried out in a directory.
type trial func(*prober, context.Context, string) (detail string, err error)

// probes are all of them, in the order of the report.
var probes = []struct {
	name string
	try  trial
}{
	{"rename", (*prober).rename},
	{"replace", (*prober).replace},
	{"link", (*prober).link},
	{"no-replace", (*prober).noReplace},
	{"lock", (*prober).lock},
	{"inherited lock", (*prober).inherit},
	{"directory sync", (*prober).syncDir},
	{"events", (*prober).events},
}

func (p *prober) all(ctx context.Context) (list []Probe, err error) {
	for i, each := range probes {
		dir := filepath.Join(p.dir, fmt.Sprint("probe-", i))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		list = append(list, p.try(ctx, dir, each.name, each.try))
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return list, nil
}

func (p *prober) try(ctx context.Context, dir, name string, try trial) Probe {
	detail, err := try(p, ctx, dir)
	if err != nil {
		detail = err.Error()
	}
	return Probe{Name: name, OK: err == nil, Detail: detail}
}

// prepare makes the files that belong to a race.
func prepare(dir string, ones int, owns bool) error {
	var errs []error
	for i := range ones {
		errs = append(errs, os.WriteFile(one(dir, i), []byte(whole), 0o600))
	}
	for i := range names {
		for me := 0; owns && me < racers; me++ {
			text := whole
			if ones == 0 {
				text = own("", i, me)
			}
			errs = append(errs, os.WriteFile(own(dir, i, me), []byte(text), 0o600))
		}
	}
	return errors.Join(errs...)
}

// won demands exactly one winner for every name.
func won(winners [][]int, holds func(i, winner int) bool) (detail string, err error) {
	for i, w := range winners {
		if len(w) != 1 {
			return "", fmt.Errorf("%d of %d processes were told that they won one name", len(w), racers)
		}
		if !holds(i, w[0]) {
			return "", fmt.Errorf("who was told that it won a name does not have it")
		}
	}
	return fmt.Sprintf("%d names, %d processes: one won each", names, racers), nil
}

func (p *prober) rename(ctx context.Context, dir string) (string, error) {
	if err := prepare(dir, names, false); err != nil {
		return "", err
	}
	winners, err := runRace(ctx, p.start, raceRename, dir)
	if err != nil {
		return "", err
	}
	return won(winners, func(i, w int) bool { return exists(own(dir, i, w)) && !exists(one(dir, i)) })
}

func (p *prober) replace(ctx context.Context, dir string) (string, error) {
	if err := prepare(dir, 1, true); err != nil {
		return "", err
	}
	if _, err := runRace(ctx, p.start, raceReplace, dir); err != nil {
		return "", fmt.Errorf("a name that is renamed over: %w", err)
	}
	return "a name that is renamed over is always there, and whole", nil
}

func (p *prober) link(ctx context.Context, dir string) (string, error) {
	if err := prepare(dir, 0, true); err != nil {
		return "", err
	}
	winners, err := runRace(ctx, p.start, raceLink, dir)
	if err != nil {
		return "", err
	}
	return won(winners, func(i, w int) bool { return same(own(dir, i, w), one(dir, i)) })
}

func same(a, b string) bool {
	x, errX := os.Lstat(a)
	y, errY := os.Lstat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

func (p *prober) noReplace(ctx context.Context, dir string) (string, error) {
	if err := prepare(dir, 0, true); err != nil {
		return "", err
	}
	err := p.sys.noReplace(filepath.Join(dir, "nothing"), filepath.Join(dir, "nowhere"))
	if errors.Is(err, errors.ErrUnsupported) {
		return "not in one step here: queuectl looks first, then renames", nil
	}
	winners, err := runRace(ctx, p.start, raceNoReplace, dir)
	if err != nil {
		return "", err
	}
	return won(winners, func(i, w int) bool {
		for me := range racers { // who lost has lost nothing
			if me != w && !exists(own(dir, i, me)) {
				return false
			}
		}
		text, err := os.ReadFile(one(dir, i))
		return err == nil && string(text) == own("", i, w)
	})
}

func (p *prober) syncDir(_ context.Context, dir string) (string, error) {
	if err := touch(filepath.Join(dir, "file")); err != nil {
		return "", err
	}
	began := time.Now()
	err := p.sys.syncDir(dir)
	return fmt.Sprintf("accepted, %.1f ms", float64(time.Since(began))/1e6), err
}

// events asks queuectl's own watcher. That there are none is no fault; that
// they are promised and do not come is one.
func (p *prober) events(ctx context.Context, dir string) (string, error) {
	s, err := spool.Open(filepath.Join(dir, "spool"), spool.Options{Create: true})
	if err != nil {
		return "", err
	}
	defer s.Close()
	w, err := s.Watch(ctx)
	if err != nil {
		return "", err
	}
	defer w.Close()
	if !w.Native() {
		return "none: " + w.Reason() + "; pools list the spool every second", nil
	}
	from := filepath.Join(dir, "drop.json")
	if err := os.WriteFile(from, []byte(`{"command":"true"}`), 0o600); err != nil {
		return "", err
	}
	began := time.Now()
	if _, err := p.start(ctx, roleMove, from, filepath.Join(s.Dir(), "pending", "drop.json")); err != nil {
		return "", err
	}
	for limit := time.After(patience); ; {
		select {
		case h := <-w.Hints():
			if h.Path == "pending/drop.json" {
				return fmt.Sprintf("a rename by another process was told of within %.0f ms", float64(time.Since(began))/1e6), nil
			}
		case <-limit:
			return "", errors.New("a rename by another process sent no event")
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}
