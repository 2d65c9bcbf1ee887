//go:build !windows

package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"queuectl/spool"
)

func newConfig(c *cli) *cobra.Command {
	return family("config", "Set and show the spool's settings",
		"Set and show the spool's settings. Workers that run take a change up by themselves.\n\n"+keyHelp(),
		newConfigSet(c), newConfigGet(c), newConfigList(c), newConfigUnset(c))
}

// keyHelp tells of every key.
func keyHelp() string {
	var b bytes.Buffer
	b.WriteString("The keys, with type, default and bounds:\n")
	for _, k := range spool.SettingKeys() {
		fmt.Fprintf(&b, "\n  %s  (%s, default %s; %s)\n      %s\n", k.Key, typeOf(k), k.Default, k.Bounds, k.Help)
	}
	return strings.TrimRight(b.String(), "\n")
}

func typeOf(k spool.Setting) string {
	if k.Unit != "" {
		return k.Type + " of " + k.Unit
	}
	return k.Type
}

func completeKeys(_ *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var keys []cobra.Completion
	for _, k := range spool.SettingKeys() {
		keys = append(keys, cobra.CompletionWithDesc(k.Key, k.Help))
	}
	return keys, cobra.ShellCompDirectiveNoFileComp
}

func newConfigSet(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "set KEY VALUE", Short: "Set a key", Args: exactly("KEY", "VALUE"),
		Example:           "  queuectl config set max_retries 5\n  queuectl config set timeout 10m",
		ValidArgsFunction: once(completeKeys),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.on(cmd, func(s *spool.Spool) error { return s.SetConfig(args[0], args[1]) })
		},
	}
}

func newConfigUnset(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "unset KEY", Short: "Give a key its default again", Args: exactly("KEY"),
		ValidArgsFunction: once(completeKeys),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.on(cmd, func(s *spool.Spool) error { return s.UnsetConfig(args[0]) })
		},
	}
}

func newConfigGet(c *cli) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "get KEY", Short: "Print the value of a key", Args: exactly("KEY"),
		ValidArgsFunction: once(completeKeys),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.look(cmd, func(s *spool.Spool) error {
				k, err := s.Setting(args[0])
				if err != nil {
					return err
				}
				if asJSON {
					err = writeJSON(c.Out, k)
				} else {
					_, err = fmt.Fprintln(c.Out, escape(k.Value))
				}
				if k.Invalid != "" {
					err = firstOf(err, fmt.Errorf("config.json: %s; the default is in force", k.Invalid))
				}
				return err
			})
		},
	}
	jsonFlag(cmd, &asJSON, "one JSON object")
	return cmd
}

func newConfigList(c *cli) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", SuggestFor: []string{"show"}, Short: "List all keys with value, default, bounds and meaning", Args: noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.look(cmd, func(s *spool.Spool) error {
				all, err := s.Settings()
				if all == nil && err != nil {
					return err
				}
				if err != nil { // the usage is right
					err = fmt.Errorf("config.json: %s", err)
				}
				if asJSON {
					return firstOf(writeJSON(c.Out, byKey(all)), err)
				}
				return firstOf(c.printConfig(all), err)
			})
		},
	}
	jsonFlag(cmd, &asJSON, "one JSON object, with a member for each key")
	return cmd
}

func byKey(all []spool.Setting) map[string]spool.Setting {
	m := make(map[string]spool.Setting, len(all))
	for _, k := range all {
		m[k.Key] = k
	}
	return m
}

func (c *cli) printConfig(all []spool.Setting) error {
	t := c.table()
	t.width, t.widest = 0, 24 // nothing is cut here
	t.head("KEY", "VALUE", "DEFAULT", "TYPE", "BOUNDS", "MEANING")
	for _, k := range all {
		v := cell{text: k.Value}
		if k.Set {
			v.paint = "1"
		}
		t.add(cell{text: k.Key}, v, cell{text: k.Default}, cell{text: typeOf(k)}, cell{text: k.Bounds}, cell{text: k.Help})
	}
	return t.flush()
}
