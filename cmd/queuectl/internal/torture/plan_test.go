//go:build !windows

package torture

import (
	"reflect"
	"testing"
)

// drawn is what a seed decides.
func drawn(seed uint64) (acts []act, orders []order) {
	storm, enqueuer := newPlanner(seed, "drop", 0), newPlanner(seed, "job", 1)
	for range 1000 {
		acts, orders = append(acts, storm.act()), append(orders, enqueuer.order())
	}
	return acts, orders
}

// TestSeed demands that a seed decides everything that is random, and that all
// that can happen does.
func TestSeed(t *testing.T) {
	acts, orders := drawn(1)
	againActs, againOrders := drawn(1)
	if !reflect.DeepEqual(acts, againActs) || !reflect.DeepEqual(orders, againOrders) {
		t.Error("the same seed decides differently")
	}
	if other, _ := drawn(2); reflect.DeepEqual(acts, other) {
		t.Error("another seed decides the same")
	}
	seen := make(map[string]bool)
	for _, a := range acts {
		seen[a.Kind] = true
	}
	for _, w := range weights {
		if !seen[w.kind] {
			t.Errorf("%s never comes", w.kind)
		}
	}
	kinds := make(map[string]bool)
	for _, o := range orders {
		kinds["killed"] = kinds["killed"] || o.Kill > 0
		kinds["twin"] = kinds["twin"] || o.Twin
		kinds["batch"] = kinds["batch"] || len(o.Jobs) > 1
		for _, j := range o.Jobs {
			kinds["hangs"] = kinds["hangs"] || j.Task.Ms == hangs
			kinds["deaf"] = kinds["deaf"] || j.Task.Deaf
			kinds["daemon"] = kinds["daemon"] || j.Task.Daemon > 0
			kinds["fails"] = kinds["fails"] || j.Task.Fails > 0
			kinds["dies"] = kinds["dies"] || j.Task.Dies > 0
			kinds["past"] = kinds["past"] || j.Due < 0
			kinds["future"] = kinds["future"] || j.Due > 0
		}
	}
	for kind, comes := range kinds {
		if !comes {
			t.Errorf("no job is %s", kind)
		}
	}
}
