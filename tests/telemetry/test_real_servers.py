"""With real servers and a trace of everything, the log has the user of a session, and no secret."""

from __future__ import annotations

import base64
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scramp import ScramClient

from tests.support.certificates import Certificate
from tests.support.fixtures import Account
from tests.support.gateway import Gateway, spellings
from tests.support.servers import Server
from tests.support.wire import OPENINGS, Browser
from tests.telemetry.played import BIND, SASL, events, iq

#: Occurs in messages only.
WORDS = "the moon is made of cheese"


@pytest.fixture
def edge(server: Server, certificate: Certificate, tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(
        tmp_path,
        certificate,
        server.c2s_port,
        arguments=("--log-level", "debug", "--log-format", "json"),
        top_level='{trace, ["127.0.0.1"]}.',
    )
    try:
        yield gateway.start()
    finally:
        gateway.close()


def opened(gateway: Gateway) -> Browser:
    browser = Browser(gateway.ws_port)
    reopen(browser)
    return browser


def reopen(browser: Browser) -> None:
    browser.text(OPENINGS["rfc7395"])
    assert browser.message().startswith(b"<open ")
    assert b"features" in browser.message()


def ask(browser: Browser, request: str, sign: bytes) -> bytes:
    """Send, and return the first answer with ``sign`` in it."""
    browser.text(request.encode())
    while sign not in (answer := browser.message()):
        pass
    return answer


def log_in_plain(browser: Browser, account: Account) -> list[str]:
    message = base64.b64encode(f"\0{account.user}\0{account.password}".encode()).decode()
    ask(browser, f"<auth xmlns='{SASL}' mechanism='PLAIN'>{message}</auth>", b"<success")
    return [message]


def log_in_with_scram(browser: Browser, account: Account) -> list[str]:
    client = ScramClient(["SCRAM-SHA-1"], account.user, account.password)

    def encoded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    def decoded(answer: bytes) -> str:
        return base64.b64decode(answer.partition(b">")[2].partition(b"<")[0]).decode()

    first = encoded(client.get_client_first())
    auth = f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-1'>{first}</auth>"
    server_first = decoded(ask(browser, auth, b"<challenge"))
    client.set_server_first(server_first)
    final = encoded(client.get_client_final())
    server_final = decoded(ask(browser, f"<response xmlns='{SASL}'>{final}</response>", b"<success"))
    client.set_server_final(server_final)
    return [first, final, encoded(server_first), encoded(server_final)]


def fields(user: str, password: str) -> str:
    return f"<username>{user}</username><password>{password}</password>"


@pytest.mark.parametrize("log_in", [log_in_plain, log_in_with_scram], ids=["plain", "scram"])
def test_the_log_has_the_user_and_no_secret(
    server: Server,
    edge: Gateway,
    new_account: Callable[[Server], Account],
    log_in: Callable[[Browser, Account], list[str]],
) -> None:
    account = new_account(server)
    browser = opened(edge)
    told = log_in(browser, account)
    reopen(browser)
    ask(browser, iq("b", "set", f"<bind xmlns='{BIND}'><resource>web</resource></bind>"), b"<jid>")
    passwords = [account.password, f"new-{secrets.token_hex(8)}", f"other-{secrets.token_hex(8)}"]
    register = "<query xmlns='jabber:iq:register'>{}</query>"
    # The answer may be an error, which quotes the request.
    ask(browser, iq("c", "set", register.format(fields(account.user, passwords[1]))), b"id=")
    body = f"<body>{WORDS} {' '.join(passwords)}</body>"
    message = f"<message xmlns='jabber:client' type='chat' to='{account.jid}/web'>{body}</message>"
    ask(browser, message, WORDS.encode())
    browser.close_frame()
    browser.until_close()
    browser.close()
    events(edge, "closed")  # another worker may write its line sooner
    newcomer = opened(edge)
    ask(newcomer, iq("r", "set", register.format(fields(f"{account.user}b", passwords[2]))), b"id=")
    newcomer.close_frame()
    newcomer.until_close()
    newcomer.close()
    closed = events(edge, "closed", 2)
    assert [line.get("jid") for line in closed] == [f"{account.jid}/web", None]
    assert [line["cause"] for line in closed] == ["Close 1000", "Close 1000"]
    edge.child.signal(signal.SIGTERM)
    assert edge.child.wait(40) == 0
    text = edge.log.read_text("utf-8")
    assert text.count('"event": "trace"') > 30
    for password in passwords:
        told += spellings(account.user, password)
    for secret in (WORDS, *told):
        assert secret not in text
