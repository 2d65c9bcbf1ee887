package spool

import (
	"bytes"
	"fmt"
	"path"
	"slices"

	"pgregory.net/rapid"
)

// What people do, and the comparison of the disk with the model.

// hand moves a job's file; a name that is taken is left alone.
func (m *model) hand(t *rapid.T, j *modelJob, to string) {
	if m.occupied(to) {
		t.Skip("mv would replace what is there")
	}
	_ = m.mach.mkdir(path.Dir(to))
	m.must(m.mach.rename(j.path, to))
	j.path = to
}

func (m *model) mv(t *rapid.T) {
	j := m.pick(t, func(j *modelJob) bool { return j.path != "" && j.state() != Processing && j.proper() })
	to := Pending
	if j.state() == Pending {
		to = rapid.SampledFrom([]State{Dead, Held}).Draw(t, "to")
	}
	m.hand(t, j, string(to)+"/"+path.Base(j.path))
}

// mvRunning is mv processing/X pending/, as it is or with a proper name.
func (m *model) mvRunning(t *rapid.T) {
	j := m.pick(t, func(j *modelJob) bool { return j.state() == Processing })
	n, _ := ParseName(path.Base(j.path))
	if rapid.Bool().Draw(t, "proper") {
		n.Pool, n.Claim = "", 0
	}
	m.hand(t, j, "pending/"+n.String())
}

func (m *model) mvToName(t *rapid.T) {
	j := m.pick(t, func(j *modelJob) bool {
		return j.path != "" && j.state() != Processing && j.proper() && m.copyOf(j.id) == ""
	})
	m.hand(t, j, "pending/"+rapid.SampledFrom([]string{"now.json", "later.json", "\xff\xfe.json"}).Draw(t, "name"))
}

func (m *model) cp(t *rapid.T) {
	j := m.pick(t, func(j *modelJob) bool { return j.state() == Completed && j.own && m.copyOf(j.id) == "" })
	to := "pending/" + path.Base(j.path)
	if m.occupied(to) {
		t.Skip("cp would replace what is there")
	}
	data, err := m.mach.read(j.path)
	m.must(err)
	m.must(m.mach.write(to, data))
	was := *j
	was.lines = slices.Clone(j.lines)
	m.foreign[to] = &foreign{name: path.Base(to), kind: copied, id: j.id, data: data, of: &was}
}

// rm removes a job's file, or a foreign one.
func (m *model) rm(t *rapid.T) {
	j := m.pick(t, func(j *modelJob) bool { return j.path != "" })
	m.must(m.mach.remove(j.path))
	j.path, j.own = "", true
}

// edit is sed -i: another file with the same history.
func (m *model) edit(t *rapid.T) {
	j := m.pick(t, func(j *modelJob) bool {
		return j.path != "" && j.state() != Processing && j.holder == nil && m.copyOf(j.id) == ""
	})
	data, err := m.mach.read(j.path)
	m.must(err)
	mark := m.mark()
	m.must(m.mach.write("x.tmp", bytes.Replace(data, []byte(j.mark), []byte(mark), 1)))
	m.must(m.mach.rename("x.tmp", j.path))
	j.mark, j.own = mark, false
}

var dropNames = []string{"drop.json", "b.json", "two words.json", "\xff\xc0\x80.json", "new\nline.json"}

// drop puts something into pending/.
func (m *model) drop(t *rapid.T) {
	f := &foreign{name: rapid.SampledFrom(dropNames).Draw(t, "name"), of: &modelJob{mark: m.mark()}}
	p := "pending/" + f.name
	if m.occupied(p) {
		t.Skip("there is one")
	}
	f.kind = rapid.SampledFrom([]string{valid, valid, valid, half, odd, link, garbage}).Draw(t, "kind")
	f.data = []byte(`{"command":"true","mark":"` + f.of.mark + `"}`)
	switch f.kind {
	case valid:
		if f.id = rapid.SampledFrom(append(modelIDs, "")).Draw(t, "id"); f.id != "" {
			f.data = []byte(jobText(f.id, `"mark":"`+f.of.mark+`"`))
		}
	case half:
		f.data = f.data[:len(f.data)-3]
	case garbage:
		f.data = []byte("{\"command\":7}\x00")
	}
	m.put(p, f)
	m.foreign[p] = f
}

func (m *model) put(p string, f *foreign) {
	switch f.kind {
	case odd:
		m.must(m.mach.mkdir(p))
	case link:
		m.must(m.mach.symlink(p))
	default:
		m.must(m.mach.write(p, f.data))
	}
}

// agree compares the disk with the model.
func (m *model) agree(t *rapid.T) {
	m.t = t
	seen := make(map[string]bool)
	for _, st := range States {
		for _, name := range m.mach.names(string(st)) {
			seen[string(st)+"/"+name] = true
		}
	}
	for _, j := range m.jobs {
		if j.path != "" {
			m.agreeJob(j)
			delete(seen, j.path)
		}
	}
	for _, list := range []map[string]*foreign{m.foreign, m.refused} {
		for p, f := range list {
			m.agreeForeign(p, f)
			delete(seen, p)
		}
	}
	for p := range seen {
		t.Fatalf("%q is there, and nobody put it there", p)
	}
	m.agreeCheck()
}

func (m *model) agreeJob(j *modelJob) {
	i, err := m.mach.stat(j.path)
	if err != nil {
		m.t.Fatalf("job %q is not where it must be: %v", j.id, err)
	}
	two, err := m.mach.stat(idPath(j.id))
	if err != nil || two.Same(i) != j.own {
		m.t.Fatalf("%s: that it is its second name's inode is %v, %v", j.path, two.Same(i), err)
	}
	data, err := m.mach.read(j.path)
	m.must(err)
	dec, err := decodeFile(data, maxFile)
	if err != nil || dec.torn || !bytes.Contains(data, []byte(j.mark)) {
		m.t.Fatalf("%s: %+v, %v; its mark is %s\n%s", j.path, dec, err, j.mark, data)
	}
	if got := historyLines(dec.history); !slices.Equal(got, j.lines) {
		m.t.Fatalf("the history of %s is %q; want %q", j.path, got, j.lines)
	}
	m.agreeJobInfo(j)
}

// agreeJobInfo: what a reader is told.
func (m *model) agreeJobInfo(j *modelJob) {
	if !j.proper() {
		return
	}
	info, err := m.eye.Job(j.id)
	if err != nil || info.State != j.state() {
		m.t.Fatalf("job %q is shown as %+v, %v; it is at %s", j.id, info, err, j.path)
	}
}

func (m *model) agreeForeign(p string, f *foreign) {
	if !m.occupied(p) {
		m.t.Fatalf("%q, a %s, is gone", p, f.kind)
	}
	if f.kind == odd || f.kind == link {
		return
	}
	if data, err := m.mach.read(p); err != nil || !bytes.Equal(data, f.data) {
		m.t.Fatalf("%q holds %q, %v; was %q", p, data, err, f.data)
	}
}

// agreeCheck: check finds what is amiss, and nothing else.
func (m *model) agreeCheck() {
	rep, err := m.eye.Check(ctx, false)
	m.must(err)
	got := []string{}
	for _, f := range rep.Findings {
		switch {
		case f.Note:
		case f.Invariant == invOnce:
			got = append(got, "3 "+f.ID)
		default:
			got = append(got, fmt.Sprintf("%d %s", f.Invariant, f.Path))
		}
	}
	slices.Sort(got)
	if want := m.expected(); !slices.Equal(got, want) {
		m.t.Fatalf("check finds %q; want %q\n%s", got, want, findings(rep))
	}
}
