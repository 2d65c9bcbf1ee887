#!/bin/sh
# Installs what "make bench-peers" compares with, on Debian and as root;
# elsewhere it says what is missing. The Go libraries come with the build.
# Debian starts the servers that it installs; the benchmark leaves these alone
# and starts its own.
set -eu

missing=
need() { # need PROGRAM PACKAGE
	command -v "$1" >/dev/null || missing="$missing $2"
}
need gcc gcc
[ -e /usr/include/stdlib.h ] || missing="$missing libc6-dev"
need xargs findutils
need parallel parallel
need tsp task-spooler
need nq nq
need beanstalkd beanstalkd
need redis-server redis-server
need redis-cli redis-tools
need setpriv util-linux
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || need initdb postgresql

[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "bench-peers: missing, and not root on a Debian system:$missing" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update
# shellcheck disable=SC2086 # a list of words
apt-get install -y --no-install-recommends $missing
