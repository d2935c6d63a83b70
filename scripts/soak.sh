#!/usr/bin/env bash
# The gateway under mixed traffic, churn and faults: scripts/soak.sh [SECONDS], by default 600. Prints a table;
# fails if a stanza is lost, doubled or changed, or if memory or file descriptors do not come back.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

python=$(find_python)
say "Python packages in .venv ($("$python" --version))"
make_venv .venv "$python"
pip_install .venv requirements-dev.txt

say "soak"
PYTHONPATH=$PWD:$PWD/tests exec .venv/bin/python -m soak.soak "$@"
