package spool

import (
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of names, in bytes. 255 is what file systems take.
const (
	maxName   = 255
	maxUserID = 128
	maxID     = 150 // a user's id and what is derived from it
)

// timeLen is the length of "20261123T180000.123456Z".
const timeLen = 23

// A Name is what the name of a job's file says:
//
//	20261123T180000.123456Z-5-job-A.json
//	20261123T180000.123456Z-5-job-A@web-4711-k3x9qa.17.json   in processing/
type Name struct {
	// Time is when the job is due, or in completed/ and dead/ when it ended.
	// UTC, whole microseconds.
	Time     time.Time
	Priority int // 0 to 9, 9 first
	ID       string
	Pool     string // in processing/: who runs it
	Claim    uint64 // and which of its claims this is
}

// String is the file's name.
func (n Name) String() string {
	b := make([]byte, 0, 128) // on the stack; longer names are rare
	b = appendTime(b, n.Time)
	b = append(b, '-', byte('0'+n.Priority), '-')
	b = append(b, n.ID...)
	if n.Pool != "" {
		b = append(b, '@')
		b = append(b, n.Pool...)
		b = append(b, '.')
		b = strconv.AppendUint(b, n.Claim, 10)
	}
	return string(append(b, ".json"...))
}

// ParseName reads a name; ok is false for one that String does not make. It
// allocates nothing.
func ParseName(s string) (n Name, ok bool) {
	if len(s) > maxName || len(s) < timeLen+len("-5-x.json") || !strings.HasSuffix(s, ".json") {
		return n, false
	}
	n.Time, ok = parseTime(s[:timeLen])
	p := s[timeLen+1]
	if !ok || s[timeLen] != '-' || p < '0' || p > '9' || s[timeLen+2] != '-' {
		return n, false
	}
	n.Priority = int(p - '0')
	id, claim, claimed := strings.Cut(s[timeLen+3:len(s)-len(".json")], "@")
	n.ID = id
	if claimed {
		if n.Pool, n.Claim, ok = parseClaim(claim); !ok {
			return n, false
		}
	}
	return n, validID(id)
}

// parseClaim reads POOL.K, as it stands in names and in histories.
func parseClaim(s string) (pool string, k uint64, ok bool) {
	dot := strings.LastIndexByte(s, '.')
	if dot < 0 || !validPool(s[:dot]) {
		return "", 0, false
	}
	k, ok = parseUint(s[dot+1:])
	return s[:dot], k, ok
}

// parseUint reads decimal digits without leading zeros.
func parseUint(s string) (v uint64, ok bool) {
	if s == "" || len(s) > 19 || (s[0] == '0' && len(s) > 1) {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		v = v*10 + uint64(s[i]-'0')
	}
	return v, true
}

// validPool reports whether s can be a pool's name, HOST-PID-RAND.
func validPool(s string) bool {
	if s == "" {
		return false
	}
	dashes := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '-':
			dashes++
		case !alnum(c) && c != '.':
			return false
		}
	}
	return dashes >= 2
}

func alnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func idByte(c byte) bool { return alnum(c) || c == '.' || c == '_' || c == '-' }

// validID reports whether s can be an id on disk, where derived ids hold "~".
func validID(s string) bool {
	if s == "" || len(s) > maxID || !alnum(s[0]) {
		return false
	}
	for i := range len(s) {
		if !idByte(s[i]) && s[i] != '~' {
			return false
		}
	}
	return true
}

// validUserID says what is wrong with an id that a user chose.
func validUserID(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("must not be empty")
	case len(s) > maxUserID:
		return fmt.Errorf("is %d bytes long, the limit is %d", len(s), maxUserID)
	case !alnum(s[0]):
		r, _ := utf8.DecodeRuneInString(s)
		return fmt.Errorf("must begin with a letter or digit, not %q", r)
	}
	for i, r := range s {
		if r == '~' {
			return fmt.Errorf("must not hold \"~\", which is kept for ids that queuectl derives")
		}
		if r >= utf8.RuneSelf || !idByte(s[i]) {
			return fmt.Errorf("must not hold %q, only letters, digits, \".\", \"_\" and \"-\"", r)
		}
	}
	return nil
}

// idLen is the length of a generated id: 60 bits of lower-case base32.
const idLen = 12

// generatedID reports whether an id has the form of a generated one.
func generatedID(s string) bool {
	if len(s) != idLen {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

// idFromFileName makes an id of a dropped file's name: what is in the id
// alphabet, at most 100 bytes, so that a random ending still fits. Of a name in
// our form, as a refused file has it, that is the id without such an ending. It
// may be empty.
func idFromFileName(name string) string {
	if n, ok := ParseName(name); ok {
		name, _, _ = strings.Cut(n.ID, "~")
	}
	name = strings.TrimSuffix(name, ".json")
	b := make([]byte, 0, len(name))
	for i := range len(name) {
		if c := name[i]; idByte(c) && (len(b) > 0 || alnum(c)) {
			b = append(b, c)
		}
	}
	return string(b[:min(len(b), 100)])
}

// ignored reports names that count nowhere: those of editors and rsync.
func ignored(name string) bool {
	return name == "" || name[0] == '.' || !strings.HasSuffix(name, ".json")
}

// idHash is the sub-directory of an id: the low byte of its CRC-32 in hex.
func idHash(id string) string {
	const hex = "0123456789abcdef"
	c := idSum(id)
	return string([]byte{hex[c>>4], hex[c&15]})
}

func idSum(id string) byte { return ^byte(crcOf(id)) }

// crcOf is the CRC-32 of a short text, not inverted yet. crc32.Update would have
// it copied to the heap.
func crcOf(s string) uint32 {
	crc := ^uint32(0)
	for i := range len(s) {
		crc = crcStep(crc, s[i])
	}
	return crc
}

func crcStep(crc uint32, b byte) uint32 { return crc32.IEEETable[byte(crc)^b] ^ crc>>8 }

func idPath(id string) string  { return "ids/" + idHash(id) + "/" + id + ".json" }
func logPath(id string) string { return "logs/" + idHash(id) + "/" + id + ".log" }

// appendTime writes "20261123T180000.123456Z".
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	y, mo, d := t.Date()
	h, mi, s := t.Clock()
	b = digits(b, y, 4)
	b = digits(b, int(mo), 2)
	b = digits(b, d, 2)
	b = append(b, 'T')
	b = digits(b, h, 2)
	b = digits(b, mi, 2)
	b = digits(b, s, 2)
	b = append(b, '.')
	b = digits(b, t.Nanosecond()/1000, 6)
	return append(b, 'Z')
}

func digits(b []byte, v, n int) []byte {
	b = append(b, "000000"[:n]...)
	for i := len(b) - 1; i >= len(b)-n; i-- {
		b[i] = byte('0' + v%10)
		v /= 10
	}
	return b
}

// parseTime reads what appendTime writes, and nothing else.
func parseTime(s string) (time.Time, bool) {
	if len(s) != timeLen || s[8] != 'T' || s[15] != '.' || s[22] != 'Z' {
		return time.Time{}, false
	}
	ok := true
	num := func(from, to int) (v int) {
		for _, c := range []byte(s[from:to]) {
			ok = ok && c >= '0' && c <= '9'
			v = v*10 + int(c-'0')
		}
		return v
	}
	y, mo, d := num(0, 4), num(4, 6), num(6, 8)
	h, mi, sec, us := num(9, 11), num(11, 13), num(13, 15), num(16, 22)
	if !ok || y < 1 || mo < 1 || mo > 12 || d < 1 || h > 23 || mi > 59 || sec > 59 {
		return time.Time{}, false
	}
	t := time.Date(y, time.Month(mo), d, h, mi, sec, us*1000, time.UTC)
	return t, t.Day() == d
}

// stampLayout is how times stand inside job files: RFC 3339 in UTC with six
// decimals.
const stampLayout = "2006-01-02T15:04:05.000000Z"

func stamp(t time.Time) string { return t.UTC().Format(stampLayout) }

// A Stamp is a time in a job's file.
type Stamp struct{ time.Time }

// MarshalJSON writes RFC 3339 with six decimals.
func (t Stamp) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, len(stampLayout)+2)
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, stampLayout)
	return append(b, '"'), nil
}

// IsZero lets omitzero leave out a time that is not set.
func (t Stamp) IsZero() bool { return t.Time.IsZero() }

// stamp is the present as it is written into job files.
func (s *Spool) stamp() Stamp { return Stamp{s.sys.now()} }
