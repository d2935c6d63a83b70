#!/usr/bin/env bash
# Branch coverage of wsgw by all tests but those that measure, workers and other child processes included. Fails below
# the floor of pyproject.toml. Arguments go to pytest, and there is no floor then: scripts/coverage.sh tests/xmpp.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
help_if_asked "$@"

make_environment requirements-dev.txt
run=.venv/bin/python
folder=$(mktemp -d -t wsgw-coverage-XXXXXX)
trap 'rm -rf "$folder"' EXIT
# A worker under another account writes its part too.
chmod 1777 "$folder"
export COVERAGE_FILE=$folder/data

say "tests, with every line and branch noted"
status=0
if [ $# -eq 0 ]; then
    "$run" -m coverage run -m pytest -q -n "${WORKERS:-2}" -m "not perf" || status=$?
else
    "$run" -m coverage run -m pytest -q "$@" || status=$?
    no_floor=--fail-under=0
fi

say "modules, the least covered first"
"$run" -m coverage combine --quiet "$folder"
"$run" -m coverage report --sort=cover ${no_floor:+"$no_floor"} || status=$?
exit "$status"
