"""The login of the probe and the doctor, with a server that does not play fair."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections import deque
from typing import cast

import pytest
from defusedxml.ElementTree import fromstring

from wsgw.probe.session import LoginRefused, Rfc7395, Session
from wsgw.probe.websocket_client import WebSocketClient

NS = "urn:ietf:params:xml:ns:xmpp-sasl"
FEATURES = fromstring(f"<features><mechanism xmlns='{NS}'>SCRAM-SHA-256</mechanism></features>")
SALT = "s=MDEyMzQ1Njc4OWFiY2RlZg=="


class Client:
    """The WebSocket of a server that answers ``<auth/>`` with ``more`` after the nonce."""

    def __init__(self, more: str) -> None:
        self._more = more
        self._answers: deque[str] = deque()

    def send(self, text: str) -> None:
        nonce = b64decode(fromstring(text).text or "").decode().partition("r=")[2]
        challenge = b64encode(f"r={nonce}x,{self._more}".encode()).decode()
        self._answers.append(f"<challenge xmlns='{NS}'>{challenge}</challenge>")

    def receive(self) -> str:
        return self._answers.popleft()


def log_in(password: str = "secret", more: str = f"{SALT},i=4096") -> None:
    client = cast(WebSocketClient, Client(more))
    Session(client, ("alice", password), "localhost", Rfc7395()).log_in(FEATURES)


def test_a_server_cannot_keep_the_program_busy_by_rounds() -> None:
    with pytest.raises(ValueError, match="the server demands 2000000 rounds of SCRAM"):
        log_in(more=f"{SALT},i=2000000")


def test_a_password_that_scram_forbids_is_a_refused_login() -> None:
    with pytest.raises(LoginRefused, match="SCRAM has no such user name or password") as refused:
        log_in("\x07bell")
    assert refused.value.condition == "not-authorized"
    assert "bell" not in str(refused.value)
