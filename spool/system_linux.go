package spool

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func pidNamespace() string {
	s, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return s
}

// procStat reads the state, process group and start time (clock ticks after
// boot) of a process from /proc/PID/stat, fields 3, 5 and 22 of proc(5).
func procStat(pid string) (state byte, pgrp int, start uint64, ok bool) {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
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

func groupAlive(pid int, start uint64) bool {
	if pid <= 1 || errors.Is(unix.Kill(-pid, 0), unix.ESRCH) {
		return false
	}
	if _, _, s, ok := procStat(strconv.Itoa(pid)); ok && start != 0 && s != start {
		return false
	}
	d, err := os.Open("/proc")
	if err != nil {
		return true
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return true
	}
	for _, n := range names {
		if n[0] < '0' || n[0] > '9' {
			continue
		}
		state, pgrp, _, ok := procStat(n)
		if ok && pgrp == pid && state != 'Z' && state != 'X' {
			return true
		}
	}
	return false
}
