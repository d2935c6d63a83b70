# shellcheck shell=bash
# shellcheck disable=SC2154  # its variables are those of the scripts that source it
# How deploy.sh builds a release, and removes old ones. Source it after lib-deploy.sh. It uses $tree, $python, $fresh,
# $keep, $temporary of deploy.sh, and serves_in of lib-service.sh.

unfinished="" # the folder of a release that is being built

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

# folder_of RELEASE: where its programs are; those that a dry run has built are in a folder that goes with it.
folder_of() {
    if [ -n "$dry_run" ] && [ ! -e "$root$home/releases/$1/.complete" ]; then
        echo "$temporary/release"
    else
        echo "$root$home/releases/$1"
    fi
}

# prepare_release NAME: builds it, unless it is installed. It stays unfinished until finish_release.
prepare_release() {
    if [ -e "$root$home/releases/$1/.complete" ]; then
        note "kept: $root$home/releases/$1"
        return
    fi
    changes=$((changes + 1))
    if [ -n "$dry_run" ]; then
        note "would do: install this tree and the packages of requirements.lock into $root$home/releases/$1;" \
            "now into a temporary folder, to see that they can be installed"
    fi
    build_release "$(folder_of "$1")"
    need_space "$(folder_of "$1")"
}

# need_space FOLDER: ends a dry run if what it has built does not fit where it belongs.
need_space() {
    local needed free
    if [ -z "$dry_run" ]; then return; fi
    needed=$(du -sk "$1" | cut -f 1)
    free=$(df -Pk "$(existing "$root$home")" | awk 'NR == 2 { print $4 }')
    [ "$needed" -le "$free" ] || die "no space for the release in $root$home: it needs $needed kB of $free kB"
}

# finish_release: from now on it counts as installed.
finish_release() {
    if [ -z "$unfinished" ]; then return; fi
    touch "$unfinished/.complete"
    unfinished=""
}

# build_release FOLDER: a virtual environment with this tree in it, and beside it what deploys this very release: its
# units and its health check. Built where it will be, since environments cannot be moved.
build_release() {
    local folder=$1
    rm -rf "$folder"
    mkdir -p "$(dirname "$folder")" "$temporary/source"
    if [ -z "$dry_run" ]; then unfinished=$folder; fi
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
        change "remove $root$home/releases/$name, an old release" rm -rf "$root$home/releases/$name"
    done < <(cd "$root$home/releases" 2>/dev/null && ls -1t)
}
