#!/usr/bin/env bash
# Measures the cost of the gateway, compared with haproxy and the XMPP servers' own WebSockets. Without arguments it
# measures everything (about 20 minutes) and writes docs/performance.md. Single rows are quick and write nothing:
#
#   scripts/bench.sh relay                              64 sessions, 100-byte messages: CPU per message
#   scripts/bench.sh login memory --hold 10             logins; kB per idle session
#   scripts/bench.sh relay --rounds 3 --seconds 1       quicker, less exact
#
# tests/bench/README.md lists the rows. Run no other program on the machine at the same time.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
help_if_asked "$@"

packages=(gcc libc6-dev libssl-dev haproxy ejabberd prosody openssl)
mapfile -t missing < <(missing_packages "${packages[@]}")
if [ ${#missing[@]} -gt 0 ]; then
    say "Debian packages: ${missing[*]}"
    apt_install "${missing[@]}" || die "not installed: ${missing[*]}; root installs them"
fi
make_environment requirements-bench.txt

ulimit -n "$(ulimit -Hn)"
become_tests tests.bench "$@"
