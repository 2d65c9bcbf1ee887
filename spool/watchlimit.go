package spool

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// watchError says in words what inotify(7) says with errors that are meant for
// other things: "no space left on device" is the limit of watches, and "too
// many open files" that of instances, unless more files can indeed not be
// opened.
func watchError(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return watchLimit("watches")
	case errors.Is(err, syscall.EMFILE):
		if f, e := os.Open(os.DevNull); e == nil {
			_ = f.Close()
			return watchLimit("instances")
		}
	}
	return err
}

// watchLimit names the limit that is reached. Each user namespace may have
// lower ones than the system.
func watchLimit(what string) error {
	name := "fs.inotify.max_user_" + what
	n := sysctl(name)
	if own := sysctl("user.max_inotify_" + what); own >= 0 && own < n {
		name, n = "user.max_inotify_"+what, own
	}
	return fmt.Errorf("the limit of this user's inotify %s is reached; raise the sysctl %s, now %d", what, name, n)
}

// sysctl is a number of the kernel's, -1 where it cannot be read.
func sysctl(name string) int {
	text, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	if err != nil {
		return -1
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return -1
	}
	return n
}
