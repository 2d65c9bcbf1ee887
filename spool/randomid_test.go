package spool

import (
	"crypto/rand"
	"strings"
	"testing"
)

// Whatever an id begins with, some last two characters give it any hash.
func TestWithHash(t *testing.T) {
	for range 20 {
		id := strings.ToLower(rand.Text())[:12]
		for hash := range 256 {
			got := withHash(id, byte(hash))
			if idSum(got) != byte(hash) || got[:10] != id[:10] || len(got) != 12 || strings.Trim(got, base32) != "" {
				t.Fatalf("withHash(%q, %#x) = %q, whose hash is %#x", id, hash, got, idSum(got))
			}
		}
	}
}

// Random ids in a row lie in one directory, and rows in many; none comes twice.
func TestRandomIDs(t *testing.T) {
	var r randomIDs
	dirs, seen := map[string]bool{}, map[string]bool{}
	const rows = 100
	for range rows {
		row := map[string]bool{}
		for range neighbours {
			id := r.next(newSystem(nil).rand)
			if err := validUserID(id); err != nil || seen[id] {
				t.Fatalf("id %q: %v, seen before: %t", id, err, seen[id])
			}
			seen[id], row[idHash(id)], dirs[idHash(id)] = true, true, true
		}
		if len(row) != 1 {
			t.Fatalf("a row of %d ids lies in %d directories, want 1", neighbours, len(row))
		}
	}
	if len(dirs) < rows/2 { // 256 to choose from: 82 on average
		t.Errorf("%d rows lie in %d directories only", rows, len(dirs))
	}
}
