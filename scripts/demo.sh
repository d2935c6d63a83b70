#!/usr/bin/env bash
# Runs wsgw with an embedded XMPP server, so that a browser can be tried at once. Arguments go to `wsgw demo`.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

make_environment requirements.txt

say "wsgw demo"
exec .venv/bin/python -m wsgw demo "$@"
