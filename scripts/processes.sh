#!/usr/bin/env bash
# Tests reload, death of a worker, upgrades and drain under load: scripts/processes.sh [SESSIONS], by default 200. Prints
# a table; fails if a stanza is lost or repeated, or a connection is refused wrongly.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
help_if_asked "$@"
[[ ${1-1} =~ ^[0-9]+$ ]] || die "usage: $0 [SESSIONS]"

make_environment requirements-dev.txt

say "processes"
become_tests tests.processes.acceptance "$@"
