#!/usr/bin/env bash
# The heavy tests in their full form, of which the suite runs a small one: a minute of steady load, memory under ten
# thousand handshakes, certificates renewed again and again, eight hundred peers that vanish, real clients by every
# transport and mechanism. Arguments go to pytest: scripts/heavy.sh -s -k memory.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
help_if_asked "$@"

make_environment requirements-dev.txt

say "heavy tests in their full form"
export WSGW_HEAVY=1
exec .venv/bin/python -m pytest -q tests/load tests/end_to_end/test_random_kills.py tests/real/test_clients.py "$@"
