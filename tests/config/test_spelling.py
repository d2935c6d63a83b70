from __future__ import annotations

import pytest

from wsgw.config.options import BY_NAME
from wsgw.config.spelling import distance, near, nearest


def test_the_nearest_name_is_found() -> None:
    assert nearest("max_sesions", ["max_sessions", "backlog"]) == "; did you mean max_sessions?"
    assert nearest("zzz", ["max_sessions"]) == ""


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("", "", 0),
        ("abc", "", 3),
        ("hosst", "hosts", 1),
        ("worker", "workers", 1),
        ("trusted_proxys", "trusted_proxies", 2),
        ("log_levle", "log_level", 1),
        ("abcd", "abxd", 1),
        ("ca", "abc", 3),
    ],
)
def test_the_distance_of_two_names_counts_their_differences(first: str, second: str, expected: int) -> None:
    assert (distance(first, second), distance(second, first)) == (expected, expected)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("log_levle", "log_level"),
        ("trusted_proxys", "trusted_proxies"),
        ("websocket_orign", "websocket_origin"),
        ("hosst", "hosts"),
        ("worker", "workers"),
        ("drain_timout", "drain_timeout"),
        ("hosts", "hosts"),
        ("language", None),
        ("x" * 10_000, None),
    ],
)
def test_a_typing_error_is_recognised(name: str, meant: str | None) -> None:
    assert near(name, BY_NAME) == meant
