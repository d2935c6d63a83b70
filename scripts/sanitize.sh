#!/usr/bin/env bash
# Runs the tests of the native functions with AddressSanitizer and UndefinedBehaviorSanitizer, in a copy of the tree:
# scripts/sanitize.sh [SECONDS]. It repeats them until SECONDS have passed (60), with new random examples each time.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
help_if_asked "$@"

seconds=${1:-60}
[[ $seconds =~ ^[0-9]+$ ]] || die "usage: $0 [SECONDS]"
make_environment requirements-dev.txt
python=$(realpath --no-symlinks .venv/bin/python)
runtime=$(gcc -print-file-name=libasan.so)
[ -e "$runtime" ] || die "gcc has no AddressSanitizer (Debian: apt-get install gcc)"

folder=$(mktemp -d -t wsgw-sanitize-XXXXXX)
trap 'rm -rf "$folder"' EXIT
cp -r wsgw tests pyproject.toml CONTRIBUTING.md "$folder"
cd "$folder"
rm -f wsgw/_native/*.so
say "building the native functions with sanitizers"
CC=gcc CFLAGS="-O1 -g -U_FORTIFY_SOURCE -fsanitize=address,undefined -fno-sanitize-recover=all" \
    "$python" -m wsgw._native.build

# Small objects come from malloc too, so that a byte after one of them is seen. The interpreter itself leaks.
# Reports go to files, because pytest captures standard error.
export LD_PRELOAD=$runtime PYTHONMALLOC=malloc CI=true
export ASAN_OPTIONS=detect_leaks=0:log_path=$folder/report UBSAN_OPTIONS=print_stacktrace=1:log_path=$folder/report
tests=(tests/_native/test_core.py tests/_native/test_pure.py tests/_native/test_differential.py tests/_native/test_transcripts.py
    tests/stanzas/test_fast_path.py tests/test_websocket_frame.py)
say "testing for $seconds seconds"
while true; do
    "$python" -m pytest -q -p no:cacheprovider -p no:faulthandler -m "not perf" "${tests[@]}" \
        --deselect tests/_native/test_core.py::test_no_reference_is_lost || { cat report* >&2 && die "the tests failed"; }
    [ "$SECONDS" -lt "$seconds" ] || break
done
say "no errors in $SECONDS seconds"
