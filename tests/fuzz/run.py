"""Fuzz targets: ``python -m tests.fuzz.run TARGET[,TARGET...] [SECONDS [FOLDER]]``.

Guided by the coverage of ``wsgw`` where ``atheris`` is installed. Starts from the committed corpus; new
inputs stay in FOLDER/corpus/TARGET, failing ones go to FOLDER/TARGET-*. With ``FILE...`` instead of SECONDS
it runs only those inputs. Exits with 0, or with another status for a failure. Several targets run one after
the other, each in a separate process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from pathlib import Path

#: The limits of seconds for one input and of memory for all; to exceed them is a failure.
INPUT_SECONDS = 10
MEMORY_MIB = 1024
MAX_LENGTH = 4096
#: The bytes from which text is long to the gateway: a fuzzer writes shorter text than clients.
LONG_TEXT = 16


def main(arguments: list[str]) -> None:
    logging.disable(logging.CRITICAL)
    names, *rest = arguments
    if rest and not rest[0].isdecimal():
        _replay(names, rest)
        return
    import atheris

    with atheris.instrument_imports(include=["wsgw"]):
        from tests.fuzz.targets import FOLDER, TARGETS
    _call_long(LONG_TEXT)
    name = names if "," not in names else _in_a_process_each(names.split(","))
    target = TARGETS[name]
    seconds = rest[0] if rest else "600"
    finds = Path(rest[1] if len(rest) > 1 else tempfile.mkdtemp(prefix="wsgw-fuzz-"))
    learned = finds / "corpus" / name
    learned.mkdir(parents=True, exist_ok=True)
    words = finds / f"{name}.words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words), "ascii")
    folders = [str(learned), *(str(FOLDER / kind / name) for kind in ("corpus", "regressions"))]
    flags = [
        f"-max_total_time={seconds}",
        f"-timeout={INPUT_SECONDS}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-max_len={MAX_LENGTH}",
        f"-artifact_prefix={finds / name}-",
        f"-dict={words}",
        "-print_final_stats=1",
    ]
    existing = [folder for folder in folders if Path(folder).is_dir()]
    atheris.Setup([sys.argv[0], *flags, *existing], target.run)
    atheris.Fuzz()


def _in_a_process_each(names: list[str]) -> str:
    """Returns in a child for each of the names; the parent ends here, after all children."""
    failed = False
    for name in names:
        pid = os.fork()
        if pid == 0:
            return name
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(f"{name}: {f'FAILED with {status}' if status else 'ok'}", file=sys.stderr, flush=True)
        failed = failed or status != 0
    sys.exit(failed)


def _call_long(size: int) -> None:
    from wsgw.stanzas import client, cutter, plain_text

    for module in (client, plain_text, cutter):
        setattr(module, "LONG_TEXT", size)  # noqa: B010


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _replay(name: str, files: list[str]) -> None:
    from tests.fuzz.targets import TARGETS

    _call_long(LONG_TEXT)
    for file in files:
        TARGETS[name].run(Path(file).read_bytes())


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(sys.argv[1:])
