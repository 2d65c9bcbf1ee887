//go:build !windows

package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Several processes race through the same names in the same order. Where the
// numbers come from: more racers than most machines have idle cores, so that
// they are preempted in the middle; and so many names that two racers meet at
// many of them, in a few hundredths of a second.
const (
	racers = 4
	names  = 100
)

const (
	raceRename    = "rename"    // one file to a name of one's own
	raceLink      = "link"      // a file of one's own to one name
	raceNoReplace = "noreplace" // the same by a rename that replaces nothing
	raceReplace   = "replace"   // over one name, which the first racer reads all the while
)

func own(dir string, i, me int) string { return filepath.Join(dir, fmt.Sprintf("own-%d-%d", i, me)) }
func one(dir string, i int) string     { return filepath.Join(dir, fmt.Sprintf("one-%d", i)) }

// race waits until all may start, tries for every name, and returns the
// numbers of those that it won.
func race(sys system, kind, dir string, me, n int) (won []int, err error) {
	defer func() { err = errors.Join(err, touch(filepath.Join(dir, fmt.Sprint("done-", me)))) }()
	if err := touch(filepath.Join(dir, fmt.Sprint("ready-", me))); err != nil {
		return nil, err
	}
	if kind == raceReplace && me == 0 {
		return nil, readWhole(dir)
	}
	for !exists(filepath.Join(dir, "go")) {
		time.Sleep(time.Millisecond)
	}
	for i := range n {
		var lost error
		switch kind {
		case raceRename:
			lost, err = fs.ErrNotExist, sys.rename(one(dir, i), own(dir, i, me))
		case raceLink:
			lost, err = fs.ErrExist, sys.link(own(dir, i, me), one(dir, i))
		case raceNoReplace:
			lost, err = fs.ErrExist, sys.noReplace(own(dir, i, me), one(dir, i))
		case raceReplace:
			err = sys.rename(own(dir, i, me), one(dir, 0))
		}
		switch {
		case err == nil:
			won = append(won, i)
		case lost == nil || !errors.Is(err, lost):
			return nil, err
		}
	}
	return won, nil
}

// whole is what is always to be found at a name that is replaced.
const whole = "a line that is whole\n"

// readWhole reads the name until all others are done, a minute at most: it
// begins before they may, so that none of what they do goes unseen because it
// was slow.
func readWhole(dir string) error {
	deadline := time.Now().Add(patience)
	for done := false; !done; {
		done = allExist(dir, "done-", 1) || time.Now().After(deadline)
		text, err := os.ReadFile(one(dir, 0))
		if err != nil {
			return err
		}
		if string(text) != whole {
			return fmt.Errorf("it held %q for a moment", text)
		}
	}
	return nil
}

// allExist tells whether every racer from the first on has made its file.
func allExist(dir, name string, first int) bool {
	for me := first; me < racers; me++ {
		if !exists(filepath.Join(dir, fmt.Sprint(name, me))) {
			return false
		}
	}
	return true
}

// runRace lets all racers run and returns who won what, by name.
func runRace(ctx context.Context, start starter, kind, dir string) (winners [][]int, err error) {
	won := make([][]int, racers)
	errs := make([]error, racers+2)
	var racing sync.WaitGroup
	for me := range racers {
		racing.Go(func() {
			out, err := start(ctx, roleRace, kind, dir, strconv.Itoa(me), strconv.Itoa(names))
			if err == nil {
				err = json.Unmarshal(out, &won[me])
			}
			errs[me] = err
		})
	}
	errs[racers] = await(ctx, patience, func() bool { return allExist(dir, "ready-", 0) })
	errs[racers+1] = touch(filepath.Join(dir, "go"))
	racing.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	winners = make([][]int, names)
	for me, list := range won {
		for _, i := range list {
			winners[i] = append(winners[i], me)
		}
	}
	return winners, nil
}

// patience is how long what must come may take on a machine that is very busy.
const patience = time.Minute

// await waits until something holds.
func await(ctx context.Context, limit time.Duration, holds func() bool) error {
	deadline := time.Now().Add(limit)
	for !holds() {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(deadline):
			return fmt.Errorf("nothing came of it within %v", limit)
		}
		time.Sleep(2 * time.Millisecond)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func touch(path string) error { return os.WriteFile(path, nil, 0o600) }
