#!/usr/bin/env bash
# Builds the native functions (wsgw/_native) in place, where a C compiler and Python's headers are installed.
#
#   scripts/build.sh [PYTHON]
#
# PYTHON: whose headers are used (that of .venv, otherwise python3); the result serves every Python from 3.10 on.
# CC and CFLAGS in the environment are the compiler and more arguments for it. The exit status is 3 without a compiler
# or headers: wsgw runs in pure Python then.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
help_if_asked "$@"

python=${1:-}
if [ -z "$python" ]; then
    if python_is_new_enough .venv/bin/python; then python=.venv/bin/python; else python=$(find_python); fi
elif [[ $python == */* ]]; then
    python=$(cd "$called_from" && realpath --no-symlinks "$python")
fi
exec "$python" -m wsgw._native.build
