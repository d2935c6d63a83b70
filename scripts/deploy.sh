#!/usr/bin/env bash
# Installs or upgrades wsgw as a systemd service on Debian or Ubuntu. Run it again at any time.
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
       deploy.sh --rollback [OPTION...] go back to the previous release

  --domain NAME      without a configuration and without ejabberd: a domain to serve; may be repeated
  --upstream URI     its XMPP server (tcp://127.0.0.1:5222); may be repeated
  --sockets          let systemd open the ports (wsgw.socket); --no-sockets reverts it
  --fresh            install a new release even if this tree is already installed
  --no-start         install only: do not start or upgrade the service
  --keep N           number of releases to keep (3)
  --wait SECONDS     time for a release to become healthy (60)
  --python PROGRAM   the Python of the release (python3; 3.10 or newer)
  --root FOLDER      write everything below FOLDER, and do not touch accounts and services
  --dry-run          build the release in a temporary folder, print the changes, and make none

/opt/wsgw/releases/ID  a release: a virtual environment; /opt/wsgw/current and previous point to two of them
/etc/wsgw              the configuration: written once, never changed by a later deployment
/etc/systemd/system    wsgw.service, wsgw.socket

It exits with 0 if the release runs and is healthy. Otherwise it goes back to the previous release and
exits with 1. The log is in the journal: journalctl -u wsgw.
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

# number OPTION VALUE LEAST: prints VALUE if it is a number of at least LEAST.
number() {
    if ! [[ $2 =~ ^[0-9]{1,6}$ ]] || [ "$2" -lt "$3" ]; then die "$1 needs a number of at least $3, not '$2'"; fi
    echo "$2"
}

# The account

ensure_account() {
    if [ -n "$root" ] && [ -z "${WSGW_SYSTEM:-}" ] || ! ask getent passwd "$account" >/dev/null; then
        system useradd --system --user-group --home-dir /nonexistent --shell /usr/sbin/nologin "$account"
    fi
}

has_account() { getent passwd "$account" >/dev/null; }

# as_account COMMAND...: runs COMMAND with the rights of the gateway. Before the account exists, root runs it; in a dry
# run, which does not create the account, an account without rights runs it.
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
    python_is_new_enough "$python" || die "--python: $python is not Python 3.10 or newer"
    python=$(realpath --no-symlinks "$(command -v "$python")")
    if [ -n "$dry_run" ] && ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        would_install "$(venv_package "$python")"
    fi
    if [ -z "$root" ] && [[ $(readlink -f "$python") =~ ^/(root|home)/ ]]; then
        die "$python is in a home folder, where $account cannot run it: use --python /usr/bin/python3"
    fi
}

# would_install PACKAGE...: ends a dry run if the real run would install these packages: the dry run cannot go further.
would_install() {
    if ! is_root || ! command -v apt-get >/dev/null; then return; fi
    note "would do: apt-get install $*"
    say "nothing was changed; install them, then a dry run shows the remaining changes"
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
        [ -r "$found" ] || die "$(id -un) may not read $found: run deploy.sh as root"
    elif [ ${#domains[@]} -eq 0 ]; then
        die "no configuration: neither $root$etc/wsgw.yml nor an ejabberd was found. Use --domain NAME and --upstream URI," \
            "or write $root$etc/wsgw.yml first (see docs/configuration.md)"
    fi
}

# write_configuration RELEASE_FOLDER: writes the first configuration, to a draft below a copy of $root, then into place.
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
        die "that configuration cannot be converted: correct it, or write $root$etc/wsgw.yml by hand"
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

# mirror_root: links the files that a file in /etc/wsgw may name by a relative path, next to its draft.
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

# check_configuration RELEASE_FOLDER: checks it with the rights of the account of the gateway.
check_configuration() {
    local said status=0
    said=$(as_account "$1/bin/python" -m wsgw check --config "$(configuration_to_run)" 2>&1) || status=$?
    said=${said//"$temporary/root"/"$root"}
    [ "$status" -eq 0 ] || die "$account cannot run this configuration; the running service is unchanged:
$said"
    grep '^warning: ' <<<"$said" | while IFS= read -r line; do note "$line"; done || true
}

# The units

# install_units RELEASE_FOLDER: installs the units of the release, with the settings of the configuration.
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
        if is_active; then note "wsgw.service changes; the change takes effect at the next systemctl restart wsgw"; fi
    fi
}

# close_sockets: stops the service, because systemd opens the ports of a changed wsgw.socket only while it does not run.
close_sockets() {
    local running=(wsgw.service)
    if ! is_active; then return; fi
    if [ -z "$start" ]; then
        note "the ports of wsgw.socket take effect at the next deploy.sh without --no-start, which stops the service"
        return
    fi
    note "the ports of wsgw.socket change: this stops the service"
    if unit_is_active wsgw.socket; then running=(wsgw.socket wsgw.service); fi
    system systemctl stop "${running[@]}"
    if [ -n "$dry_run" ]; then stopped=yes; fi
}

# The tasks

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
    if [ -n "$failed" ]; then die "$name is not healthy, see above"; fi
    prune_releases
    conclude "$name"
}

roll_back() {
    local name
    name=$(release_of previous)
    [ -n "$name" ] || die "there is no previous release"
    [ -n "$(configuration)" ] || die "there is no configuration in $root$etc"
    say "switching back to $name"
    check_configuration "$(folder_of "$name")"
    install_units "$(folder_of "$name")"
    switch_to "$name"
    if [ -n "$failed" ]; then die "$name is not healthy, see above"; fi
    conclude "$name"
}

# conclude RELEASE: prints the result and the admin's next step.
conclude() {
    local unit=wsgw
    if [ -e "$root$units/wsgw.socket" ]; then unit="wsgw.socket wsgw.service"; fi
    if [ "$changes" -eq 0 ]; then
        say "nothing to do: $1 is current"
    elif [ -n "$dry_run" ]; then
        say "nothing was changed; run it without --dry-run to make these changes"
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
        say "$1 is installed and already runs"
    else
        say "$1 is installed, and the previous release still runs; to switch to $1, run deploy.sh again"
    fi
}

conclude_running() {
    local place=""
    if [ -n "$former" ] && [ "$former" != "$1" ]; then place=", in place of $former"; fi
    say "$1 runs and is healthy$place; its log: journalctl -u wsgw"
    note "to check all that a login needs: $home/current/bin/python -m wsgw doctor"
    if [ -n "$handed_over" ]; then note "the old processes continue to serve their sessions"; fi
    if [ -e "$root$units/wsgw.socket" ]; then note "systemd opens its ports: systemctl status wsgw.socket"; fi
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
    trap 'die "interrupted; run deploy.sh again to continue from here"' INT TERM HUP
    find_deployable_python
    if [ "$mode" = deploy ]; then need_configuration_source; fi
    one_at_a_time
    # In a dry run other accounts read the files in it.
    if [ -n "$dry_run" ]; then chmod 711 "$temporary"; fi
    former=$(release_of current)
    cd /
    if [ "$mode" = rollback ]; then roll_back; else deploy; fi
}

main "$@"
