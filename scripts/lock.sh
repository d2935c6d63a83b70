#!/usr/bin/env bash
# Writes requirements.lock and requirements-build.lock: the version of each package of a release, with the hashes of all
# its files, for Linux and every Python from 3.10. Run it after a change of requirements.txt or requirements-build.txt: it
# keeps the versions that still fit.
#
#   scripts/lock.sh --upgrade                   the newest versions that requirements.txt allows
#   scripts/lock.sh --upgrade-package gevent    the newest version of one package
#
# Arguments go to `uv pip compile`.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
help_if_asked "$@"

# compile LOCK ARGUMENT...: writes LOCK if every package is found.
compile() {
    local lock=$1
    shift
    note "$lock"
    # uv reads the old lock from its output file, to keep the versions.
    if [ -e "$lock" ]; then cp "$lock" "$folder/$lock"; fi
    .venv-lock/bin/uv pip compile "$@" --universal --python-version 3.10 --no-python-downloads --generate-hashes \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet --output-file "$folder/$lock" >/dev/null
    {
        printf '# Written by scripts/lock.sh: versions and hashes of %s.\n' "$what"
        sed '/^# Written by scripts/d' "$folder/$lock"
    } >"$folder/finished"
    install -m 644 "$folder/finished" "$lock"
}

# take_over_settings: passes pip's settings to uv, for machines that need another index or another authority.
take_over_settings() {
    local index cert
    index=$(pip_setting index-url)
    cert=$(pip_setting cert)
    if [ -n "$index" ]; then export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"; fi
    if [ -n "$cert" ]; then export SSL_CERT_FILE="${SSL_CERT_FILE:-$cert}"; fi
}

# pip_setting NAME: its value in the environment or in a configuration file of pip; empty if it is not set.
pip_setting() {
    .venv-lock/bin/python -m pip config list | sed -n "s/^[^ =]*\.$1='\(.*\)'\$/\1/p" | head -n 1
}

make_environment requirements-uv.txt .venv-lock
folder=$(mktemp -d -t wsgw-lock-XXXXXX)
trap 'rm -rf "$folder"' EXIT
take_over_settings
say "versions and hashes"
what="all packages of a release (requirements.txt, requirements-build.txt)"
compile requirements.lock requirements.txt requirements-build.txt "$@"
what="what is installed first, to build the rest with (requirements-build.txt)"
compile requirements-build.lock requirements-build.txt --constraints requirements.lock
