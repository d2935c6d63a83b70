#!/usr/bin/env bash
# Reload, death of a worker, upgrades and drain under load: scripts/processes.sh [SESSIONS], by default 200. Prints
# a table; fails if a stanza is lost or doubled, or a connection refused that should not be.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

python=$(find_python)
say "Python packages in .venv ($("$python" --version))"
make_venv .venv "$python"
pip_install .venv requirements-dev.txt

say "processes"
PYTHONPATH=$PWD:$PWD/tests exec .venv/bin/python -m process.acceptance "$@"
