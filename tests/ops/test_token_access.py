"""The token and its cookie."""

from __future__ import annotations

import logging

import pytest

from wsgw.ops import token_access
from wsgw.ops.token_access import BURST, COOKIE, LIFETIME, PAUSE, Access, Caller, WrongTokens

TOKEN = "the-token-of-this-listener"
OTHER = "another-token-of-a-listener"


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(token_access, "time", clock)
    return clock


def access(token: str = TOKEN, port: int = 5289, clock: Clock | None = None) -> Access:
    return Access(token, port, WrongTokens(clock or Clock()))


@pytest.mark.parametrize(
    ("authorization", "caller"),
    [
        (f"Bearer {TOKEN}", Caller.TOKEN),
        (f"bearer  {TOKEN} ", Caller.TOKEN),
        (f"Bearer {TOKEN}x", Caller.UNKNOWN),
        (f"Bearer {TOKEN[:-1]}", Caller.UNKNOWN),
        ("Bearer", Caller.UNKNOWN),
        ("Bearer \xff\xe9", Caller.UNKNOWN),
        (f"Basic {TOKEN}", Caller.UNKNOWN),
        (TOKEN, Caller.UNKNOWN),
        ("", Caller.UNKNOWN),
    ],
)
def test_a_bearer_token(authorization: str, caller: Caller) -> None:
    assert access().caller(authorization, "") is caller


def test_a_cookie_is_valid_for_its_time_its_token_and_its_port(clock: Clock) -> None:
    value = access().new_cookie()
    cookies = f"other=1; {COOKIE}={value}; more=2"
    assert TOKEN not in value
    assert access().caller("", cookies) is Caller.COOKIE
    assert access(OTHER).caller("", cookies) is Caller.UNKNOWN
    assert access(port=5290).caller("", cookies) is Caller.UNKNOWN
    clock.now += LIFETIME - 1
    assert access().caller("", cookies) is Caller.COOKIE
    clock.now += 1
    assert access().caller("", cookies) is Caller.UNKNOWN


@pytest.mark.usefixtures("clock")
def test_a_forged_cookie_is_not_valid() -> None:
    expires, _, signature = access().new_cookie().partition(".")
    longer = f"{int(expires) + 1}.{signature}"
    for value in (
        "",
        "1",
        longer,
        f"{expires}.",
        f"{expires}.{'0' * 64}",
        f"{expires}.{signature}0",
        signature,
    ):
        assert access().caller("", f"{COOKIE}={value}") is Caller.UNKNOWN
    assert access().caller("", f"x{COOKIE}={expires}.{signature}") is Caller.UNKNOWN


def test_wrong_tokens_are_limited_and_the_right_one_then_too(caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise the limit would not slow down who tries one token after the other."""
    caplog.set_level(logging.WARNING)
    clock = Clock()
    guarded = access(clock=clock)
    assert [guarded.check(f"wrong {number}") for number in range(BURST)] == [Caller.UNKNOWN] * BURST
    assert guarded.check(TOKEN) is Caller.LIMITED
    clock.now += PAUSE + 0.1
    assert guarded.check(TOKEN) is Caller.TOKEN
    assert guarded.check("wrong again") is Caller.UNKNOWN
    assert guarded.check(TOKEN) is Caller.LIMITED
    clock.now += BURST * PAUSE
    assert [guarded.check("wrong") for _ in range(BURST)] == [Caller.UNKNOWN] * BURST
    assert len(caplog.records) == 2 * BURST + 1
    assert not any(
        TOKEN in record.getMessage() or "again" in record.getMessage() for record in caplog.records
    )


@pytest.mark.usefixtures("clock")
def test_a_cookie_is_accepted_while_tokens_are_limited() -> None:
    """No other user of the machine can lock out an admin who has logged in."""
    guarded = access()
    value = guarded.new_cookie()
    for _ in range(BURST):
        guarded.check("wrong")
    assert guarded.caller("", f"{COOKIE}={value}") is Caller.COOKIE
