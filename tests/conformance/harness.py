"""The two servers under test: an echo server on the codec and the session machine, and the whole gateway."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from tests.conformance import as_xmpp
from tests.conformance.client import (
    SECONDS,
    Client,
    Mismatch,
    check_answers,
    check_answers_by_kind,
    check_close,
    check_end,
    compare_frames,
    send,
    split,
)
from tests.conformance.echo_app import CLOSE_COMMAND
from tests.conformance.limits import LIMIT
from tests.conformance.script import CLOSE, FILLER, PONG, Case, End, Silence, Sized, close, text, turns
from tests.support.certificates import make_certificate
from tests.support.gateway import Gateway
from tests.support.processes import ROOT, Child, wait_until
from tests.support.wire import END, OPENINGS, Connection, XmppServer

#: Deadlines of the gateway far beyond those of the cases, and limits above the largest of them.
_OPTIONS = (
    f"{{max_stanza_size, {LIMIT}}}, {{send_buffer_hard, {4 * LIMIT}}}, {{close_timeout, 300}}, "
    "{send_timeout, 300}, {websocket_timeout, infinity}, {websocket_ping_interval, infinity}, "
)


class Harness(Protocol):
    """A server under test."""

    name: str

    def play(self, case: Case) -> None:
        """Play a case. Raises Mismatch, OSError or EOFError if the server differs from it."""

    def stop(self) -> None:
        """End the server; raises AssertionError for a traceback in its log."""


class EchoHarness:
    """The echo server in a separate process."""

    name = "echo"

    def __init__(self, folder: Path) -> None:
        application = Path(__file__).with_name("echo_app.py")
        argv = [sys.executable, str(application), str(LIMIT)]
        self._child = Child(argv, folder / "echo.log", {"PYTHONPATH": str(ROOT)})
        try:
            wait_until(lambda: self._child.text().endswith("\n"), SECONDS, "the echo server")
            self._port = int(self._child.text())
        except BaseException:
            self._child.kill()
            raise

    def play(self, case: Case) -> None:
        client = Client(self._port)
        try:
            self._play(client, case)
        finally:
            client.close()

    def _play(self, client: Client, case: Case) -> None:
        def make_server_close() -> None:
            client.send(text(CLOSE_COMMAND).encode())
            opcode, payload = client.frame()
            if opcode != CLOSE:
                raise Mismatch(f"opcode {opcode} instead of a Close")
            check_close(payload, 1000)

        ended = False
        for sends, expects in turns(case.script):
            answers, last = split(expects)
            ended = isinstance(last, End)
            send(client, sends, case.chop, _filler, make_server_close, until_answered=ended)
            if isinstance(last, End):
                compare_frames(check_end(client, last), answers, _filler)
            else:
                check_answers(client, answers, _filler)
            if isinstance(last, Silence):
                client.expect_silence()
        if not ended:
            _leave(client)

    def stop(self) -> None:
        self._child.kill()
        log = self._child.text()
        assert "Traceback" not in log, log[-4000:]


class GatewayHarness:
    """``python -m wsgw`` with an XMPP server behind it that returns every stanza."""

    name = "gateway"

    def __init__(self, folder: Path) -> None:
        self._server = XmppServer()
        certificate = make_certificate(folder / "ca")
        self._gateway = Gateway(folder, certificate, self._server.port, ws_options=_OPTIONS)
        try:
            self._gateway.start()
        except BaseException:
            self._gateway.close()
            raise

    def play(self, case: Case) -> None:
        plan = list(as_xmpp.as_xmpp(case))
        with self._session(receipts=_needs_receipts(case)) as (client, upstream):
            farewell = self._play(client, upstream, case, plan)
            upstream.join()
        stanzas = b"".join(stanza for turn in plan for stanza in turn.stanzas)
        _check_upstream(bytes(upstream.received), stanzas, farewell)

    @contextlib.contextmanager
    def _session(self, *, receipts: bool) -> Iterator[tuple[Client, EchoingServer]]:
        client = Client(self._gateway.ws_port)
        try:
            client.text(OPENINGS["rfc7395"])
            upstream = EchoingServer(self._server.accept_stream(), receipts=receipts)
            try:
                client.message()
                if b"success" not in client.message():
                    raise Mismatch("no login")
                yield client, upstream
            finally:
                upstream.close()
        finally:
            client.close()

    def _play(
        self, client: Client, upstream: EchoingServer, case: Case, plan: list[as_xmpp.Turn]
    ) -> End | None:
        """Play the turns; returns the end of the session, None if the XMPP server ended it."""
        by_server = False

        def make_server_close() -> None:
            nonlocal by_server
            by_server = True
            upstream.send(END)
            _check_stream_end(client)

        for turn in plan:
            answers, last = split(turn.expects)
            ended = isinstance(last, End)
            send(client, turn.sends, case.chop, as_xmpp.payload_of, make_server_close, until_answered=ended)
            if isinstance(last, End):
                self._check_last(check_end(client, last), last, turn)
                return None if by_server else last
            check_answers_by_kind(client, answers, as_xmpp.payload_of)
            if isinstance(last, Silence):
                client.expect_silence()
        _leave(client)
        return End(1000)

    @staticmethod
    def _check_last(frames: list[tuple[int, bytes]], end: End, turn: as_xmpp.Turn) -> None:
        """Assert exactly the pongs; the server may not have echoed the last messages yet."""
        answers, _ = split(turn.expects)
        pongs = [answer for answer in answers if answer.opcode == PONG]
        compare_frames([frame for frame in frames if frame[0] == PONG], pongs, as_xmpp.payload_of)
        texts = [frame for frame in frames if frame[0] != PONG]
        if end.error:
            last_words = [payload for _, payload in texts[-2:]]
            texts = texts[:-2]
            _check_stream_error(last_words, end.error)
        echoes = [answer for answer in answers if answer.opcode != PONG]
        compare_frames(texts, echoes[: len(texts)], as_xmpp.payload_of)

    def stop(self) -> None:
        status = self._gateway.stop()
        self._gateway.close()
        self._server.close()
        self._gateway.assert_clean_log({})
        assert status == 0, f"the gateway ended with {status}"


#: In the order of the report.
HARNESSES: tuple[type[EchoHarness] | type[GatewayHarness], ...] = (EchoHarness, GatewayHarness)


class EchoingServer:
    """The XMPP server of one session, in a thread: keeps the received bytes, and returns them."""

    def __init__(self, connection: Connection, *, receipts: bool) -> None:
        self.received = bytearray()
        self._connection = connection
        self._connection.socket.settimeout(SECONDS)
        self._receipts = receipts
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._connection.socket.recv(256 * 1024):
                self.received += data
                if not self._receipts:
                    self._connection.send(data)
                elif len(self.received) == LIMIT:
                    self._connection.send(as_xmpp.RECEIPT)

    def send(self, data: bytes) -> None:
        self._connection.send(data)

    def join(self) -> None:
        """Wait until the gateway has ended the connection."""
        self._thread.join(SECONDS)
        if self._thread.is_alive():
            raise Mismatch("the XMPP server's connection was not ended")

    def close(self) -> None:
        self._connection.close()


def _filler(message: Sized) -> bytes:
    return FILLER * message.size


def _needs_receipts(case: Case) -> bool:
    return any(isinstance(step, Sized) and step.size > as_xmpp.SERVER_LIMIT for step in case.script)


def _leave(client: Client) -> None:
    """Assert that a Close is answered, and that no other frame comes."""
    client.send(close(1000).encode())
    compare_frames(check_end(client, End(1000)), [], _filler)


def _check_stream_end(client: Client) -> None:
    """Assert the end by the XMPP server: ``<close/>`` and a Close, which is not answered yet."""
    message = client.message()
    if not message.startswith(b"<close "):
        raise Mismatch(f"{message!r} instead of <close/>")
    opcode, payload = client.frame()
    if opcode != CLOSE:
        raise Mismatch(f"opcode {opcode} instead of a Close")
    check_close(payload, 1000)


def _check_stream_error(last_words: list[bytes], condition: str) -> None:
    start = b'<stream:error xmlns:stream="http://etherx.jabber.org/streams"><' + condition.encode()
    if (
        len(last_words) != 2
        or not last_words[0].startswith(start)
        or not last_words[1].startswith(b"<close ")
    ):
        raise Mismatch(f"{last_words!r} instead of the stream error {condition} and <close/>")


def _check_upstream(received: bytes, stanzas: bytes, end: End | None) -> None:
    """Assert that the XMPP server received every valid stanza, then the bytes that match the end."""
    if received[: len(stanzas)] != stanzas:
        raise Mismatch(f"the XMPP server got {received[:80]!r}... instead of {stanzas[:80]!r}...")
    farewell = received[len(stanzas) :]
    if end is None:
        good = farewell == END
    elif end.error:
        start, finish = b"<stream:error><" + end.error.encode(), b"</stream:error>" + END
        good = farewell.startswith(start) and farewell.endswith(finish)
    else:
        good = not farewell
    if not good:
        raise Mismatch(f"the XMPP server heard at the end {farewell[:120]!r}")
