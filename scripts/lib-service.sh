# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # its variables are those of the script that sources it
# How deploy.sh starts a release or upgrades the running one, and goes back if the release does not become healthy.
# Source it after lib-deploy.sh. It uses $start, $patience, $sockets, $temporary, folder_of and install_units of
# deploy.sh.

unit_is_active() {
    has_services && [ "$(ask systemctl is-active "$1" || true)" = active ]
}

stopped="" # yes: a dry run continues as if the service had been stopped

is_active() {
    [ -z "$stopped" ] && unit_is_active wsgw.service
}

# service_property NAME: of wsgw.service; empty if there is no systemd to ask.
service_property() {
    ask systemctl show --property "$1" --value wsgw.service || true
}

# units_are_newer: whether systemd has not read the units since they changed, because a deployment was interrupted.
units_are_newer() {
    [ "$(service_property NeedDaemonReload)" = yes ]
}

# main_pid: of the gateway; 0 if none runs.
main_pid() {
    local found=0
    if [ -z "$stopped" ]; then found=$(service_property MainPID); fi
    echo "${found:-0}"
}

# serves_in RELEASE FOLDER...: whether one of these processes (/proc/PID) has loaded a module of RELEASE.
serves_in() {
    local modules="$root$home/releases/$1/"
    shift
    grep -qsF "$modules" "${@/%//maps}"
}

# run_current RELEASE: starts the release of the link current, or upgrades the running one to it; true if it is healthy
# and reaches the XMPP server at least as well as RELEASE (if not empty).
run_current() {
    if is_active; then
        hand_over || return 1
    else
        start_service || return 1
    fi
    wait_until_healthy "$1"
}

start_service() {
    if [ -e "$root$units/wsgw.socket" ]; then
        system systemctl enable wsgw.socket || return 1
        system systemctl restart wsgw.socket || return 1
    fi
    system systemctl enable wsgw.service || return 1
    system systemctl start wsgw.service
}

handed_over="" # yes: the processes of a previous release continue to serve their sessions

# hand_over: SIGUSR2 makes the running gateway start the new release, which takes the sockets and becomes the
# main process; no connection is refused. The gateway itself gives up after 60 s and reports it in its status.
hand_over() {
    local before status_before now status deadline=$((SECONDS + 75))
    before=$(main_pid)
    status_before=$(service_property StatusText)
    system systemctl kill --kill-who=main --signal=USR2 wsgw.service || return 1
    while [ "$SECONDS" -lt "$deadline" ]; do
        now=$(main_pid)
        if [ "$now" != "$before" ] && [ "$now" != 0 ]; then
            handed_over=yes
            return 0
        fi
        status=$(service_property StatusText)
        if [ "$status" != "$status_before" ] && [[ $status == "no upgrade"* ]]; then break; fi
        is_active || return 1
        sleep 0.2
    done
    note "the new release did not take over: ${status:-no answer}"
    return 1
}

# ask_release FOLDER PROGRAM [--OPTION]: runs a program of the release on the configuration.
ask_release() {
    "$root$home/$1/bin/python" "$root$home/$1/deploy/$2" "${@:3}" "$(configuration)" 2>&1
}

# is_healthy: whether the listeners of the current release answer; if not, the file health has the reason.
is_healthy() { ask_release current health.py >"$temporary/health"; }

# is_ready: whether it also reaches the XMPP server.
is_ready() { ask_release current health.py --ready >"$temporary/health"; }

# wait_until_healthy RELEASE: if the XMPP server does not answer, the current release is unhealthy only if the server
# answers RELEASE, the previous one.
wait_until_healthy() {
    local deadline=$((SECONDS + patience))
    until is_healthy && { is_ready || [ -z "$1" ] || ! ask_release "releases/$1" upstream.py >/dev/null; }; do
        if [ "$SECONDS" -ge "$deadline" ] || ! is_active; then
            sed 's/^/   unhealthy: /' "$temporary/health"
            return 1
        fi
        sleep 0.5
    done
}

warn_if_not_ready() {
    if ! is_ready; then sed 's/^/   warning: /' "$temporary/health"; fi
}

# switch_to RELEASE: makes it the current one. If it does not become healthy, everything is restored, and $failed is
# set.
switch_to() {
    local before before_that main_before
    before=$(release_of current)
    before_that=$(release_of previous)
    main_before=$(main_pid)
    if [ "$before" = "$1" ] && serves_in "$1" "/proc/$main_before"; then
        keep_going
        return
    fi
    if [ "$before" != "$1" ]; then
        if [ -n "$before" ]; then link_to previous "$before"; fi
        link_to current "$1"
    elif is_active; then
        # The link was set, but the running gateway did not upgrade: it is still the previous release.
        before=$before_that
        before_that=""
    fi
    if [ -z "$start" ] || ! has_services; then return; fi
    if [ -n "$dry_run" ]; then
        tell_start "$1" "$before"
        return
    fi
    say "starting $1"
    if run_current "$before"; then
        warn_if_not_ready
        return
    fi
    failed=yes
    tell_why
    if [ "$before" != "$1" ]; then go_back "$before" "$before_that" "$main_before"; fi
}

# tell_start RELEASE PREVIOUS: prints the steps of switch_to that follow the links.
tell_start() {
    local otherwise="go back to $2"
    if [ "$2" = "$1" ]; then otherwise="print the reason"; fi
    changes=$((changes + 1))
    if is_active; then
        note "would do: systemctl kill --kill-who=main --signal=USR2 wsgw.service, which makes the running gateway pass its" \
            "ports to $1; it refuses no connection and serves its sessions to their end"
    else
        if [ "$sockets" = yes ]; then note "would do: systemctl enable --now wsgw.socket"; fi
        note "would do: systemctl enable --now wsgw.service"
    fi
    if [ -z "$2" ]; then otherwise="stop it again"; fi
    note "would do: check for up to $patience s whether it is healthy; if not, $otherwise"
}

# keep_going: the release already runs. If a listener does not answer, it may not have read the configuration yet.
keep_going() {
    if [ -z "$start" ] || ! has_services; then return; fi
    if ! is_healthy; then
        say "reloading the configuration"
        system systemctl reload wsgw.service
        if [ -n "$dry_run" ]; then return; fi
        if ! wait_until_healthy ""; then
            failed=yes
            tell_why
            return
        fi
    fi
    warn_if_not_ready
}

# go_back RELEASE PREVIOUS MAIN_PID: restores the previous state, with the process MAIN_PID if it still serves.
go_back() {
    if [ -z "$1" ]; then
        say "there is no previous release: stopping wsgw"
        if [ -e "$root$units/wsgw.socket" ]; then system systemctl disable --now wsgw.socket; fi
        system systemctl disable --now wsgw.service
        change "remove $root$home/current" rm "$root$home/current"
        return
    fi
    say "going back to $1"
    link_to current "$1"
    if [ -n "$2" ]; then link_to previous "$2"; else rm "$root$home/previous"; fi
    install_units "$(folder_of "$1")"
    if [ "$3" != 0 ] && [ "$(main_pid)" = "$3" ]; then
        note "the previous release never stopped serving"
    elif ! run_current ""; then
        system systemctl restart wsgw.service
        wait_until_healthy "" || die "$1 is not healthy either: journalctl -u wsgw"
    fi
}

tell_why() {
    note "the last lines of the log:"
    ask journalctl --unit wsgw.service --lines 15 --no-pager --output cat | sed 's/^/   | /' || true
}
