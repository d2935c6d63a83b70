#!/usr/bin/env bash
# Runs wsgw with an embedded XMPP server, for a first try with a browser.
#
#   scripts/demo.sh [--port PORT] [--listen IP[:PORT]] [--log-level LEVEL] [--log-format plain|json]
#
# The default is port 5288 on loopback. On any other address the page has https://.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
help_if_asked "$@"

make_environment requirements.txt

say "wsgw demo"
exec .venv/bin/python -m wsgw demo "$@"
