//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// onTerminal runs queuectl on a terminal of its own and returns all that the
// terminal got.
func (b *bench) onTerminal(args ...string) string {
	b.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		b.Skipf("needs pseudo-terminals: %v", err)
	}
	defer master.Close()
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		b.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		b.Skipf("needs pseudo-terminals: %v", err)
	}
	cmd := exec.Command("queuectl", append([]string{"--spool", b.spool}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=1")
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	_ = slave.Close()
	got, _ := io.ReadAll(master) // ends with an error when the other side is closed
	_ = cmd.Wait()
	return string(got)
}

// nasty holds what a terminal obeys, or shows as something else: escape
// sequences of 7 and of 8 bits, a bell, a carriage return, a backspace, and
// marks that turn the direction of what follows.
const nasty = "\x1b]0;title\x07\x1b[2J\u009b31m\rok\b\u202egnihton\u2066\x7f"

// TestTerminalIsNotSteered shows all that people and jobs can make appear in
// what queuectl prints.
func TestTerminalIsNotSteered(t *testing.T) {
	b := newBench(t)
	b.q("enqueue", "--id", "command", "--", "printf", "%s", nasty)
	b.q("config", "set", "max_retries", "0")
	b.q("enqueue", "--id", "error", "--", "no-"+nasty)
	b.q("enqueue", "--id", "cwd", "--cwd", "/no/"+nasty, "--", "true")
	b.q("enqueue", "--id", "env", "--env", "X="+nasty, "--", "sh", "-c", `printf %s "$X"; exit 1`)
	drop := b.spool + "/pending/" + strings.ReplaceAll(nasty, "/", "") + ".json"
	if err := os.WriteFile(drop, []byte(`{"command":7}`), 0o600); err != nil {
		t.Fatal(err)
	}
	b.till("the drop is refused", func() bool {
		b.q("worker", "start", "--drain")
		return strings.Contains(b.q("dlq", "list"), "refused")
	})
	for path, text := range map[string]string{"/dead/" + nasty + ".json": "", "/config.json": `{"` + strings.ReplaceAll(nasty, "\x1b", `\u001b`) + `":1,"sync":"x\u001b[2J"}`} {
		if err := os.WriteFile(b.spool+path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refused := strings.Fields(b.q("dlq", "list"))
	for _, args := range [][]string{
		{"list"},
		{"list", "--json"},
		{"dlq", "list"},
		{"status"},
		{"status", "--json"},
		{"check"},
		{"check", "--json"},
		{"worker", "list"},
		{"config", "list"},
		{"config", "get", nasty},
		{"show", nasty},
		{"delete", nasty},
		{"worker", "stop", nasty},
		{nasty},
		{"list", "--state", nasty},
		{"show", "command"},
		{"show", "error"},
		{"show", "cwd"},
		{"show", "env"},
		{"show", "--json", "error"},
		{"logs", "command"},
		{"logs", "error"},
		{"logs", "cwd"},
		{"logs", "env"},
		{"worker", "start", "--drain"},
		{"enqueue", "--id", nasty, "--", "true"},
	} {
		steered(t, args, b.onTerminal(args...))
	}
	if len(refused) == 0 {
		t.Error("nothing was refused")
	}
	// Elsewhere a log comes byte for byte.
	if out, _, _ := b.try("logs", "command"); out != nasty {
		t.Errorf("in a pipe the log is %q", out)
	}
	if err := os.Remove(b.spool + "/config.json"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(b.spool + "/dead/" + nasty + ".json"); err != nil {
		t.Fatal(err)
	}
}

// steered complains of what a terminal would not just show.
func steered(t *testing.T, args []string, got string) {
	t.Helper()
	if got == "" {
		t.Errorf("queuectl %q says nothing", args)
	}
	for _, r := range strings.ReplaceAll(got, "\r\n", "\n") {
		if r != '\n' && r != '\t' && (!unicode.IsPrint(r) || r == utf8.RuneError) {
			t.Errorf("queuectl %q writes %q to the terminal: %q", args, r, got)
			return
		}
	}
}
