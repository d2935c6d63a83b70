"""The counters of a process."""

from __future__ import annotations

import pytest

from wsgw.errors import causes
from wsgw.errors.causes import Cause
from wsgw.errors.refusals import DRAINING, MAX_SESSIONS, Refusal
from wsgw.telemetry.tally import LIMITS_HIT, Passed, Tally


@pytest.mark.parametrize(
    ("cause", "authenticated", "limit"),
    [
        (causes.CLOSED_BY_CLIENT, True, ""),
        (causes.NO_PONG, True, "pong_timeout"),
        (causes.LARGE_STANZA, True, "max_stanza_size"),
        (causes.LARGE_STANZA, False, "max_stanza_size_preauth"),
    ],
)
def test_a_session_counts_by_its_cause_and_limit(cause: Cause, authenticated: bool, limit: str) -> None:
    tally = Tally()
    tally.session_ended(cause, Passed(), authenticated=authenticated)
    assert tally.closed == {cause.label: 1}
    assert tally.limits_hit == ({limit: 1} if limit else {})
    assert tally.limits_hit.keys() <= LIMITS_HIT


@pytest.mark.parametrize(
    ("refusal", "status", "is_limit"), [(MAX_SESSIONS, 503, True), (DRAINING, 503, False)]
)
def test_a_refused_connection_counts_by_its_reason(refusal: Refusal, status: int, is_limit: bool) -> None:
    tally = Tally()
    tally.connection_refused(refusal, status)
    tally.connection_refused(refusal, status)
    assert tally.refused == {(refusal.label, status): 2}
    assert tally.limits_hit == ({refusal.label: 2} if is_limit else {})


def test_the_traffic_of_ended_sessions_is_added_up() -> None:
    tally = Tally()
    for _ in range(2):
        traffic = Passed(bytes_from_browser=7, stanzas_to_client=1)
        tally.session_ended(causes.CLOSED_BY_CLIENT, traffic, authenticated=True)
    assert tally.passed == Passed(bytes_from_browser=14, stanzas_to_client=2)
