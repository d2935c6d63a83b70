"""Deadlines of a stream: its opening, its login, the answer to its end."""

from __future__ import annotations

import pytest

from tests.support.wire import CLOSE_7395, END, SERVER_HEADER
from tests.websocket_xmpp.dialogue import FEATURES, STAY, Dialogue, before_login, in_state


def test_a_client_without_a_stream_in_time_is_ended() -> None:
    dialogue = Dialogue()
    dialogue.xmpp.tick(9.9, reading=True)
    assert dialogue.heard() == STAY
    dialogue.xmpp.tick(10.0, reading=True)
    assert dialogue.heard()[0][-1] == b"Close 1000 connection-timeout"


def test_a_client_without_a_login_in_time_is_ended() -> None:
    dialogue = in_state("wait_for_upstream")
    dialogue.xmpp.upstream_connected()
    dialogue.server_says(SERVER_HEADER + FEATURES)
    dialogue.heard()
    dialogue.xmpp.tick(59.9, reading=True)
    assert dialogue.heard() == STAY
    dialogue.xmpp.tick(60.0, reading=True)
    browser, server = dialogue.heard()
    assert browser[-1] == b"Close 1008 policy-violation"
    assert server.endswith(b"</stream:error>" + END)


REGISTER = b"<iq xmlns='jabber:client' type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>"
FORM = b"<iq type='result' id='r1'><query xmlns='jabber:iq:register'><username/></query></iq>"


@pytest.mark.rule("end-policy")
def test_a_result_before_the_login_restarts_its_deadline() -> None:
    """A person fills in a registration form; the whole time is at most five deadlines."""
    dialogue = before_login()
    for now in (59.0, 118.0, 177.0, 236.0, 299.0):
        dialogue.xmpp.process_request(REGISTER)
        dialogue.server_says(FORM)
        dialogue.xmpp.tick(now, reading=True)
        assert dialogue.xmpp.state_name == "loop"
    dialogue.heard()
    dialogue.xmpp.tick(299.9, reading=True)
    assert dialogue.heard() == STAY
    dialogue.xmpp.process_request(REGISTER)
    dialogue.server_says(FORM)
    dialogue.xmpp.tick(300.0, reading=True)
    assert dialogue.heard()[0][-1] == b"Close 1008 policy-violation"


CONTINUE = b"<continue xmlns='urn:xmpp:sasl:2'><tasks><task>TOTP-EXAMPLE</task></tasks></continue>"


@pytest.mark.rule("xep-0388-continue")
def test_another_task_of_sasl2_restarts_the_deadline_of_the_login() -> None:
    """A person types a one-time password; the whole time is at most five deadlines."""
    dialogue = before_login()
    for now in (59.0, 118.0, 177.0, 236.0, 299.0):
        dialogue.server_says(CONTINUE)
        dialogue.xmpp.tick(now, reading=True)
        assert dialogue.heard() == ([CONTINUE], b"")
    dialogue.server_says(CONTINUE)
    dialogue.xmpp.tick(300.0, reading=True)
    assert dialogue.heard()[0][-1] == b"Close 1008 policy-violation"


@pytest.mark.rule("xep-0388")
@pytest.mark.parametrize("step", ["challenge", "failure"])
def test_any_other_step_of_sasl2_restarts_no_deadline(step: str) -> None:
    dialogue = before_login()
    dialogue.server_says(b"<%s xmlns='urn:xmpp:sasl:2'/>" % step.encode())
    dialogue.xmpp.tick(59.0, reading=True)
    dialogue.heard()
    dialogue.xmpp.tick(60.0, reading=True)
    assert dialogue.heard()[0][-1] == b"Close 1008 policy-violation"


def test_the_restarted_deadline_ends_too() -> None:
    dialogue = before_login()
    dialogue.xmpp.process_request(REGISTER)
    dialogue.server_says(FORM)
    dialogue.xmpp.tick(30.0, reading=True)
    dialogue.heard()
    dialogue.xmpp.tick(89.9, reading=True)
    assert dialogue.heard() == STAY
    dialogue.xmpp.tick(90.0, reading=True)
    assert dialogue.heard()[0][-1] == b"Close 1008 policy-violation"


@pytest.mark.rule("end-policy")
@pytest.mark.parametrize(
    "answer",
    [
        FORM.replace(b"result", b"error"),
        FORM.replace(b"r1", b"unasked"),
        b"<message id='r1' type='result'/>",
        b"<x xmlns='u'>" + FORM + b"</x>",
    ],
    ids=["error", "unasked", "message", "inside"],
)
def test_any_other_stanza_restarts_no_deadline(answer: bytes) -> None:
    dialogue = before_login()
    dialogue.xmpp.process_request(REGISTER)
    dialogue.server_says(answer)
    dialogue.xmpp.tick(59.0, reading=True)
    dialogue.heard()
    dialogue.xmpp.tick(60.0, reading=True)
    assert dialogue.heard()[0][-1] == b"Close 1008 policy-violation"


def test_after_the_login_no_deadline_is_left() -> None:
    dialogue = in_state("loop")
    dialogue.xmpp.tick(1e9, reading=True)
    assert dialogue.heard() == STAY


def test_the_server_has_two_seconds_to_answer_the_end() -> None:
    dialogue = in_state("closing")
    dialogue.xmpp.tick(100.0, reading=True)
    dialogue.xmpp.tick(101.9, reading=True)
    assert dialogue.heard() == STAY
    dialogue.xmpp.tick(102.0, reading=True)
    assert dialogue.heard() == ([CLOSE_7395, b"Close 1000"], b"")


def test_the_wait_for_the_answer_rests_while_the_server_is_not_read() -> None:
    """A slow browser pauses the server, whose answer may have arrived already."""
    dialogue = in_state("closing")
    dialogue.xmpp.tick(100.0, reading=True)
    dialogue.xmpp.tick(110.0, reading=False)
    dialogue.xmpp.tick(111.9, reading=True)
    assert dialogue.heard() == STAY
    dialogue.xmpp.tick(112.0, reading=True)
    assert dialogue.heard() == ([CLOSE_7395, b"Close 1000"], b"")
