"""RFC 6455 case by case: the whole table, on both servers, and the published results."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.conformance.cases import CASES, FAMILIES
from tests.conformance.harness import HARNESSES, Harness
from tests.conformance.script import Case
from tests.conformance.utf8 import fault
from tests.support.fixtures import missing
from tests.support.processes import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=HARNESSES, ids=lambda harness: harness.name)
def harness(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    if shutil.which("openssl") is None:
        missing("openssl is not installed")
    started = request.param(tmp_path_factory.mktemp(request.param.name))
    yield started
    started.stop()


@pytest.mark.rule("6455-5.2", "6455-5.4", "6455-5.5.2", "6455-8.1")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_server_passes_the_case(harness: Harness, case: Case) -> None:
    harness.play(case)


def test_the_table_is_in_order() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
    assert list(dict.fromkeys(case.family for case in CASES)) == list(FAMILIES)
    for case, following in pairwise(CASES):
        assert case.title, case.id
        assert case.script != following.script or case.chop != following.chop, following.id


def test_the_published_results_are_those_of_the_table() -> None:
    published = (ROOT / "docs" / "conformance.md").read_text("utf-8")
    rows = [f"| {case.id} | {case.section} | {case.title} | passed | passed" for case in CASES]
    assert [row for row in rows if row not in published] == []
    assert published.count("passed | passed") == len(CASES)


def test_the_grammar_of_the_table_agrees_with_python() -> None:
    """Two implementations of RFC 3629: Python's decoder and the grammar refuse the same octets."""
    for first in range(0x80, 0x100):
        for second in range(0x100):
            for octets in (bytes((first, second)), bytes((first, second, 0x80, 0x80))):
                assert (fault(octets) is None) == _decodes(octets), octets


def _decodes(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True
