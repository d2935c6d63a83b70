"""Lets the tests of a module run in pure Python and with the native functions.

Such a module has ``pytestmark = pytest.mark.usefixtures("both_ways")``.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from wsgw._native import choice
from wsgw._native.choice import Choice, core

needs_native = pytest.mark.skipif(core() is None, reason=str(choice.choice()))


@pytest.fixture(scope="module", params=["pure", pytest.param("native", marks=needs_native)])
def both_ways(request: pytest.FixtureRequest) -> Iterator[str]:
    """``pure``, then ``native``: parsers and recognisers that are made meanwhile are of that kind."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "pure":
            patch.setattr(choice, "_choice", Choice(None, "forced by a test"))
        _empty_caches()
        yield request.param
    _empty_caches()


def _empty_caches() -> None:
    for empty in choice.when_changed:
        empty()
