#!/usr/bin/env bash
# Removes wsgw from a machine where deploy.sh installed it. It keeps the configuration and the account unless --purge is given.
set -euo pipefail
tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$tree/scripts/lib.sh"
# shellcheck source=scripts/lib-deploy.sh
. "$tree/scripts/lib-deploy.sh"

usage() {
    cat <<'END'
usage: undeploy.sh [OPTION...]

  --purge        the configuration (/etc/wsgw), changes to the units and the account too
  --root FOLDER  what deploy.sh --root FOLDER put there
  --dry-run      print the changes, and make none
END
}

purge=""

parse_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
            --purge) purge=yes ;;
            --dry-run) dry_run=yes ;;
            --root) set_root "${2:-}" && shift ;;
            -h | --help) usage && exit 0 ;;
            *) die "unknown option $1; undeploy.sh --help lists them" ;;
        esac
        shift
    done
}

# remove PATH...: removes those (below $root) that exist.
remove() {
    local path
    for path in "$@"; do
        if [ -e "$root$path" ] || [ -L "$root$path" ]; then
            change "remove $root$path" rm -rf "$root$path"
        fi
    done
}

stop_units() {
    local unit found=""
    for unit in wsgw.socket wsgw.service; do
        if [ -e "$root$units/$unit" ]; then
            system systemctl disable --now "$unit"
            found=yes
        fi
    done
    remove "$units/wsgw.socket" "$units/wsgw.service"
    if [ -n "$found" ]; then system systemctl daemon-reload; fi
}

remove_everything() {
    remove "$etc" "$units/wsgw.service.d" "$units/wsgw.socket.d"
    if ask getent passwd "$account" >/dev/null; then system userdel "$account"; fi
}

main() {
    parse_arguments "$@"
    need_root_or_stage
    if [ -e "$root$home" ]; then one_at_a_time; fi
    stop_units
    remove "$home"
    if [ -n "$purge" ]; then
        remove_everything
    elif [ -e "$root$etc" ]; then
        note "kept: $root$etc; --purge removes it"
    fi
    if [ "$changes" -eq 0 ]; then
        say "nothing to do"
    elif [ -n "$dry_run" ]; then
        say "nothing was changed; run it without --dry-run to make these changes"
    fi
}

main "$@"
