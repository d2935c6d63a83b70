#!/usr/bin/env bash
# Fuzzes wsgw: scripts/fuzz.sh [SECONDS [TARGET...]]. Runs every target for 600 seconds by default, one per CPU at a
# time. Failing inputs and the corpus (FOLDER/corpus) are kept in a folder, whose name is printed; set FUZZ_FOLDER to
# continue with that corpus.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
help_if_asked "$@"

seconds=${1:-600}
[[ $seconds =~ ^[0-9]+$ ]] || die "usage: $0 [SECONDS [TARGET...]]"
shift || true
targets=("$@")
make_environment requirements-dev.txt
[ ${#targets[@]} -gt 0 ] || read -ra targets < <(.venv/bin/python -c 'from tests.fuzz.targets import TARGETS; print(*TARGETS)')
.venv/bin/python -c 'import atheris' 2>/dev/null || die "atheris is not installed: no wheel for this Python or machine"

folder=${FUZZ_FOLDER:-$(mktemp -d -t wsgw-fuzz-XXXXXX)}
mkdir -p "$folder"

# fuzz_one TARGET: runs it, prints its last line of statistics, records a failure. Ends with its child.
fuzz_one() {
    local name=$1 status=0 child
    .venv/bin/python -m tests.fuzz.run "$name" "$seconds" "$folder" >"$folder/$name.log" 2>&1 &
    child=$!
    trap 'kill $child 2>/dev/null' TERM
    wait $child || status=$?
    note "$name: $([ $status -eq 0 ] && echo ok || echo "FAILED with $status")," \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$folder/$name.log") executions," \
        "$(grep -a -o 'cov: [0-9]* ft: [0-9]*' "$folder/$name.log" | tail -1 || true)"
    [ $status -eq 0 ] || touch "$folder/failed"
}

# progress: prints the targets that run and the time, every ten seconds.
progress() {
    while sleep 10; do
        note "... $SECONDS s: $(find "$folder" -maxdepth 1 -name '*.log' -newermt '-5 seconds' -printf '%f ' | sed 's/\.log//g')"
    done
}

say "fuzzing ${targets[*]} for $seconds seconds each, in $folder"
rm -f "$folder/failed"
trap 'jobs -p | xargs -r kill 2>/dev/null || true' EXIT
progress &
ticker=$!
for target in "${targets[@]}"; do
    while [ "$(jobs -rp | wc -l)" -gt "$(nproc)" ]; do wait -n || true; done
    fuzz_one "$target" &
done
while [ "$(jobs -rp | wc -l)" -gt 1 ]; do wait -n || true; done
kill "$ticker"
if [ -e "$folder/failed" ]; then
    say "FAILED; the inputs are:"
    ls "$folder"/*-crash-* "$folder"/*-timeout-* "$folder"/*-oom-* "$folder"/*-leak-* 2>/dev/null || true
    exit 1
fi
say "no failures; the new inputs are in $folder/corpus"
