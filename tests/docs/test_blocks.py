"""Every code block of the pages is run, checked, or says why not."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from defusedxml.ElementTree import fromstring

from tests.docs.blocks import BLOCKS, PAGES, Block, blocks_of, indented_lines
from tests.support.certificates import Certificate
from tests.support.fixtures import missing
from tests.support.processes import ROOT
from tests.support.web_servers import WEB_SERVERS
from wsgw.config import load
from wsgw.config.erlang_terms import read_erlang
from wsgw.config.terms import Problems

TAGS = {"run", "serve", "run-by", "check", "config", "output", "by-hand"}
#: Languages of pictures and of text, which have no syntax to check.
SHOWN = {"mermaid", "text"}
SECONDS = 120


def place(block: Block) -> str:
    return block.place


@pytest.mark.parametrize("block", BLOCKS, ids=place)
def test_every_block_says_what_holds_it(block: Block) -> None:
    assert block.language, "its first word is the language"
    if block.language in SHOWN and block.tag != "by-hand":
        assert block.tag in ("", "output")
        return
    assert block.tag in TAGS, "its second word is one of the tags in tests/docs/blocks.py"
    assert bool(block.rest) == (block.tag in ("serve", "run-by", "by-hand"))
    if block.tag == "run-by":
        named = (ROOT / block.rest).read_text("utf-8")
        assert Path(block.page).name in named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_has_a_fence(page: Path) -> None:
    """Indented code could not say what holds it."""
    assert indented_lines(page) == []


def test_a_page_with_untagged_and_indented_code_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.docs.blocks.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "1. a list\n\n       code of it\n\nText\n\n    code\n\n```sh\nls\n```\n\n```sh run\nid\n```\n"
    )
    assert indented_lines(page) == [7]
    assert [(block.tag, block.text) for block in blocks_of(page)] == [("", "ls\n"), ("run", "id\n")]


# -- syntax -------------------------------------------------------------------------------------------


def _by(command: list[str]) -> Callable[[Block, Path], None]:
    def check(block: Block, folder: Path) -> None:
        path = folder / f"block.{block.language}"
        path.write_text(block.text)
        if shutil.which(command[0]) is None:
            missing(f"{command[0]} is not installed")
        done = subprocess.run([*command, path], capture_output=True, text=True, check=False, timeout=SECONDS)
        assert done.returncode == 0, done.stderr

    return check


def _erlang(block: Block, _folder: Path) -> None:
    problems = Problems()
    text = block.text
    if not text.endswith(".\n"):  # items of a list, a blank line between two of them
        text = "[" + text.strip().replace("\n\n", ",\n\n") + "]."
    read_erlang(text, block.page, problems)
    problems.raise_if_any()


def _html(block: Block, folder: Path) -> None:
    HTMLParser().feed(block.text)
    for script in re.findall(r"<script>(.*?)</script>", block.text, re.DOTALL):
        CHECKS["js"](block._replace(language="js", text=script), folder)


#: Language → a function that fails for a block with an error.
CHECKS: dict[str, Callable[[Block, Path], object]] = {
    "erlang": _erlang,
    "html": _html,
    "js": _by(["node", "--check"]),
    "json": lambda block, _: json.loads(block.text),
    "lua": _by(["luac", "-p"]),
    "python": lambda block, _: ast.parse(block.text),
    "sh": _by(["bash", "-n"]),
    "xml": lambda block, _: fromstring(block.text),
    "yaml": lambda block, _: yaml.safe_load(block.text),
}
WITH = {tag: [block for block in BLOCKS if block.tag == tag] for tag in TAGS}


@pytest.mark.parametrize("block", WITH["check"], ids=place)
def test_the_syntax_is_right(block: Block, certificate: Certificate, tmp_path: Path) -> None:
    if block.language not in WEB_SERVERS:
        CHECKS[block.language](block, tmp_path)
        return
    program = WEB_SERVERS[block.language]
    part = re.sub(r"/etc/\S+\.pem", str(certificate.pem), block.text)
    command = program.command(*program.check, str(program.write(tmp_path, part, 8080)))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", WITH["config"], ids=place)
def test_the_configuration_is_right(block: Block, tmp_path: Path) -> None:
    path = tmp_path / {"yaml": "wsgw.yml", "erlang": "ejabberd.cfg"}[block.language]
    path.write_text(block.text)
    load(path)


# -- commands -----------------------------------------------------------------------------------------

#: Runs its standard input in new namespaces: the ports of the pages are free, and everything ends with it.
SHELL = [
    "unshare",
    "--net",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "bash",
    "-eu",
    "-o",
    "pipefail",
]


#: Ends the last served command, with all of its processes, so that its port is free.
_END = '[ -z "$served" ] || { kill -TERM -- "-$served"; wait "$served" || true; }'
_SERVE = """\
{{
{commands}}} &
served=$!
{{ until : </dev/tcp/127.0.0.1/{port}; do sleep 0.1; done; }} 2>/dev/null
"""


def script(blocks: list[Block]) -> str:
    """The commands of a page in their order; a served one ends where the next one begins."""
    parts = ["set -m; served=''; ip link set lo up"]
    for block in sorted(blocks, key=lambda block: block.line):
        if block.tag == "run":
            parts.append(block.text)
        else:
            parts += [_END, _SERVE.format(commands=block.text, port=block.rest)]
    return "\n".join([*parts, _END])


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({block.page for block in WITH["run"] + WITH["serve"]}))
def test_the_commands_work(page: str, tmp_path: Path) -> None:
    blocks = [block for block in WITH["run"] + WITH["serve"] if block.page == page]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    tree = tmp_path / "wsgw"  # a block can write files next to those of the tree
    tree.mkdir()
    for entry in ROOT.iterdir():
        (tree / entry.name).symlink_to(entry)
    done = subprocess.run(
        SHELL, input=script(blocks), cwd=tree, env=environment, capture_output=True, text=True,
        check=False, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
