//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"queuectl/cmd/queuectl/internal/torture"
	"queuectl/spool"
)

// A soak sends very many jobs through three pools, of which at random times
// one is killed and started again. A fourth pool lives through it all: if
// anything leaks, it leaks there.
type soak struct {
	*bench
	s    *spool.Spool
	n    int // jobs
	seed uint64
	rand *rand.Rand // for the storm
	fed  chan error // the end of the feeding

	mortal  [3]*pool
	witness *pool
	kills   int
	largest footprint   // of any pool that was killed
	samples []footprint // of the witness
}

// Where the numbers of the soak come from: slots enough that a kill always
// catches some jobs at work, and a backlog that lasts for seconds and is still
// listed in milliseconds.
const (
	soakSlots   = 8
	soakBacklog = 10000
	soakBatch   = 1000
)

// TestSoak is "make soak": a million jobs, a kill a second.
func TestSoak(t *testing.T) {
	need(t, "flock")
	k := newSoak(t)
	t.Logf("%d jobs, seed %d (QUEUECTL_SOAK_JOBS, QUEUECTL_SOAK_SEED)", k.n, k.seed)
	began := time.Now()
	go k.feed()
	k.storm()
	took := time.Since(began)
	for _, p := range k.pools {
		p.stop()
	}
	t.Logf("%v, %.0f jobs a second, %d kills", took.Round(time.Second), float64(k.n)/took.Seconds(), k.kills)
	if k.kills == 0 {
		t.Error("nothing was killed")
	}
	k.account()
	k.flat()
}

func newSoak(t *testing.T) *soak {
	dir := t.TempDir()
	k := &soak{
		bench: &bench{T: t, dir: dir, spool: dir + "/spool"}, fed: make(chan error, 1),
		n: fromEnv(t, "QUEUECTL_SOAK_JOBS", rounds(2000, 8000, 1000000)),
	}
	k.seed = uint64(fromEnv(t, "QUEUECTL_SOAK_SEED", int(time.Now().UnixNano()%1e6)))
	k.rand = rand.New(rand.NewPCG(k.seed, 0))
	t.Cleanup(func() {
		for _, p := range k.pools {
			p.stop()
		}
		k.killJobs()
	})
	k.s = k.open()
	// All records are kept: so it can be shown at the end that no job is lost.
	for key, value := range map[string]string{"keep_completed": "0", "keep_completed_count": "0", "retry_base": "0.1"} {
		if err := k.s.SetConfig(key, value); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func fromEnv(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// feed enqueues all jobs, in batches, as fast as they are done.
func (k *soak) feed() {
	r := rand.New(rand.NewPCG(k.seed, 1))
	for next := 0; next < k.n; {
		if k.count("pending") > soakBacklog {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		batch := make([][]byte, 0, soakBatch)
		for ; next < k.n && len(batch) < soakBatch; next++ {
			batch = append(batch, []byte(k.encode(k.job(r, next))))
		}
		if _, err := k.s.EnqueueBatch(context.Background(), batch); err != nil {
			k.fed <- err
			return
		}
	}
	k.fed <- nil
}

// job is the n-th job: one in 50 is a command, which outlives its pool; of the
// others some take as long as a kill needs to catch them, and some fail once.
func (k *soak) job(r *rand.Rand, n int) job {
	j := job{"id": fmt.Sprint("job-", n), "priority": r.IntN(10)}
	if n%50 == 0 {
		j["command"] = `exec 9>>"$D/lock-$QUEUECTL_JOB_ID"; flock -n 9 || echo "beside $QUEUECTL_JOB_ID" >>"$D/overlaps"; sleep 0.0` +
			strconv.Itoa(r.IntN(10)) + `; echo "$QUEUECTL_JOB_ID" >>"$D/effects"; rm "$D/lock-$QUEUECTL_JOB_ID"`
		return j
	}
	e := effectJob{N: int64(n)}
	if r.IntN(20) == 0 {
		e.Ms = r.IntN(50)
	}
	if r.IntN(100) == 0 {
		e.Fails = 1
	}
	args, err := json.Marshal(e)
	if err != nil {
		panic(err) // numbers
	}
	j["kind"], j["args"] = "effect", json.RawMessage(args)
	return j
}

func (k *soak) pool() *pool {
	return k.startAs(nil, "handlerpool", k.spool, strconv.Itoa(soakSlots))
}

// storm kills and starts pools until all jobs have come to rest.
func (k *soak) storm() {
	k.witness = k.pool()
	for i := range k.mortal {
		k.mortal[i] = k.pool()
	}
	pace := time.Second
	if !long() {
		pace /= 5 // so that there are several kills also among few jobs
	}
	sample := time.NewTicker(pace)
	defer sample.Stop()
	kill := time.NewTimer(pace)
	limit := time.After(10*time.Minute + time.Duration(k.n)*10*time.Millisecond)
	fed := false
	for {
		select {
		case err := <-k.fed:
			if err != nil {
				k.Fatal(err)
			}
			fed = true
		case <-sample.C:
			k.sample()
			if fed && k.count("pending")+k.count("failed")+k.count("processing") == 0 {
				k.rest()
				return
			}
		case <-kill.C:
			k.kill()
			kill.Reset(pace/2 + time.Duration(k.rand.Int64N(int64(pace))))
		case <-limit:
			k.Fatalf("not all jobs come to rest\n%s", k.scene())
		}
	}
}

// kill kills one of the three, and starts another one in its place.
func (k *soak) kill() {
	i := k.rand.IntN(len(k.mortal))
	k.mortal[i].kill()
	k.kills++
	k.mortal[i] = k.pool()
}

// rest samples the witness when it has nothing more to do.
func (k *soak) rest() {
	k.sample()
	if len(k.samples) < 2 {
		k.Fatal("it was over before anything was measured")
	}
}

// account demands that no job is lost or doubled, and that each has had its
// effect.
func (k *soak) account() {
	places, err := torture.Places(k.s)
	if err != nil {
		k.Fatal(err)
	}
	state := make([]spool.State, k.n)
	for id, at := range places {
		n, err := strconv.Atoi(strings.TrimPrefix(id, "job-"))
		if err != nil || n < 0 || n >= k.n {
			k.Errorf("not from here: %s", at)
			continue
		}
		if len(at) > 1 {
			k.Errorf("%s is in several states: %s", id, at)
		}
		state[n] = torture.StateOf(at[0])
	}
	effects, total := k.perJob()
	dead := 0
	for n, st := range state {
		switch {
		case st == spool.Completed && effects[n] > 0:
		case st == spool.Dead && k.diedThrice(n):
			dead++
		default:
			k.Errorf("job-%d is %q after %d effects", n, st, effects[n])
		}
	}
	if got := k.read("overlaps"); got != "" {
		k.Errorf("ran beside their first copies:\n%s", shortened(got))
	}
	rep, err := k.s.Check(context.Background(), false)
	if err != nil || !rep.OK() || rep.Jobs != k.n {
		k.Errorf("check: %v, %d jobs, %+v", err, rep.Jobs, rep.Findings)
	}
	k.Logf("each of %d jobs is in one state, %d of them dead of three dead workers; %d effects", k.n, dead, total)
}

// perJob counts the effects of each job.
func (k *soak) perJob() (effects []int, total int) {
	effects = make([]int, k.n)
	for _, id := range k.bench.effects() {
		n, err := strconv.Atoi(strings.TrimPrefix(id, "job-"))
		if err != nil || n < 0 || n >= k.n {
			k.Errorf("an effect of %q", id)
			continue
		}
		effects[n]++
		total++
	}
	return effects, total
}

// diedThrice reports whether a job is dead because three workers in a row died
// with it: the only way here in which a job gives up.
func (k *soak) diedThrice(n int) bool {
	j, err := k.s.Job(fmt.Sprint("job-", n))
	if err != nil {
		k.Error(err)
		return false
	}
	deaths := 0
	for _, h := range slices.Backward(j.History) {
		if h.Outcome != spool.WorkerDied {
			break
		}
		deaths++
	}
	return deaths == 3
}

// A footprint is what a process takes.
type footprint struct {
	rss int // KiB
	fds int
}

func (u footprint) String() string {
	return fmt.Sprintf("%.1f MiB and %d descriptors", float64(u.rss)/1024, u.fds)
}

func (p *pool) footprint() (u footprint) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	if f := strings.Fields(rest); len(f) > 0 {
		u.rss, _ = strconv.Atoi(f[0])
	}
	fds, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid()))
	u.fds = len(fds)
	return u
}

func (u footprint) max(o footprint) footprint { return footprint{max(u.rss, o.rss), max(u.fds, o.fds)} }

func (k *soak) sample() {
	for _, p := range k.mortal {
		k.largest = k.largest.max(p.footprint())
	}
	u := k.witness.footprint()
	if u.rss == 0 || u.fds == 0 {
		k.Fatalf("the witness has ended\n%s", k.witness.messages())
	}
	k.samples = append(k.samples, u)
}

// flat demands that the pool that lived through it all takes no more at its
// end than at its beginning.
func (k *soak) flat() {
	third := len(k.samples)/3 + 1
	var first, last, most footprint
	for i, u := range k.samples {
		most = most.max(u)
		if i < third {
			first = first.max(u)
		}
		if i >= len(k.samples)-third {
			last = last.max(u)
		}
	}
	k.Logf("the pool that was never killed: %v at the start, at most %v, %v at the end; largest in the first third: %v, in the last: %v",
		k.samples[0], most, k.samples[len(k.samples)-1], first, last)
	k.Logf("the others: at most %v", k.largest)
	// A heap breathes: Go lets it grow to twice of what is in use. A slot has
	// two files open at any moment, and a command four more.
	if last.rss > 2*first.rss || last.fds > first.fds+6*soakSlots {
		k.Errorf("it grows: from %v to %v", first, last)
	}
}
