//go:build !windows

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"queuectl/spool"
)

// split takes a stream of JSON values apart: one per line, pretty-printed, or
// one right after the other. The bytes of each are left as they are; starts
// says where in data each begins. Whether a value makes a job is not decided
// here.
func split(data []byte) (values [][]byte, starts []int, err error) {
	data, skipped := bytes.CutPrefix(data, []byte("\xef\xbb\xbf"))
	base := 0
	if skipped {
		base = 3
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	for {
		var raw json.RawMessage
		begin := begin(data, int(dec.InputOffset()))
		err := dec.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return values, starts, nil
		}
		if err != nil {
			return nil, nil, badStream(data, begin, err)
		}
		values = append(values, raw)
		starts = append(starts, base+int(dec.InputOffset())-len(raw))
	}
}

// begin is where the next value starts.
func begin(data []byte, from int) int {
	return len(data) - len(bytes.TrimLeft(data[from:], " \t\r\n"))
}

// badStream says in which line a value begins that is not JSON, and where it
// breaks off.
func badStream(data []byte, begin int, err error) error {
	what, line := "is not valid JSON", lineAt(data, begin)
	var syn *json.SyntaxError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		what = "is not a whole JSON object: the input ends too early"
	case errors.As(err, &syn):
		what += ": " + syn.Error()
		if at := lineAt(data, max(int(syn.Offset)-1, begin)); at != line {
			what += fmt.Sprintf(" (in line %d)", at)
		}
	}
	return fmt.Errorf("line %d: %w", line, jobIs(&spool.InvalidError{Reason: what}))
}

func lineAt(data []byte, at int) int {
	return bytes.Count(data[:min(at, len(data))], []byte("\n")) + 1
}
