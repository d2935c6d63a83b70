"""The answers to a certificate authority that checks a domain by HTTP-01 (RFC 8555 section 8.3).

An ACME client, such as certbot, writes a file with the name of the token; the authority requests it at
``/.well-known/acme-challenge/TOKEN``, on port 80 of the domain and without TLS.

A file is read in the worker's loop: it is a single read of at most 4 KiB, so the folder must be local.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Final

from wsgw.errors import PageAnswer, refusals
from wsgw.opening.pages import PageRequest

log = logging.getLogger("wsgw.listener")

#: The folder of the tokens in a URL.
FOLDER: Final = (".well-known", "acme-challenge")
#: Bytes of a file at most; those of a key authorization are about 90.
LARGEST: Final = 4096
#: Seconds between two lines in the log about files that cannot be served.
LOGGED_EVERY: Final = 60.0
#: The alphabet of base64url; 255 is the longest name of a file.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,255}", re.ASCII)
_METHODS: Final = "GET, HEAD"
#: No link out of the folder is followed, and neither a FIFO nor a terminal blocks the worker.
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


class AcmeChallenges:
    """The files of one folder, for any host: a listener may get the requests of several domains."""

    def __init__(self, folder: Path) -> None:
        """``folder`` need not exist yet: some ACME clients make it when they need it."""
        self._folder = folder
        self._silent_until = -math.inf

    def has(self, segments: tuple[str, ...]) -> bool:
        """Whether the path is that of the tokens' folder, or below it."""
        return segments[: len(FOLDER)] == FOLDER

    def answer(self, request: PageRequest) -> PageAnswer:
        """The content of the file, or 404 without the reason, which is for the admin's log only."""
        if request.method not in ("GET", "HEAD"):
            return _answer(405, "Method Not Allowed", [("Allow", _METHODS)])
        names = request.segments[len(FOLDER) :]
        content = self._content(names[0]) if len(names) == 1 and _TOKEN.fullmatch(names[0]) else None
        if content is None:
            return _answer(404, "Not found")
        return _answer(200, "OK", [("Content-Type", "application/octet-stream")], content)

    def _content(self, token: str) -> bytes | None:
        """The content of a token's file; None without a file that may be served."""
        try:
            folder = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            self._log(self._folder, error)
            return None
        try:
            return _read(token, folder)
        except FileNotFoundError:  # not yet, not any more, or invented by the client
            return None
        except OSError as error:
            self._log(self._folder / token, error)
            return None
        finally:
            os.close(folder)

    def _log(self, file: Path, error: OSError) -> None:
        """Log why a file is not served, not for each request."""
        now = monotonic()
        if now >= self._silent_until:
            self._silent_until = now + LOGGED_EVERY
            reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
            log.warning("acme_challenge_dir: %s is not served: %s", file, reason)


def _read(name: str, folder: int) -> bytes:
    """The content of the file ``name`` directly in the open ``folder``. Raises OSError for anything else."""
    file = os.open(name, _FLAGS, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        content = os.read(file, LARGEST + 1)
    finally:
        os.close(file)
    if len(content) > LARGEST:
        raise OSError(errno.EFBIG, f"it has more than {LARGEST} bytes")
    return content


def _answer(
    status: int, phrase: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b""
) -> PageAnswer:
    """An answer that no proxy keeps: the file may be written a moment later."""
    fresh = ("Cache-Control", "no-store")
    return PageAnswer(refusals.ACME_CHALLENGE, status, phrase, [*headers, fresh], body)
