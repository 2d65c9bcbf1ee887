#!/bin/sh
# The demo of "make demo": a handful of real jobs in a temporary spool.
set -eu
queuectl=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
dir=$(mktemp -d "${TMPDIR:-/tmp}/queuectl-demo.XXXXXX")
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
exec 2>&1 # the messages of the workers belong to the story
QUEUECTL_SPOOL=$dir/spool
export QUEUECTL_SPOOL

say() { printf '\n# %s\n' "$*"; }
run() {
	printf '$ queuectl'
	for a in "$@"; do
		case $a in
		*[!A-Za-z0-9._/=-]*) printf " '%s'" "$a" ;;
		*) printf ' %s' "$a" ;;
		esac
	done
	printf '\n'
	"$queuectl" "$@"
}

say "Jobs are JSON, or plain command lines. Each prints its id."
run enqueue '{"id":"hello","command":"echo hello from job $QUEUECTL_JOB_ID"}'
run enqueue '{"id":"flaky","command":"echo attempt $QUEUECTL_ATTEMPT; test $QUEUECTL_ATTEMPT -ge 3"}'
run enqueue '{"id":"hopeless","command":"no-such-command","max_retries":1}'
run enqueue --id later --delay 1s -- sh -c 'echo one second later'
run enqueue --id urgent --priority 9 -- date -u

say "Two workers run all of them, and end when nothing is left to do or to retry."
run worker start --count 2 --drain

say "What became of them: flaky failed twice (2 s, then 4 s of back-off), hopeless is dead."
run status
run list
run dlq list

say "The store is this directory, and nothing else."
(cd "$dir" && ls -R spool)

say "What flaky printed, attempt by attempt."
run logs flaky
