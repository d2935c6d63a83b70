"""The hash of the C sources: an extension that was built from other sources is not used."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Final

#: The folder of the sources and of the extension.
FOLDER: Final = Path(__file__).parent
#: A file of an installed package, which has no sources: their hash when it was built. ``setup.py`` writes it.
RECORD: Final = "sources.sha256"


def source_files(folder: Path = FOLDER) -> list[Path]:
    """The C files and headers in ``folder``; none in an installed package."""
    return sorted(folder.glob("*.[ch]"))


def sources_hash(folder: Path = FOLDER) -> str:
    """The hash of the sources in ``folder``, or the recorded one; empty if there is neither."""
    files = source_files(folder)
    if not files:
        record = folder / RECORD
        return record.read_text("ascii").strip() if record.exists() else ""
    digest = sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(b"%s %d\n%s" % (file.name.encode(), len(content), content))
    return digest.hexdigest()
