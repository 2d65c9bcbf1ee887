package simfs

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// looks are the distinct states of path after all power cuts, in order: its
// content quoted, or "-" where it is not there.
func looks(d *Disk, path string) string {
	var all []string
	for _, after := range d.PowerCuts() {
		look := "-"
		if b, err := after.Read(path); err == nil {
			look = fmt.Sprintf("%q", b)
		}
		if !slices.Contains(all, look) {
			all = append(all, look)
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestNothingSynced(t *testing.T) {
	d := New()
	p := d.Process("p")
	put(t, p, "a", "abcd")
	got := looks(d, "a")
	for _, look := range []string{"-", `""`, `"abcd"`, `"\x00\x00\x00\x00"`, `"ab"`} {
		if !slices.Contains(strings.Fields(got), look) {
			t.Errorf("%s is missing in %s", look, got)
		}
	}
}

func TestSyncOfTheFileAlone(t *testing.T) {
	d := New()
	p := d.Process("p")
	f := open(t, p, "a", os.O_RDWR|os.O_CREATE)
	_, err := f.WriteAt([]byte("abcd"), 0)
	must(t, err)
	must(t, f.Sync())
	if got := looks(d, "a"); got != `"abcd" -` {
		t.Error(got)
	}
}

func TestSyncOfTheDirectoryAlone(t *testing.T) {
	d := New()
	p := d.Process("p")
	put(t, p, "a", "abcd")
	must(t, p.SyncDir("."))
	if got := looks(d, "a"); strings.Contains(got, "-") || !strings.Contains(got, `""`) || !strings.Contains(got, `"abcd"`) {
		t.Error(got)
	}
}

func TestSyncOfBoth(t *testing.T) {
	d := New()
	p := d.Process("p")
	f := open(t, p, "a", os.O_RDWR|os.O_CREATE)
	_, err := f.WriteAt([]byte("abcd"), 0)
	must(t, err)
	must(t, f.Sync())
	dir := open(t, p, ".", os.O_RDONLY)
	must(t, dir.Sync())
	if got := looks(d, "a"); got != `"abcd"` {
		t.Error(got)
	}
	if changes, files := d.Unsynced(); changes != 0 || files != 0 {
		t.Error(changes, files)
	}
}

// TestAppendIsTorn cuts the power in the middle of overwriting a tail.
func TestAppendIsTorn(t *testing.T) {
	d := New()
	p := d.Process("p")
	put(t, p, "a", "head]}")
	must(t, p.SyncFS())
	f := open(t, p, "a", os.O_RDWR)
	_, err := f.WriteAt([]byte(",more]}"), 4)
	must(t, err)
	for name, c := range map[string]Content{`head]}`: Lost, `head,more]}`: Kept, "head]}\x00\x00\x00\x00\x00": Zeroed, `head,}`: Torn(1, 7), `head,mor`: Torn(4, 7)} {
		want(t, d.PowerCut(Cut{Content: c}), "a", name)
	}
	got := looks(d, "a")
	if strings.Contains(got, "-") || strings.Contains(got, `""`) {
		t.Errorf("lost what was synced: %s", got)
	}
	want(t, d, "a", "head,more]}")
}

func TestBetweenTwoWrites(t *testing.T) {
	d := New()
	p := d.Process("p")
	f := open(t, p, "a", os.O_RDWR|os.O_CREATE)
	for _, s := range []string{"first", "SECON"} {
		_, err := f.WriteAt([]byte(s), 0)
		must(t, err)
	}
	must(t, p.SyncDir("."))
	seen := make(map[string]bool)
	for seed := uint64(1); seed < 200; seed++ {
		b, err := d.PowerCut(Cut{Seed: seed}).Read("a")
		must(t, err)
		seen[string(b)] = true
	}
	for _, s := range []string{"", "first", "fir", "SECON", "SErst"} {
		if !seen[s] {
			t.Errorf("%q was never found", s)
		}
	}
}

// TestNamesAreOrdered shows that changes of names survive as a prefix and each
// of them whole.
func TestNamesAreOrdered(t *testing.T) {
	d := New()
	p := d.Process("p")
	must(t, p.Mkdir("d"))
	must(t, p.Mkdir("e"))
	put(t, p, "d/a", "")
	must(t, p.SyncFS())
	must(t, p.Link("d/a", "e/b"))
	must(t, p.Rename("d/a", "e/a"))
	must(t, p.Unlink("e/b"))
	var got []string
	for _, after := range d.PowerCuts() {
		got = append(got, strings.Join(append(after.Names("d"), after.Names("e")...), ""))
		for _, path := range []string{"d/a", "e/a", "e/b"} {
			i, err := after.Stat(path)
			if n := len(after.Names("d")) + len(after.Names("e")); err == nil && int(i.Nlink) != n {
				t.Errorf("%d links of %d names\n%s", i.Nlink, n, after.Dump())
			}
		}
	}
	if s := strings.Join(got, " "); s != "a ab ab a" {
		t.Error(s)
	}
}

// TestSyncDirCoversWhatCameBefore: the order holds between directories too.
func TestSyncDirCoversWhatCameBefore(t *testing.T) {
	d := New()
	p := d.Process("p")
	must(t, p.Mkdir("d"))
	must(t, p.Mkdir("e"))
	must(t, p.Mkdir("d/1"))
	must(t, p.Mkdir("e/2"))
	must(t, p.Mkdir("d/3"))
	must(t, p.SyncDir("e"))
	for c, after := range d.PowerCuts() {
		if got := len(after.Names("d")); got < 1 || len(after.Names("e")) != 1 {
			t.Errorf("%v\n%s", c, after.Dump())
		}
	}
	nothing := d.PowerCut(Cut{})
	wantNone(t, nothing, "d/3")
	lost := false
	for c, after := range d.LoosePowerCuts(50) {
		if len(after.Names(".")) == 2 && len(after.Names("e")) != 1 {
			t.Errorf("%v\n%s", c, after.Dump())
		}
		lost = lost || len(after.Names("d")) == 0
	}
	if !lost {
		t.Error("no loose cut has lost d/1, which no sync covers")
	}
}

// TestLooseRenameIsWhole: a rename that a sync of one side covers is durable on
// the other side too, with what came before there.
func TestLooseRenameIsWhole(t *testing.T) {
	d := New()
	p := d.Process("p")
	must(t, p.Mkdir("d"))
	must(t, p.Mkdir("e"))
	must(t, p.SyncFS())
	must(t, p.Mkdir("d/before"))
	must(t, p.Mkdir("d/a"))
	must(t, p.Rename("d/a", "e/a"))
	must(t, p.Mkdir("d/after"))
	must(t, p.SyncDir("e"))
	n := 0
	for c, after := range d.LoosePowerCuts(50) {
		n++
		if names := after.Names("d"); names[0] == "a" || !slices.Contains(names, "before") || len(after.Names("e")) != 1 {
			t.Errorf("%v\n%s", c, after.Dump())
		}
	}
	if n != 2 {
		t.Errorf("%d states, want with and without d/after", n)
	}
}

func TestUnlinkedFileComesBack(t *testing.T) {
	d := New()
	p := d.Process("p")
	put(t, p, "a", "x")
	must(t, p.SyncFS())
	must(t, p.Unlink("a"))
	want(t, d.PowerCut(Cut{}), "a", "x")
	must(t, p.SyncDir("."))
	wantNone(t, d.PowerCut(Cut{}), "a")
}

func TestOpenUnlinkedFileOutlivesSync(t *testing.T) {
	d := New()
	p := d.Process("p")
	f := open(t, p, "a", os.O_RDWR|os.O_CREATE)
	must(t, p.Unlink("a"))
	must(t, p.SyncFS())
	must(t, p.SyncFS())
	i, err := f.Stat()
	if err != nil || i.Nlink != 0 || len(d.Holders(i.Ino)) != 1 {
		t.Error(i, err, d.Holders(i.Ino))
	}
}

// TestAfterACut goes on with what was found: nothing is open, all is synced.
func TestAfterACut(t *testing.T) {
	d := New()
	p := d.Process("p")
	must(t, p.Mkdir("d"))
	f := open(t, p, "d/a", os.O_RDWR|os.O_CREATE)
	must(t, f.TryLock())
	after := d.PowerCut(Cut{Changes: AllChanges, Content: Kept})
	q := after.Process("q")
	must(t, open(t, q, "d/a", os.O_RDWR).TryLock())
	must(t, q.Rename("d", "e"))
	must(t, q.Mkdir("e/f"))
	if got := looks(after, "d/a"); got != `"" -` {
		t.Error(got)
	}
	must(t, f.Unlock())
	want(t, d, "d/a", "")
	if _, err := after.Stat("e/f"); err != nil {
		t.Error(err)
	}
}

// TestIgnoreSync is the proof of the harness in small: replace a file by the
// book and take away one sync after the other.
func TestIgnoreSync(t *testing.T) {
	replace := func(d *Disk) {
		p := d.Process("p")
		f := open(t, p, "tmp", os.O_RDWR|os.O_CREATE|os.O_EXCL)
		_, err := f.WriteAt([]byte("new"), 0)
		must(t, err)
		must(t, f.Sync())
		must(t, p.Rename("tmp", "a"))
		must(t, p.SyncDir("."))
	}
	for ignored := range 3 {
		d := New()
		must(t, d.Write("a", []byte("old")))
		d.SyncAll()
		d.IgnoreSync(ignored)
		replace(d)
		if d.Syncs() != 2 {
			t.Fatalf("%d syncs", d.Syncs())
		}
		got := looks(d, "a")
		if whole := got == `"new"`; whole != (ignored == 0) {
			t.Errorf("without sync %d: %s", ignored, got)
		}
	}
}

func TestPowerCutsAreBounded(t *testing.T) {
	d := New()
	p := d.Process("p")
	for i := range 500 {
		put(t, p, fmt.Sprint(i), "x")
	}
	n, all := 0, false
	for _, after := range d.PowerCuts() {
		n++
		all = all || len(after.Names(".")) == 500
	}
	if n > 4*(maxPrefixes+1)+draws || !all {
		t.Errorf("%d cuts, all survived: %v", n, all)
	}
}

func BenchmarkPowerCut(b *testing.B) {
	d := small()
	for b.Loop() {
		d.PowerCut(Cut{})
	}
}
