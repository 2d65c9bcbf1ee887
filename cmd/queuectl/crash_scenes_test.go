//go:build linux

package main

var crashScenes = []crashScene{
	{
		name:  "enqueue",
		args:  []string{"enqueue", `{"id":"A","command":"echo A >>$D/effects"}`},
		after: func(c *crashed) { c.made("A") },
	},
}

// made: what was acknowledged is there and is run; what was not may be missing.
func (c *crashed) made(ids ...string) {
	if !c.acknowledged() && c.missing(ids[0]) {
		for _, id := range ids {
			c.absent(id)
		}
		return
	}
	for _, id := range ids {
		c.once(id)
	}
}
