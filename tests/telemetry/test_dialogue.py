"""``log_level: debug``: the log of a session is a dialogue without content."""

from __future__ import annotations

import re
import signal

import pytest

from tests.support.edges import StartEdge
from tests.support.gateway import Gateway
from tests.support.processes import wait_until
from tests.support.wire import SUCCESS, Browser, XmppServer
from tests.telemetry.played import PATIENCE, Played, bound

PLAIN = ("--log-format", "plain")
BODY, PASSWORD = "meet me at the bridge", "AGFsaWNlAHNlY3JldA=="

#: ``<`` wsgw receives, ``>`` it sends, ``=`` is a state. The words of each line, without its fields.
DIALOGUE = """\
> opened
< browser {opening}
= xmpp wait_for_upstream
= relay connecting
= relay flowing
> server stream
= xmpp loop
< server stream
< server features
> browser {opening}
> browser features
< browser auth
> server auth
< server success
> browser success
< browser {opening}
> server stream
< server stream
< server features
> browser {opening}
> browser features
< browser iq
> server iq
< server iq
> browser iq
< browser message
> server message
< server message
> browser message
< browser {end}
> server end of the stream
= xmpp closing
< server end of the stream
> browser {end}
> browser close frame
= websocket ws_closing
= xmpp closed
= relay parting
< browser close frame
= websocket ws_closed
= relay ending
= closed
= relay closed
"""
WORDS = {
    "rfc7395": {"opening": "open", "end": "close"},
    "legacy": {"opening": "stream", "end": "end of the stream"},
}


def lines(gateway: Gateway) -> list[str]:
    """The messages of the only connection, without their fields."""
    found = re.findall(r": #\d+ 127\.0\.0\.1 (.+)", gateway.log.read_text("utf-8"))
    return [re.sub(r" [a-z_]+=.*", "", line) for line in found]


def chat(played: Played) -> None:
    """One message in each direction."""
    text = f"<message xmlns='jabber:client' id='m' type='chat'><body>{BODY}</body></message>"
    played.ask(text, f"<message id='r' type='chat'><body>{BODY}</body></message>")


def log_in(played: Played) -> None:
    auth = f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{PASSWORD}</auth>"
    played.ask(auth, SUCCESS.decode())
    played.restart()
    played.ask(*bound("alice@localhost/x"))


def change_level(gateway: Gateway, level: str) -> None:
    """Reload with another ``log_level``."""
    text = gateway.config.read_text("utf-8").partition("{log_level,")[0]
    gateway.config.write_text(text + f"{{log_level, {level}}}.\n", encoding="utf-8")
    gateway.child.signal(signal.SIGHUP)


@pytest.mark.parametrize("framing", WORDS)
def test_the_log_of_a_session_is_a_dialogue(
    start_edge: StartEdge, xmpp_server: XmppServer, framing: str
) -> None:
    gateway = start_edge(arguments=("--log-level", "debug", *PLAIN), fresh=True)
    played = Played(gateway, xmpp_server, framing)
    log_in(played)
    chat(played)
    played.close()
    wait_until(lambda: "= relay closed" in lines(gateway), PATIENCE, "the session to be over")
    assert lines(gateway) == DIALOGUE.format(**WORDS[framing]).splitlines()
    text = gateway.log.read_text("utf-8")
    assert BODY not in text
    assert PASSWORD not in text
    assert f"> server auth namespace=urn:ietf:params:xml:ns:xmpp-sasl size=92 framing={framing}\n" in text


def test_at_info_there_is_no_dialogue(start_edge: StartEdge, xmpp_server: XmppServer) -> None:
    gateway = start_edge(arguments=("--log-level", "info", *PLAIN), fresh=True)
    played = Played(gateway, xmpp_server, "rfc7395")
    played.close()
    wait_until(lambda: "= closed" in lines(gateway), PATIENCE, "the session to be over")
    assert lines(gateway) == ["> opened", "= closed"]


def test_a_reload_changes_the_level_of_running_sessions(
    start_edge: StartEdge, xmpp_server: XmppServer
) -> None:
    gateway = start_edge(arguments=PLAIN, top_level="{log_level, info}.", fresh=True)
    played = Played(gateway, xmpp_server, "rfc7395")
    log_in(played)

    def workers() -> list[str]:
        return re.findall(r"\[(\d+)\]: #\d+ 127\.0\.0\.1 > opened", gateway.log.read_text("utf-8"))

    wait_until(lambda: bool(workers()), PATIENCE, "the session's first line")
    (worker,) = workers()

    def ended_connections() -> int:
        """The level of the session's worker."""
        return len(re.findall(rf"\[{worker}\]: #\d+ 127\.0\.0\.1 = closed", gateway.log.read_text("utf-8")))

    def another_ends(before: int) -> bool:
        Browser(gateway.ws_port).close()
        return ended_connections() > before

    def logged_messages() -> int:
        """The number of lines for one message in each direction; the line of a later end comes after them."""
        ended, before = ended_connections(), message_lines()
        chat(played)
        wait_until(lambda: another_ends(ended), PATIENCE, "the worker's log to be written")
        return message_lines() - before

    def message_lines() -> int:
        return sum(line.endswith(" message") for line in lines(gateway))

    assert logged_messages() == 0
    change_level(gateway, "debug")
    wait_until(lambda: logged_messages() == 4, PATIENCE, "the level debug")
    change_level(gateway, "info")
    wait_until(lambda: logged_messages() == 0, PATIENCE, "the level info")
    played.close()
