package spool

import (
	"fmt"
	"syscall"
	"testing"
)

// A group whose members are zombies is dead, though the null signal reaches it.
func TestZombiesAreDead(t *testing.T) {
	pid, err := syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Setpgid: true}})
	must(t, err)
	defer syscall.Wait4(pid, nil, 0, nil)
	wait(t, "a zombie", func() bool {
		state, _, _, ok := procStat(fmt.Sprint(pid))
		return ok && state == 'Z'
	})
	if syscall.Kill(-pid, 0) != nil {
		t.Error("the signal does not reach it: this test shows nothing")
	}
	if groupAlive(pid, processStart(pid)) {
		t.Error("a zombie is alive")
	}
}
