"""docs/doctor.md: its output is that of the command, and its tables name every check."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.blocks import blocks_of
from tests.support.processes import ROOT, Child, ReservedPort

PAGE = ROOT / "docs" / "doctor.md"
CONFIG = """\
hosts: [localhost]
workers: 1
listen:
- port: {port}
  module: websocket_session
  ip: 127.0.0.1
  request_handlers: {{/ws-xmpp: mod_websocket}}
  upstream: tcp://127.0.0.1:{upstream}
"""


@contextmanager
def gateway(folder: Path) -> Iterator[Path]:
    """The configuration of a running gateway whose XMPP server is down."""
    port, upstream = ReservedPort(), ReservedPort()
    config = folder / "wsgw.yml"
    config.write_text(CONFIG.format(port=port.number, upstream=upstream.number))
    arguments = ["--offline", "--user", "root", "--config", str(config)]
    child = Child([sys.executable, "-m", "wsgw", *arguments], folder / "log")
    try:
        child.wait_for_ports(port.number)
        yield config
    finally:
        child.kill()
        port.release()
        upstream.release()


def without_numbers(text: str) -> list[str]:
    """The lines but those of the clock and of the sums, which differ between machines."""
    lines = [re.sub(r"\d+", "0", line) for line in text.splitlines()]
    return [line for line in lines if " clock: " not in line and not re.match(r"\d+ ok", line)]


@pytest.mark.slow
def test_the_output_on_the_page_is_that_of_the_command(tmp_path: Path) -> None:
    (shown,) = (block.text for block in blocks_of(PAGE) if block.tag == "output")
    with gateway(tmp_path) as config:
        done = subprocess.run(
            [sys.executable, "-m", "wsgw", "doctor", "--quick", "--config", str(config)],
            cwd=ROOT,
            env={"PYTHONIOENCODING": "utf-8", "LANG": "C.UTF-8"},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "")
    printed = done.stdout.replace(str(config), "/etc/wsgw/wsgw.yml")
    assert without_numbers(printed) == without_numbers(shown)


def test_the_tables_name_every_check() -> None:
    named = set(re.findall(r"`([\w-]+\.[\w-]+)`", PAGE.read_text("utf-8")))
    assert {"upstream.reach", "limit.files", "account.login", "port.free"} <= named
    for room in ("doctor", "upstream"):
        for path in (ROOT / "wsgw" / room).glob("*.py"):
            used = set(
                re.findall(r'"((?:upstream|limit|port|certificate|clock)\.\w+)"', path.read_text("utf-8"))
            )
            assert used <= named, path
    topics = re.findall(r'Remark\(\s*"([\w.]+)"', (ROOT / "wsgw" / "net" / "findings.py").read_text("utf-8"))
    assert set(topics) <= named
