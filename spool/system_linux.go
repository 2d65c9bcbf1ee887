package spool

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"queuectl/spool/internal/fsys"
)

func bootID() string {
	b, _ := insist(func() ([]byte, error) { return os.ReadFile("/proc/sys/kernel/random/boot_id") })
	return strings.TrimSpace(string(b))
}

func pidNamespace() string {
	s, _ := insist(func() (string, error) { return os.Readlink("/proc/self/ns/pid") })
	return s
}

// insist tries again what fails although it is there: without knowing the boot
// one cannot tell whether a dead worker's process lives.
func insist[T any](read func() (T, error)) (v T, err error) {
	for range 3 {
		if v, err = read(); err == nil || notExist(err) {
			break
		}
	}
	return v, err
}

// procStat reads the state, process group and start time (clock ticks after
// boot) of a process from /proc/PID/stat, fields 3, 5 and 22 of proc(5).
func procStat(pid string) (state byte, pgrp int, start uint64, ok bool) {
	var buf [1024]byte // field 22 has ended by then
	b, err := fsys.ReadBrief("/proc/"+pid+"/stat", buf[:])
	if err != nil {
		return 0, 0, 0, false
	}
	// The name in field 2 may hold anything, also parentheses.
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return 0, 0, 0, false
	}
	f := strings.Fields(string(b[i+1:]))
	if len(f) < 20 {
		return 0, 0, 0, false
	}
	pgrp, err1 := strconv.Atoi(f[2])
	start, err2 := strconv.ParseUint(f[19], 10, 64)
	return f[0][0], pgrp, start, err1 == nil && err2 == nil
}

func processStart(pid int) uint64 {
	_, _, start, _ := procStat(strconv.Itoa(pid))
	return start
}

// holder looks for the descriptor first under the number that jobs have it by,
// then under every other one. There, another process of our own program is one
// that tries the lock for a moment, as we do, and not what is looked for.
func holder(file fsys.Info) int {
	self := os.Getpid()
	has := func(pid, fd string) bool {
		var st unix.Stat_t
		return unix.Stat("/proc/"+pid+"/fd/"+fd, &st) == nil && st.Ino == file.Ino && st.Dev == file.Dev
	}
	find := func(match func(pid string) bool) int {
		for _, name := range dirNames("/proc") {
			if pid, err := strconv.Atoi(name); err == nil && pid != self && match(name) {
				return pid
			}
		}
		return 0
	}
	if pid := find(func(pid string) bool { return has(pid, strconv.Itoa(InheritedFD)) }); pid != 0 {
		return pid
	}
	ours, _ := os.Readlink("/proc/self/exe")
	return find(func(pid string) bool {
		if exe, err := os.Readlink("/proc/" + pid + "/exe"); err == nil && exe == ours {
			return false
		}
		return slices.ContainsFunc(dirNames("/proc/"+pid+"/fd"), func(fd string) bool { return has(pid, fd) })
	})
}

func dirNames(dir string) []string {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	return names
}

func groupAlive(pid int, start uint64) bool {
	if pid <= 1 || errors.Is(unix.Kill(-pid, 0), unix.ESRCH) {
		return false
	}
	if _, _, s, ok := procStat(strconv.Itoa(pid)); ok && start != 0 && s != start {
		return false
	}
	groups := everybody.groups()
	if groups == nil {
		return true
	}
	_, lives := groups[pid]
	return lives
}

// A census counts the process groups of the machine. Where many ask at one time
// (a pool that stops has an attempt for each slot), one look at all processes
// answers all who asked before it began: to look for each would take longer than
// they have. No more than half of the time is spent so.
type census struct {
	look  func() map[int]struct{}
	begun atomic.Uint64 // looks

	mu     sync.Mutex
	number uint64 // of the look that living is of
	living map[int]struct{}
	ended  time.Time
	took   time.Duration
}

var everybody = census{look: liveGroups}

// groups are those that have a member that is not a zombie; nil: that cannot be
// told.
func (c *census) groups() map[int]struct{} {
	asked := c.begun.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.number > asked {
		return c.living
	}
	time.Sleep(c.took - time.Since(c.ended))
	c.number = c.begun.Add(1)
	began := time.Now()
	c.living = c.look()
	c.ended = time.Now()
	c.took = c.ended.Sub(began)
	return c.living
}

func liveGroups() map[int]struct{} {
	names := dirNames("/proc")
	if len(names) == 0 {
		return nil
	}
	groups := make(map[int]struct{}, len(names))
	for _, n := range names {
		if n[0] < '0' || n[0] > '9' {
			continue
		}
		if state, pgrp, _, ok := procStat(n); ok && state != 'Z' && state != 'X' {
			groups[pgrp] = struct{}{}
		}
	}
	return groups
}
