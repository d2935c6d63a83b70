"""Makes the pictures of the documentation: ``python -m tests.real.screenshots [FOLDER]``.

The console shows a chat over the demo, the status page the invented hour of ``tests.ops.seeded_history`` and
sessions that play on.
FOLDER is ``docs/images`` by default.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.certificates import make_certificate
from tests.support.gateway import Gateway
from tests.support.processes import ROOT, Child, ReservedPort
from tests.support.traffic import Traffic

SECONDS = 60
#: Sessions, and seconds between two stanzas of one of them, as at the end of the invented hour.
SESSIONS, PACE = 130, 2.0
ADMIN = "{{listen, [{{{port}, wsgw_admin, []}}]}}.\n"


def make_pictures(folder: Path) -> None:
    """Write the pictures into ``folder``. subprocess.CalledProcessError if a page does not get that far."""
    with tempfile.TemporaryDirectory(prefix="wsgw-screenshots-") as name:
        temporary = Path(name)
        demo, status = ReservedPort(), ReservedPort()
        console = Child(
            [sys.executable, "-m", "wsgw", "demo", "--port", str(demo.number)], temporary / "demo"
        )
        with Traffic() as traffic:
            gateway = Gateway(
                temporary / "wsgw",
                make_certificate(temporary / "certificate"),
                traffic.port,
                top_level=ADMIN.format(port=status.number),
                before="tests.ops.seeded_history:seed",
            )
            try:
                gateway.start().child.wait_for_ports(status.number)
                traffic.begin(gateway.ws_port, SESSIONS, PACE)
                console.wait_for_ports(demo.number)
                _draw(folder, demo.number, status.number)
            finally:
                gateway.close()
                console.kill()


def _draw(folder: Path, console: int, status: int) -> None:
    parameters = {
        "chromium": shutil.which("chromium"),
        "timeout": SECONDS,
        "console": f"http://127.0.0.1:{console}/",
        "status": f"http://127.0.0.1:{status}/status",
        "folder": str(folder),
    }
    program = ROOT / "tests/real/clients/screenshots.mjs"
    subprocess.run(["node", str(program), json.dumps(parameters)], check=True, timeout=2 * SECONDS)


if __name__ == "__main__":
    make_pictures(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "docs/images"))
