#!/usr/bin/env bash
# Runs wsgw with an embedded XMPP server, so that a browser can be tried at once.
#
#   scripts/demo.sh [--port PORT] [--log-level LEVEL] [--log-format plain|json]
#
# The port is 5288 unless it is named.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
help_if_asked "$@"

make_environment requirements.txt

say "wsgw demo"
exec .venv/bin/python -m wsgw demo "$@"
