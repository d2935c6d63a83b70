"""Proves that a gateway works: logs in two accounts through its WebSocket, and sends a message between them.

Its sessions (``session``) share no codec with the gateway.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from gevent import Timeout, ssl

from wsgw.demo.elements import NS_CLIENT, make
from wsgw.errors import WsgwError
from wsgw.probe.session import Rfc7395, Session
from wsgw.probe.websocket_client import WebSocketClient, WebSocketFailed, tls_context


class ProbeFailed(WsgwError):
    """The gateway failed a step; the message is a sentence with the step and the reason."""


def prove(
    url: str,
    domain: str,
    sender: tuple[str, str],
    receiver: tuple[str, str],
    timeout: float,
    authority: str = "",
) -> None:
    """Send a message from ``sender`` to ``receiver`` through the gateway; it must arrive unchanged.

    ``url``: ``ws://HOST:PORT/PATH``, or ``wss://``. ``sender`` and ``receiver``: (localpart, password) of
    accounts of ``domain``. ``timeout``: seconds for all steps together. ``authority``: the PEM text of the
    certificate to trust, by default those of the system. Raises ProbeFailed.
    """
    steps = _Steps()
    context = tls_context()
    if authority:
        context.load_verify_locations(cadata=authority)
    deadline = Timeout(timeout)
    try:
        with deadline, _ProbeSession(url, domain, receiver, steps, context) as listening:
            with _ProbeSession(url, domain, sender, steps, context) as speaking:
                _carry_message(speaking, listening, steps)
                speaking.leave()
            listening.leave()
    except Timeout as error:
        if error is not deadline:
            raise
        raise ProbeFailed(f"{steps.current}: not finished within {timeout:g} s.") from error


class _Steps:
    """Knows the current step, for the message of a failure."""

    def __init__(self) -> None:
        self.current = "starting"

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self.current = name
        try:
            yield
        except (WebSocketFailed, ValueError, OSError) as error:
            raise ProbeFailed(f"{name}: {error}.") from error


class _ProbeSession(Session):
    """The session of one account, logged in and with a bound resource, over RFC 7395 framing."""

    def __init__(
        self, url: str, domain: str, account: tuple[str, str], steps: _Steps, context: ssl.SSLContext | None
    ) -> None:
        self._steps = steps
        self._of = account[0]
        with self._step("opening the WebSocket"):
            self._socket = WebSocketClient(url, context=context)
        super().__init__(self._socket, account, domain, Rfc7395())
        try:
            self._begin()
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> _ProbeSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def leave(self) -> None:
        with self._step("closing the stream"):
            super().leave()

    def _step(self, name: str) -> AbstractContextManager[None]:
        return self._steps.step(f"{name} for {self._of}")

    def _begin(self) -> None:
        with self._step("opening the stream"):
            features = self.open()
        with self._step("logging in"):
            self.log_in(features)
        with self._step("opening the stream again after the login"):
            self.open()
        with self._step("binding a resource"):
            self.bind()


def _carry_message(speaking: _ProbeSession, listening: _ProbeSession, steps: _Steps) -> None:
    body = f"Grüße & <Küsse> 'aus' \"Köln\" 👋 {secrets.token_hex(8)}"
    message = make(
        NS_CLIENT,
        "message",
        {"type": "chat", "to": listening.jid, "id": "probe-message"},
        make(NS_CLIENT, "body", text=body),
    )
    with steps.step(f"carrying a message from {speaking.jid} to {listening.jid}"):
        speaking.send(message)
        while True:
            arrived = listening.receive()
            if arrived.tag != f"{{{NS_CLIENT}}}message" or arrived.get("id") != "probe-message":
                continue
            if arrived.findtext(f"{{{NS_CLIENT}}}body") != body:
                raise ValueError("the text arrived changed")
            if arrived.get("from") != speaking.jid:
                raise ValueError(f"the message claims to come from {arrived.get('from')}")
            return
