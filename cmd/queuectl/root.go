//go:build !windows

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"queuectl/spool"
)

// A cli is what all commands share: the world, and which spool is meant.
type cli struct {
	*env
	dir string
}

// run is queuectl: it runs the command that args name and returns the status.
func run(ctx context.Context, e *env, args []string) exitCode {
	out := &watched{w: e.Out}
	e.Out = out
	root := newRoot(e, wordOf(args))
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil && out.err != nil {
		err = fmt.Errorf("standard output: %w", out.err)
	}
	status := e.report(cmd, err)
	if o, ok := e.Err.(*outlet); ok {
		o.close()
	}
	return status
}

// report says what went wrong, once, and returns the status.
func (e *env) report(cmd *cobra.Command, err error) exitCode {
	var t told
	if err != nil && !errors.As(err, &t) {
		e.complain(cmd, err)
	}
	return codeOf(err)
}

// complain writes an error on a line.
func (e *env) complain(cmd *cobra.Command, err error) {
	s := story(err)
	var u *usageError
	if errors.As(err, &u) && u.hint == "" {
		s += fmt.Sprintf(`; see "%s --help"`, cmd.CommandPath())
	}
	fmt.Fprintf(e.Err, "%s: %s\n", label(cmd), s)
}

// say writes something that is no result.
func (e *env) say(cmd *cobra.Command, format string, a ...any) {
	fmt.Fprintf(e.Err, "%s: %s\n", label(cmd), escape(fmt.Sprintf(format, a...)))
}

// label is the command as messages name it.
func label(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

const firstSteps = `First steps:

  queuectl enqueue -- echo hello     make a job; its id is printed
  queuectl worker start              run what is queued (Ctrl-C stops)
  queuectl status                    see how the jobs fare
  queuectl logs ID                   read what a job printed
  queuectl dlq list                  see which jobs gave up, and why
`

// groups are the commands, as help shows them.
var groups = []struct {
	id, title string
	commands  []command
}{
	{"jobs", "Jobs:", []command{
		{"enqueue", newEnqueue},
		{"list", newList},
		{"show", newShow},
		{"logs", newLogs},
		{"retry", newRetry},
		{"cancel", newCancel},
		{"delete", newDelete},
		{"dlq", newDLQ},
	}},
	{"workers", "Workers:", []command{
		{"worker", newWorker}, {"pause", newPause}, {"resume", newResume}, {"recover", newRecover},
	}},
	{"spool", "The spool:", []command{
		{"status", newStatus}, {"config", newConfig}, {"check", newCheck}, {"torture", newTorture},
	}},
	{"", "", []command{{"version", newVersion}, {"completion", newCompletion}}},
}

// A command is made when it is wanted.
type command struct {
	name string
	make func(*cli) *cobra.Command
}

// wordOf is the word of a command line that names the command, "" where there
// is none.
func wordOf(args []string) string {
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--spool":
			i++
		case a == "-h", a == "--help": // of all
			return ""
		case !strings.HasPrefix(a, "-"):
			return a
		}
	}
	return ""
}

// newRoot makes the command of that name and no other, for which every call
// would wait; or all, where there is none of that name.
func newRoot(e *env, word string) *cobra.Command {
	c := &cli{env: e}
	root := &cobra.Command{
		Use:   "queuectl",
		Short: "A background job queue whose only store is a directory",
		Long: `queuectl runs commands in the background: it starts them, tries them again when
they fail, and keeps what gave up in a dead letter queue. The queue is a
directory, the spool: a job is a file in it, and the directory that the file is
in is the job's state.

` + firstSteps,
		Args:              subcommand,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintf(c.Out, "queuectl: %s.\n\n%s\n\"queuectl --help\" lists all commands.\n",
				lowerFirst(cmd.Short), firstSteps)
			return nil
		},
		Version: versionOf().Version,
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetIn(e.In)
	root.SetOut(e.Out)
	root.SetErr(e.Err)
	root.SetFlagErrorFunc(wrongFlag)
	root.SetUsageFunc(usage)
	root.PersistentFlags().StringVar(&c.dir, "spool", "",
		"the spool's `directory` (default: $QUEUECTL_SPOOL, else ${XDG_STATE_HOME:-~/.local/state}/queuectl/default)")
	_ = root.MarkPersistentFlagDirname("spool")

	known := false
	for _, g := range groups {
		known = known || slices.ContainsFunc(g.commands, func(cmd command) bool { return cmd.name == word })
	}
	for _, g := range groups {
		if g.id != "" {
			root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		}
		for _, cmd := range g.commands {
			if !known || cmd.name == word {
				made := cmd.make(c)
				made.GroupID = g.id
				root.AddCommand(made)
			}
		}
	}
	root.SetHelpCommand(newHelp())
	return root
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// openOrMake opens the spool and makes it where there is none.
func (c *cli) openOrMake(cmd *cobra.Command) (*spool.Spool, error) {
	return c.openAs(cmd, spool.Options{Create: true})
}

func (c *cli) openAs(cmd *cobra.Command, o spool.Options) (*spool.Spool, error) {
	dir := c.dir
	if f := cmd.Flag("spool"); dir == "" && f != nil && f.Changed {
		return nil, usagef("", "--spool names no directory")
	}
	if dir == "" {
		var err error
		if dir, err = spool.DefaultDir(c.Getenv); err != nil {
			return nil, err
		}
	}
	o.Now = c.Now
	return spool.Open(dir, o)
}

// on runs f on the spool, which must be there.
func (c *cli) on(cmd *cobra.Command, f func(*spool.Spool) error) error {
	return c.with(cmd, spool.Options{}, f)
}

// look runs f, which changes nothing, on the spool, whoever could write to it.
func (c *cli) look(cmd *cobra.Command, f func(*spool.Spool) error) error {
	return c.with(cmd, spool.Options{Look: true}, f)
}

func (c *cli) with(cmd *cobra.Command, o spool.Options, f func(*spool.Spool) error) (err error) {
	s, err := c.openAs(cmd, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return f(s)
}

// jsonFlag adds --json.
func jsonFlag(cmd *cobra.Command, to *bool, what string) {
	cmd.Flags().BoolVar(to, "json", false, "print "+what)
}

// wrongFlag leads on from a flag that is wrong.
func wrongFlag(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	hint := fmt.Sprintf(`see "%s --help"`, cmd.CommandPath())
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		if v := unknown.GetSpecifiedShortnames(); cmd.Name() == "set" && v != "" && strings.ContainsAny(v[:1], "0123456789.") {
			return usagef(`"queuectl config list" shows what each key may be`, `"-%s" is out of bounds: no key takes a negative number`, v)
		}
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if n := meant(cmd, unknown.GetSpecifiedName(), names); n != "" {
			hint = fmt.Sprintf("did you mean --%s? %s", n, hint)
		} else if cmd.Name() == "enqueue" {
			hint = `what belongs to the job's own command goes after "--", as in: queuectl enqueue -- ls -l`
		}
	}
	return usagef(hint, "%v", err)
}

// otherNames are names of flags that people know from a job's JSON.
var otherNames = map[string]string{"run-at": "at", "retries": "max-retries"}

// meant is the flag that a name which is none is likely to mean, or "".
func meant(cmd *cobra.Command, name string, names []string) string {
	name = strings.ReplaceAll(name, "_", "-")
	if n := otherNames[name]; cmd.Flag(n) != nil {
		return n
	}
	return closest(name, names)
}

// subcommand is the Args of a command that only has commands below it.
func subcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := fmt.Sprintf(`see "%s --help"`, cmd.CommandPath())
	if cmd.SuggestionsMinimumDistance <= 0 {
		cmd.SuggestionsMinimumDistance = 2
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("did you mean %q?", cmd.CommandPath()+" "+near[0])
	}
	return usagef(hint, "there is no command %q", args[0])
}

// family is a command that only has commands below it.
func family(use, short, long string, cmds ...*cobra.Command) *cobra.Command {
	names := make([]string, len(cmds))
	for i, c := range cmds {
		names[i] = c.Name()
	}
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Args: subcommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("", "takes one of the commands %s", strings.Join(names, ", "))
		},
	}
	cmd.AddCommand(cmds...)
	return cmd
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("", "takes no argument, not %q", args[0])
	}
	return nil
}

// exactly asks for the arguments named.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			is := "is"
			if len(names)-len(args) > 1 {
				is = "are"
			}
			return usagef("usage: "+cmd.UseLine(), "%s %s missing", strings.Join(names[len(args):], " and "), is)
		case len(args) > len(names):
			return usagef("usage: "+cmd.UseLine(), "%q is too much", args[len(names)])
		}
		return nil
	}
}

func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:               "help [COMMAND]",
		Short:             "Tell about a command",
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			target, rest, err := cmd.Root().Find(args)
			if err == nil && len(rest) > 0 {
				err = subcommand(target, rest)
			}
			if err != nil {
				return err
			}
			target.InitDefaultHelpFlag()
			target.InitDefaultVersionFlag()
			return target.Help()
		},
	}
}

// lines is buffered standard output, for what prints much.
func lines(w io.Writer, f func(io.Writer) error) error {
	b := bufio.NewWriter(w)
	return errors.Join(f(b), b.Flush())
}
