package spool

import (
	"errors"
	"path"
	"strings"
)

// defaultDeny are the names under which secrets usually stand in an
// environment. What a job needs of them is named in its own env, or set free
// by another list.
const defaultDeny = "*_TOKEN,*SECRET*,*PASSWORD*,*PASSWD*,*PASSPHRASE*,*_API_KEY,*ACCESS_KEY*,*PRIVATE_KEY*,*CREDENTIALS*"

// patterns is the value of a setting that lists names of variables.
type patterns struct {
	text string
	list []string
}

var patternsKind = valueKind{
	name: "patterns",
	parse: func(text string) (any, error) {
		p := patterns{text: text}
		for name := range strings.SplitSeq(text, ",") {
			if name = strings.ToUpper(strings.TrimSpace(name)); name == "" {
				continue
			}
			if _, err := path.Match(name, ""); err != nil || strings.ContainsAny(name, "=/ \t\r\n") {
				return nil, errors.New("holds a pattern that no name of a variable can match")
			}
			p.list = append(p.list, name)
		}
		return p, nil
	},
	format: func(v any) string { return v.(patterns).text },
}

// DeniesEnv reports whether a variable of the pool's own environment is kept
// from its commands. Case does not matter.
func (c *Config) DeniesEnv(name string) bool {
	name = strings.ReplaceAll(strings.ToUpper(name), "/", "_") // which * does not match
	for _, p := range c.EnvDeny {
		if ok, _ := path.Match(p, name); ok {
			return true
		}
	}
	return false
}
