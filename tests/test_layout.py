"""The architecture as a test: the allowed imports, the core without I/O, the size of modules and functions.

The table of rooms is the one that CONTRIBUTING.md shows.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "wsgw"
#: The packages that no room without I/O imports.
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
#: Packages that one room only imports.
HOMES = {
    "sleekxmpp": {"demo"},
    "scramp": {"demo", "probe"},
    "geventwebsocket": {"listener"},
    "defusedxml": {"stanzas", "demo", "probe", "doctor"},
    "yaml": {"config"},
    "idna": {"xmpp"},
    "dns": {"net", "doctor"},
    "prometheus_client": {"ops"},
    "asn1crypto": {"net"},
}
#: Imports from one room into another, counted once for each pair of rooms.
MAX_ARROWS = 99
#: Lines of a module and of a function, by the top folder. A longer one gives the reason in its docstring:
#: "Longer than 400 lines because ...".
MAX_LINES = {"wsgw": 400, "tests": 500}
MAX_FUNCTION_LINES = {"wsgw": 45, "tests": 60}

_ROW = re.compile(r"\| (\d+) \| `(\w+)/?` \| (yes)? *\| .+ \|")


class Room(NamedTuple):
    level: int
    does_io: bool


def table() -> dict[str, Room]:
    """The table of CONTRIBUTING.md, by room."""
    rows = map(_ROW.fullmatch, (ROOT / "CONTRIBUTING.md").read_text("utf-8").splitlines())
    return {row[2]: Room(int(row[1]), row[3] == "yes") for row in rows if row}


def modules() -> Iterator[tuple[str, Path]]:
    """(room, file) of every module; the ``__init__`` of the package belongs to no room."""
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room != "__init__":
            yield room, path


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a module imports anywhere."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


ROOMS = table()
MODULES = list(modules())
IDS = [str(path.relative_to(PACKAGE)) for _, path in MODULES]


def _module_graph() -> dict[str, set[str]]:
    """The imports of each module from the package, by dotted name. A package means its ``__init__``."""
    names = {dotted(path): path for _, path in MODULES}
    return {name: {one for one in imports(path) if one in names} - {name} for name, path in names.items()}


def _room_graph() -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {room: set() for room, _ in MODULES}
    for room, path in MODULES:
        parts = (name.split(".") for name in imports(path))
        graph[room] |= {part[1] for part in parts if part[0] == "wsgw" and len(part) > 1 and part[1] in graph}
        graph[room].discard(room)
    return graph


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """A circle of the graph; empty if it has none."""
    done: set[str] = set()

    def visit(node: str, way: list[str]) -> list[str]:
        if node in way:
            return [*way[way.index(node) :], node]
        if node in done:
            return []
        for following in sorted(graph.get(node, ())):
            if found := visit(following, [*way, node]):
                return found
        done.add(node)
        return []

    return next(filter(None, (visit(node, []) for node in sorted(graph))), [])


def test_every_room_has_a_row_and_every_row_a_room() -> None:
    assert {room for room, _ in MODULES} == set(ROOMS)


@pytest.mark.parametrize(("room", "path"), MODULES, ids=IDS)
def test_imports_go_down(room: str, path: Path) -> None:
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "wsgw" or len(parts) == 1 or parts[1] in (room, "__version__"):
            continue
        level = ROOMS[room].level
        assert ROOMS[parts[1]].level < level, f"{room} (level {level}) imports {name}"


def test_no_module_imports_in_a_circle() -> None:
    found = circle(_module_graph())
    assert not found, " -> ".join(found)


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_there_are_few_arrows() -> None:
    arrows = sum(map(len, _room_graph().values()))
    print(f"{len(ROOMS)} rooms, {arrows} arrows")
    assert arrows <= MAX_ARROWS


@pytest.mark.parametrize(
    "package", [path.parent for path in PACKAGE.glob("*/__init__.py")], ids=lambda path: path.name
)
def test_the_docstring_of_a_folder_names_its_modules(package: Path) -> None:
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text("utf-8"))) or ""
    named = set(re.findall(r"\w+", text))
    missing = {path.stem for path in package.glob("*.py")} - named - {"__init__", "__main__"}
    assert not missing


@pytest.mark.parametrize(("room", "path"), MODULES, ids=IDS)
def test_a_room_without_io_imports_no_io(room: str, path: Path) -> None:
    if ROOMS[room].does_io:
        return
    found = SOCKETS & {name.split(".")[0] for name in imports(path)}
    assert not found, f"{path.name} imports {found}"


@pytest.mark.parametrize(("room", "path"), MODULES, ids=IDS)
def test_some_packages_are_imported_in_one_room_only(room: str, path: Path) -> None:
    for name in imports(path):
        homes = HOMES.get(name.split(".")[0])
        assert homes is None or room in homes, f"{room} imports {name}"


def too_long(name: str, text: str, top: str) -> Iterator[str]:
    """``name`` if the module is too long, ``name: function`` for each function that is, without a reason."""
    tree = ast.parse(text)
    if text.count("\n") > MAX_LINES[top] and not _gives_reason(tree, MAX_LINES[top]):
        yield name
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            length, limit = node.end_lineno - node.lineno + 1, MAX_FUNCTION_LINES[top]
            if length > limit and not _gives_reason(node, limit):
                yield f"{name}: {node.name}"


def _gives_reason(node: ast.Module | ast.FunctionDef, limit: int) -> bool:
    docstring = " ".join((ast.get_docstring(node) or "").split())
    return re.search(rf"Longer than {limit} lines because \w", docstring) is not None


def test_modules_and_functions_are_short_or_give_a_reason() -> None:
    found = set()
    for top in MAX_LINES:
        for path in sorted((ROOT / top).rglob("*.py")):
            found |= set(too_long(str(path.relative_to(ROOT)), path.read_text("utf-8"), top))
    assert not found


def test_a_long_function_is_found() -> None:
    body = "    pass\n" * 45
    assert list(too_long("a", f"def f():\n{body}", "wsgw")) == ["a: f"]
    assert not list(too_long("a", f"def f():\n    'Longer than 45 lines because one table.'\n{body}", "wsgw"))
