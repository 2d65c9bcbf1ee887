package spool

import (
	"os"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// How many disturbances there are at most, of a scene and of two scenes at
// once, in the long form and in the short one.
const (
	fullScene, shortScene = 3, 1
	fullPair, shortPair   = 2, 0
)

// crowd is how many processes two scenes have from which on there is one
// disturbance less.
const crowd = 4

// TestExplore goes through all schedules of each scene.
func TestExplore(t *testing.T) {
	for _, sc := range scenes() {
		explore(t, sc.disturbed(), shortScene, fullScene)
	}
}

// TestExplorePairs goes through all schedules of each two scenes at once.
func TestExplorePairs(t *testing.T) {
	for _, sc := range some(t, pairs()) {
		full := fullPair - bit(sc.processes() >= crowd)
		explore(t, sc.disturbed(), shortPair, full)
	}
}

// TestExploreWalks takes random schedules with more disturbances than can be
// explored, of scenes and pairs. QUEUECTL_SEED is where the first walk begins.
func TestExploreWalks(t *testing.T) {
	walks := 1
	if long() {
		walks = 300
	}
	t.Logf("QUEUECTL_SEED=%d, %d walks of each, up to %d disturbances", seed, walks, walkDisturbances)
	for _, sc := range append(scenes(), some(t, pairs())...) {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			x := sc.disturbed().exploration()
			for i := range uint64(walks) {
				if err := x.walk(seed + i); err != nil {
					t.Fatalf("QUEUECTL_SEED=%d: %v", seed+i, err)
				}
			}
		})
	}
}

// seed is where walks begin, and which pairs the short form takes: always the
// same, so that a change is to blame where it fails. The long form draws one.
var seed = func() uint64 {
	if s, err := strconv.ParseUint(os.Getenv("QUEUECTL_SEED"), 10, 64); err == nil {
		return s
	}
	if !long() {
		return 1
	}
	return uint64(time.Now().UnixNano())
}()

// some are all pairs in the long form, and in the short form one in ten.
func some(t *testing.T, all []scene) []scene {
	t.Helper()
	if long() {
		return all
	}
	t.Logf("QUEUECTL_SEED=%d", seed)
	var list []scene
	for i, sc := range all {
		if uint64(i)%10 == seed%10 {
			list = append(list, sc)
		}
	}
	return list
}

// pairs are all pairs of scenes that go together.
func pairs() (all []scene) {
	list := slices.DeleteFunc(scenes(), func(sc scene) bool { return sc.alone })
	for i, one := range list {
		for _, two := range list[i+1:] {
			sc := one.with(two)
			if sc.possible() {
				all = append(all, sc)
			}
		}
	}
	return all
}

// with is both scenes at once, about one job: what the second one needs is made
// where it is not there already. What is done twice in them is done once: two
// that do the same meet in scenes of their own.
func (sc scene) with(other scene) scene {
	n := len(sc.acts)
	return scene{
		name: sc.name + " & " + other.name,
		acts: onlyOnce(append(sc.acts[:n:n], other.acts...)),
		base: func(w *world) {
			if sc.base != nil {
				sc.base(w)
			}
			if other.base != nil {
				_ = failed(func() { other.base(w) })
			}
			w.Hook = nil
		},
		setup: func(a []*actor) {
			if sc.setup != nil {
				sc.setup(a[:n])
			}
			if other.setup != nil {
				other.setup(a[n:])
			}
		},
	}
}

// processes is how many there are that do something.
func (sc scene) processes() (n int) {
	for _, act := range sc.acts {
		n += bit(act != nil)
	}
	return n
}

// onlyOnce leaves out operations that are done already: nil has a process live
// on without doing anything more.
func onlyOnce(acts []func(a *actor) error) []func(a *actor) error {
	done := make(map[string]bool)
	for i, act := range acts {
		name := runtime.FuncForPC(reflect.ValueOf(act).Pointer()).Name()
		if closure := strings.Contains(name, ".func"); closure {
			continue // what it does depends on more than its name
		}
		if done[name] {
			acts[i] = nil
		}
		done[name] = true
	}
	return acts
}

// possible reports whether all that is before a scene can be: two scenes that
// both have the only claim of the job cannot be played at once.
func (sc scene) possible() bool {
	return failed(func() {
		w := newWorld()
		sc.base(w)
		r := &run{x: &exploration{scene: sc}, outcomes: &outcomes{world: w.clone()}}
		r.begin()
	}) == nil
}

// explore goes through all schedules of a scene, with so many disturbances in
// the short form and in the long one. QUEUECTL_DISTURBANCES is another number.
func explore(t *testing.T, sc scene, short, full int) {
	t.Helper()
	t.Run(sc.name, func(t *testing.T) {
		t.Parallel()
		start, x, bound := time.Now(), sc.exploration(), short
		if long() {
			bound = full
		}
		if n, err := strconv.Atoi(os.Getenv("QUEUECTL_DISTURBANCES")); err == nil {
			bound = n
		}
		if err := x.all(bound); err != nil {
			t.Fatalf("after %d schedules: %v", x.runs, err)
		}
		if bound > 0 && (sc.kills && x.kills == 0 || sc.hands != nil && x.moves == 0 && len(x.start.files()) > 0) {
			t.Errorf("nothing was disturbed: %d kills, %d moves by hand", x.kills, x.moves)
		}
		t.Logf("%d processes, %d disturbances: %d schedules (%d kills, %d moves by hand), %d states, %d ends, %v",
			sc.processes(), bound, x.runs, x.kills, x.moves, len(x.seen), x.ends, time.Since(start).Round(time.Millisecond))
	})
}

func races(t *testing.T, list ...scene) {
	t.Helper()
	for _, sc := range list {
		if sc.want == nil {
			sc.want = func(*outcomes) []int { return []int{1} }
		}
		explore(t, sc, max(1, sc.bound), fullScene)
	}
}

// long switches the long forms of tests on.
func long() bool { return os.Getenv("QUEUECTL_LONG") != "" }
