"""The program that has a port, as /proc shows it."""

from __future__ import annotations

import pytest

from tests.support.processes import ReservedPort
from wsgw.net.port_holder import Holder, holder_of


def test_a_free_port_has_no_holder() -> None:
    free = ReservedPort()
    assert holder_of("127.0.0.1", free.number) is None
    free.release()


@pytest.mark.parametrize(
    ("holder", "shown", "is_wsgw"),
    [
        (Holder(0, 8, ("nginx: master process",), "nginx"), "nginx (process 8)", False),
        (
            Holder(0, 8, ("/usr/bin/python3", "-m", "wsgw", "--x"), "python3"),
            "python3 -m wsgw (process 8)",
            True,
        ),
        (Holder(0, 8, ("/a/bin/python3", "/a/bin/wsgw"), "wsgw"), "wsgw (process 8)", True),
        (Holder(0, 8, ("/a/python", "a.py", "-m", "b"), "python"), "python a.py -m (process 8)", False),
        (Holder(0, 8, (), "beam.smp", False), "a connection of beam.smp (process 8)", False),
        (Holder(0), "a program of the account root", False),
        (Holder(4_000_000), "a program of the account 4000000", False),
    ],
)
def test_holders_are_described(holder: Holder, shown: str, is_wsgw: bool) -> None:
    assert str(holder) == shown
    assert holder.is_wsgw == is_wsgw
