"""The table of causes. ``tests/end_to_end/endings/test_causes.py`` shows that each of them ends a session."""

from __future__ import annotations

import pytest

from wsgw.errors import SessionError, UpstreamFailed, causes
from wsgw.errors.causes import CAUSES, LABELS, LIMITS, Cause, Ending


def test_a_label_is_a_label_of_the_counters() -> None:
    assert {cause.label for cause in CAUSES} == set(LABELS)
    with pytest.raises(ValueError, match="no label"):
        Cause("some_other", "", "")


def test_no_two_causes_have_the_same_text() -> None:
    assert len({str(Ending(cause, "detail")) for cause in CAUSES}) == len(CAUSES)


def test_the_causes_name_the_limits_that_end_sessions() -> None:
    assert {
        "auth_timeout",
        "max_attributes",
        "max_depth",
        "max_stanza_size",
        "open_timeout",
        "pong_timeout",
        "send_buffer_hard",
        "send_timeout",
        "websocket_timeout",
    } == LIMITS


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        (Ending(causes.CLOSED_BY_CLIENT), "closed by the client"),
        (Ending(causes.BROWSER_LEFT, "3001"), "Close 3001"),
        (Ending(causes.SERVER_ERROR, "{}"), "server: {}"),
        (Ending(causes.LARGE_STANZA, "10000"), "policy-violation: stanza above 10000 bytes"),
        (causes.NOT_ENDED, ""),
    ],
)
def test_the_log_has_the_text_and_the_detail(ending: Ending, said: str) -> None:
    assert str(ending) == said


def test_the_text_of_an_error_is_that_of_the_log() -> None:
    for error in (SessionError(causes.LARGE_STANZA, "7"), UpstreamFailed(causes.UPSTREAM_LOST)):
        assert str(error) == str(error.ending)
        assert (error.condition, error.text) == (error.ending.cause.condition, error.ending.text)
