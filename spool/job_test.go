package spool

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRetryDelay(t *testing.T) {
	day := 24 * time.Hour
	for _, c := range []struct {
		base    float64
		longest time.Duration
		jitter  float64
		n       int
		chance  float64
		want    time.Duration
	}{
		{2, day, 0, 1, 0.9, 2 * time.Second},
		{2, day, 0, 2, 0, 4 * time.Second},
		{2, day, 0, 10, 0, 1024 * time.Second},
		{1.5, day, 0, 2, 0, 2250 * time.Millisecond},
		{2, day, 0, 17, 0, day},
		{2, day, 0, 1000000, 0, day},
		{1e6, 36500 * day, 0, 1000000, 0, 36500 * day},
		{0, day, 0, 1, 0, 0},
		{0, day, 0, 1000000, 0, 0},
		{1, day, 0, 1, 0, time.Second},
		{1, day, 0, 1000000, 0, time.Second},
		{0.5, day, 0, 2, 0, 250 * time.Millisecond},
		{2, 0, 0, 1, 0, 0},
		{2, 3 * time.Second, 0, 1, 0, 2 * time.Second},
		{2, 3 * time.Second, 0, 2, 0, 3 * time.Second},
		{2, day, 0.5, 2, 0, 2 * time.Second},
		{2, day, 0.5, 2, 0.5, 4 * time.Second},
		{2, day, 1, 2, 0, 0},
		{2, day, 1, 1000000, 0, day}, // Inf * 0
	} {
		cfg := Config{RetryBase: c.base, RetryMaxDelay: c.longest, RetryJitter: c.jitter}
		if got := RetryDelay(cfg, c.n, c.chance); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestRetryDelayBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{
			RetryBase:     rapid.Float64Range(0, 1e6).Draw(t, "base"),
			RetryMaxDelay: time.Duration(rapid.Int64Range(0, int64(maxDuration)).Draw(t, "longest")),
			RetryJitter:   rapid.Float64Range(0, 1).Draw(t, "jitter"),
		}
		n := rapid.IntRange(1, maxMaxRetries).Draw(t, "n")
		d := RetryDelay(c, n, rapid.Float64Range(0, math.Nextafter(1, 0)).Draw(t, "chance"))
		if d < 0 || d > c.RetryMaxDelay {
			t.Fatalf("%s", d)
		}
		sec := math.Pow(c.RetryBase, float64(n))
		if low := sec * (1 - c.RetryJitter); d.Seconds() < math.Min(low, c.RetryMaxDelay.Seconds())*0.999999-1e-6 {
			t.Fatalf("%s is less than the jitter allows", d)
		}
		if high := sec * (1 + c.RetryJitter); d.Seconds() > high*1.000001+1e-6 && d != c.RetryMaxDelay {
			t.Fatalf("%s is more than the jitter allows", d)
		}
	})
}

func TestDurations(t *testing.T) {
	day := 24 * time.Hour
	for s, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "7d": 7 * day, "1d12h": 36 * time.Hour, "1.5h": 90 * time.Minute,
		"100ms": 100 * time.Millisecond, "36500d": 36500 * day, "876000h": 36500 * day, "0d": 0,
	} {
		if d, err := ParseDuration(s); err != nil || d != want {
			t.Errorf("%q: %s, %v; want %s", s, d, err, want)
		}
	}
	for _, s := range []string{
		"", "d", "s", "90", "-1s", "1d-1h", "-1d", "+1d", "1.5d", "1h1d", "1d1d", "d1h", "1w", "1 d", " 1s", "36501d", "36500d1ns", "876001h",
		"99999999999999999999d", "999999999999999999h", "1e3s", "NaNs",
	} {
		if d, err := ParseDuration(s); err == nil {
			t.Errorf("%q is taken as %s", s, d)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", time.Minute: "1m", 90 * time.Second: "1m30s", time.Hour: "1h", 90 * time.Minute: "1h30m", 24 * time.Hour: "1d",
		36 * time.Hour: "36h", 7 * day: "7d", time.Hour + time.Second: "1h0m1s", 10 * time.Millisecond: "10ms", 20 * time.Minute: "20m", 10 * time.Hour: "10h",
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%s is written %q; want %q", d, got, want)
		}
	}
}

func TestDurationRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		unit := rapid.SampledFrom([]time.Duration{1, time.Millisecond, time.Second, time.Minute, time.Hour, 24 * time.Hour}).Draw(t, "unit")
		d := time.Duration(rapid.Int64Range(0, int64(time.Duration(maxDuration)/unit)).Draw(t, "n")) * unit
		if got, err := ParseDuration(FormatDuration(d)); err != nil || got != d {
			t.Fatalf("%d is written %q and read as %d, %v", d, FormatDuration(d), got, err)
		}
	})
}

// A Job is read back as it was written.
func TestJobRoundTrip(t *testing.T) {
	five, nine := 5, 9
	at := time.Date(2026, 11, 23, 18, 0, 0, 123456789, time.UTC)
	for _, j := range []Job{
		{Command: "echo <a> & b"},
		{ID: "x", Argv: []string{"a", ""}, MaxRetries: &five, Priority: &nine, RunAt: at, CreatedAt: at},
		{Command: "a", Timeout: NoTimeout},
		{Kind: "k", Args: json.RawMessage(`{"a":1}`), Delay: 90 * time.Second, Timeout: 36 * time.Hour, Cwd: "/", Env: map[string]string{"A": "ü"}},
	} {
		data, err := json.Marshal(j)
		must(t, err)
		d, err := decodeJob(data, 1<<20)
		if err != nil || !reflect.DeepEqual(d.Job, j) {
			t.Errorf("%+v\nis written %s\nand read as %+v, %v", j, data, d, err)
		}
	}
}

func TestEnqueueJob(t *testing.T) {
	b := newBench(t)
	zero := 0
	id, err := b.Enqueue(ctx, Job{ID: "x", Argv: []string{"true"}, MaxRetries: &zero, Timeout: time.Hour})
	must(t, err)
	j := b.wantState(id, Pending)
	if id != "x" || !reflect.DeepEqual(j.Argv, []string{"true"}) || j.MaxRetries != 0 || j.Priority != 5 || j.CreatedAt.IsZero() {
		t.Errorf("enqueued %+v", j)
	}
	for _, bad := range []Job{{}, {Command: "a", Kind: "b"}, {Command: "a", Delay: -time.Second}, {Command: "a", ID: "a b"}, {Command: "a", Cwd: "x"}} {
		_, err := b.Enqueue(ctx, bad)
		wantErr(t, err, ErrInvalid)
	}
}
