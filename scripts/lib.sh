# shellcheck shell=bash
# Functions shared by the scripts of this folder. Source it; it runs no command when it is sourced. It creates .venv and
# .node in the current folder, which is the top of the tree. $called_from is the folder where the script was called.

say() { printf '\n== %s\n' "$*"; }
note() { printf '   %s\n' "$*"; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# help_if_asked ARGUMENT...: for -h and --help, prints the comment at the top of the script and exits.
help_if_asked() {
    case ${1:-} in
        -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "scripts/$(basename "$0")" && exit 0 ;;
    esac
}

is_root() { [ "$(id -u)" -eq 0 ]; }

# python_is_new_enough PROGRAM: Python 3.10 or newer.
python_is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

# known_python: prints the path of the first of $PYTHON and python3 that is new enough; fails if neither is.
known_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3; do
        if [ -n "$candidate" ] && python_is_new_enough "$candidate"; then
            realpath --no-symlinks "$(command -v "$candidate")"
            return
        fi
    done
    return 1
}

python_packages=(python3 python3-venv)

# find_python: prints the result of known_python. If there is none, root installs Debian's packages; for other accounts
# it prints their names.
find_python() {
    if known_python; then return; fi
    {
        note "no Python 3.10 or newer was found${PYTHON:+; PYTHON=$PYTHON is older}"
        apt_install "${python_packages[@]}" || true
    } >&2
    known_python || die "Python 3.10 or newer is needed. On Debian and Ubuntu: apt-get install ${python_packages[*]}." \
        "Elsewhere: install it, and set PYTHON=/path/to/python3.10"
}

# with_progress WHAT COMMAND...: runs COMMAND with its output in an unnamed file. Prints WHAT, the progress from time to
# time, and the end of the output if COMMAND fails.
with_progress() {
    local file status=0 ticker
    file=$(mktemp -t wsgw-output-XXXXXX)
    exec 7<>"$file"
    rm -f "$file"
    note "$1"
    exec 8> >(tell_progress)
    ticker=$!
    "${@:2}" >&7 2>&1 </dev/null 8>&- || status=$?
    exec 8>&-
    wait "$ticker" || true
    if [ "$status" -ne 0 ]; then tail -n 40 /dev/fd/7 | sed 's/^/   | /' >&2; fi
    exec 7>&-
    return "$status"
}

# tell_progress: prints the last line of file 7 every ten seconds, until standard input ends.
tell_progress() {
    local waited=0 status
    while true; do
        status=0
        read -r -t "${WSGW_PROGRESS_SECONDS:-10}" || status=$?
        if [ "$status" -le 128 ]; then return; fi
        waited=$((waited + ${WSGW_PROGRESS_SECONDS:-10}))
        note "... $waited s: $(tail -n 1 /dev/fd/7 | tr -d '\r' | cut -c 1-100)"
    done
}

# apt_install PACKAGE...: installs the missing ones without starting a service. Fails if it cannot.
apt_install() {
    is_root && command -v apt-get >/dev/null || return 1
    with_progress "installing with apt-get: $*" apt_without_services "$@"
}

# apt_without_services PACKAGE...: installs in a subshell, whose exit removes policy-rc.d again. The file names this script,
# so the next run recognises one that a killed run has left.
apt_without_services() (
    policy=/usr/sbin/policy-rc.d
    ours="of wsgw's scripts, while they install"
    if [ ! -e "$policy" ] || grep -qsF "$ours" "$policy"; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\n# %s\nexit 101\n' "$ours" >"$policy"
        chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q update && apt-get -q -y --no-install-recommends install "$@"
)

# missing_packages PACKAGE...: prints those that are not installed according to Debian's package manager.
missing_packages() {
    local package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || echo "$package"
    done
}

# venv_package PYTHON: Debian's package with the venv module of that Python.
venv_package() {
    if [[ $1 =~ /(python3\.[0-9]+)$ ]]; then echo "${BASH_REMATCH[1]}-venv"; else echo python3-venv; fi
}

# pip_of FOLDER ARGUMENT...: runs the pip of an environment in the folder where the script was called: paths in variables
# (PIP_FIND_LINKS, PIP_CERT) may be relative to it.
pip_of() {
    local python
    python=$(realpath --no-symlinks "$1/bin/python")
    (cd "${called_from:-.}" && PIP_PROGRESS_BAR=off "$python" -I -m pip --disable-pip-version-check "${@:2}")
}

# make_venv FOLDER PYTHON: creates a virtual environment, again if it is broken or has another Python.
make_venv() {
    local folder=$1 python=$2 wanted package
    wanted=$("$python" -c 'import sys; print(sys.base_prefix, sys.version_info[:2])')
    if [ "$wanted" = "$("$folder/bin/python" -c 'import pip, sys; print(sys.base_prefix, sys.version_info[:2])' 2>/dev/null)" ]; then
        return
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        package=$(venv_package "$python")
        note "$python has no venv module"
        apt_install "$package" || true
        "$python" -c 'import ensurepip, venv' 2>/dev/null ||
            die "$python cannot create virtual environments. On Debian and Ubuntu: apt-get install $package." \
                "Elsewhere: set PYTHON to another"
    fi
    rm -rf "$folder"
    "$python" -m venv "$folder"
}

# pip_install FOLDER FILE: installs the packages of a requirements file, unless the same file is already installed.
pip_install() {
    local folder=$1 file=$2 stamp sum
    stamp="$folder/.installed-$(basename "$file")"
    sum=$(cat requirements*.txt "$file" | cksum)
    if [ "$(cat "$stamp" 2>/dev/null)" != "$sum" ]; then
        with_progress "installing what $(basename "$file") names" pip_of "$folder" install -r "$(realpath "$file")" ||
            die "pip could not install the packages of $file"
        echo "$sum" >"$stamp"
    fi
}

# build_native: builds the native functions with the Python of .venv, and prints the result in one line. In CI a warning of
# the compiler is an error. Succeeds without a compiler, too.
build_native() {
    local status=0 result
    if [ "${CI:-}" = true ]; then local -x CFLAGS="-Wall -Wextra -Werror ${CFLAGS:-}"; fi
    result=$(scripts/build.sh .venv/bin/python) || status=$?
    note "$result"
    [ "$status" -eq 0 ] || [ "$status" -eq "$native_unable" ]
}

native_unable=3 # the exit status of build.sh without a compiler or headers

# make_environment FILE [FOLDER]: creates .venv, and builds the native functions, or FOLDER, with the packages of a
# requirements file.
make_environment() {
    local python folder=${2:-.venv}
    python=$(find_python)
    say "Python packages in $folder ($("$python" --version))"
    make_venv "$folder" "$python"
    pip_install "$folder" "$1"
    if [ "$folder" = .venv ]; then build_native || true; fi
}

# become_tests MODULE ARGUMENT...: replaces this script by a module of tests/.
become_tests() {
    exec .venv/bin/python -m "$@"
}

# node_is_new_enough PROGRAM: Node.js 20.10 or newer.
node_is_new_enough() {
    "$1" -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a == 20 && b >= 10) ? 0 : 1)' \
        2>/dev/null
}

# npm_quietly ARGUMENT...: runs npm without its hints.
npm_quietly() {
    npm "$@" --no-audit --no-fund --no-update-notifier --loglevel=error </dev/null
}

# find_node: prints the first of $NODE, node, and the one of npm's package "node" that is new enough; installs that
# package with npm if there is none.
find_node() {
    local brought=$PWD/.node/node_modules/node/bin/node candidate
    for candidate in "${NODE:-}" node "$brought"; do
        if [ -n "$candidate" ] && node_is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    with_progress "installing Node.js with npm" npm_quietly install --prefix .node --no-save --no-package-lock node@20 >&2 &&
        node_is_new_enough "$brought" && echo "$brought"
}
