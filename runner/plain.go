package runner

import (
	"path/filepath"
	"slices"
	"strings"
)

// plainWords splits a command that any POSIX shell would only split at blanks
// and then execute: no quotes, expansions, redirections, assignments, and a
// first word that names neither a builtin nor a reserved word. Such a command
// is started without the shell, as make does, which saves the start of the shell
// and changes nothing else. For every other command it returns nil.
func plainWords(command string) []string {
	for _, c := range []byte(command) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte(" _-+./,:@%=", c) >= 0:
		default:
			return nil
		}
	}
	words := strings.Fields(command)
	if len(words) == 0 || strings.Contains(words[0], "=") || slices.Contains(shellWords, words[0]) {
		return nil
	}
	return words
}

// shellWords are the builtins and the reserved words of dash, bash, ksh, mksh
// and busybox, except those that are the same as the programs of their name, as
// true, false and sleep are.
var shellWords = strings.Fields(`
	. : alias autoload bg bind break builtin caller case cd chdir command
	compgen complete compopt continue coproc declare dirs disown do done
	echo elif else enable esac eval exec exit export fc fg fi float for
	function functions getopts global hash help hist history if in integer
	jobs kill let local logout mapfile nameref namespace newgrp popd print
	printf pushd pwd r read readarray readonly return select set shift
	shopt source stop suspend test then time times trap type typeset
	ulimit umask unalias unset until vmstate wait whence which while`)

// asSh reports whether looking a program up in PATH finds what a shell finds:
// no entry depends on the directory, and no function comes from the
// environment, as bash lets them.
func asSh(env []string) bool {
	for _, dir := range filepath.SplitList(lookup(env, "PATH")) {
		if !filepath.IsAbs(dir) {
			return false
		}
	}
	return !slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "BASH_FUNC_") })
}
