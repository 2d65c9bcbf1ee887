package runner

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"queuectl/spool"
)

// ours are the variables that tell a command about its job. They win over all
// others.
const (
	envFile       = "QUEUECTL_JOB_FILE"    // path of the job's JSON; it never moves
	envID         = "QUEUECTL_JOB_ID"      //
	envAttempt    = "QUEUECTL_ATTEMPT"     // 1 for the first
	envMaxRetries = "QUEUECTL_MAX_RETRIES" //
	envSpool      = "QUEUECTL_SPOOL"       // the directory
)

var ours = []string{envFile, envID, envAttempt, envMaxRetries, envSpool}

// cleanEnviron is an environment with each name once, the last one of several
// as in os/exec, and without our own.
func cleanEnviron(environ []string) []string {
	seen := make(map[string]bool, len(environ))
	for _, name := range ours {
		seen[name] = true
	}
	clean := make([]string, 0, len(environ))
	for _, kv := range slices.Backward(environ) {
		name, _, ok := strings.Cut(kv, "=")
		if !ok || name == "" || seen[name] {
			continue
		}
		seen[name] = true
		clean = append(clean, kv)
	}
	slices.Reverse(clean)
	return clean
}

// given is the part of the pool's environment that its commands get. It is made
// anew where the configuration has changed.
func (p *Pool) given() []string {
	passed, kept := p.pass()
	if len(kept) > 0 {
		p.o.Logger.Info("kept from jobs by config env_deny", "names", strings.Join(kept, " "))
	}
	return passed
}

// pass is given, and, where it was made anew, the names that are kept from jobs.
func (p *Pool) pass() (passed, kept []string) {
	c, _ := p.q.Config() // status tells of errors in it
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.passed != nil && slices.Equal(p.denied, c.EnvDeny) {
		return p.passed, nil
	}
	p.denied, p.passed = c.EnvDeny, make([]string, 0, len(p.env))
	for _, kv := range p.env {
		if name, _, _ := strings.Cut(kv, "="); c.DeniesEnv(name) {
			kept = append(kept, name)
		} else {
			p.passed = append(p.passed, kv)
		}
	}
	return p.passed, kept
}

// environ is the environment of a command: a base, over it the job's, and over
// that our own.
func (p *Pool) environ(base []string, c *spool.Claim) []string {
	env := make([]string, 0, len(base)+len(c.Job.Env)+1+len(ours))
	_, pwd := c.Job.Env["PWD"]
	pwd = !pwd && c.Job.Cwd != ""
	if len(c.Job.Env) == 0 && !pwd {
		env = append(env, base...)
	} else {
		for _, kv := range base {
			name, _, _ := strings.Cut(kv, "=")
			if _, over := c.Job.Env[name]; !over && !(pwd && name == "PWD") {
				env = append(env, kv)
			}
		}
	}
	if pwd {
		env = append(env, "PWD="+c.Job.Cwd)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Job.Env)) {
		if !slices.Contains(ours, name) {
			env = append(env, name+"="+c.Job.Env[name])
		}
	}
	return append(env,
		envFile+"="+c.JobFile(),
		envID+"="+c.ID,
		envAttempt+"="+strconv.Itoa(c.Attempt),
		envMaxRetries+"="+strconv.Itoa(c.MaxRetries),
		envSpool+"="+p.q.Dir())
}

// lookup finds a variable.
func lookup(env []string, name string) string {
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// null is /dev/null, open once for all commands.
func (p *Pool) null() (*os.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.devNull == nil {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return nil, err
		}
		p.devNull = f
	}
	return p.devNull, nil
}

func (p *Pool) closeNull() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.devNull != nil {
		_ = p.devNull.Close()
	}
}
