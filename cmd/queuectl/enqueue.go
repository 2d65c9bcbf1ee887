//go:build !windows

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"queuectl/spool"
)

type enqueueOptions struct {
	*cli
	file       string
	id         string
	maxRetries int
	priority   int
	delay      duration
	at         moment
	timeout    duration
	cwd        string
	env        []string
}

func newEnqueue(c *cli) *cobra.Command {
	o := &enqueueOptions{cli: c}
	cmd := &cobra.Command{
		Use:   "enqueue {JSON | - | --file FILE | [flags] -- PROGRAM [ARG…]}",
		Short: "Make a job, or many at once",
		Long: `Make a job and print its id.

A job is one JSON object as the argument, or a program with its arguments after
"--", which is run without a shell in the present directory. With "-" or --file,
many jobs are read, one JSON object after the other, and made all at once or not
at all; their ids are printed one per line in the order of the input.

Members of a job: id, one of command (for /bin/sh), argv (without a shell) and
kind (with args), max_retries, priority (0 to 9, 9 first), run_at or delay,
timeout, cwd, env. Members that are not known are kept and reach the job.`,
		Example: `  queuectl enqueue '{"id":"job-A","command":"echo hello"}'
  queuectl enqueue --id thumb-1 --timeout 90s -- convert in.png out.jpg
  jq -c '.[]' jobs.json | queuectl enqueue -`,
		DisableFlagsInUseLine: true,
		Args:                  cobra.ArbitraryArgs, // which form is meant is told in run
		ValidArgsFunction:     cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd, args)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVarP(&o.file, "file", "f", "", "read jobs from `FILE`, all or none")
	f.StringVar(&o.id, "id", "", "the job's `id` (default: a random one)")
	f.IntVar(&o.maxRetries, "max-retries", 0, "try again up to `N` times (default: config max_retries)")
	f.IntVar(&o.priority, "priority", 5, "`P` from 0 to 9, 9 first")
	f.Var(&o.delay, "delay", "start no sooner than in `D`, such as 90s")
	f.Var(&o.at, "at", "start no sooner than at `T`, such as 2026-11-23T18:00:00Z")
	f.Var(&o.timeout, "timeout", "end an attempt that takes longer than `D`, 0: none (default: config timeout)")
	f.StringVar(&o.cwd, "cwd", "", "run in `DIR` (default: the present directory)")
	f.StringArrayVar(&o.env, "env", nil, "add `K=V` to the environment (may be repeated)")
	_ = cmd.MarkFlagDirname("cwd")
	return cmd
}

// memberFlags are those that stand for a member of the job.
var memberFlags = []string{"id", "max-retries", "priority", "delay", "at", "timeout", "cwd", "env"}

func (o *enqueueOptions) run(cmd *cobra.Command, args []string) error {
	dash := cmd.ArgsLenAtDash()
	if dash < 0 {
		dash = len(args)
	}
	before, argv := args[:dash], args[dash:]
	if err := o.oneForm(cmd, before, argv); err != nil {
		return err
	}
	switch {
	case cmd.Flags().Changed("file"):
		return o.fromFile(cmd)
	case len(argv) > 0:
		return o.program(cmd, argv)
	case before[0] == "-":
		return o.batch(cmd, o.In, "standard input")
	}
	return o.enqueue(cmd, func(ctx context.Context, s *spool.Spool) ([]string, error) {
		id, err := s.EnqueueJSON(ctx, []byte(before[0]))
		return []string{id}, jobIs(err)
	})
}

// oneForm refuses what is not exactly one of the four forms.
func (o *enqueueOptions) oneForm(cmd *cobra.Command, before, argv []string) error {
	forms := len(before)
	if cmd.Flags().Changed("file") {
		forms++
	}
	if cmd.ArgsLenAtDash() >= 0 {
		forms++
	}
	switch {
	case cmd.ArgsLenAtDash() >= 0 && len(argv) == 0:
		return usagef("", `a program must follow after "--"`)
	case forms == 0:
		return usagef("usage: "+cmd.UseLine(), "no job is given")
	case len(before) > 0 && before[0] != "-" && !looksJSON(before[0]):
		return usagef("did you mean: queuectl enqueue "+likely(append(before[:len(before):len(before)], argv...)), "%q is not JSON", before[0])
	case len(before) > 1 && looksJSON(before[0]):
		return usagef("quote the JSON object as a whole, in single quotes; many go through standard input, with -", "takes one JSON object, not %d arguments", len(before))
	case forms > 1:
		return usagef("usage: "+cmd.UseLine(), `takes exactly one of a JSON object, "-", --file and "-- PROGRAM"`)
	}
	if len(argv) > 0 {
		return nil
	}
	for _, n := range memberFlags {
		if cmd.Flags().Changed(n) {
			return usagef(fmt.Sprintf("say it in the JSON: %q", memberOf(n)), `--%s goes only with "-- PROGRAM"`, n)
		}
	}
	return nil
}

// likely is what may have been meant by words that are no JSON: one of several words
// is a command line.
func likely(words []string) string {
	if len(words) == 1 && strings.ContainsAny(words[0], " \t\n") {
		line := words[0]
		if words = strings.Fields(line); slices.ContainsFunc(words, func(w string) bool { return strings.IndexFunc(w, special) >= 0 }) {
			var text strings.Builder
			_ = writeJSON(&text, map[string]string{"command": line})
			return shellLine([]string{strings.TrimSpace(text.String())})
		}
	}
	return "-- " + shellLine(words)
}

func memberOf(flag string) string {
	if flag == "at" {
		return "run_at"
	}
	return strings.ReplaceAll(flag, "-", "_")
}

// looksJSON tells JSON, right or wrong, from what is meant as a command.
func looksJSON(s string) bool {
	s = strings.TrimLeft(s, "\ufeff \t\r\n")
	return s == "" || strings.ContainsAny(s[:1], `{["`)
}

// enqueue opens or makes the spool, and prints the ids.
func (o *enqueueOptions) enqueue(cmd *cobra.Command, f func(context.Context, *spool.Spool) ([]string, error)) (err error) {
	s, err := o.openOrMake(cmd)
	if err != nil {
		return err
	}
	ids, err := f(cmd.Context(), s)
	// Before anything is printed: that may be the end of this process (SIGPIPE).
	closed := s.Close()
	if err != nil && !errors.Is(err, spool.ErrUnsynced) {
		return errors.Join(err, closed)
	}
	told := lines(o.Out, func(w io.Writer) error {
		for _, id := range ids {
			fmt.Fprintln(w, id)
		}
		return nil
	})
	if told != nil { // to try again would make them twice
		told = fmt.Errorf("%s, but that cannot be written: %w", enqueued(ids), told)
	}
	return errors.Join(err, told, closed)
}

// enqueued says what was made.
func enqueued(ids []string) string {
	if len(ids) == 1 {
		return fmt.Sprintf("job %q is enqueued", ids[0])
	}
	return fmt.Sprintf("%d jobs are enqueued, from %q to %q", len(ids), ids[0], ids[len(ids)-1])
}

// program makes a job of a program and its arguments.
func (o *enqueueOptions) program(cmd *cobra.Command, argv []string) error {
	j := spool.Job{ID: o.id, Argv: argv, Delay: time.Duration(o.delay), Timeout: time.Duration(o.timeout), RunAt: time.Time(o.at)}
	if cmd.Flags().Changed("id") && o.id == "" {
		return usagef("", "--id is empty")
	}
	if cmd.Flags().Changed("max-retries") {
		j.MaxRetries = &o.maxRetries
	}
	if cmd.Flags().Changed("timeout") && o.timeout == 0 {
		j.Timeout = spool.NoTimeout
	}
	if cmd.Flags().Changed("priority") {
		j.Priority = &o.priority
	}
	if cmd.Flags().Changed("delay") && cmd.Flags().Changed("at") {
		return usagef("", "takes --delay or --at, not both")
	}
	var err error
	if j.Cwd, err = o.workDir(); err != nil {
		return err
	}
	if j.Env, err = environment(o.env); err != nil {
		return err
	}
	return o.enqueue(cmd, func(ctx context.Context, s *spool.Spool) ([]string, error) {
		id, err := s.Enqueue(ctx, j)
		return []string{id}, jobIs(err)
	})
}

// workDir is --cwd made absolute, or where we are.
func (o *enqueueOptions) workDir() (string, error) {
	if filepath.IsAbs(o.cwd) {
		return filepath.Clean(o.cwd), nil
	}
	wd, err := o.Getwd()
	if err != nil {
		return "", fmt.Errorf("the present directory: %w; name one with --cwd", err)
	}
	return filepath.Join(wd, o.cwd), nil
}

func environment(pairs []string) (map[string]string, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	env := make(map[string]string, len(pairs))
	for _, p := range pairs {
		k, v, ok := strings.Cut(p, "=")
		if !ok || k == "" {
			return nil, usagef("as in --env LANG=C", "--env %q is not K=V", p)
		}
		env[k] = v
	}
	return env, nil
}

func (o *enqueueOptions) fromFile(cmd *cobra.Command) error {
	if o.file == "-" {
		return o.batch(cmd, o.In, "standard input")
	}
	f, err := os.Open(o.file)
	if err != nil {
		return err
	}
	defer f.Close()
	return o.batch(cmd, f, o.file)
}

// batch makes all jobs of a stream, or none.
func (o *enqueueOptions) batch(cmd *cobra.Command, r io.Reader, name string) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	jobs, starts, err := split(data)
	if err != nil {
		return err
	}
	if len(jobs) == 0 {
		return usagef(`one JSON object per line is expected`, "%s holds no job", name)
	}
	return o.enqueue(cmd, func(ctx context.Context, s *spool.Spool) ([]string, error) {
		ids, err := s.EnqueueBatch(ctx, jobs)
		var b *spool.BatchError
		if errors.As(err, &b) {
			at := bytes.Count(data[:starts[b.Index]], []byte("\n")) + 1
			return nil, fmt.Errorf("line %d: %w", at, jobIs(b.Err))
		}
		return ids, err
	})
}

// jobIs gives the sentence of an error about a job as a whole its subject.
func jobIs(err error) error {
	var inv *spool.InvalidError
	if errors.As(err, &inv) && inv.Member == "" {
		return fmt.Errorf("the job %w", err)
	}
	return err
}

// A duration is a flag's value such as 90s or 7d.
type duration time.Duration

func (d *duration) Set(s string) error {
	v, err := spool.ParseDuration(s)
	*d = duration(v)
	return err
}

func (d *duration) String() string {
	if *d == 0 {
		return ""
	}
	return spool.FormatDuration(time.Duration(*d))
}

func (*duration) Type() string { return "duration" }

// A moment is a flag's value in RFC 3339.
type moment time.Time

func (m *moment) Set(s string) error {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return errors.New("must be a time as in RFC 3339, such as 2026-11-23T18:00:00Z")
	}
	*m = moment(t)
	return nil
}

func (m *moment) String() string {
	if time.Time(*m).IsZero() {
		return ""
	}
	return time.Time(*m).Format(time.RFC3339)
}

func (*moment) Type() string { return "time" }

var (
	_ pflag.Value = (*duration)(nil)
	_ pflag.Value = (*moment)(nil)
)
