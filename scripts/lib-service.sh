# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # its variables are those of the script that sources it
# How deploy.sh starts a release, has a running one hand over to it, and goes back if it does not become healthy.
# Source it after lib-deploy.sh. It uses $start, $patience, $temporary and $tree of deploy.sh.

is_active() {
    has_services && [ "$(ask systemctl is-active wsgw.service || true)" = active ]
}

main_pid() {
    ask systemctl show --property MainPID --value wsgw.service || echo 0
}

status_text() {
    ask systemctl show --property StatusText --value wsgw.service || true
}

# run_current: starts the release current points to, or has the running one hand over to it; true if it is healthy.
run_current() {
    if is_active; then
        hand_over || return 1
    else
        start_service || return 1
    fi
    wait_until_healthy
}

start_service() {
    if [ -e "$root$units/wsgw.socket" ]; then
        system systemctl enable wsgw.socket || return 1
        system systemctl restart wsgw.socket || return 1
    fi
    system systemctl enable wsgw.service || return 1
    system systemctl start wsgw.service
}

# hand_over: SIGUSR2 makes the running gateway start the new release, which takes the sockets and becomes the
# main process; nobody is refused meanwhile. The gateway itself gives up after 60 s, and says so in its status.
hand_over() {
    local before status_before now status deadline=$((SECONDS + 75))
    before=$(main_pid)
    status_before=$(status_text)
    system systemctl kill --kill-who=main --signal=USR2 wsgw.service || return 1
    while [ "$SECONDS" -lt "$deadline" ]; do
        now=$(main_pid)
        if [ "$now" != "$before" ] && [ "$now" != 0 ]; then return 0; fi
        status=$(status_text)
        if [ "$status" != "$status_before" ] && [[ $status == "no upgrade"* ]]; then break; fi
        is_active || return 1
        sleep 0.2
    done
    note "the new release did not take over: ${status:-no answer}"
    return 1
}

is_healthy() {
    "$root$home/current/bin/python" "$tree/deploy/health.py" "$(configuration)" >"$temporary/health" 2>&1
}

wait_until_healthy() {
    local deadline=$((SECONDS + patience))
    until is_healthy; do
        if [ "$SECONDS" -ge "$deadline" ] || ! is_active; then
            sed 's/^/   unhealthy: /' "$temporary/health"
            return 1
        fi
        sleep 0.5
    done
}

# switch_to RELEASE: makes it the current one; if it does not become healthy, everything is as before, and $failed
# says so.
switch_to() {
    local before before_that main_before
    before=$(release_of current)
    before_that=$(release_of previous)
    main_before=$(main_pid)
    if [ "$before" != "$1" ]; then
        if [ -n "$before" ]; then link_to previous "$before"; fi
        link_to current "$1"
    elif is_active; then
        keep_going
        return
    fi
    if [ -z "$start" ] || ! has_services; then return; fi
    say "starting $1"
    if run_current; then return; fi
    failed=yes
    tell_why
    if [ "$before" != "$1" ]; then go_back "$before" "$before_that" "$main_before"; fi
}

# keep_going: the release runs already. If it does not serve what the configuration says, it may not have read it.
keep_going() {
    if is_healthy; then return; fi
    say "reloading the configuration"
    system systemctl reload wsgw.service
    if wait_until_healthy; then return; fi
    failed=yes
    tell_why
}

# go_back RELEASE PREVIOUS MAIN_PID: to what was there before, the process MAIN_PID if it still serves.
go_back() {
    if [ -z "$1" ]; then
        say "there is no release to go back to: stopping wsgw"
        if [ -e "$root$units/wsgw.socket" ]; then system systemctl disable --now wsgw.socket; fi
        system systemctl disable --now wsgw.service
        change rm "$root$home/current"
        return
    fi
    say "going back to $1"
    link_to current "$1"
    if [ -n "$2" ]; then link_to previous "$2"; else change rm "$root$home/previous"; fi
    if [ "$3" != 0 ] && [ "$(main_pid)" = "$3" ]; then
        note "it never stopped serving"
    elif ! run_current; then
        system systemctl restart wsgw.service
        wait_until_healthy || die "and $1 is not healthy either: journalctl -u wsgw"
    fi
}

tell_why() {
    note "the last lines of its log:"
    ask journalctl --unit wsgw.service --lines 15 --no-pager --output cat | sed 's/^/   | /' || true
}
