#!/usr/bin/env bash
# Runs wsgw with an embedded XMPP server, so that a browser can be tried at once. Arguments go to `wsgw demo`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

python=$(find_python)
say "Python packages in .venv ($("$python" --version))"
make_venv .venv "$python"
pip_install .venv requirements.txt

say "wsgw demo"
exec .venv/bin/python -m wsgw demo "$@"
