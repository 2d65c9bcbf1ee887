package spool

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"testing"
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
		{"a rename into a state never replaces a file", breach{replaces: states}, releaseAndDrop},
		{"an id is linked only if it is free", breach{links: true}, known["enqueuers of one id"]},
		{"recovery believes a line only if its claim is the one in the name", breach{reads: claimOfName}, putBackAndClaimed},
		{"a name in processing/ without a claim is a dead pool's", breach{lists: unclaimedName}, known["claimers"]},
		{"who settles looks for a request to cancel", breach{hides: cancels}, settleAndCancel},
		{"who retries removes the request to cancel", breach{keeps: cancels}, retryAfterCancel},
		{"a staging is rolled only under its lock", breach{grants: below("tmp")}, known["enqueuers of one id"]},
		{"who settles looks whether the job is still where the claim has put it", breach{believes: claimedName}, known["settle"]},
		{"another host's job is given a new file", breach{reads: asIfHere}, known["recover + late settle"]},
	}
}

// unclaimedName is a name in processing/ that no claim has given.
func unclaimedName(p string) bool {
	n, ok := ParseName(path.Base(p))
	return ok && stateOf(p) == Processing && n.Pool == ""
}

// claimedName is a name in processing/ that a claim has given.
func claimedName(_, p string) bool {
	n, ok := ParseName(path.Base(p))
	return ok && stateOf(p) == Processing && n.Pool != ""
}

// asIfHere reads pools' files as if all pools ran on one host.
func asIfHere(p string, b []byte) {
	if stateOf(p) == "workers" {
		copy(b, strings.Replace(string(b), `"host":"away"`, `"host":"here"`, 1))
	}
}

// once is for a move that brings a job with a mark, which there is one of.
func once(mark string, what func(*world) string) func(*world) string {
	return func(w *world) string {
		if _, told := w.told[mark]; told {
			return ""
		}
		return what(w)
	}
}

// Scenes of one rule each.
var (
	claimAndEditor = scene{
		name: "claim, and an editor that exchanges the file", base: pending, setup: joined(0),
		acts: acts(claimJob, person(exchangeByHand)), twice: true,
		untidy: []int{invOnce, invSecond, invOwned},
		then: func(o *outcomes) {
			if c := o.actors[0].c; o.errs[0] == nil && !o.same(c.Path(), idPath("job")) {
				o.fail("it runs a file that it has not locked")
			}
		},
	}
	adoptAndExchange = scene{
		name: "adopter + mv z.json pending/x.json", base: drops("x"), setup: joined(0), acts: acts(work),
		kills: true, hands: []hand{{name: "mv z.json pending/x.json", what: once("z", func(*world) string { return "pending/x.json" }), do: func(w *world, p string) {
			if w.there(p) {
				delete(w.told, "x") // the person has overwritten it
			}
			w.must(w.Write("z.json", []byte(`{"command":"true",`+withMark("z")+`}`)))
			w.must(w.Rename("z.json", p))
			w.must(w.promised("z", nil))
		}}},
	}
	releaseAndDrop = scene{
		name: "release + mv z.json pending/X", base: base(Pending), setup: runningIn(0),
		acts: acts(func(a *actor) error { return a.ended().Release("stop", false) }), kills: true,
		hands: []hand{{name: "mv z.json pending/X", what: once("z", first(Processing)), do: func(w *world, p string) {
			w.must(w.Write("z.json", []byte(`{"command":"true",`+withMark("z")+`}`)))
			to := "pending/" + unclaimed(path.Base(p))
			w.must(w.Rename("z.json", to))
			w.madeByHand(to)
			w.must(w.promised("z", nil))
		}}},
	}
	putBackAndClaimed = scene{name: "claim + mv dead/X pending/", base: base(Dead), setup: joined(0), acts: acts(work), kills: true, hands: hands[:1]}
	settleAndCancel   = scene{
		name: "settle + cancel", base: base(Pending), setup: runningIn(0), acts: acts(failIt, cancelIt), kills: true,
		rest: func(o *outcomes) {
			if o.errs[1] == nil && len(o.v.runs) > 0 {
				o.fail("it was cancelled, and ran: %v", o.v.runs)
			}
		},
	}
	retryAfterCancel = scene{
		name: "retry of a job whose request to cancel came late", setup: joined(1), acts: acts(retryIt, work), kills: true,
		base: func(w *world) {
			base(Completed)(w)
			w.do(func(a *actor) { a.must(a.askCancel(a.at("job"), "job")) })
		},
		rest: func(o *outcomes) {
			if o.errs[0] == nil && o.v.state("job") != Completed {
				o.fail("it was retried, and is %s", o.v.state("job"))
			}
		},
	}
)

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
				if long() {
					if err := r.scene.exploration().all(2); err != nil {
						t.Fatalf("with the rule: %v", err)
					}
				}
				best, err := r.shortest()
				if err != nil {
					t.Fatal(err)
				}
				t.Log(best.text)
				what, _, _ := strings.Cut(strings.TrimPrefix(best.text, "next: "), "\n")
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
	head, _, _ := strings.Cut(string(doc), "\n|---")
	want := head + "\n|---|---|---|---|---|\n" + strings.Join(lines, "")
	if os.Getenv("UPDATE_DOCS") != "" {
		must(t, os.WriteFile(rulesDoc, []byte(want), 0o644))
	} else if string(doc) != want {
		t.Errorf("%s is not what was found; UPDATE_DOCS=1 writes it:\n%s", rulesDoc, want)
	}
}
