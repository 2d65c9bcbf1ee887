package spool

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// genName draws any name that a job's file can have.
func genName(t *rapid.T) Name {
	n := Name{
		Time: time.Date(rapid.IntRange(1, 9999).Draw(t, "year"), 1, 1, 0, 0, 0, 0, time.UTC).
			Add(time.Duration(rapid.Int64Range(0, 365*24*3600*1e6-1).Draw(t, "us")) * time.Microsecond),
		Priority: rapid.IntRange(0, 9).Draw(t, "priority"),
		ID:       rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._~-]{0,149}`).Draw(t, "id"),
	}
	if rapid.Bool().Draw(t, "claimed") {
		n.Pool = rapid.StringMatching(`[A-Za-z0-9.-]{1,20}-[0-9]{1,7}-[a-z2-7]{6}`).Draw(t, "pool")
		n.Claim = rapid.Uint64Range(0, 1e18).Draw(t, "claim")
	}
	return n
}

func TestNameRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := genName(t)
		got, ok := ParseName(n.String())
		if !ok || got != n {
			t.Fatalf("%q is read as %+v, %v; want %+v", n.String(), got, ok, n)
		}
	})
}

func TestNamesSortByTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genName(t), genName(t)
		if a.Time.Before(b.Time) != (a.String()[:timeLen] < b.String()[:timeLen]) {
			t.Fatalf("%s and %s do not sort as their times do", a, b)
		}
	})
}

func TestNameExamples(t *testing.T) {
	at := time.Date(2026, 11, 23, 18, 0, 0, 123456000, time.UTC)
	for _, c := range []struct {
		name string
		want Name
	}{
		{"20261123T180000.123456Z-5-job-A.json", Name{Time: at, Priority: 5, ID: "job-A"}},
		{"20261123T180000.123456Z-0-a.json.json", Name{Time: at, ID: "a.json"}},
		{"20261123T180000.123456Z-9-nightly~20261124T000000Z.json", Name{Time: at, Priority: 9, ID: "nightly~20261124T000000Z"}},
		{"20261123T180000.123456Z-5-job-A@web-4711-k3x9qa.17.json", Name{Time: at, Priority: 5, ID: "job-A", Pool: "web-4711-k3x9qa", Claim: 17}},
		{"20261123T180000.123456Z-5-x@a.b-c-1-k3x9qa.0.json", Name{Time: at, Priority: 5, ID: "x", Pool: "a.b-c-1-k3x9qa"}},
	} {
		if got, ok := ParseName(c.name); !ok || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, ok, c.want)
		}
	}
}

func TestParseNameRefuses(t *testing.T) {
	const ok = "20261123T180000.123456Z-5-job-A.json"
	for _, s := range []string{
		"", ".json", "x.json", ok[:len(ok)-1], ok + " ", "." + ok, " " + ok,
		"20261123T180000.123456Z-5-.json",
		"20261123T180000.123456Z-5-job-A.JSON",
		"20261123T180000.123456Z-a-job-A.json",
		"20261123T180000.123456Z-10-.json",
		"20261123T180000.123456Z_5-job-A.json",
		"20261123T180000.123456-5-job-AA.json",
		"20261123t180000.123456Z-5-job-A.json",
		"20261123T180000,123456Z-5-job-A.json",
		"20261323T180000.123456Z-5-job-A.json", // month 13
		"20260230T180000.123456Z-5-job-A.json", // 30 February
		"20261100T180000.123456Z-5-job-A.json",
		"20261123T240000.123456Z-5-job-A.json",
		"20261123T186000.123456Z-5-job-A.json",
		"20261123T180060.123456Z-5-job-A.json", // a leap second
		"00001123T180000.123456Z-5-job-A.json",
		"+0261123T180000.123456Z-5-job-A.json",
		"20261123T180000.12345xZ-5-job-A.json",
		"20261123T180000.123456Z-5--job.json",
		"20261123T180000.123456Z-5-.job.json",
		"20261123T180000.123456Z-5-~job.json",
		"20261123T180000.123456Z-5-jo b.json",
		"20261123T180000.123456Z-5-jo/b.json",
		"20261123T180000.123456Z-5-j\u00f6b.json",
		"20261123T180000.123456Z-5-j\nb.json",
		"20261123T180000.123456Z-5-job@.json",
		"20261123T180000.123456Z-5-job@a-1-b.json",
		"20261123T180000.123456Z-5-job@a-1-b.x.json",
		"20261123T180000.123456Z-5-job@a-1-b.01.json",
		"20261123T180000.123456Z-5-job@a-1-b.-1.json",
		"20261123T180000.123456Z-5-job@nodash.1.json",
		"20261123T180000.123456Z-5-job@a_b-1-c.1.json",
		"20261123T180000.123456Z-5-job@a-1-b.1@c-1-d.2.json",
		"20261123T180000.123456Z-5-" + strings.Repeat("x", maxID+1) + ".json",
		"20261123T180000.123456Z-5-x@" + strings.Repeat("y", 300) + "-1-b.1.json",
	} {
		if n, ok := ParseName(s); ok {
			t.Errorf("%q is read as %+v", s, n)
		}
	}
}

func TestParseNameAllocatesNothing(t *testing.T) {
	const name = "20261123T180000.123456Z-5-job-A@web-4711-k3x9qa.17.json"
	if n := testing.AllocsPerRun(100, func() { ParseName(name) }); n != 0 {
		t.Errorf("ParseName allocates %v times", n)
	}
}

func TestLongestNameFits(t *testing.T) {
	n := Name{
		Time: time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC), ID: strings.Repeat("x", maxID),
		Pool: strings.Repeat("h", 40) + "-4194304-k3x9qa", Claim: 1e9,
	}
	if len(n.String()) > maxName {
		t.Errorf("%d bytes; a file system takes %d", len(n.String()), maxName)
	}
	if _, ok := ParseName(n.String()); !ok {
		t.Errorf("%s is not read", n)
	}
}

func FuzzParseName(f *testing.F) {
	f.Add("20261123T180000.123456Z-5-job-A.json")
	f.Add("20261123T180000.123456Z-5-job-A@web-4711-k3x9qa.17.json")
	f.Add("hello.json")
	f.Fuzz(func(t *testing.T, s string) {
		if n, ok := ParseName(s); ok && n.String() != s {
			t.Errorf("%q is read as %+v, which is %q", s, n, n.String())
		}
	})
}

func TestUserIDs(t *testing.T) {
	for id, why := range map[string]string{
		"a": "", "Z9": "", "0": "", "a.b_c-d": "", strings.Repeat("x", 128): "",
		"":                       "empty",
		strings.Repeat("x", 129): "129 bytes",
		"-a":                     "begin",
		".a":                     "begin",
		"_a":                     "begin",
		"~a":                     "begin",
		"a~b":                    "kept for ids that queuectl derives",
		"a/b":                    `'/'`,
		"../a":                   "begin",
		"a b":                    `' '`,
		"a\nb":                   `'\n'`,
		"a\x00":                  `'\x00'`,
		"a@b":                    `'@'`,
		"j\u00f6b":               "'\u00f6'",
	} {
		err := validUserID(id)
		if why == "" && err != nil {
			t.Errorf("%q: %v", id, err)
		}
		if why != "" && (err == nil || !strings.Contains(err.Error(), why)) {
			t.Errorf("%q: %v; want %q", id, err, why)
		}
		if why == "" && !validID(id) {
			t.Errorf("%q is no id on disk", id)
		}
	}
}

func TestIDFromFileName(t *testing.T) {
	for name, id := range map[string]string{
		"hello.json":                    "hello",
		"my job (2).json":               "myjob2",
		"-.~x.json":                     "x",
		"a~b.json":                      "ab",
		"a\nb.json":                     "ab",
		"caf\xe9.json":                  "caf",
		"\u00fc.json":                   "",
		"---.json":                      "",
		strings.Repeat("z", 200):        strings.Repeat("z", 100),
		"a.json.json":                   "a.json",
		Name{ID: "job"}.String():        "job",
		Name{ID: "yy~yjddkq"}.String():  "yy",
		"20261123T180000.1Z-5-x@y.json": "20261123T180000.1Z-5-xy",
	} {
		got := idFromFileName(name)
		if got != id {
			t.Errorf("%q gives id %q; want %q", name, got, id)
		}
		if got != "" && !validID(got+"~3f9k2c") {
			t.Errorf("%q gives %q, which takes no ending", name, got)
		}
	}
}

func TestIDHash(t *testing.T) {
	// printf %s job-A | gzip -c | tail -c8 | od -An -tx4
	for id, want := range map[string]string{"job-A": "03", "x": "83"} {
		if got := idHash(id); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
}

func TestStampRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := genName(t).Time
		b, err := Stamp{at}.MarshalJSON()
		var back Stamp
		if err != nil || back.UnmarshalJSON(b) != nil || !back.Equal(at) {
			t.Fatalf("%s: %s, %v", at, b, err)
		}
		if len(b) != len(stampLayout)+2 {
			t.Fatalf("%s is not of fixed width", b)
		}
	})
}
