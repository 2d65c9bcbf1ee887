package spool_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"queuectl/spool"
)

// readDoc reads a file of docs/.
func readDoc(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// section is the text below a heading, up to the next heading of any level.
func section(t *testing.T, doc, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut("\n"+doc, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("no section %q", heading)
	}
	if i := regexp.MustCompile(`(?m)^#+ `).FindStringIndex(rest); i != nil {
		rest = rest[:i[0]]
	}
	return rest
}

// rows are the cells of the rows of a section's table, without its head.
func rows(text string) (all [][]string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		all = append(all, cells)
	}
	return all[min(1, len(all)):]
}

// sameSet fails for what stands in only one of both.
func sameSet[T comparable](t *testing.T, doc string, inDoc, inCode []T) {
	t.Helper()
	count := make(map[T]int)
	for _, d := range inDoc {
		count[d]++
	}
	for _, c := range inCode {
		if count[c] == 0 {
			t.Errorf("%s lacks %v", doc, c)
		}
		count[c]--
	}
	for d, n := range count {
		if n > 0 {
			t.Errorf("%s has %v, which is not in the code", doc, d)
		}
	}
}

func TestStatesDocHasEveryTransition(t *testing.T) {
	doc := readDoc(t, "states.md")
	var table []spool.Transition
	for _, r := range rows(section(t, doc, "## Every move that queuectl makes")) {
		table = append(table, spool.Transition{From: spool.State(r[0]), To: spool.State(r[1]), By: r[2]})
	}
	sameSet(t, "the table of states.md", table, spool.Transitions)

	var picture []spool.Transition
	for _, m := range regexp.MustCompile(`(?m)^    (\w+) --> (\w+): (.*)$`).FindAllStringSubmatch(doc, -1) {
		picture = append(picture, spool.Transition{From: spool.State(m[1]), To: spool.State(m[2]), By: m[3]})
	}
	sameSet(t, "the picture of states.md", picture, spool.Transitions)
}

func TestStatesDocHasEveryState(t *testing.T) {
	var states []spool.State
	for _, r := range rows(section(t, readDoc(t, "states.md"), "# The states of a job")) {
		states = append(states, spool.State(strings.Trim(r[0], "`")))
	}
	sameSet(t, "states.md", states, spool.States)
}

func TestFormatDocHasEveryInvariant(t *testing.T) {
	var doc, code []string
	for i, text := range spool.Invariants {
		code = append(code, strconv.Itoa(i+1)+" "+text)
	}
	for _, r := range rows(section(t, readDoc(t, "format.md"), "## Invariants")) {
		doc = append(doc, r[0]+" "+r[2])
	}
	sameSet(t, "format.md", doc, code)
}

func TestFormatDocHasEverySetting(t *testing.T) {
	var doc, code []string
	for _, k := range spool.SettingKeys() {
		kind := k.Type
		if k.Unit != "" {
			kind += " of " + k.Unit
		}
		code = append(code, strings.Join([]string{"`" + k.Key + "`", kind, k.Default, k.Bounds, k.Help}, " | "))
	}
	for _, r := range rows(section(t, readDoc(t, "format.md"), "## Configuration")) {
		doc = append(doc, strings.Join(r, " | "))
	}
	sameSet(t, "format.md", doc, code)
}

func TestFormatDocHasEveryOutcome(t *testing.T) {
	text := section(t, readDoc(t, "format.md"), "## History")
	for _, o := range []spool.Outcome{
		spool.Succeeded, spool.FailedOutcome, spool.TimedOut, spool.Cancelled,
		spool.Interrupted, spool.WorkerDied, spool.WorkerLost,
	} {
		counts := "no"
		if o.Counts() {
			counts = "yes"
		}
		if !strings.Contains(text, "| `"+string(o)+"` | "+counts+" |") {
			t.Errorf("format.md lacks the outcome %s (counts: %s)", o, counts)
		}
	}
}

// TestLibraryDocIsCompiled finds every piece of Go in library.md in one of the
// example tests, which are compiled and run.
func TestLibraryDocIsCompiled(t *testing.T) {
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	var compiled string
	for _, name := range []string{"example_test.go", "../runner/example_test.go"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		compiled += squeeze(string(b)) + "\n"
	}
	pieces := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(readDoc(t, "library.md"), -1)
	if len(pieces) == 0 {
		t.Fatal("library.md has no Go code")
	}
	for _, p := range pieces {
		if !strings.Contains(compiled, squeeze(p[1])) {
			t.Errorf("in no example test:\n%s", p[1])
		}
	}
}
