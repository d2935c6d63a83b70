# shellcheck shell=bash
# What the scripts of this folder share. Source it; it runs nothing by itself. What it makes (.venv, .node) lies in the
# folder it is called in, which is the top of the tree.

say() { printf '\n== %s\n' "$*"; }
note() { printf '   %s\n' "$*"; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

is_root() { [ "$(id -u)" -eq 0 ]; }

# python_is_new_enough PROGRAM: Python 3.10 or newer.
python_is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

# find_python: prints the first of $PYTHON, python3 that is new enough.
find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3; do
        if [ -n "$candidate" ] && python_is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    die "Python 3.10 or newer is needed: set PYTHON=/path/to/python3.10"
}

# apt_install PACKAGE...: what is missing of them, without starting any service. Fails if it cannot.
apt_install() {
    is_root && command -v apt-get >/dev/null || return 1
    local policy=/usr/sbin/policy-rc.d ours="" status=0
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        ours=yes
    fi
    {
        apt-get -qq update &&
            DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@" >/dev/null
    } </dev/null || status=$?
    if [ -n "$ours" ]; then rm -f "$policy"; fi
    return "$status"
}

# missing_packages PACKAGE...: prints those that Debian's package manager does not know as installed.
missing_packages() {
    local package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || echo "$package"
    done
}

# make_venv FOLDER PYTHON: a virtual environment there, made anew if it is broken or of another Python.
make_venv() {
    local folder=$1 python=$2 wanted
    wanted=$("$python" -c 'import sys; print(sys.base_prefix, sys.version_info[:2])')
    if [ "$wanted" = "$("$folder/bin/python" -c 'import pip, sys; print(sys.base_prefix, sys.version_info[:2])' 2>/dev/null)" ]; then
        return
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        note "$python has no venv module: installing python3-venv"
        apt_install python3-venv || true
        "$python" -c 'import ensurepip, venv' 2>/dev/null ||
            die "$python cannot make virtual environments: install Debian's python3-venv, or set PYTHON to another"
    fi
    rm -rf "$folder"
    "$python" -m venv "$folder"
}

# pip_install FOLDER FILE: the packages of a requirements file, unless the same file was installed before.
pip_install() {
    local folder=$1 file=$2 stamp sum
    stamp="$folder/.installed-$(basename "$file")"
    sum=$(cat requirements*.txt "$file" | cksum)
    if [ "$(cat "$stamp" 2>/dev/null)" != "$sum" ]; then
        "$folder/bin/python" -m pip install -qq --disable-pip-version-check -r "$file"
        echo "$sum" >"$stamp"
    fi
}

# make_environment FILE [FOLDER]: .venv or FOLDER with the packages of a requirements file.
make_environment() {
    local python folder=${2:-.venv}
    python=$(find_python)
    say "Python packages in $folder ($("$python" --version))"
    make_venv "$folder" "$python"
    pip_install "$folder" "$1"
}

# become_tests MODULE ARGUMENT...: a module of tests/ in place of this script.
become_tests() {
    PYTHONPATH=$PWD:$PWD/tests exec .venv/bin/python -m "$@"
}

# node_is_new_enough PROGRAM: Node.js 20.10 or newer.
node_is_new_enough() {
    "$1" -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a == 20 && b >= 10) ? 0 : 1)' \
        2>/dev/null
}

# npm_quietly ARGUMENT...: npm without its advice.
npm_quietly() {
    npm "$@" --no-audit --no-fund --no-update-notifier --loglevel=error </dev/null
}

# find_node: prints the first of $NODE, node, the one from npm's package "node" that is new enough;
# brings the last with npm if there is none.
find_node() {
    local brought=$PWD/.node/node_modules/node/bin/node candidate
    for candidate in "${NODE:-}" node "$brought"; do
        if [ -n "$candidate" ] && node_is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    npm_quietly install --prefix .node --no-save --no-package-lock node@20 >&2 &&
        node_is_new_enough "$brought" && echo "$brought"
}
