//go:build linux

package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// secondRun is set in the environment of a test that runs in namespaces of its
// own.
const secondRun = "QUEUECTL_IN_NAMESPACES"

// inNamespaces runs a test once more, in a process with user and mount
// namespaces of its own. There it is root, limits and mounts hold for it
// alone, and none is left behind however it ends. It reports whether this is
// that second run.
func inNamespaces(t *testing.T) bool {
	t.Helper()
	if os.Getenv(secondRun) != "" {
		return true
	}
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), secondRun+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER, Unshareflags: syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	switch text := string(out); {
	case cmd.ProcessState == nil:
		t.Skip("namespaces cannot be made here: ", err)
	case err != nil:
		t.Errorf("%v\n%s", err, text)
	case strings.Contains(text, "--- SKIP: "+t.Name()+" "):
		t.Skip(text)
	case !strings.Contains(text, "--- PASS: "+t.Name()+" "):
		t.Errorf("it did not run:\n%s", text)
	default:
		t.Log(text)
	}
	return false
}
