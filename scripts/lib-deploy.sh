# shellcheck shell=bash
# shellcheck disable=SC2034  # its variables are used by the scripts that source it
# What deploy.sh and undeploy.sh share. Source it after lib.sh; it runs nothing by itself.
#
# Every change goes through one of these, so that --dry-run and --root hold for all of them:
# None of them is to be called where bash ignores failures: behind if, before || and &&.
#   change WHAT COMMAND...   a change below $root, files and links; WHAT says it to the admin
#   system COMMAND...   a change of the system itself: accounts, services. With --root it is left to be done later,
#                       or handed to the program $WSGW_SYSTEM

root=""         # what is put before every path; empty is the machine itself
dry_run=""      # yes: say, and change nothing
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
        note "left to do on the system: $*"
    elif [ -n "$root" ]; then
        change "$*" "$WSGW_SYSTEM" "$@"
    else
        change "$*" "$@"
    fi
}

# ask COMMAND...: a question to the system that changes nothing; fails if there is no system to ask.
ask() {
    if [ -z "$root" ]; then
        "$@" 2>/dev/null
    elif [ -n "${WSGW_SYSTEM:-}" ]; then
        "$WSGW_SYSTEM" "$@"
    else
        return 1
    fi
}

# has_services: whether services can be started and asked here and now; with --dry-run only asked.
has_services() {
    [ -z "$root" ] || [ -n "${WSGW_SYSTEM:-}" ]
}

# set_root FOLDER: everything goes below it from now on.
set_root() {
    [ -n "$1" ] || die "--root needs a folder"
    [ -d "$1" ] || die "--root: $1 is no folder; make it first"
    root=$(cd "$1" && pwd)
    if [ "$root" = / ]; then root=""; fi
}

need_root_or_stage() {
    local folder
    if [ -z "$root" ]; then
        [ -d /run/systemd/system ] || die "systemd does not run here; stage with --root FOLDER, or see Dockerfile"
        if ! is_root; then
            [ -n "$dry_run" ] ||
                die "this needs root: run it with sudo, or stage with --root FOLDER, or look with --dry-run"
            note "without root this sees less: what only root may read stays unknown"
            return
        fi
    fi
    for folder in "$home" "$etc" "$units"; do
        folder=$(existing "$root$folder")
        if ! [ -d "$folder" ] || ! [ -w "$folder" ]; then die "$folder is no folder that can be written to"; fi
    done
}

# existing PATH: the nearest folder on the way to PATH that exists, or PATH itself.
existing() {
    local path=$1
    while ! [ -e "$path" ]; do path=$(dirname "$path"); done
    echo "$path"
}

# one_at_a_time: a second deployment waits for the first to end. The lock is on a folder that no other account may
# open: an account that may read a file or folder may also lock it.
one_at_a_time() {
    local folder="$root$home/.lock"
    if [ -n "$dry_run" ]; then return; fi
    mkdir -p "$root$home"
    (umask 077 && mkdir -p "$folder")
    exec 9<"$folder"
    if ! flock --nonblock 9; then
        note "waiting for another deployment to end"
        flock --timeout 600 9 || die "another deployment has been running for ten minutes: it has $folder locked"
    fi
    # undeploy.sh may have removed it meanwhile.
    if ! [ "$folder" -ef /proc/self/fd/9 ]; then one_at_a_time; fi
}

# release_of LINK: the name of the release that current or previous points to; empty if there is none.
release_of() {
    local target
    target=$(readlink "$root$home/$1" || true)
    basename "${target:-}"
}

# point LINK RELEASE: in one step, so that there is no moment without it.
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

# put FILE TARGET: copies FILE to TARGET (below $root) if it differs; $differed says whether it did.
put() {
    differed=""
    if cmp -s "$1" "$root$2"; then return; fi
    change "write $root$2" replace "$1" "$root$2"
    differed=yes
}

# replace FILE TARGET: in one step, so that there is no moment without it.
replace() {
    install -D -m 644 "$1" "$2.new"
    mv "$2.new" "$2"
}

# configuration: the file the gateway reads of /etc/wsgw, below $root; empty if there is none.
configuration() {
    local name
    for name in wsgw.yml ejabberd.cfg; do
        if [ -e "$root$etc/$name" ]; then
            echo "$root$etc/$name"
            return
        fi
    done
}
