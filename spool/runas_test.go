package spool

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// asOwner is a spool of root whose jobs run as their owners.
func asOwner(t *testing.T) *bench {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give files away")
	}
	b := newBench(t)
	must(t, b.SetConfig("allow_users", "61235"))
	must(t, b.SetConfig("run_as", "owner"))
	return b
}

// dropped drops a job of a user and has it adopted.
func (b *bench) dropped(id string, uid int) (at string) {
	b.t.Helper()
	b.put("pending/"+id+".json", jobText(id))
	must(b.t, os.Chown(b.at("pending/"+id+".json"), uid, uid))
	b.clk.add(2 * settleTime) // what nobody can tell the writer of has to rest
	at, err := b.Spool.adopt(ctx, "pending/"+id+".json")
	must(b.t, err)
	return at
}

func (b *bench) untrusted(at, why string) {
	b.t.Helper()
	_, err := b.pool().Claim(at)
	var u *UntrustedError
	if !errors.As(err, &u) || !strings.Contains(err.Error(), why) {
		b.t.Errorf("claim: %v; want %q", err, why)
	}
}

func TestOwnerOfAJob(t *testing.T) {
	b := asOwner(t)
	at := b.dropped("x", 61235)
	b.untrusted(b.enqueue("root"), "belongs to root")
	c := b.claim(b.pool(), "x")
	if !c.AsOwner || c.Owner != 61235 {
		t.Errorf("runs as %v %d", c.AsOwner, c.Owner)
	}
	must(t, c.Release("", false))

	// A copy of the tree, made by root, is theirs all the same.
	text := b.read(at)
	b.rm(at)
	b.rm(idPath("x"))
	b.put(at, text)
	to, err := b.Spool.adopt(ctx, at)
	must(t, err)
	if c, err := b.pool().Claim(to); err != nil || c.Owner != 61235 {
		t.Errorf("a copy: %+v, %v", c, err)
	}
}

// TestOwnerIsNotWhatAUserSays: a user who may own a job's file may write what
// they like into it.
func TestOwnerIsNotWhatAUserSays(t *testing.T) {
	b := asOwner(t)
	line := `,` + "\n" + `{"event":"moved","at":"2026-01-01T00:00:00.000000Z"}`
	for id, end := range map[string]string{
		"x":         "\n]}\n",
		"rewritten": "\n]}\n\n", // it is replaced by a file of ours
		"compacted": strings.Repeat(line, 2*maxHistory/len(line)) + "\n]}\n",
	} {
		at := b.dropped(id, 61235)
		text := strings.Replace(b.read(at), `"uid":61235`, `"uid":61236`, 1)
		must(t, os.WriteFile(b.at(at), []byte(strings.Replace(text, "\n]}\n", end, 1)), 0o600))
		must(t, os.Chown(b.at(at), 61235, 61235))
		if c := b.claim(b.pool(), id); c.Owner != 61235 {
			t.Errorf("%s: runs as %d", id, c.Owner)
		}
	}
	must(t, b.SetConfig("allow_group", "61240"))
	b.clk.add(configAge)
	at := b.dropped("y", 61235)
	must(t, os.Chown(b.at(at), 0, 61240))
	must(t, os.Chmod(b.at(at), 0o660))
	b.untrusted(at, "others may write to it")
	must(t, os.Chmod(b.at(at), 0o600))
}

// TestHandlersRunAsNobodyElse: they are a part of the worker.
func TestHandlersRunAsNobodyElse(t *testing.T) {
	b := asOwner(t)
	id, err := b.EnqueueJSON(ctx, []byte(`{"id":"k","kind":"mail"}`))
	must(t, err)
	p, _, err := b.locate(id)
	must(t, err)
	b.untrusted(p, "handlers")
}

// TestUnknownRunAs: root runs nothing as root that may have to run as somebody
// else.
func TestUnknownRunAs(t *testing.T) {
	for _, config := range []string{`{"sync":"off","run_as":"ownr"}`, `{"sync":`} {
		b := asOwner(t)
		at := b.dropped("x", 61235)
		good := b.read(configFile)
		b.put(configFile, config)
		other := b.another()
		p, err := other.Join(1)
		must(t, err)
		_, err = p.Claim(at)
		var u *UntrustedError
		if !errors.As(err, &u) || !strings.Contains(err.Error(), "cannot be read") {
			t.Errorf("with %s, claim: %v", config, err)
		}
		must(t, p.Leave())
		b.put(configFile, good)
		b.clk.add(configAge)
	}
}

// Where locks need a file that is open for writing, a job could write into its
// own file as whom it is to run: nobody runs there but as the worker.
func TestRunAsOwnerNeedsALocalFileSystem(t *testing.T) {
	b := asOwner(t)
	at := b.dropped("x", 61235)
	p := b.pool()
	b.lockFor, p.lockFor = os.O_RDWR, os.O_RDWR
	_, err := p.Claim(at)
	var u *UntrustedError
	if !errors.As(err, &u) || !strings.Contains(err.Error(), "network file system") {
		t.Errorf("claim: %v", err)
	}
	if _, err := b.Join(1); !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), "network file system") {
		t.Errorf("join: %v", err)
	}
	must(t, b.SetConfig("run_as", "worker"))
	b.settle(b.claim(p, "x"), Result{Outcome: Succeeded}, Completed)
}
