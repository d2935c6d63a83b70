# shellcheck shell=bash
# shellcheck disable=SC2034  # its variables are used by the scripts that source it
# Functions shared by deploy.sh and undeploy.sh. Source it after lib.sh; it runs no command when it is sourced.
#
# Every change goes through one of these functions, so that --dry-run and --root apply to all of them. Do not call them
# where bash ignores failures: after if, before || and &&.
#   change WHAT COMMAND...   changes files or links below $root; WHAT describes the change to the admin
#   system COMMAND...   changes the system itself: accounts, services. With --root it is printed instead,
#                       or passed to the program $WSGW_SYSTEM

root=""         # what is put before every path; empty is the machine itself
dry_run=""      # yes: print the changes, make none
changes=0       # how many changes were made, or would have been
differed=""     # yes: the last put changed something
account=wsgw    # the account the gateway runs under
# Relative to $root:
home=/opt/wsgw
etc=/etc/wsgw
units=/etc/systemd/system

change() {
    changes=$((changes + 1))
    if [ -n "$dry_run" ]; then
        note "would do: $1"
    else
        "${@:2}"
    fi
}

system() {
    if [ -n "$root" ] && [ -z "${WSGW_SYSTEM:-}" ]; then
        note "to do on the system: $*"
    elif [ -n "$root" ]; then
        change "$*" "$WSGW_SYSTEM" "$@"
    else
        change "$*" "$@"
    fi
}

# ask COMMAND...: runs a command that only reads the state of the system; fails if there is no system.
ask() {
    if [ -z "$root" ]; then
        "$@" 2>/dev/null
    elif [ -n "${WSGW_SYSTEM:-}" ]; then
        "$WSGW_SYSTEM" "$@"
    else
        return 1
    fi
}

# has_services: whether services can be started and queried now; with --dry-run only queried.
has_services() {
    [ -z "$root" ] || [ -n "${WSGW_SYSTEM:-}" ]
}

# set_root FOLDER: writes everything below FOLDER from now on.
set_root() {
    [ -n "$1" ] || die "--root needs a folder"
    [ -d "$1" ] || die "--root: $1 is not a folder; create it first"
    root=$(cd "$1" && pwd)
    if [ "$root" = / ]; then root=""; fi
}

need_root_or_stage() {
    local folder
    if [ -z "$root" ]; then
        [ -d /run/systemd/system ] || die "systemd does not run here; stage with --root FOLDER, or see Dockerfile"
        if ! is_root; then
            [ -n "$dry_run" ] ||
                die "this needs root: use sudo, stage with --root FOLDER, or look with --dry-run"
            note "without root some facts stay unknown: those that only root may read"
            return
        fi
    fi
    for folder in "$home" "$etc" "$units"; do
        folder=$(existing "$root$folder")
        if ! [ -d "$folder" ] || ! [ -w "$folder" ]; then die "$folder is not a writable folder"; fi
    done
}

# existing PATH: PATH, or the nearest folder above it that exists.
existing() {
    local path=$1
    while ! [ -e "$path" ]; do path=$(dirname "$path"); done
    echo "$path"
}

# one_at_a_time: a second deployment waits until the first one ends. The lock is on a folder that no other account may
# open: an account that may read a file or folder may also lock it.
one_at_a_time() {
    local folder="$root$home/.lock"
    if [ -n "$dry_run" ]; then return; fi
    mkdir -p "$root$home"
    (umask 077 && mkdir -p "$folder")
    exec 9<"$folder"
    if ! flock --nonblock 9; then
        note "waiting until another deployment ends"
        flock --timeout 600 9 || die "another deployment has held the lock of $folder for ten minutes"
    fi
    # undeploy.sh may have removed it in the meantime.
    if ! [ "$folder" -ef /proc/self/fd/9 ]; then one_at_a_time; fi
}

# release_of LINK: the name of the release that current or previous points to; empty if there is none.
release_of() {
    local target
    target=$(readlink "$root$home/$1" || true)
    basename "${target:-}"
}

# point LINK RELEASE: sets the link in one step, so it exists at any moment.
point() {
    rm -f "$root$home/$1.new"
    ln -s "releases/$2" "$root$home/$1.new"
    mv -T "$root$home/$1.new" "$root$home/$1"
}

# link_to LINK RELEASE
link_to() {
    if [ "$(release_of "$1")" != "$2" ]; then
        change "point $root$home/$1 to releases/$2" point "$1" "$2"
    fi
}

# put FILE TARGET: copies FILE to TARGET (below $root) if they differ, and sets $differed.
put() {
    differed=""
    if cmp -s "$1" "$root$2"; then return; fi
    change "write $root$2" replace "$1" "$root$2"
    differed=yes
}

# replace FILE TARGET: replaces TARGET in one step, so it exists at any moment.
replace() {
    install -D -m 644 "$1" "$2.new"
    mv "$2.new" "$2"
}

# configuration: prints the file in /etc/wsgw, below $root, that the gateway reads; empty if there is none.
configuration() {
    local name
    for name in wsgw.yml ejabberd.cfg; do
        if [ -e "$root$etc/$name" ]; then
            echo "$root$etc/$name"
            return
        fi
    done
}
