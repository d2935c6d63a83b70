"""Writes wsgw.service, and with --sockets wsgw.socket, for the given configuration.

``deploy.sh`` runs it with the Python of the release.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from wsgw.config import load
from wsgw.config.model import Config

HERE = Path(__file__).resolve().parent
#: Seconds that systemd waits beyond ``drain_timeout`` before it kills.
SPARE = 15
FIRST_UNPRIVILEGED_PORT = 1024


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes the systemd units")
    parser.add_argument("config", type=Path)
    parser.add_argument("folder", type=Path, help="the folder to write them to")
    parser.add_argument("--sockets", action="store_true", help="let systemd open the ports")
    chosen = parser.parse_args()
    config = load(chosen.config)
    service = (HERE / "wsgw.service").read_text("utf-8")
    service = service.replace("@TIMEOUT_STOP@", f"{config.drain_timeout + SPARE:.0f}")
    service = service.replace("@CAPABILITIES@", _capabilities(config, chosen.sockets))
    (chosen.folder / "wsgw.service").write_text(service, "utf-8")
    if chosen.sockets:
        (chosen.folder / "wsgw.socket").write_text(_socket_unit(config), "utf-8")
    return 0


def _capabilities(config: Config, sockets: bool) -> str:
    """The gateway needs a capability only if it opens a port below 1024; it always opens the admin's."""
    opened = config.admin_listeners if sockets else config.all_listeners
    if any(0 < listener.port < FIRST_UNPRIVILEGED_PORT for listener in opened):
        return "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nAmbientCapabilities=CAP_NET_BIND_SERVICE"
    return "CapabilityBoundingSet=\nAmbientCapabilities="


def _socket_unit(config: Config) -> str:
    unit = (HERE / "wsgw.socket").read_text("utf-8")
    lines = [f"ListenStream={_bracketed(one.ip)}:{one.port}" for one in config.listeners]
    ports_on_ipv4 = {one.port for one in config.listeners if ":" not in one.ip}
    both = not any(one.port in ports_on_ipv4 for one in config.listeners if ":" in one.ip)
    unit = unit.replace("@LISTEN@", "\n".join(lines))
    unit = unit.replace("@BACKLOG@", str(max(one.backlog for one in config.listeners)))
    return unit.replace("@IPV6@", "both" if both else "ipv6-only")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


if __name__ == "__main__":
    sys.exit(main())
