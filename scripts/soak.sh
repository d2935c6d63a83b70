#!/usr/bin/env bash
# Tests the gateway under mixed traffic, churn and faults: scripts/soak.sh [SECONDS], by default 600. Prints a table;
# fails if a stanza is lost, repeated or changed, or if memory or file descriptors leak.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
help_if_asked "$@"
[[ ${1-1} =~ ^[0-9]+$ ]] || die "usage: $0 [SECONDS]"

make_environment requirements-dev.txt

say "soak"
become_tests tests.soak.soak "$@"
