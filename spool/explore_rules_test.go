package spool

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"queuectl/spool/internal/fsys"
)

// A protocolRule is a rule, how it is switched off, and the scene that shows
// what it is for.
type protocolRule struct {
	rule  string
	off   breach
	scene scene
}

func protocolRules() []protocolRule {
	known := make(map[string]scene)
	for _, sc := range scenes() {
		known[sc.name] = sc.disturbed()
	}
	states := below("pending", "failed", "completed", "dead", "held")
	cancels := func(p string) bool { return strings.HasSuffix(p, cancelSuffix) }
	return []protocolRule{
		{"a claim, and every change of a job, is made under the job's lock", breach{grants: below("pending", "failed")}, known["claimers"]},
		{"a job whose lock is held is alive, though its worker is dead", breach{grants: below("processing", "pending")}, known["a child that outlives its pool, with the lock"]},
		{"so is one whose process group lives, though the lock is free", breach{groups: true}, known["a child that outlives its pool, without the lock"]},
		{"a lock is freed only when the job's own process has ended", breach{frees: true}, known["a child that escapes its kill"]},
		{"after the claim's rename the new name is what is locked", breach{believes: func(op, p string) bool { return op == "rename" && stateOf(p) == Processing }}, claimAndEditor},
		{"what a staging takes is what was meant", breach{believes: func(op, p string) bool { return op == "rename" && stateOf(p) == "tmp" }}, adoptAndExchange},
		{"a rename into a state never replaces a file", breach{renames: func(f fsys.FS, from, to string) func() error {
			if !states(to) {
				return nil
			}
			return func() error { return f.Rename(from, to) }
		}}, releaseAndDrop},
		{"an id is linked only if it is free", breach{links: true}, known["enqueuers of one id"]},
		{"recovery believes a line only if its claim is the one in the name", breach{reads: claimOfName}, putBackAndClaimed},
		{"a name in processing/ without a claim is a dead pool's", breach{lists: unclaimedName}, known["claimers"]},
		{"who settles looks for a request to cancel", breach{hides: cancels}, settleAndCancel},
		{"who retries removes the request to cancel", breach{keeps: cancels}, retryAfterCancel},
		{"a staging is rolled only under its lock", breach{grants: below("tmp")}, known["enqueuers of one id"]},
		{"who settles looks whether the job is still where the claim has put it", breach{believes: claimedName}, known["settle"]},
		{"another host's job is given a new file", breach{hosts: true}, known["recover + late settle"]},
		{"no two pools ever have one name", breach{pids: true, rand: oneName("Join", "thesam")}, secondLife},
		{"a pool counts its claims: no two have one name", breach{claims: true}, secondClaim},
		{"what a staging has taken goes back where it came from", breach{renames: forgets}, known["two adopters"]},
		{"a living enqueuer of an id is waited for", breach{lists: func(string) bool { return within("stagers") }}, known["a batch and a single of one id"]},
		{"an id's second name is renamed over, never removed and linked anew", breach{renames: inTwoSteps}, editedAndEnqueued},
		{"after its commit a staging is rolled forward", breach{finds: uncommitted}, known["two adopters"]},
		{"a replacement takes the old file away before it gives its name to the new one", breach{renames: replacesInPlace}, editedAndMoved},
		{"a pool recovers names of its own that it does not hold", breach{lists: func(p string) bool { return stateOf(p) == Processing && !unclaimedName(p) }}, ownName},
		{"a request to cancel is removed after the job is where it ends", breach{renames: dropsCancelFirst}, cancelledByHand},
		{"an exchanged file is adopted only under the lock of the one before it", breach{grants: below("ids")}, exchangedWhileRunning},
		{"a second name with no other is an orphan only if no state has a name of the id", breach{lists: func(string) bool { return within("namesOf") }}, editedAndTaken},
		{"a pool's file is locked before others can see it", breach{early: linksPool, links: true}, joinAndRecover},
		{"a dead pool's file stays as long as a job carries its name", breach{lists: func(string) bool { return within("poolInUse") }}, recoveredTwice},
		{"a request to cancel means one life of a job", breach{rand: oneName("birthAt", "thesamealway")}, lateCancel},
		{"a drop is never run in place", breach{believes: func(_, p string) bool { return stateOf(p) == "ids" && within("openRecordIf") }}, copiedAndClaimed},
	}
}

// A trace is the shortest one that breaks a promise.
type trace struct {
	disturbances, steps int
	text                string
}

// shortest switches the rule off and looks for the shortest trace, with as few
// disturbances as there must be.
func (r protocolRule) shortest() (best trace, err error) {
	for bound := range 4 {
		x := r.scene.exploration()
		x.start.off = &r.off
		x.broken = func(r *run, err error) {
			if steps := r.steps(); best.steps == 0 || steps < best.steps {
				best = trace{bound, steps, r.tell(err)}
			}
		}
		if err := x.all(bound); err != nil || best.steps > 0 {
			return best, err
		}
	}
	return best, errors.New("all promises are kept without it")
}

const rulesDoc = "../docs/rules.md"

// TestExploreRules switches one rule off after the other. Each time a promise
// must be broken, and docs/rules.md must tell of the shortest way.
func TestExploreRules(t *testing.T) {
	list := protocolRules()
	lines := make([]string, len(list))
	t.Run("all", func(t *testing.T) {
		for i, r := range list {
			t.Run(r.rule, func(t *testing.T) {
				t.Parallel()
				best, err := r.shortest()
				if err != nil {
					t.Fatal(err)
				}
				t.Log(best.text)
				bound := best.disturbances
				if long() {
					bound = 2
				}
				if err := r.scene.exploration().all(bound); err != nil {
					t.Fatalf("with the rule: %v", err)
				}
				said := strings.Split(strings.TrimPrefix(best.text, "next: "), "\n")
				what := said[0]
				if strings.HasPrefix(what, "after the recovery:") {
					what += " " + said[1]
				}
				lines[i] = fmt.Sprintf("| %s | %s | %s | %d | %d |\n", r.rule, r.scene.name, what, best.disturbances, best.steps)
			})
		}
	})
	if t.Failed() {
		return
	}
	doc, err := os.ReadFile(rulesDoc)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(doc), "\n|---")
	_, others, _ := strings.Cut(rest, "\n## ")
	want := head + "\n|---|---|---|---|---|\n" + strings.Join(lines, "") + "\n## " + others
	if os.Getenv("UPDATE_DOCS") != "" {
		must(t, os.WriteFile(rulesDoc, []byte(want), 0o644))
	} else if string(doc) != want {
		t.Errorf("%s is not what was found; UPDATE_DOCS=1 writes it:\n%s", rulesDoc, want)
	}
}
