"""Bytes under a file name, for OpenSSL's functions that read files only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def as_file(content: bytes) -> Iterator[str]:
    """A file name for ``content``, without a file on disk: workers may not read the original file."""
    with os.fdopen(os.memfd_create("pem"), "wb") as memory:
        memory.write(content)
        memory.flush()
        yield f"/proc/self/fd/{memory.fileno()}"
