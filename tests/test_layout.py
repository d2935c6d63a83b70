"""The architecture is a test: who may import whom, what the core must not touch, how large code may grow."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "wsgw"

#: A module imports lower levels only, or its own room. Rooms that are packages count as one.
LEVELS = {
    "errors": 0,
    "domain": 0,
    "causes": 0,
    "tally": 1,
    "config": 1,
    "websocket_frame": 2,
    "handshake": 2,
    "forwarded": 2,
    "proxy_protocol": 2,
    "connect_rate": 2,
    "shared_table": 3,
    "admission": 6,
    "xml_parser": 1,
    "plain_text": 1,
    "shallow_stanza": 2,
    "xml_element": 2,
    "complete_markup": 2,
    "head_reader": 3,
    "request_head": 2,
    "advice": 1,
    "browser_queue": 3,
    "namespaces": 2,
    "tag_counter": 2,
    "stanza_repair": 3,
    "stanza_cutter": 2,
    "client_stanzas": 3,
    "server_stream": 4,
    "xmpp_framing": 3,
    "login": 3,
    "websocket_session": 5,
    "loop_turn": 5,
    "websocket_xmpp": 5,
    "tls": 6,
    "socket_async": 6,
    "srv": 6,
    "upstream": 7,
    "certificate": 7,
    "findings": 8,
    "question": 8,
    "session_log": 7,
    "tracing": 7,
    "progress": 7,
    "relay": 8,
    "port_holder": 5,
    "listening": 6,
    "spread": 5,
    "mod_websocket": 9,
    "ops": 9,
    "demo": 9,
    "listener": 10,
    "gateway": 11,
    "processes": 12,
    "cli": 13,
    "__main__": 14,
}
#: The core is deaf: below this level there is no loop, no socket, no clock.
FIRST_WITH_SOCKETS = 6
SOCKETS = {
    "gevent",
    "geventwebsocket",
    "socket",
    "ssl",
    "select",
    "time",
    "asyncio",
    "threading",
    "selectors",
}
#: Packages that have one home.
HOMES = {
    "sleekxmpp": {"demo"},
    "scramp": {"demo"},
    "geventwebsocket": {"listener"},
    "defusedxml": {"xml_parser", "xml_element", "stanza_cutter", "stanza_repair", "client_stanzas", "demo"},
    "yaml": {"config"},
    "idna": {"domain"},
    "dns": {"srv"},
    "prometheus_client": {"ops"},
    "asn1crypto": {"certificate"},
}
MAX_LINES = 500
MAX_FUNCTION_LINES = 60


def modules() -> Iterator[tuple[str, Path]]:
    """(room, file) of every module; the package's own ``__init__`` belongs to nobody."""
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room != "__init__":
            yield room, path


def imports(path: Path) -> Iterator[str]:
    """Dotted names of what a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module
            if node.module == "wsgw":
                yield from (f"wsgw.{alias.name}" for alias in node.names)


MODULES = list(modules())
IDS = [str(path.relative_to(PACKAGE)) for _, path in MODULES]


def test_every_room_has_a_level() -> None:
    assert {room for room, _ in MODULES} <= set(LEVELS)


@pytest.mark.parametrize(("room", "path"), MODULES, ids=IDS)
def test_imports_go_down(room: str, path: Path) -> None:
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "wsgw" or len(parts) == 1 or parts[1] in (room, "__version__"):
            continue
        assert LEVELS[parts[1]] < LEVELS[room], f"{room} (level {LEVELS[room]}) imports {name}"


@pytest.mark.parametrize(("room", "path"), MODULES, ids=IDS)
def test_the_core_is_deaf(room: str, path: Path) -> None:
    if LEVELS[room] >= FIRST_WITH_SOCKETS:
        return
    found = SOCKETS & {name.split(".")[0] for name in imports(path)}
    assert not found, f"{path.name} imports {found}"


@pytest.mark.parametrize(("room", "path"), MODULES, ids=IDS)
def test_packages_stay_at_home(room: str, path: Path) -> None:
    for name in imports(path):
        homes = HOMES.get(name.split(".")[0])
        assert homes is None or room in homes, f"{room} imports {name}"


@pytest.mark.parametrize(("room", "path"), MODULES, ids=IDS)
def test_sizes(room: str, path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= MAX_LINES, f"{path.name} is too long: split it"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{path.name}: {node.name} has {length} lines"
