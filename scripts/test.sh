#!/usr/bin/env bash
# Runs all checks that a change must pass: lint, types, tests with real servers, clients and a browser.
# With --quick as the first argument, in a minute: lint, types, and the tests without a marker of CONTRIBUTING.md.
# The other arguments go to pytest: `scripts/test.sh -k browser`. A missing program skips its tests; with CI=true they fail.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
help_if_asked "$@"
quick=false
if [ "${1:-}" = --quick ]; then
    quick=true
    shift
fi

quick_selection="not real and not slow and not root and not perf"
quick_seconds=60
debian_packages=(ejabberd prosody prosody-modules python3-certbot chromium curl haproxy openssl libexpat1 iproute2 shellcheck systemd gcc libc6-dev python3-dev libssl-dev prometheus nginx-light apache2-bin caddy)
xml_tests=(tests/stanzas tests/xmpp)
# With the native functions they run among all tests, without them once more.
pure_tests=(tests/websocket_session tests/websocket_xmpp tests/conformance
    tests/end_to_end/test_rfc6120.py tests/end_to_end/test_rfc7395.py tests/end_to_end/test_hostile_xml.py)
# Neighbours stay together, which share servers; a worker that has nothing left takes half of what the other has.
at_once=(-n "${WORKERS:-2}" --dist worksteal)
failures=()

# check NAME COMMAND...: runs it; the end of the script reports failures.
check() {
    say "$1"
    "${@:2}" || failures+=("$1")
}

install_servers() {
    mapfile -t missing < <(missing_packages "${debian_packages[@]}")
    if is_root && { [ ${#missing[@]} -gt 0 ] || [ "${CI:-}" = true ]; }; then
        note "installing ${missing[*]:-nothing new}, and the newest libexpat1"
        apt_install "${debian_packages[@]}" || note "apt-get failed; continuing with the installed packages"
    elif [ ${#missing[@]} -gt 0 ]; then
        note "not installed, their tests are skipped: ${missing[*]} (root installs them)"
    fi
}

install_node_packages() {
    if ! command -v npm >/dev/null; then
        note "no npm: installing Debian's"
        apt_install npm || true
        command -v npm >/dev/null || { note "no npm, the JavaScript clients are skipped" && return; }
    fi
    NODE=$(find_node) || { note "no Node.js 20.10 or newer, the JavaScript clients are skipped" && return; }
    export NODE
    local sum
    sum=$(cksum <package-lock.json)
    if [ "$(cat node_modules/.installed 2>/dev/null)" != "$sum" ]; then
        with_progress "installing the npm packages" npm_quietly ci --ignore-scripts || { note "npm ci failed" && return; }
        echo "$sum" >node_modules/.installed
    fi
    note "$("$NODE" --version) at $NODE"
}

# A second Python with another expat: Debian's, linked with the libexpat1 of the system.
test_xml_under_debian_python() {
    local python=/usr/bin/python3
    python_is_new_enough "$python" || { note "skipped: no $python of version 3.10 or newer" && return; }
    make_venv .venv-debian "$python"
    grep -hE '^(defusedxml|hypothesis|idna|pytest|pytest-timeout|pytest-xdist)[<>=]' requirements*.txt >.venv-debian/requirements.txt
    pip_install .venv-debian .venv-debian/requirements.txt || return
    note "$(.venv-debian/bin/python -c 'import pyexpat, sys; print("Python", sys.version.split()[0], pyexpat.EXPAT_VERSION)')" \
        "of $(dpkg-query -W libexpat1 2>/dev/null || echo unknown origin)"
    WSGW_NATIVE=0 .venv-debian/bin/python -m pytest -q "${at_once[@]}" "${xml_tests[@]}"
}

test_in_pure_python() {
    WSGW_NATIVE=0 .venv/bin/python -m pytest -q "${at_once[@]}" "${pure_tests[@]}"
}

make_environment requirements-dev.txt
if ! $quick; then
    say "Debian packages: ${debian_packages[*]}"
    install_servers
    say "Node.js and the npm packages"
    install_node_packages
fi

run=.venv/bin/python
check "native functions" build_native
check "ruff check" "$run" -m ruff check --quiet .
check "ruff format" "$run" -m ruff format --check --quiet .
check "mypy --strict" "$run" -m mypy --no-error-summary
if $quick; then
    check "quick tests" "$run" -m pytest -q "${at_once[@]}" -m "$quick_selection" \
        --durations 10 --durations-min 1 "$@"
else
    check "XML tests under Debian's Python, without native functions" test_xml_under_debian_python
    check "tests without native functions" test_in_pure_python
    check "all tests" "$run" -m pytest -q "${at_once[@]}" "$@"
fi
if $quick && [ "$SECONDS" -gt "$quick_seconds" ]; then
    note "$SECONDS seconds are more than the $quick_seconds of a quick run on two quiet cores: a slow test lacks its marker"
fi

if [ ${#failures[@]} -gt 0 ]; then
    say "FAILED: $(IFS=, && echo "${failures[*]}")"
    exit 1
fi
say "all passed in $SECONDS seconds"
