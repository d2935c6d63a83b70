#!/usr/bin/env bash
# Installs or upgrades wsgw as a systemd service on Debian or Ubuntu. It can be run again at any time.
set -euo pipefail
called_from=$PWD
tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$tree/scripts/lib.sh"
# shellcheck source=scripts/lib-deploy.sh
. "$tree/scripts/lib-deploy.sh"
# shellcheck source=scripts/lib-release.sh
. "$tree/scripts/lib-release.sh"
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
  --dry-run          build the release in a temporary folder, say what would be done, and change nothing

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
former=""       # the release that was current before
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

has_account() { getent passwd "$account" >/dev/null; }

# as_account COMMAND...: what the gateway itself could do. Before there is the account, root looks, or, as a dry run
# does not make the account, one without rights.
as_account() {
    if [ -n "$root" ] || ! is_root; then
        "$@"
    elif has_account; then
        runuser -u "$account" -- "$@"
    elif [ -n "$dry_run" ]; then
        setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"
    else
        "$@"
    fi
}

# The Python

find_deployable_python() {
    if [ -z "$python" ]; then
        if [ -z "${PYTHON:-}" ] && python_is_new_enough /usr/bin/python3; then PYTHON=/usr/bin/python3; fi
        if [ -n "$dry_run" ] && ! known_python >/dev/null; then would_install "${python_packages[@]}"; fi
        python=$(find_python)
    fi
    python_is_new_enough "$python" || die "--python: $python is no Python 3.10 or newer"
    python=$(realpath --no-symlinks "$(command -v "$python")")
    if [ -n "$dry_run" ] && ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        would_install "$(venv_package "$python")"
    fi
    if [ -z "$root" ] && [[ $(readlink -f "$python") =~ ^/(root|home)/ ]]; then
        die "$python is in a home folder, where $account cannot run it: give --python /usr/bin/python3"
    fi
}

# would_install PACKAGE...: ends a dry run where root would have these installed, without which nothing can be tried.
would_install() {
    if ! is_root || ! command -v apt-get >/dev/null; then return; fi
    note "would do: apt-get install $*"
    say "nothing was changed; what is done after that, a dry run says when they are installed"
    exit 0
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
    local found
    found=$(configuration)
    if [ -z "$found" ] && [ ${#domains[@]} -eq 0 ]; then found=$(ejabberd_configuration); fi
    if [ -n "$found" ]; then
        [ -r "$found" ] || die "$(id -un) may not read $found: run this as root"
    elif [ ${#domains[@]} -eq 0 ]; then
        die "nothing to configure it from: no $root$etc/wsgw.yml, no ejabberd. Give --domain NAME and --upstream URI," \
            "or write $root$etc/wsgw.yml first (see docs/configuration.md)"
    fi
}

# write_configuration RELEASE_FOLDER: the first one, below a folder that stands for $root, and from there into place.
write_configuration() {
    local arguments=() argument draft="$temporary/root$etc"
    if [ ${#domains[@]} -gt 0 ]; then
        for argument in "${domains[@]}"; do arguments+=(--domain "$argument"); done
        for argument in "${upstreams[@]}"; do arguments+=(--upstream "$argument"); done
    else
        arguments=(--ejabberd "$(ejabberd_configuration)" --root "${root:-/}")
    fi
    mirror_root
    "$1/bin/python" "$1/deploy/write_config.py" "${arguments[@]}" --etc "$etc" --user "$account" "$draft" ||
        die "that configuration cannot be carried over: correct it, or write $root$etc/wsgw.yml yourself"
    if [ -e "$draft/upstream-certificates.pem" ]; then
        put "$draft/upstream-certificates.pem" "$etc/upstream-certificates.pem"
    fi
    if [ -n "$dry_run" ]; then
        changes=$((changes + 1))
        note "would write: $root$etc/wsgw.yml with"
        sed 's/^/   | /' "$draft/wsgw.yml"
    else
        put "$draft/wsgw.yml" "$etc/wsgw.yml"
        note "written: $root$etc/wsgw.yml"
    fi
}

# mirror_root: what a file in /etc/wsgw may name by a relative path, beside the draft of that file.
mirror_root() {
    local entry
    mkdir -p "$temporary/root$etc"
    for entry in "$root"/* "$root"/etc/*; do
        if [ "$entry" = "$root/etc" ] || [ "$entry" = "$root$etc" ] || ! [ -e "$entry" ]; then continue; fi
        ln -s "$entry" "$temporary/root${entry#"$root"}"
    done
}

# configuration_to_run: the file in place, or the draft of a dry run.
configuration_to_run() {
    local found
    found=$(configuration)
    echo "${found:-$temporary/root$etc/wsgw.yml}"
}

# check_configuration RELEASE_FOLDER: with the eyes of the account the gateway runs under.
check_configuration() {
    local said status=0
    said=$(as_account "$1/bin/python" -m wsgw check --config "$(configuration_to_run)" 2>&1) || status=$?
    said=${said//"$temporary/root"/"$root"}
    [ "$status" -eq 0 ] || die "$account cannot run this configuration; nothing that runs was touched:
$said"
    grep '^warning: ' <<<"$said" | while IFS= read -r line; do note "$line"; done || true
}

# The units

# install_units RELEASE_FOLDER: those it brings, as the configuration needs them.
install_units() {
    local arguments=() changed=""
    if [ -z "$sockets" ] && [ -e "$root$units/wsgw.socket" ]; then sockets=yes; fi
    if [ "$sockets" = yes ]; then arguments=(--sockets); fi
    mkdir -p "$temporary/units"
    "$1/bin/python" "$1/deploy/units.py" "${arguments[@]}" "$(configuration_to_run)" "$temporary/units"
    put "$temporary/units/wsgw.service" "$units/wsgw.service"
    changed=$differed
    if [ "$sockets" = yes ]; then
        if ! cmp -s "$temporary/units/wsgw.socket" "$root$units/wsgw.socket" || ! unit_is_active wsgw.socket; then
            close_sockets
        fi
        put "$temporary/units/wsgw.socket" "$units/wsgw.socket"
        changed+=$differed
    elif [ -e "$root$units/wsgw.socket" ]; then
        system systemctl disable --now wsgw.socket
        change "remove $root$units/wsgw.socket" rm "$root$units/wsgw.socket"
        changed=yes
    fi
    if [ -n "$changed" ] || units_are_newer; then
        system systemctl daemon-reload
        if is_active; then note "wsgw.service changes, which counts from the next systemctl restart wsgw"; fi
    fi
}

# close_sockets: systemd opens the ports of a changed wsgw.socket only while the service does not run.
close_sockets() {
    local running=(wsgw.service)
    if ! is_active; then return; fi
    if [ -z "$start" ]; then
        note "the ports of wsgw.socket count from the next deploy.sh without --no-start, which stops the service for that"
        return
    fi
    note "the ports of wsgw.socket change: the service has to stop for that"
    if unit_is_active wsgw.socket; then running=(wsgw.socket wsgw.service); fi
    system systemctl stop "${running[@]}"
    if [ -n "$dry_run" ]; then stopped=yes; fi
}

# What the admin asked for

deploy() {
    local name release found new_account=""
    name=$(release_name)
    say "release $name"
    prepare_release "$name"
    release=$(folder_of "$name")
    say "configuration"
    found=$(configuration)
    if [ -n "$found" ]; then
        note "kept: $found"
        check_configuration "$release"
    fi
    finish_release
    if [ -z "$root" ] && ! has_account; then new_account=yes; fi
    ensure_account
    if [ -z "$found" ]; then write_configuration "$release"; fi
    if [ -z "$found" ] || [ -n "$new_account" ]; then check_configuration "$release" >"$temporary/said"; fi
    if [ -z "$found" ]; then cat "$temporary/said"; fi
    say "units"
    install_units "$release"
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
    [ -n "$(configuration)" ] || die "there is no configuration in $root$etc"
    say "switching back to $name"
    check_configuration "$(folder_of "$name")"
    install_units "$(folder_of "$name")"
    switch_to "$name"
    if [ -n "$failed" ]; then die "$name does not work, see above"; fi
    conclude "$name"
}

# conclude RELEASE: what was reached, and the admin's next step.
conclude() {
    local unit=wsgw
    if [ -e "$root$units/wsgw.socket" ]; then unit="wsgw.socket wsgw.service"; fi
    if [ "$changes" -eq 0 ]; then
        say "nothing to do: $1 is current"
    elif [ -n "$dry_run" ]; then
        say "nothing was changed; without --dry-run all of this is done"
    elif ! has_services; then
        say "$1 is staged in $root; on the machine: systemctl daemon-reload && systemctl enable --now $unit"
        if [ -n "$former" ] && [ "$former" != "$1" ]; then
            note "or, where $former runs: systemctl daemon-reload &&" \
                "systemctl kill --kill-who=main --signal=USR2 wsgw.service"
        fi
    elif [ -z "$start" ]; then
        conclude_without_start "$1" "$unit"
    else
        conclude_running "$1"
    fi
}

conclude_without_start() {
    if ! is_active; then
        say "$1 is installed; start it with: systemctl enable --now $2, or run deploy.sh again"
    elif serves_in "$1" "/proc/$(main_pid)"; then
        say "$1 is installed, and runs already"
    else
        say "$1 is installed, and the release before still runs; to switch to $1, run deploy.sh again"
    fi
}

conclude_running() {
    local place=""
    if [ -n "$former" ] && [ "$former" != "$1" ]; then place=", in place of $former"; fi
    say "$1 runs and is healthy$place; its log: journalctl -u wsgw"
    if [ -n "$handed_over" ]; then note "sessions from before go on in the processes that had them"; fi
    if [ -e "$root$units/wsgw.socket" ]; then note "its ports are systemd's: systemctl status wsgw.socket"; fi
    if [ -z "$place" ]; then return; fi
    if [ "$mode" = rollback ]; then
        note "to switch forward to $former again: deploy.sh --rollback"
    else
        note "to go back to $former: deploy.sh --rollback"
    fi
}

main() {
    umask 022
    parse_arguments "$@"
    need_root_or_stage
    if [ -n "${TMPDIR:-}" ]; then TMPDIR=$(realpath "$TMPDIR"); fi
    if [ -n "${WSGW_SYSTEM:-}" ]; then WSGW_SYSTEM=$(realpath "$(command -v "$WSGW_SYSTEM")"); fi
    temporary=$(mktemp -d -t wsgw-deploy-XXXXXX)
    trap clean_up EXIT
    trap 'die "interrupted; run deploy.sh again, and it goes on from here"' INT TERM HUP
    find_deployable_python
    if [ "$mode" = deploy ]; then need_configuration_source; fi
    one_at_a_time
    # In a dry run other accounts look at what is in it.
    if [ -n "$dry_run" ]; then chmod 711 "$temporary"; fi
    former=$(release_of current)
    cd /
    if [ "$mode" = rollback ]; then roll_back; else deploy; fi
}

main "$@"
