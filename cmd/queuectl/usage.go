//go:build !windows

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usage is what follows a command's description in its help.
func usage(cmd *cobra.Command) error {
	var b strings.Builder
	b.WriteString("Usage:\n")
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s COMMAND\n", cmd.CommandPath())
	} else {
		fmt.Fprintf(&b, "  %s\n", cmd.UseLine())
	}
	if cmd.Example != "" {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
	}
	for _, g := range cmd.Groups() {
		commands(&b, g.Title, cmd, g.ID)
	}
	if len(cmd.Groups()) > 0 {
		commands(&b, "Other:", cmd, "")
	} else if cmd.HasAvailableSubCommands() {
		commands(&b, "Commands:", cmd, "")
	}
	if f := flags(cmd.LocalFlags()); f != "" {
		fmt.Fprintf(&b, "\nFlags:\n%s", f)
	}
	if f := flags(cmd.InheritedFlags()); f != "" {
		fmt.Fprintf(&b, "\nEverywhere:\n%s", f)
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n\"%s COMMAND --help\" tells more about a command.\n", cmd.CommandPath())
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), b.String())
	return err
}

// commands lists the commands of a group.
func commands(b *strings.Builder, title string, cmd *cobra.Command, group string) {
	fmt.Fprintf(b, "\n%s\n", title)
	for _, c := range cmd.Commands() {
		if c.GroupID == group && (c.IsAvailableCommand() || c.Name() == "help") {
			fmt.Fprintf(b, "  %-12s%s\n", c.Name(), c.Short)
		}
	}
}

// flags lists flags, each with what it takes, what it does and its default.
func flags(set *pflag.FlagSet) string {
	var left, right []string
	width := 0
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		l := "      --" + f.Name
		if f.Shorthand != "" {
			l = "  -" + f.Shorthand + ", --" + f.Name
		}
		takes, text := pflag.UnquoteUsage(f)
		if f.Value.Type() == "bool" {
			takes = ""
		}
		if takes != "" {
			l += " " + takes
		}
		switch f.DefValue {
		case "", "0", "false", "[]":
		default:
			text += fmt.Sprintf(" (default: %s)", f.DefValue)
		}
		left, right, width = append(left, l), append(right, text), max(width, len(l))
	})
	var b strings.Builder
	for i := range left {
		fmt.Fprintf(&b, "%-*s   %s\n", width, left[i], right[i])
	}
	return b.String()
}
