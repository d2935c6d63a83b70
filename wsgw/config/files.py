"""Finds and reads files; the errors tell the admin what to change."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections.abc import Mapping
from pathlib import Path

from wsgw.errors import ConfigError, ConfigProblem

#: The files to try without ``--config``; the first one that exists is read.
SEARCHED = (
    Path("/etc/wsgw/wsgw.yml"),
    Path("/etc/wsgw/ejabberd.cfg"),
    Path("/etc/ejabberd/ejabberd.cfg"),
    Path("/etc/ejabberd/ejabberd.yml"),
)
#: Bytes; far above any configuration or certificate, and a limit for /dev/zero.
_MAX_SIZE = 8 * 1024 * 1024


def find_config(explicit: str | None, environ: Mapping[str, str]) -> Path:
    """The file that ``--config`` or ``$WSGW_CONFIG`` names, or the first of ``SEARCHED`` that exists.

    ``explicit``: the value of ``--config``. Raises ConfigError with all the places if no file exists.
    """
    if explicit:
        return Path(explicit)
    named = environ.get("WSGW_CONFIG")
    if named:
        return Path(named)
    looked = []
    for path in SEARCHED:
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            looked.append(str(path))
        except OSError as error:
            looked.append(f"{path} ({why_unreadable(path, error)})")
        else:
            return path
    reason = f"no configuration: no --config, no $WSGW_CONFIG, and none at {', '.join(looked)}"
    raise ConfigError([ConfigProblem("wsgw", 0, reason)])


def read_bytes(path: Path) -> bytes:
    """The content of ``path``. Raises ValueError with a reason as from ``why_unreadable``."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_SIZE + 1)
    except (OSError, ValueError) as error:
        raise ValueError(why_unreadable(path, error)) from error
    if len(content) > _MAX_SIZE:
        raise ValueError(f"is longer than {_MAX_SIZE} bytes")
    return content


def read_regular(path: Path) -> bytes:
    """The content of the regular file ``path``. Raises OSError, also for a pipe and for too long a file.

    It never waits: the parent reads certificates while it serves.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
        content = file.read(_MAX_SIZE + 1)
    if len(content) > _MAX_SIZE:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return content


def why_unreadable(path: Path, error: Exception) -> str:
    """The reason why ``path`` could not be opened, as the end of a sentence that begins with the path.

    ``error``: the exception. If access is refused, the reason names the owner and mode of the file, or of the
    lowest directory above it that can be examined.
    """
    if isinstance(error, PermissionError):
        for place in (path, *path.absolute().parents):
            try:
                status = place.stat()
            except OSError:
                continue
            kind = "directory " if stat.S_ISDIR(status.st_mode) else "it "
            name = f"{place} " if kind != "it " else ""
            owner = f"{_user_name(status.st_uid)}:{_group_name(status.st_gid)}"
            return f"cannot be read: {kind}{name}belongs to {owner}, mode {stat.S_IMODE(status.st_mode):04o}"
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "does not exist"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"cannot be read: {reason}"


def _user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
