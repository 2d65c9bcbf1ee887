//go:build !windows

package main

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"queuectl/spool"
)

func TestSplit(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     []string
		lines    []int
	}{
		{"lines", "{\"a\":1}\n{\"b\":2}\n", []string{`{"a":1}`, `{"b":2}`}, []int{1, 2}},
		{"no newline at the end", `{"a":1}`, []string{`{"a":1}`}, []int{1}},
		{"concatenated", `{"a":1}{"b":2}`, []string{`{"a":1}`, `{"b":2}`}, []int{1, 1}},
		{"pretty", "\n{\n  \"a\": 1\n}\n\n{ }\n", []string{"{\n  \"a\": 1\n}", "{ }"}, []int{2, 6}},
		{"CRLF", "{\"a\":1}\r\n{\"b\":2}\r\n", []string{`{"a":1}`, `{"b":2}`}, []int{1, 2}},
		{"BOM", "\xef\xbb\xbf{\"a\":1}\n{\"b\":2}", []string{`{"a":1}`, `{"b":2}`}, []int{1, 2}},
		{"bytes stay", "{\"a\": 1.0e2 ,\"a\":\"\xff\\u00e9\"}", []string{"{\"a\": 1.0e2 ,\"a\":\"\xff\\u00e9\"}"}, []int{1}},
		{"no objects", "[1] 2\n\"x\"", []string{"[1]", "2", `"x"`}, []int{1, 1, 2}},
		{"blank", " \n\t\r\n", nil, nil},
		{"empty", "", nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			values, starts, err := split([]byte(tc.in))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			var lines []int
			for i, v := range values {
				got = append(got, string(v))
				lines = append(lines, lineAt([]byte(tc.in), starts[i]))
				if !bytes.HasPrefix([]byte(tc.in)[starts[i]:], v) {
					t.Errorf("value %d does not begin at byte %d", i, starts[i])
				}
			}
			if !slices.Equal(got, tc.want) || !slices.Equal(lines, tc.lines) {
				t.Errorf("got %q in lines %v, want %q in lines %v", got, lines, tc.want, tc.lines)
			}
		})
	}
}

func TestSplitErrors(t *testing.T) {
	for in, want := range map[string]string{
		"{\"a\":1}\n{\"b\":2":           "line 2: the job is not a whole JSON object",
		"{\"a\":1}\nhello\n":            "line 2: the job is not valid JSON",
		"{\"a\":1}\n\n{\"b\"\n{}\n":     "line 3: the job is not valid JSON: invalid character '{' after object key (in line 4)",
		"{\"a\":1}\n}":                  "line 2: the job is not valid JSON",
		strings.Repeat("[", 20_000):     "line 1: the job is not valid JSON",
		"{}\n{}\n" + "{\"a\":\"\x01\"}": "line 3: the job is not valid JSON",
	} {
		_, _, err := split([]byte(in))
		if err == nil || !errors.Is(err, spool.ErrInvalid) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("split(%.30q) says %v, want %s", in, err, want)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte("{\"a\":1}\n{\"b\":2}"))
	f.Add([]byte("\xef\xbb\xbf {} [] 1 \"\xff\""))
	f.Fuzz(func(t *testing.T, data []byte) {
		values, starts, err := split(data)
		if err != nil {
			return
		}
		end := 0
		for i, v := range values {
			gap := data[end:starts[i]]
			if len(bytes.Trim(gap, " \t\r\n\xef\xbb\xbf")) > 0 {
				t.Fatalf("%q was lost before value %d", gap, i)
			}
			if !bytes.HasPrefix(data[starts[i]:], v) {
				t.Fatalf("value %d was changed: %q", i, v)
			}
			end = starts[i] + len(v)
		}
		if rest := bytes.Trim(data[end:], " \t\r\n\xef\xbb\xbf"); len(rest) > 0 {
			t.Fatalf("%q was lost at the end", rest)
		}
	})
}
