package spool

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// An operation is what is measured: how long it takes, by the benchmarks, and
// what it allocates, by TestAllocs. start makes ready for n calls of run, the
// i-th of which gets i, and end clears away.
type operation struct {
	name  string
	start func(tb testing.TB, n int) (run func(i int), end func())
}

var operations = []operation{
	{"parse name", startParse},
	{"enqueue", startEnqueue},
	{"enqueue batch of 10", startBatch},
	{"claim", startClaim},
	{"settle", startSettle},
	{"scan 1000 names", startScan},
}

// Benchmark measures all operations. Nothing is synced.
func Benchmark(b *testing.B) {
	for _, o := range operations {
		b.Run(strings.ReplaceAll(o.name, " ", "-"), func(b *testing.B) {
			b.ReportAllocs()
			for left := b.N; left > 0; left -= many {
				b.StopTimer()
				n := min(left, many)
				run, end := o.start(b, n)
				b.StartTimer()
				for i := range n {
					run(i)
				}
				b.StopTimer()
				end()
			}
		})
	}
}

// many is how many calls are made ready at once: each claim holds a file open,
// and a process may have 1024 on most systems.
const many = 500

// scratch is a spool of its own, with n jobs, and where they wait.
func scratch(tb testing.TB, n int) (s *Spool, paths []string, end func()) {
	s, err := Open(filepath.Join(tb.TempDir(), "spool"), Options{Create: true})
	must(tb, err)
	must(tb, s.SetConfig("sync", "off"))
	_, err = s.EnqueueBatch(ctx, sameJobs(n))
	must(tb, err)
	paths, err = s.entries(Pending, n)
	must(tb, err)
	return s, paths, func() { must(tb, s.Close()) }
}

const benchJob = `{"kind":"thumbnail","args":{"in":"a.png","width":200}}`

func sameJobs(n int) (jobs [][]byte) {
	for range n {
		jobs = append(jobs, []byte(benchJob))
	}
	return jobs
}

func startParse(tb testing.TB, _ int) (func(int), func()) {
	const name = "20261123T180000.123456Z-5-job-A@web-4711-k3x9qa.17.json"
	return func(int) {
		if _, ok := ParseName(name); !ok {
			tb.Fatal(name)
		}
	}, func() {}
}

func startEnqueue(tb testing.TB, _ int) (func(int), func()) {
	s, _, end := scratch(tb, 0)
	data := []byte(benchJob)
	return func(int) {
		_, err := s.EnqueueJSON(ctx, data)
		must(tb, err)
	}, end
}

func startBatch(tb testing.TB, _ int) (func(int), func()) {
	s, _, end := scratch(tb, 0)
	jobs := sameJobs(10)
	return func(int) {
		_, err := s.EnqueueBatch(ctx, jobs)
		must(tb, err)
	}, end
}

func startClaim(tb testing.TB, n int) (func(int), func()) {
	s, paths, closeSpool := scratch(tb, n)
	p, err := s.Join(1)
	must(tb, err)
	claims := make([]*Claim, n)
	return func(i int) {
			claims[i], err = p.Claim(paths[i])
			must(tb, err)
		}, func() {
			for _, c := range claims {
				must(tb, c.Release("", false))
			}
			must(tb, p.Leave())
			closeSpool()
		}
}

func startSettle(tb testing.TB, n int) (func(int), func()) {
	s, paths, closeSpool := scratch(tb, n)
	p, err := s.Join(1)
	must(tb, err)
	claims := make([]*Claim, n)
	for i := range claims {
		claims[i], err = p.Claim(paths[i])
		must(tb, err)
	}
	return func(i int) {
			st, err := claims[i].Settle(Result{Outcome: Succeeded})
			if err != nil || st != Completed {
				tb.Fatal(st, err)
			}
		}, func() {
			must(tb, p.Leave())
			closeSpool()
		}
}

func startScan(tb testing.TB, _ int) (func(int), func()) {
	s, _, end := scratch(tb, 1000)
	return func(int) {
		seen := 0
		must(tb, s.Scan(Pending, func(string, Name, bool) bool { seen++; return true }))
		if seen != 1000 {
			tb.Fatal(fmt.Sprint(seen, " names"))
		}
	}, end
}
