# shellcheck shell=bash
# shellcheck disable=SC2154  # its variables are those of the scripts that source it
# How deploy.sh builds a release, and removes old ones. Source it after lib-deploy.sh. It uses $tree, $python, $fresh,
# $keep, $temporary of deploy.sh, and serves_in of lib-service.sh.

unfinished="" # the folder of a release that is being built

# source_files: prints the files that a release is built from.
source_files() {
    (cd "$tree" && find wsgw deploy pyproject.toml setup.py requirements.txt requirements.lock requirements-build.lock \
        README.md LICENSE -type f \
        -not -name '*.pyc' -not -name '*.so' -not -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z)
}

# release_name: VERSION-HASH; the hash covers the tree and the version of Python.
release_name() {
    local version hash
    version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$tree/wsgw/__init__.py")
    [ -n "$version" ] || die "$tree/wsgw/__init__.py has no __version__"
    hash=$( (source_files | (cd "$tree" && xargs -0 sha256sum) && "$python" --version) | sha256sum | cut -c1-12)
    echo "$version-$hash${fresh:+-$(date -u +%Y%m%d%H%M%S)}"
}

# folder_of RELEASE: the folder of its programs; in a dry run a temporary folder.
folder_of() {
    if [ -n "$dry_run" ] && [ ! -e "$root$home/releases/$1/.complete" ]; then
        echo "$temporary/release"
    else
        echo "$root$home/releases/$1"
    fi
}

# prepare_release NAME: builds it unless it is installed. It is unfinished until finish_release.
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

# need_space FOLDER: ends a dry run if the release in FOLDER does not fit on the disk of the real one.
need_space() {
    local needed free
    if [ -z "$dry_run" ]; then return; fi
    needed=$(du -sk "$1" | cut -f 1)
    free=$(df -Pk "$(existing "$root$home")" | awk 'NR == 2 { print $4 }')
    [ "$needed" -le "$free" ] || die "no space for the release in $root$home: it needs $needed kB of $free kB"
}

# finish_release: marks the release as installed.
finish_release() {
    if [ -z "$unfinished" ]; then return; fi
    touch "$unfinished/.complete"
    unfinished=""
}

# build_release FOLDER: a virtual environment with this tree, and the files that deploy this release: its units and its
# health check. Built in its final folder, because environments cannot be moved.
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
        die "requirements.lock does not match requirements.txt; scripts/lock.sh rewrites it:
$(cat "$temporary/pip")"
    # Isolated: the current folder may be a tree.
    note "the release runs with $("$folder/bin/python" -I -m wsgw._native.choice)"
    mv "$temporary/source/deploy" "$folder/deploy"
    resolve_imports "$folder"
    if [ -n "$root" ]; then forget_root "$folder"; fi
}

# install_packages FOLDER SOURCE: installs the packages of the locks of SOURCE, each file by its hash, and SOURCE itself.
# The build packages come first: pip checks no hash of packages that it fetches itself to build a package without a wheel.
install_packages() {
    local pip=(pip_of "$1" install) locked=(--require-hashes -r)
    # Old versions of pip use another build process by default.
    export PIP_USE_PEP517=1
    with_progress "installing the packages of requirements-build.lock" \
        "${pip[@]}" "${locked[@]}" "$2/requirements-build.lock" &&
        with_progress "installing the packages of requirements.lock" \
            "${pip[@]}" --no-build-isolation "${locked[@]}" "$2/requirements.lock" &&
        with_progress "installing wsgw" "${pip[@]}" --no-build-isolation --no-deps "$2"
}

# clean_up: runs at every exit.
clean_up() {
    rm -rf "$temporary"
    if [ -n "$unfinished" ]; then
        rm -rf "$unfinished"
        note "removed the unfinished release: $unfinished; the running service is unchanged"
    fi
}

# resolve_imports FOLDER: a process that was started through current keeps the modules of its release when current
# points to another one, because old processes continue to serve their sessions after an upgrade.
resolve_imports() {
    local packages
    packages=$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    echo 'import os, sys; sys.path[:] = map(os.path.realpath, sys.path)' >"$packages/wsgw-release.pth"
}

# forget_root FOLDER: removes --root from the paths in the scripts of the environment, for the machine that runs them.
forget_root() {
    "$python" - "$1" "$root$home" "$home" <<'END'
import pathlib, sys
folder, there, here = sys.argv[1:]
for path in (*pathlib.Path(folder, "bin").iterdir(), pathlib.Path(folder, "pyvenv.cfg")):
    if path.is_file() and not path.is_symlink():
        path.write_bytes(path.read_bytes().replace(there.encode(), here.encode()))
END
}

# prune_releases: removes unfinished releases, and all but the newest, those of the links, and those that still serve
# sessions.
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
