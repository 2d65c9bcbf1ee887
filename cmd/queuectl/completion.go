//go:build !windows

package main

import (
	"strings"

	"github.com/spf13/cobra"
)

var shells = []string{"bash", "zsh", "fish", "powershell"}

func newCompletion(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a script that completes commands in a shell",
		Long: `Print a script that completes commands, flags, ids and states in a shell: bash,
zsh, fish or powershell. bash needs its package bash-completion for that.`,
		Example: `  source <(queuectl completion bash)                                      now
  queuectl completion zsh > "${fpath[1]}/_queuectl"                       for good
  queuectl completion fish > ~/.config/fish/completions/queuectl.fish`,
		Args:      exactly("SHELL"),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(c.Out, true)
			case "zsh":
				return root.GenZshCompletion(c.Out)
			case "fish":
				return root.GenFishCompletion(c.Out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(c.Out)
			}
			return usagef("the shells are "+strings.Join(shells, ", "), "no shell is named %q", args[0])
		},
	}
}
