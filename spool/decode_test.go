package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

const testMax = 4096

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct{ data, member, reason string }{
		{`{"command":1}`, "command", "must be a string, not a number"},
		{`{"command":null}`, "command", "must be a string, not null"},
		{`{"command":["a"]}`, "command", "not an array"},
		{`{"command":{}}`, "command", "not an object"},
		{`{"command":true}`, "command", "not true or false"},
		{`{"command":""}`, "command", "must not be empty"},
		{`{"command":"a\u0000b"}`, "command", "NUL"},
		{`{"kind":""}`, "kind", "must not be empty"},
		{`{"kind":7}`, "kind", "must be a string"},
		{`{"argv":"ls"}`, "argv", "must be an array of strings, not a string"},
		{`{"argv":[]}`, "argv", "must not be empty"},
		{`{"argv":[""]}`, "argv", "[0], the program, must not be empty"},
		{`{"argv":["ls",1]}`, "argv", "[1] must be a string, not a number"},
		{`{"argv":["ls","a\u0000"]}`, "argv", "[1] must not hold a NUL"},
		{`{"command":"a","id":1}`, "id", "must be a string"},
		{`{"command":"a","id":""}`, "id", "must not be empty"},
		{`{"command":"a","max_retries":"3"}`, "max_retries", "must be a whole number, not a string"},
		{`{"command":"a","max_retries":-1}`, "max_retries", "from 0 to 1000000"},
		{`{"command":"a","max_retries":1.5}`, "max_retries", "from 0 to 1000000"},
		{`{"command":"a","max_retries":1e3}`, "max_retries", "from 0 to 1000000"},
		{`{"command":"a","max_retries":1000001}`, "max_retries", "from 0 to 1000000"},
		{`{"command":"a","max_retries":99999999999999999999}`, "max_retries", "from 0 to 1000000"},
		{`{"command":"a","max_retries":null}`, "max_retries", "not null"},
		{`{"command":"a","priority":10}`, "priority", "from 0 to 9"},
		{`{"command":"a","priority":"5"}`, "priority", "not a string"},
		{`{"command":"a","run_at":"tomorrow"}`, "run_at", "RFC 3339"},
		{`{"command":"a","run_at":"2026-11-23 18:00:00"}`, "run_at", "RFC 3339"},
		{`{"command":"a","run_at":1700000000}`, "run_at", "must be a string"},
		{`{"command":"a","run_at":"0001-01-01T00:00:00Z"}`, "run_at", "RFC 3339"},
		{`{"command":"a","run_at":"9999-12-31T23:59:59-01:00"}`, "run_at", "RFC 3339"},
		{`{"command":"a","delay":90}`, "delay", `such as "90s", not a number`},
		{`{"command":"a","delay":"-1s"}`, "delay", "duration"},
		{`{"command":"a","delay":"90"}`, "delay", "duration"},
		{`{"command":"a","delay":"101y"}`, "delay", "duration"},
		{`{"command":"a","delay":"36501d"}`, "delay", "100 years"},
		{`{"command":"a","timeout":"soon"}`, "timeout", "duration"},
		{`{"command":"a","timeout":10}`, "timeout", "not a number"},
		{`{"command":"a","created_at":"x"}`, "created_at", "RFC 3339"},
		{`{"command":"a","cwd":"here"}`, "cwd", `absolute path, not "here"`},
		{`{"command":"a","cwd":""}`, "cwd", "must not be empty"},
		{`{"command":"a","cwd":"/a\u0000"}`, "cwd", "NUL"},
		{`{"command":"a","env":[]}`, "env", "must be an object of strings, not an array"},
		{`{"command":"a","env":{"A":1}}`, "env", `"A" must be a string, not a number`},
		{`{"command":"a","env":{"A=B":"1"}}`, "env", "can be no variable's name"},
		{`{"command":"a","env":{"":"1"}}`, "env", "can be no variable's name"},
		{`{"command":"a","env":{"A\u0000":"1"}}`, "env", "can be no variable's name"},
		{`{"command":"a","env":{"A":"1\u0000"}}`, "env", `"A" must not hold a NUL`},

		{`{"Command":"a"}`, "Command", `did you mean "command"?`},
		{`{"command":"a","maxRetries":3}`, "maxRetries", `did you mean "max_retries"?`},
		{`{"command":"a","max-retries":3}`, "max-retries", `did you mean "max_retries"?`},
		{`{"command":"a","ID":"x"}`, "ID", `did you mean "id"?`},
		{`{"command":"a","runAt":"x"}`, "runAt", `did you mean "run_at"?`},
		{`{"command":"a","History":[]}`, "History", `did you mean "history"?`},
		{`{"ARGV":["a"]}`, "ARGV", `did you mean "argv"?`},

		{`{}`, "command", "is missing"},
		{`{"id":"x"}`, "command", "is missing"},
		{`{"command":"a","argv":["b"]}`, "argv", `does not go with "command"`},
		{`{"kind":"a","command":"b"}`, "kind", `does not go with "command"`},
		{`{"kind":"a","argv":["b"]}`, "kind", `does not go with "argv"`},
		{`{"command":"a","args":{}}`, "args", `goes with "kind" only`},
		{`{"argv":["a"],"args":null}`, "args", `goes with "kind" only`},
		{`{"command":"a","run_at":"2026-11-23T18:00:00Z","delay":"1s"}`, "delay", `does not go with "run_at"`},

		{`{"command":"a","command":"b"}`, "command", "stands twice"},
		{`{"command":"a","id":"x","id":"y"}`, "id", "stands twice"},
		{`{"command":"a","\u0069d":"x","id":"y"}`, "id", "stands twice"},
		{`{"command":"a","other":1,"other":2}`, "other", "stands twice"},
		{`{"command":"a","env":{"A":"1","A":"2"}}`, "A", "stands twice"},
		{`{"kind":"a","args":{"x":{"deep":1,"deep":2}}}`, "deep", "stands twice"},
		{"{\"command\":\"caf\xe9\"}", "command", "not UTF-8"},
		{"{\"command\":\"a\",\"argv\":[\"\xff\"]}", "", "not UTF-8"},
		{"{\"command\":\"a\",\"note\":\"\xc0\x80\"}", "note", "not UTF-8"},
		{`{"command":"\ud800"}`, "", "not valid JSON"},
		{"{\"command\":\"a\x00\"}", "", "not valid JSON"},

		{``, "", "ends too early"},
		{` `, "", "ends too early"},
		{`{"command":"a"`, "", "ends too early"},
		{`[{"command":"a"}]`, "", "is not a JSON object"},
		{`"command"`, "", "is not a JSON object"},
		{`null`, "", "is not a JSON object"},
		{`{"command":"a"}{"command":"b"}`, "", "something after its JSON object (at byte 16)"},
		{`{"command":"a"} x`, "", "something after its JSON object (at byte 17)"},
		{"{\"command\":\"a\"}\x00", "", "something after its JSON object"},
		{`{"command":"a",}`, "", "not valid JSON"},
		{`{command:"a"}`, "", "not valid JSON"},
		{`{'command':'a'}`, "", "not valid JSON"},
		{`{"command":"a" /* note */}`, "", "not valid JSON"},
		{"\xef\xbb\xbf\xef\xbb\xbf" + `{"command":"a"}`, "", "not"},
		{`{"command":"` + strings.Repeat("x", testMax) + `"}`, "", "the limit is 4096 (config max_job_size)"},
		{`{"command":"a"}` + strings.Repeat(" ", testMax), "", "the limit is 4096"},
		{`{"command":"a","x":` + strings.Repeat("[", testMax/2-10) + strings.Repeat("]", testMax/2-10) + `}`, "", ""},

		{`{"command":"a","history":null}`, "history", "not one that queuectl wrote"},
		{`{"command":"a","history":[]}`, "history", "not one that queuectl wrote"},
		{`{"command":"a","history":"x"}`, "history", "not one that queuectl wrote"},
		{`{"command":"a","history":[1]}`, "history", "not one that queuectl wrote"},
		{`{"command":"a","history":[{}]}`, "history", "not one that queuectl wrote"},
		{`{"command":"a","history":[{"event":"enqueued"}]}`, "history", "not one that queuectl wrote"}, // no life
		{`{"command":"a","history":[{"event":"enqueued","life":"x","attempt":-1}]}`, "history", "not one that queuectl wrote"},
		{`{"command":"a","history":[{"event":"enqueued","life":"x","to":"../../etc/passwd"}]}`, "history", "not one that queuectl wrote"},
		{`{"command":"a","history":[{"event":"enqueued","life":"x","to":"ids/20261123T180000.123456Z-5-x.json"}]}`, "history", "not one that queuectl wrote"},
		{`{"command":"a","history":[{"event":"enqueued","life":"x","to":"pending/../dead/20261123T180000.123456Z-5-x.json"}]}`, "history", "not one that queuectl wrote"},
	} {
		if len(c.data) > testMax && c.reason == "" {
			continue
		}
		d, err := decodeJob([]byte(c.data), testMax)
		name := c.data[:min(len(c.data), 80)]
		var invalid *InvalidError
		if c.reason == "" {
			continue // deep nesting: no crash is all we ask
		}
		if !errors.As(err, &invalid) || !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: taken as %+v, %v", name, d, err)
			continue
		}
		if invalid.Member != c.member && c.member != "" {
			t.Errorf("%q: blames member %q, want %q (%v)", name, invalid.Member, c.member, err)
		}
		if !strings.Contains(invalid.Reason, c.reason) {
			t.Errorf("%q: %q, want %q", name, invalid.Reason, c.reason)
		}
		if errors.Is(err, errIncomplete) != strings.Contains(c.reason, "ends too early") {
			t.Errorf("%q: incomplete is %v", name, errors.Is(err, errIncomplete))
		}
	}
}

func TestDecodeTakes(t *testing.T) {
	three, nine := 3, 9
	at := time.Date(2026, 11, 23, 18, 0, 0, 5e8, time.UTC)
	for data, want := range map[string]Job{
		`{"command":"a"}`:                                                     {Command: "a"},
		"\xef\xbb\xbf{\"command\":\"a\"}":                                     {Command: "a"},
		"{\r\n\t\"command\": \"a\"\r\n}\r\n\r\n":                              {Command: "a"},
		`{"argv":["ls","","-l"]}`:                                             {Argv: []string{"ls", "", "-l"}},
		`{"kind":"mail","args":{"to": [1]}}`:                                  {Kind: "mail", Args: json.RawMessage(`{"to": [1]}`)},
		`{"kind":"mail","args":null}`:                                         {Kind: "mail", Args: json.RawMessage(`null`)},
		`{"command":"a\nb\t\u00fc\u20ac<>&"}`:                                 {Command: "a\nb\t\u00fc\u20ac<>&"},
		`{"command":"a","id":"job-A","max_retries":3,"priority":9}`:           {Command: "a", ID: "job-A", MaxRetries: &three, Priority: &nine},
		`{"command":"a","run_at":"2026-11-23t18:00:00.5z"}`:                   {Command: "a", RunAt: at},
		`{"command":"a","timeout":"0"}`:                                       {Command: "a", Timeout: NoTimeout},
		`{"command":"a","run_at":"2026-11-23T18:00:00.5Z","timeout":"1h30m"}`: {Command: "a", RunAt: at, Timeout: 90 * time.Minute},
		`{"command":"a","delay":"7d","cwd":"/tmp","env":{"A":"=","B":""}}`:    {Command: "a", Delay: 7 * 24 * time.Hour, Cwd: "/tmp", Env: map[string]string{"A": "=", "B": ""}},
		`{"command":"a","unknown":{"COMMAND":1},"x":null}`:                    {Command: "a"},
		`{"command":"a","id":"anything goes/here"}`:                           {Command: "a", ID: "anything goes/here"}, // whoever makes a job of it looks
		`{"\u0063ommand":"a"}`:                                                {Command: "a"},
		`{"command":"{\"history\":[\\n"}`:                                     {Command: `{"history":[\n`},
	} {
		d, err := decodeJob([]byte(data), testMax)
		if err != nil {
			t.Errorf("%q: %v", data, err)
			continue
		}
		if !reflect.DeepEqual(d.Job, want) {
			t.Errorf("%q: %+v; want %+v", data, d.Job, want)
		}
	}
}

// The limit is on what the user wrote, not on the history.
func TestDecodeLimitLeavesOutHistory(t *testing.T) {
	h := []Entry{{Event: EventEnqueued, Life: "x"}}
	for range 100 {
		h = append(h, Entry{Claim: "p.1", Outcome: FailedOutcome})
	}
	file := newFile([]byte(`{"command":"a"`), true, h)
	if _, err := decodeJob(file, 64); err != nil {
		t.Errorf("%d bytes, of which the user wrote few: %v", len(file), err)
	}
	if _, err := decodeJob(newFile([]byte(`{"command":"`+strings.Repeat("a", 64)+`"`), true, h), 64); err == nil {
		t.Error("too much of the user's own is taken")
	}
}

const someHistory = `"history":[{"event":"enqueued","at":"2026-11-23T18:00:00.000000Z","life":"k3x9qa7m2c5d"}]`

// What the user wrote stays byte for byte, wherever a history stands in it.
func TestBaseKeepsTheUsersBytes(t *testing.T) {
	for _, c := range []struct {
		data, base string
		comma      bool
	}{
		{`{"command":"a"}`, `{"command":"a"`, true},
		{"{ \"x\" : 1.50 ,\n \"command\":\"\\u0061\"\n}\n", "{ \"x\" : 1.50 ,\n \"command\":\"\\u0061\"\n", true},
		{`{"command":"a",` + someHistory + `}`, `{"command":"a"`, true},
		{"{\"command\":\"a\" ,\n " + someHistory + " \n}", "{\"command\":\"a\"  \n", true},
		{`{` + someHistory + `,"command":"a"}`, `{"command":"a"`, true},
		{`{ ` + someHistory + ` , "command":"a" }`, `{  "command":"a" `, true},
		{`{"id":"x",` + someHistory + `,"command":"a"}`, `{"id":"x","command":"a"`, true},
		{"{\"id\":\"x\",\n" + someHistory + ",\n\"command\":\"a,\"}", "{\"id\":\"x\",\n\"command\":\"a,\"", true},
	} {
		d, err := decodeJob([]byte(c.data), testMax)
		must(t, err)
		base, comma := d.base()
		if string(base) != c.base || comma != c.comma {
			t.Errorf("%q: base %q, %v; want %q, %v", c.data, base, comma, c.base, c.comma)
		}
		file := newFile(base, comma, []Entry{{Event: EventEnqueued, Life: "y"}})
		again, err := decodeJob(file, testMax)
		if err != nil || !again.appendable() || !reflect.DeepEqual(again.Job, d.Job) {
			t.Errorf("%q becomes %q: %v", c.data, file, err)
		}
	}
}

func TestUnknownMembersReachTheJob(t *testing.T) {
	b := newBench(t)
	const data = `{ "id" : "x", "command":"true",   "tags":["a" ,"b"], "n": 1e0, "Ü":{"b":2,"a":1} }`
	_, err := b.EnqueueJSON(ctx, []byte(data))
	must(t, err)
	if got := b.read(b.path("x")); !strings.HasPrefix(got, strings.TrimSuffix(data, "}")) {
		t.Errorf("the file begins %q", got)
	}
	p := b.pool()
	b.settle(b.claim(p, "x"), Result{Outcome: Succeeded}, Completed)
	if got := b.read(b.path("x")); !strings.HasPrefix(got, strings.TrimSuffix(data, "}")) {
		t.Errorf("the file begins %q", got)
	}
}

func FuzzDecodeJob(f *testing.F) {
	for _, s := range []string{
		`{"command":"a"}`, `{"argv":["a","b"],"env":{"A":"1"},"x":[{}]}`, `{"kind":"k","args":{},` + someHistory + `}`,
		`{` + someHistory + `,"command":"a"}`, "\xef\xbb\xbf{}", `{"command":"a"}{}`, `{"id":"x",` + someHistory + ` , "command":"a"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := decodeJob(data, testMax)
		if err != nil {
			var invalid *InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("error is %T: %v", err, err)
			}
			return
		}
		if !jsontext.Value(d.data).IsValid() {
			t.Fatalf("takes %q, which is no JSON", data)
		}
		base, comma := d.base()
		line := Entry{Event: EventReplaced, Life: "fuzz", To: path.Join(string(Pending), "20261123T180000.123456Z-5-x.json")}
		file := newFile(base, comma, append(d.history, line))
		again, err := decodeJob(file, testMax+1)
		if err != nil {
			t.Fatalf("%q\nbecomes %q: %v", data, file, err)
		}
		if !reflect.DeepEqual(again.Job, d.Job) || !again.appendable() || len(again.history) != len(d.history)+1 {
			t.Fatalf("%q\nbecomes %q: %+v", data, file, again)
		}
		if base2, _ := again.base(); string(base2) != string(base) {
			t.Fatalf("base %q becomes %q", base, base2)
		}
		_ = fmt.Sprint(again.history)
	})
}
