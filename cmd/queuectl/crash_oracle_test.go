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
	c.write("well", "") // what ended the first pool is over
	c.drain()
}

var crashWords = regexp.MustCompile(`panic:|fatal error:|goroutine \d|runtime:|\.go:\d`)

// named: a message that tells about something.
var named = regexp.MustCompile(`/spool\b|/dev/std|"A"`)

// said demands that a command which failed has said why, and of what.
func (c *crashed) said() {
	c.Helper()
	if c.killed {
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
	if !strings.Contains(last, errnos[c.what]) || !named.MatchString(last) {
		c.Errorf("it does not say of what %q", errnos[c.what])
	}
}

// foreign: a call was hit that never reaches a file system, on a pipe or on the
// event with which the Go runtime wakes itself. Neither can go on without.
func (c *crashed) foreign() bool {
	return c.what != kill && slices.ContainsFunc(c.where, func(h call) bool { return foreign.MatchString(h.args) })
}

var foreign = regexp.MustCompile(`^\d+<(pipe:|anon_inode:\[)`)

// mute: what failed is the message itself.
func (c *crashed) mute() bool {
	return c.call == "write" && slices.ContainsFunc(c.where, func(h call) bool { return strings.HasPrefix(h.args, "2<") })
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

// attempts are the outcomes of a job's attempts.
func (c *crashed) attempts(id string) []string { return strings.Fields(c.outcomes(id)) }

// once demands that a job is completed, at its first attempt unless a pool
// died.
func (c *crashed) once(id string) {
	c.Helper()
	c.ends(id, "succeeded")
}

// ends demands that a job is completed, by attempts of these outcomes, and that
// it has succeeded only once.
func (c *crashed) ends(id, outcomes string) {
	c.Helper()
	if out := c.attempts(id); !c.childHit() && slices.Index(out, "succeeded") != len(out)-1 {
		c.Errorf("%s: attempts %q", id, out)
	}
	c.came(id, "completed", outcomes)
}

// buried demands that a job is dead, after attempts of these outcomes.
func (c *crashed) buried(id, outcomes string) {
	c.Helper()
	if slices.Contains(c.attempts(id), "succeeded") {
		c.Errorf("%s has succeeded", id)
	}
	c.came(id, "dead", outcomes)
}

// came demands a state; that no attempt has ended in a way that is not the
// job's own, but by the death of its pool; and that each has had its effect
// once, where its pool could see to it.
func (c *crashed) came(id, state, outcomes string) {
	c.Helper()
	out, n := c.attempts(id), c.ran(id)
	if n > len(out) {
		c.Errorf("%s: %d effects of attempts %q", id, n, out)
	}
	if c.childHit() {
		return
	}
	if p := c.find(id); !strings.HasPrefix(p, state+"/") {
		c.Errorf("%s is %q, want %s", id, p, state)
	}
	own, died, least := strings.Fields(outcomes), c.killed || c.status != exitDone, 0
	for _, o := range out {
		switch {
		case o == "interrupted": // given back, maybe before it was started
		case slices.Contains(own, o):
			least++
		case !died || !strings.HasPrefix(o, "worker_"):
			c.Errorf("%s: attempts %q, want %q", id, out, outcomes)
		}
	}
	if n < 1 || !died && n < least {
		c.Errorf("%s: %d effects of attempts %q", id, n, out)
	}
}

// childHit: a child was killed on its way to be a job, which so has failed; or
// it could not get there for a damaged disk.
func (c *crashed) childHit() bool {
	return (c.what == kill || c.what == "EIO") &&
		slices.ContainsFunc(c.where, func(h call) bool { return c.log.child(h.thread) })
}
