package runner

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"syscall"

	"queuectl/spool"
)

// cronPath is the search path that cron gives to what it runs.
const cronPath = "/usr/bin:/bin"

// An account is a user as whom a job runs.
type account struct {
	name, home string
	uid, gid   uint32
	groups     []uint32
}

// accountOf looks a user up, each time anew: who has left a group has left it
// for the next job.
func accountOf(uid uint32) (*account, error) {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return nil, fmt.Errorf("cannot run as user %d: %w", uid, err)
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("the groups of user %s cannot be told: %w", u.Username, err)
	}
	a := &account{name: u.Username, home: u.HomeDir, uid: uid}
	if a.gid, err = number(u.Gid); err != nil {
		return nil, err
	}
	for _, id := range ids {
		gid, err := number(id)
		if err != nil {
			return nil, err
		}
		a.groups = append(a.groups, gid)
	}
	return a, nil
}

func number(id string) (uint32, error) {
	n, err := strconv.ParseUint(id, 10, 32)
	return uint32(n), err
}

// environ is what cron gives to the jobs of this user: nothing of our own.
func (a *account) environ() []string {
	return []string{"HOME=" + a.home, "LOGNAME=" + a.name, "USER=" + a.name, "SHELL=/bin/sh", "PATH=" + cronPath}
}

// launchAs is launch for a job that runs as its owner. Nothing that the job
// names is looked at by us: what root can see is not its user's affair. So the
// shell finds the program, and the directory is entered, as that user.
func (p *Pool) launchAs(c *spool.Claim) (*launch, error) {
	a, err := accountOf(c.Owner)
	if err != nil {
		return nil, err
	}
	if a.uid == 0 { // for certain
		return nil, errors.New("no job runs as root where config run_as is owner")
	}
	l := &launch{
		program: "/bin/sh", argv: shell(c.Job.Command), dir: c.Job.Cwd,
		env: p.environ(a.environ(), c), as: a.name,
		sys: syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: a.uid, Gid: a.gid, Groups: a.groups}},
	}
	if l.dir == "" {
		l.dir = a.home
	}
	if len(c.Job.Argv) > 0 {
		l.argv = append([]string{"sh", "-c", `exec "$@"`, "sh"}, c.Job.Argv...)
	}
	return l, nil
}
