"""Every committed input keeps the contract: the corpus, and the inputs that once broke it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.targets import FOLDER, TARGETS, Target

INPUTS = [(target, path) for target in TARGETS.values() for path in target.inputs]


@pytest.mark.parametrize(
    ("target", "path"), INPUTS, ids=[path.relative_to(FOLDER).as_posix() for _, path in INPUTS]
)
def test_an_input_keeps_the_contract(target: Target, path: Path) -> None:
    target.run(path.read_bytes())


@pytest.mark.parametrize("folder", ["corpus", "regressions"])
def test_every_folder_belongs_to_a_target(folder: str) -> None:
    assert {path.name for path in (FOLDER / folder).iterdir()} <= set(TARGETS)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_every_target_has_a_corpus(target: Target) -> None:
    assert target.inputs


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_an_input_cut_short_or_doubled_keeps_the_contract(target: Target) -> None:
    """The first mutations of a fuzzer, for machines without one."""
    for path in target.inputs:
        data = path.read_bytes()
        target.run(data + data)
        for parts in (2, 3, 5):
            target.run(data[: len(data) // parts])
            target.run(data[len(data) // parts :])
