package spool

import (
	"path"
	"strings"
)

// hands are what a person does to files, of which docs/by-hand.md says what
// becomes of it. X is the first file there is of a job in that state.
var hands = []hand{
	mvTo("mv dead/X pending/", Dead, func(x string) string { return "pending/" + x }),
	mvTo("mv failed/X pending/n.json", Failed, func(string) string { return "pending/n.json" }),
	mvTo("mv pending/X dead/", Pending, func(x string) string { return "dead/" + x }),
	mvTo("mv processing/X pending/", Processing, func(x string) string { return "pending/" + x }),
	mvTo("mv processing/X pending/DUE-P-ID.json", Processing, func(x string) string { return "pending/" + unclaimed(x) }),
	mvTo("mv pending/X processing/", Pending, func(x string) string { return "processing/" + x }),
	{name: "cp completed/X pending/", what: first(Completed), do: func(w *world, p string) {
		to := "pending/" + path.Base(p)
		w.must(w.Copy(p, to))
		w.madeByHand(to)
	}},
	{name: "rm X", what: first(States...), do: func(w *world, p string) { w.must(w.Remove(p)) }},
	{name: "sed -i X", what: first(Pending, Failed, Completed, Dead), do: func(w *world, p string) {
		b, err := w.Read(p)
		w.must(err)
		w.must(w.Write("edited", []byte(strings.Replace(string(b), `"true"`, `"echo edited"`, 1))))
		w.must(w.Rename("edited", p))
		w.madeByHand(p)
	}},
}

// does has a person do it, and returns the path of what it was done to.
func (w *world) does(h hand) string {
	p := h.what(w)
	w.byHand, w.lastX = append(w.byHand, h.name), p
	h.do(w, p)
	return p
}

// mvTo is mv -n.
func mvTo(name string, from State, to func(x string) string) hand {
	return hand{name: name, dirs: []State{from, stateOf(to("x"))}, what: func(w *world) string {
		p := first(from)(w)
		if p == "" || w.there(to(path.Base(p))) {
			return ""
		}
		return p
	}, do: func(w *world, p string) { w.must(w.Rename(p, to(path.Base(p)))) }}
}

// first finds the first file of a job in some states.
func first(in ...State) func(w *world) string {
	return func(w *world) string {
		for _, st := range in {
			for _, name := range w.Names(string(st)) {
				if n, ok := ParseName(name); ok && (n.Pool == "" || st == Processing) {
					return string(st) + "/" + name
				}
			}
		}
		return ""
	}
}

// unclaimed is the name under which a claimed job has waited.
func unclaimed(name string) string {
	n, ok := ParseName(name)
	if !ok {
		return name
	}
	n.Pool, n.Claim = "", 0
	return n.String()
}

func (w *world) madeByHand(p string) {
	i, err := w.Stat(p)
	w.must(err)
	w.made[i.Ino] = true
}
