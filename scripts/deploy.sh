#!/usr/bin/env bash
# Installs or upgrades wsgw as a systemd service on Debian or Ubuntu. It can be run again at any time.
set -euo pipefail
called_from=$PWD
tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$tree/scripts/lib.sh"
# shellcheck source=scripts/lib-deploy.sh
. "$tree/scripts/lib-deploy.sh"
# shellcheck source=scripts/lib-service.sh
. "$tree/scripts/lib-service.sh"

usage() {
    cat <<'END'
usage: deploy.sh [OPTION...]            install this tree, or upgrade to it
       deploy.sh --rollback [OPTION...] go back to the release before

  --domain NAME      without a configuration and without ejabberd: a domain to serve; may be repeated
  --upstream URI     and its XMPP server (tcp://127.0.0.1:5222); may be repeated
  --sockets          let systemd open the ports (wsgw.socket); --no-sockets takes that back
  --fresh            a new release even if this tree is installed
  --no-start         install, and start or upgrade nothing
  --keep N           releases to keep (3)
  --wait SECONDS     how long a release has to become healthy (60)
  --python PROGRAM   the Python of the release (python3; 3.10 or newer)
  --root FOLDER      put everything below FOLDER, and leave accounts and services alone
  --dry-run          say what would be done, and change nothing

/opt/wsgw/releases/ID  a release: a virtual environment; /opt/wsgw/current and previous point to two of them
/etc/wsgw              the configuration: written once, never changed again
/etc/systemd/system    wsgw.service, wsgw.socket

It exits with 0 if the release runs and is healthy. If it is not, it goes back to the one before and exits with 1.
The log is the journal's: journalctl -u wsgw.
END
}

mode=deploy
domains=()
upstreams=()
sockets=""      # yes, no; empty: as it is
fresh=""
start=yes
keep=3
patience=60
python=""
temporary=""
unfinished=""   # the folder of a release that is being built
failed=""       # yes: the release did not become healthy

# Arguments

parse_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
            --rollback) mode=rollback ;;
            --sockets) sockets=yes ;;
            --no-sockets) sockets=no ;;
            --fresh) fresh=yes ;;
            --no-start) start="" ;;
            --dry-run) dry_run=yes ;;
            -h | --help) usage && exit 0 ;;
            --domain | --upstream | --keep | --wait | --python | --root)
                [ $# -ge 2 ] || die "$1 needs a value"
                take_value "$1" "$2"
                shift
                ;;
            *) die "unknown option $1; deploy.sh --help lists them" ;;
        esac
        shift
    done
}

take_value() {
    case $1 in
        --domain) domains+=("$2") ;;
        --upstream) upstreams+=("$2") ;;
        --keep) keep=$(number "$1" "$2" 1) ;;
        --wait) patience=$(number "$1" "$2" 1) ;;
        --python) python=$2 ;;
        --root) set_root "$2" ;;
    esac
}

# number OPTION VALUE LEAST: prints VALUE if it is one.
number() {
    if ! [[ $2 =~ ^[0-9]{1,6}$ ]] || [ "$2" -lt "$3" ]; then die "$1 needs a number from $3 up, not '$2'"; fi
    echo "$2"
}

# The account

ensure_account() {
    if [ -n "$root" ] && [ -z "${WSGW_SYSTEM:-}" ] || ! ask getent passwd "$account" >/dev/null; then
        system useradd --system --user-group --home-dir /nonexistent --shell /usr/sbin/nologin "$account"
    fi
}

# as_account COMMAND...: what the gateway itself could do. Staged, there is no account yet.
as_account() {
    if [ -z "$root" ] && is_root; then
        runuser -u "$account" -- "$@"
    else
        "$@"
    fi
}

# The release

# source_files: what a release is made of.
source_files() {
    (cd "$tree" && find wsgw deploy pyproject.toml requirements.txt requirements.lock requirements-build.lock \
        README.md LICENSE -type f \
        -not -name '*.pyc' -not -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z)
}

# release_name: VERSION-HASH, of the tree and of the Python it is for.
release_name() {
    local version hash
    version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$tree/wsgw/__init__.py")
    [ -n "$version" ] || die "$tree/wsgw/__init__.py has no __version__"
    hash=$( (source_files | (cd "$tree" && xargs -0 sha256sum) && "$python" --version) | sha256sum | cut -c1-12)
    echo "$version-$hash${fresh:+-$(date -u +%Y%m%d%H%M%S)}"
}

find_deployable_python() {
    if [ -z "$python" ]; then
        if [ -z "${PYTHON:-}" ] && python_is_new_enough /usr/bin/python3; then PYTHON=/usr/bin/python3; fi
        python=$(find_python)
    fi
    python_is_new_enough "$python" || die "--python: $python is no Python 3.10 or newer"
    if [ -z "$root" ] && [[ $(readlink -f "$python") =~ ^/(root|home)/ ]]; then
        die "$python is in a home folder, where $account cannot run it: give --python /usr/bin/python3"
    fi
}

# build_release NAME: a virtual environment with this tree in it, and beside it what deploys this very release: its
# units and its health check. Built where it will be, since environments cannot be moved; the file .complete is the
# last to be written.
build_release() {
    local folder="$root$home/releases/$1"
    rm -rf "$folder"
    mkdir -p "$root$home/releases" "$temporary/source"
    unfinished=$folder
    make_venv "$folder" "$python"
    source_files | tar --create --directory "$tree" --mode u=rwX,go=rX --null --files-from - |
        tar --extract --no-same-owner --directory "$temporary/source"
    install_packages "$folder" "$temporary/source" ||
        die "pip could not install the release." \
            "Without a network it needs the packages in a folder: see 'By hand' in docs/deployment.md"
    "$folder/bin/python" -m pip check >"$temporary/pip" 2>&1 ||
        die "requirements.lock does not fit requirements.txt, scripts/lock.sh writes it anew:
$(cat "$temporary/pip")"
    mv "$temporary/source/deploy" "$folder/deploy"
    resolve_imports "$folder"
    if [ -n "$root" ]; then forget_root "$folder"; fi
    touch "$folder/.complete"
    unfinished=""
}

# install_packages FOLDER SOURCE: what the locks of SOURCE name, each file by its hash, and SOURCE itself. In two steps, as
# packages that have no wheel are built with what is installed by then: pip looks at no hash of what it brings to build.
install_packages() {
    local pip=(pip_of "$1" install) locked=(--require-hashes -r)
    # Old ones would otherwise build in ways of their own.
    export PIP_USE_PEP517=1
    with_progress "installing what requirements-build.lock names" \
        "${pip[@]}" "${locked[@]}" "$2/requirements-build.lock" &&
        with_progress "installing what requirements.lock names" \
            "${pip[@]}" --no-build-isolation "${locked[@]}" "$2/requirements.lock" &&
        with_progress "installing wsgw" "${pip[@]}" --no-build-isolation --no-deps "$2"
}

# clean_up: at the end, whatever it is.
clean_up() {
    rm -rf "$temporary"
    if [ -n "$unfinished" ]; then
        rm -rf "$unfinished"
        note "removed, as it is not finished: $unfinished; nothing that runs was touched"
    fi
}

# resolve_imports FOLDER: a process started through current goes on with the modules of its own release when
# current points elsewhere: old processes serve their sessions on after an upgrade.
resolve_imports() {
    local packages
    packages=$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    echo 'import os, sys; sys.path[:] = map(os.path.realpath, sys.path)' >"$packages/wsgw-release.pth"
}

# forget_root FOLDER: scripts of the environment name it without --root, as it will be when they run.
forget_root() {
    "$python" - "$1" "$root$home" "$home" <<'END'
import pathlib, sys
folder, there, here = sys.argv[1:]
for path in (*pathlib.Path(folder, "bin").iterdir(), pathlib.Path(folder, "pyvenv.cfg")):
    if path.is_file() and not path.is_symlink():
        path.write_bytes(path.read_bytes().replace(there.encode(), here.encode()))
END
}

# prune_releases: what was never finished, and all but the newest, those the links point to, and those that still
# serve sessions.
prune_releases() {
    local name number=0
    while IFS= read -r name; do
        if [ -e "$root$home/releases/$name/.complete" ]; then
            number=$((number + 1))
            [ "$number" -gt "$keep" ] || continue
        fi
        if [ "$name" = "$(release_of current)" ] || [ "$name" = "$(release_of previous)" ]; then continue; fi
        if serves_in "$name" /proc/[0-9]*; then continue; fi
        change rm -rf "$root$home/releases/$name"
    done < <(cd "$root$home/releases" 2>/dev/null && ls -1t)
}

# The configuration

# ejabberd_configuration: the file of an ejabberd on this machine, below $root; empty if there is none.
ejabberd_configuration() {
    local name
    for name in /etc/ejabberd/ejabberd.cfg /etc/ejabberd/ejabberd.yml /opt/ejabberd/conf/ejabberd.cfg /opt/ejabberd/conf/ejabberd.yml; do
        if [ -e "$root$name" ]; then
            echo "$root$name"
            return
        fi
    done
}

need_configuration_source() {
    if [ -n "$(configuration)$(ejabberd_configuration)${domains[*]}" ]; then return; fi
    die "nothing to configure it from: no $root$etc/wsgw.yml, no ejabberd. Give --domain NAME and --upstream URI," \
        "or write $root$etc/wsgw.yml first (see README.md)"
}

# write_configuration RELEASE: once; what is there is kept.
write_configuration() {
    local found arguments=() argument
    found=$(configuration)
    if [ -n "$found" ]; then
        note "kept: $found"
        return
    fi
    if [ ${#domains[@]} -gt 0 ]; then
        for argument in "${domains[@]}"; do arguments+=(--domain "$argument"); done
        for argument in "${upstreams[@]}"; do arguments+=(--upstream "$argument"); done
    else
        arguments=(--ejabberd "$(ejabberd_configuration)" --root "${root:-/}")
    fi
    if [ -n "$dry_run" ]; then
        changes=$((changes + 1))
        note "would write: $root$etc/wsgw.yml (${arguments[*]})"
        return
    fi
    mkdir -p "$temporary/etc"
    "$root$home/releases/$1/bin/python" "$root$home/releases/$1/deploy/write_config.py" "${arguments[@]}" \
        --etc "$etc" --user "$account" "$temporary/etc" ||
        die "that configuration cannot be carried over: mend it, or write $root$etc/wsgw.yml yourself"
    if [ -e "$temporary/etc/upstream-certificates.pem" ]; then
        put "$temporary/etc/upstream-certificates.pem" "$etc/upstream-certificates.pem"
    fi
    put "$temporary/etc/wsgw.yml" "$etc/wsgw.yml"
    note "written: $root$etc/wsgw.yml"
}

# check_configuration RELEASE: with the eyes of the account the gateway runs under.
check_configuration() {
    if [ -n "$dry_run" ] && [ ! -e "$root$home/releases/$1/.complete" ]; then return; fi
    if [ -z "$(configuration)" ]; then return; fi
    as_account "$root$home/releases/$1/bin/python" -m wsgw check --config "$(configuration)" >"$temporary/check" 2>&1 ||
        die "$account cannot run this configuration; nothing that runs was touched:
$(cat "$temporary/check")"
    sed -n '/^warning: /p' "$temporary/check" | while IFS= read -r line; do note "$line"; done
}

# The units

# install_units RELEASE: those it brings, as the configuration needs them.
install_units() {
    local arguments=() release="$root$home/releases/$1" changed=""
    if [ -z "$sockets" ] && [ -e "$root$units/wsgw.socket" ]; then sockets=yes; fi
    if [ "$sockets" = yes ]; then arguments=(--sockets); fi
    if [ ! -x "$release/bin/python" ] || [ -z "$(configuration)" ]; then
        note "would write: $root$units/wsgw.service${arguments:+ and wsgw.socket}"
        return
    fi
    mkdir -p "$temporary/units"
    "$release/bin/python" "$release/deploy/units.py" "${arguments[@]}" "$(configuration)" "$temporary/units"
    put "$temporary/units/wsgw.service" "$units/wsgw.service"
    changed=$differed
    if [ "$sockets" = yes ]; then
        if ! cmp -s "$temporary/units/wsgw.socket" "$root$units/wsgw.socket"; then close_sockets; fi
        put "$temporary/units/wsgw.socket" "$units/wsgw.socket"
        changed+=$differed
    elif [ -e "$root$units/wsgw.socket" ]; then
        system systemctl disable --now wsgw.socket
        change rm "$root$units/wsgw.socket"
        changed=yes
    fi
    if [ -n "$changed" ] || units_are_newer; then
        system systemctl daemon-reload
        if is_active; then note "wsgw.service changed, which counts from the next systemctl restart wsgw"; fi
    fi
}

# close_sockets: systemd opens the ports of a changed wsgw.socket only while the service does not run.
close_sockets() {
    local running=(wsgw.service)
    if is_active; then
        note "the ports of wsgw.socket change: the service has to stop for that"
        if unit_is_active wsgw.socket; then running=(wsgw.socket wsgw.service); fi
        system systemctl stop "${running[@]}"
    fi
}

# What the admin asked for

deploy() {
    local name
    ensure_account
    name=$(release_name)
    say "release $name"
    if [ -e "$root$home/releases/$name/.complete" ]; then
        note "kept: $root$home/releases/$name"
    else
        change build_release "$name"
    fi
    say "configuration"
    write_configuration "$name"
    check_configuration "$name"
    say "units"
    install_units "$name"
    say "switching to $name"
    switch_to "$name"
    if [ -n "$failed" ]; then die "$name does not work, see above"; fi
    prune_releases
    conclude "$name"
}

roll_back() {
    local name
    name=$(release_of previous)
    [ -n "$name" ] || die "there is no release before the current one"
    say "switching back to $name"
    check_configuration "$name"
    install_units "$name"
    switch_to "$name"
    if [ -n "$failed" ]; then die "$name does not work, see above"; fi
    conclude "$name"
}

conclude() {
    if [ "$changes" -eq 0 ]; then
        say "nothing to do: $1 is current"
    elif [ -n "$dry_run" ]; then
        say "nothing was changed"
    elif ! has_services; then
        say "$1 is staged in $root; on the machine: systemctl daemon-reload && systemctl enable --now wsgw"
    elif [ -z "$start" ]; then
        say "$1 is installed; start it with: systemctl enable --now wsgw, or run deploy.sh again"
    else
        say "$1 runs and is healthy; its log: journalctl -u wsgw"
    fi
}

main() {
    umask 022
    parse_arguments "$@"
    need_root_or_stage
    temporary=$(mktemp -d -t wsgw-deploy-XXXXXX)
    trap clean_up EXIT
    trap 'die "interrupted; run deploy.sh again, and it goes on from here"' INT TERM HUP
    find_deployable_python
    if [ "$mode" = deploy ]; then need_configuration_source; fi
    one_at_a_time
    cd /
    if [ "$mode" = rollback ]; then roll_back; else deploy; fi
}

main "$@"
