#!/usr/bin/env bash
# Makes the pictures of the documentation, of the console and of the status page, in Chromium:
# scripts/screenshots.sh [FOLDER], by default docs/images.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
help_if_asked "$@"

make_environment requirements-dev.txt
command -v chromium >/dev/null || die "Chromium is not installed (Debian package chromium)"
[ -d node_modules/playwright-core ] || die "node_modules is missing: run scripts/test.sh, or npm ci"

say "pictures"
become_tests tests.real.screenshots "$@"
