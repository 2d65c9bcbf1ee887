package spool

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"strings"
)

// accounts is the value of a setting that names users or groups.
type accounts struct {
	text string
	ids  []uint32
}

// accountKind reads names and numbers, separated by commas; a name must be
// known, a number need not be.
func accountKind(what string, most int, lookup func(string) (string, error)) valueKind {
	parse := func(text string) (any, error) {
		a := accounts{text: text}
		for name := range strings.SplitSeq(text, ",") {
			if name = strings.TrimSpace(name); name == "" {
				continue
			}
			id, err := strconv.ParseUint(name, 10, 32)
			if err != nil {
				number, lookupErr := lookup(name)
				if lookupErr != nil {
					return nil, fmt.Errorf("names no %s that is known here: %q", what, name)
				}
				if id, err = strconv.ParseUint(number, 10, 32); err != nil {
					return nil, err
				}
			}
			a.ids = append(a.ids, uint32(id))
		}
		if len(a.ids) > most {
			return nil, errors.New("names more than one " + what)
		}
		return a, nil
	}
	return valueKind{name: what, parse: parse, format: func(v any) string { return v.(accounts).text }}
}

func groupNumber(name string) (string, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return "", err
	}
	return g.Gid, nil
}

func userNumber(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

// firstID is the number of the only account, -1 where none is named.
func firstID(v any) int64 {
	if a := v.(accounts); len(a.ids) > 0 {
		return int64(a.ids[0])
	}
	return -1
}
