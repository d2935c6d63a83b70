#!/usr/bin/env bash
# Runs the RFC 6455 cases of tests/conformance against the frame codec and against the whole gateway, and
# writes docs/conformance.md. With IDs, as in `scripts/conformance.sh 6.4 7`, it runs only those and writes nothing.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
help_if_asked "$@"

make_environment requirements.txt

arguments=("$@")
if [ $# -eq 0 ]; then arguments=(--report docs/conformance.md); fi
say "RFC 6455, case by case"
.venv/bin/python -m tests.conformance.run "${arguments[@]}" || die "not all passed"
if [ $# -eq 0 ]; then note "results in docs/conformance.md"; fi
