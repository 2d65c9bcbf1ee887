package spool

import "queuectl/spool/internal/fsys"

// trust tells what of the spool others could have written, and by which
// setting it is allowed where it is.
func (c *checker) trust() {
	s := c.s
	if s.way != nil {
		if err := s.way(); err != nil {
			c.add(invTrust, ".", "", "%v", err)
		}
	}
	nobody, cfg := defaults, s.cfg()
	for _, p := range []string{".", configFile} {
		if info, err := s.fs.Lstat(p); err == nil {
			c.trustOne(p, "", info, &nobody)
		}
	}
	for p, info := range s.ownDirs(true) {
		c.trustOne(p, "", info, &cfg)
	}
}

func (c *checker) trustOne(p, id string, info fsys.Info, cfg *Config) {
	s := c.s
	if why := s.distrust(p, info, cfg); why != "" {
		c.add(invTrust, p, id, "%s: others could run commands as the worker; %s", why, s.wayOut(p, info))
		return
	}
	if why := s.allowed(p, info, cfg); why != "" {
		c.note(invTrust, p, id, "%s", why)
	}
}

// trustFile looks at a job's file.
func (c *checker) trustFile(p string, n Name) {
	info, err := c.s.fs.Lstat(p)
	if err != nil || !info.Mode.IsRegular() {
		return
	}
	cfg := c.s.cfg()
	c.trustOne(p, n.ID, info, &cfg)
}

// waiting tells of a drop whether it will be adopted.
func (c *checker) waiting(p string) {
	info, err := c.s.fs.Lstat(p)
	if err != nil {
		return
	}
	switch {
	case info.Mode.IsDir():
		c.note(invNames, p, "", "is a directory, and left where it is")
		return
	case info.Mode.IsRegular():
		if err := c.s.trustDrop(p, info); err != nil {
			c.add(invTrust, p, "", "is left where it is: %v", err)
			return
		}
	}
	c.note(invNames, p, "", "waits to be adopted as a job")
}
