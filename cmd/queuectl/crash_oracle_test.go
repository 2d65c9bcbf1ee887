//go:build linux

package main

import (
	"regexp"
	"slices"
	"strings"
)

// acknowledged reports whether the command has promised.
func (c *crashed) acknowledged() bool { return !c.killed && c.status == exitDone }

// takeOver lets a clean pool recover and run all there is. That "check" is
// clean then is demanded by the end of the bench.
func (c *crashed) takeOver() {
	c.Helper()
	c.sh(`queuectl --spool . worker start --drain`)
}

var crashWords = regexp.MustCompile(`panic:|fatal error:|goroutine \d|runtime:|\.go:\d`)

// said demands that a command which failed has said why.
func (c *crashed) said() {
	c.Helper()
	if c.killed || c.foreign() {
		return
	}
	if crashWords.MatchString(c.stderr) {
		c.Errorf("it has crashed")
	}
	if c.what == "EINTR" && c.status != exitDone {
		c.Errorf("it gave up for an interrupted call")
	}
	if c.status == exitDone || c.mute() {
		return
	}
	lines := strings.Split(strings.TrimSpace(c.stderr), "\n")
	last := lines[len(lines)-1]
	if !strings.Contains(last, errnos[c.what]) {
		c.Errorf("it does not say %q", errnos[c.what])
	}
}

// foreign: the call was one of the Go runtime's own, by which it is woken.
func (c *crashed) foreign() bool {
	return slices.ContainsFunc(c.where, func(s string) bool { return strings.Contains(s, "anon_inode:[event") })
}

// mute: what failed is the message itself.
func (c *crashed) mute() bool {
	return c.call == "write" && slices.ContainsFunc(c.where, func(s string) bool { return strings.HasPrefix(s, "2<") })
}

// missing reports whether there is no such job.
func (c *crashed) missing(id string) bool { return c.find(id) == "" }

// absent demands that nothing is left of a job, nor was done by it.
func (c *crashed) absent(id string) {
	c.Helper()
	if p := c.find(id); p != "" {
		c.Errorf("%s is %s", id, p)
	}
	if left := c.sh(`find ids logs tmp -name '*` + id + `*'`); left != "" {
		c.Errorf("of %s is left: %s", id, left)
	}
	if n := c.ran(id); n != 0 {
		c.Errorf("%s had %d effects", id, n)
	}
}

// ran is how often a job has had its effect.
func (c *crashed) ran(id string) (n int) {
	for _, e := range c.effects() {
		if e == id {
			n++
		}
	}
	return n
}

// once demands that a job is completed, and that its success was the only one.
// Only after a kill it may have had its effect before, in attempts of which
// the dead could not say how they ended.
func (c *crashed) once(id string) {
	c.Helper()
	if p := c.find(id); !strings.HasPrefix(p, "completed/") {
		c.Errorf("%s is %q", id, p)
		return
	}
	out := strings.Fields(c.outcomes(id))
	if len(out) == 0 || slices.Index(out, "succeeded") != len(out)-1 {
		c.Errorf("%s: attempts %q", id, out)
	}
	if n := c.ran(id); n < 1 || n > len(out) || !c.killed && len(out) > 1 {
		c.Errorf("%s: %d effects of attempts %q", id, n, out)
	}
}
