"""The log: no peer can forge a line, it contains no secret, and it blocks no session."""

from __future__ import annotations

import base64
import json
import logging
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificate
from tests.support.gateway import Gateway
from tests.support.processes import ROOT, ReservedPort, accepts, wait_until
from tests.support.wire import OPENINGS, SECONDS, SERVER_HEADER, Browser, Connection, XmppServer, frame
from wsgw.ops.log_formats import JsonFormatter, PlainFormatter, TerminalFormatter, formatter_for
from wsgw.ops.logs import BoundedQueueHandler

#: The beginning of every line of wsgw; an indented line belongs to a traceback.
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING|ERROR|CRITICAL) \S+: |    ")
FORGED = "2026-01-01 00:00:00,000 INFO wsgw.gateway: forged"
#: The categories of Unicode that are escaped: controls, formats, surrogates, separators.
HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
EVERY_CONTROL = "".join(
    each for each in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(each) in HIDDEN
)


@pytest.fixture
def edge(xmpp_server: XmppServer, certificate: Certificate, tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(
        tmp_path,
        certificate,
        xmpp_server.port,
        arguments=["--log-level", "debug"],
        ws_options="{close_timeout, 1}, ",
    )
    try:
        yield gateway.start()
    finally:
        gateway.close()


@pytest.mark.slow
def test_no_peer_can_forge_a_line(edge: Gateway, xmpp_server: XmppServer) -> None:
    hostile = [
        f"GET /ws-xmpp HTTP/1.1\r\nX: \r{FORGED}\r\n\r\n",
        f"GET /ws-xmpp%0a{FORGED.replace(' ', '%20')} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET /\r{FORGED} HTTP/1.1\r\n\r\n",
        f"\x1b[2J\x0b{FORGED}\r\n\r\n",
        f"GET / HTTP/1.1\r\nUpgrade: a\r\n {FORGED}\r\nX-Forwarded-For: 1\r\n {FORGED}\r\n\r\n",
        f"PROXY TCP4 {FORGED}\r\n",
    ]
    for data in hostile:
        connection = Connection(socket.create_connection(("127.0.0.1", edge.ws_port)))
        connection.send(data.encode("latin-1"))
        connection.read_to_end()
        connection.close()
    entities = "&#10;" + FORGED + "&#x9b;&#x2028;" + FORGED + "&#x202e;"
    for first in (
        f"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost{entities}' version='1.0'/>",
        f"<open xmlns='urn:{entities}' to='localhost'/>",
        f"<x{FORGED} xmlns='{entities}'/>",
        f"<stream:stream xmlns:stream='{entities}' to='localhost'/>",
    ):
        browser = Browser(
            edge.ws_port, headers=(f"X-Forwarded-For: \x1b[1m{FORGED}", f"Origin: \x1b{FORGED}")
        )
        browser.text(first.encode())
        browser.until_close()
        browser.close()
    browser = Browser(edge.ws_port, first=frame(OPENINGS["rfc7395"]))
    server = xmpp_server.accept()
    error = f"<stream:error><x xmlns='urn:ietf:params:xml:ns:xmpp-streams'>{entities}</x></stream:error>"
    server.send(SERVER_HEADER + error.encode())
    browser.until_close()
    browser.close()
    server.close()
    browser = Browser(edge.ws_port)
    browser.close_frame(3000, f"\n{FORGED}\x1b\u2028".encode())
    browser.until_close()
    browser.close()
    assert edge.stop() == 0
    assert_every_line_is_ours(edge.log.read_bytes())


def assert_every_line_is_ours(log: bytes) -> None:
    text = log.decode("utf-8")
    assert log.endswith(b"\n")
    for line in text.split("\n")[:-1]:
        assert LINE.match(line), line
        assert not line.startswith(FORGED)
        assert not set(EVERY_CONTROL) & set(line), repr(line)


@pytest.mark.parametrize("formatter", [PlainFormatter(), TerminalFormatter(colours=False), JsonFormatter()])
def test_every_hidden_character_is_escaped(formatter: logging.Formatter) -> None:
    """In the message, in a field and in a traceback; visible characters are unchanged in plain lines."""
    said = f"é {EVERY_CONTROL} é"
    record = logging.makeLogRecord(
        {"msg": "%(said)s", "args": {"said": said}, "fields": {"field": said}, "exc_text": said}
    )
    line = formatter.format(record)
    assert not set(EVERY_CONTROL) & set(line.replace("\n    ", "")), "a traceback has its own lines"
    if isinstance(formatter, JsonFormatter):
        # Two surrogates in a row are read as the character that they encode.
        told = json.loads(line)["field"].encode("utf-16", "surrogatepass")
        assert told == said.encode("utf-16", "surrogatepass")
    else:
        assert "\\x1b" in line
        assert "\\u200f" in line
        assert "\\U000e0001" in line
        assert line.count("é") == 6


@pytest.mark.rule("fault-16")
@pytest.mark.slow
def test_the_log_has_no_secret_at_level_debug(edge: Gateway, xmpp_server: XmppServer) -> None:
    secret = "Tr0ub4dor&3"
    plain = base64.b64encode(f"\0alice\0{secret}".encode()).decode()
    challenge = base64.b64encode(b"r=nonce,s=c2FsdA==,i=4096").decode()
    token = "fast-token-b3f1"
    browser = Browser(
        edge.ws_port,
        path=f"/ws-xmpp?token={token}",
        headers=(f"Authorization: Bearer {token}", f"Cookie: s={token}"),
    )
    browser.text(OPENINGS["rfc7395"])
    server = xmpp_server.accept_stream(b"<stream:features/>")
    escaped = secret.replace("&", "&amp;")
    said = [
        f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>",
        f"<iq xmlns='jabber:client' type='set' id='{token}'><query xmlns='jabber:iq:auth'>"
        f"<username>alice</username><password>{escaped}</password></query></iq>",
        f"<message xmlns='jabber:client'><body>{token}</body></message>",
        f"<broken>{plain}{escaped}{token}",  # a message that breaks the rules is not quoted, either
    ]
    for text in said:
        browser.text(text.encode())
    server.send(f"<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{challenge}</challenge>".encode())
    browser.until_close()
    server.read_to_end()
    server.close()
    browser.close()
    assert edge.stop() == 0
    text = edge.log.read_text("utf-8")
    for word in (secret, escaped, plain, challenge, token):
        assert word not in text
    assert "not-well-formed" in text, "the cause is logged"
    edge.assert_clean_log({"alice": secret})


# -- the queue ------------------------------------------------------------------------------------


def record(message: str) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "test", "msg": message})


def test_a_full_queue_drops_lines_and_counts_them() -> None:
    records: queue.Queue[logging.LogRecord | None] = queue.Queue(3)
    handler = BoundedQueueHandler(records)
    for number in range(10):
        handler.handle(record(str(number)))
    assert handler.dropped == 7
    taken = [records.get_nowait() for _ in range(3)]
    assert [entry.getMessage() for entry in taken if entry] == ["0", "1", "2"]
    handler.handle(record("later"))
    handler.handle(record("last"))
    taken = [records.get_nowait() for _ in range(3)]
    assert [entry.getMessage() for entry in taken if entry] == ["7 log lines were lost", "later", "last"]
    assert handler.unreported is None


def test_the_last_lost_lines_are_reported_at_the_end() -> None:
    handler = BoundedQueueHandler(queue.Queue(1))
    assert handler.unreported is None
    for number in range(3):
        handler.handle(record(str(number)))
    assert handler.unreported is not None
    assert handler.unreported.getMessage() == "2 log lines were lost"


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({"TERM": "xterm"}, "\x1b[33mWARNING\x1b[0m the disk is full"),
        ({"TERM": "xterm", "NO_COLOR": "1"}, "WARNING the disk is full"),
        ({"TERM": "dumb"}, "WARNING the disk is full"),
        ({}, "WARNING the disk is full"),
    ],
)
def test_a_terminal_shows_short_lines(environment: dict[str, str], shown: str) -> None:
    formatter = formatter_for("plain", terminal=True, environment=environment)
    warning = logging.makeLogRecord({"msg": "the disk is full", "levelno": 30, "levelname": "WARNING"})
    assert re.fullmatch(r"\d\d:\d\d:\d\d " + re.escape(shown), formatter.format(warning))
    info = logging.makeLogRecord({"msg": "serves", "levelno": 20, "levelname": "INFO", "fields": {"port": 1}})
    assert re.fullmatch(r"\d\d:\d\d:\d\d serves port=1", formatter.format(info))
    assert isinstance(formatter_for("json", terminal=True, environment=environment), JsonFormatter)


FLOOD = """\
import logging
from wsgw.ops.logs import start_logging
writer = start_logging("info", "plain")
for number in range(30_000):
    logging.getLogger("test").info("line %d %s", number, "x" * 100)
print("logged", flush=True)
writer.stop()
"""
#: The reader has more than a second at the end, which is short for thousands of lines.
PATIENT = "from wsgw.ops import logs; logs.STOP_TIMEOUT = 60\n"


def run(script: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )


@pytest.mark.slow
def test_a_reader_that_does_not_read_blocks_no_session() -> None:
    """Neither the loop nor the end of the process waits for the reader of standard error."""
    child = run(FLOOD)
    try:
        assert child.wait(30) == 0
    finally:
        child.kill()
        child.communicate()


def test_every_queued_line_is_written_at_the_end() -> None:
    child = run(PATIENT + FLOOD.replace("30_000", "5_000"))
    _, log = child.communicate(timeout=60)
    assert child.returncode == 0, log
    lines = log.decode().splitlines()
    assert [line.split()[5] for line in lines] == [str(number) for number in range(5_000)]


@pytest.mark.slow
def test_the_log_says_how_many_lines_were_lost() -> None:
    child = run(PATIENT + FLOOD)
    try:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        log = child.stderr.read().decode()
        assert child.wait(SECONDS) == 0
    finally:
        child.kill()
        child.communicate()
    lost = sum(
        int(count) for count in re.findall(r"WARNING wsgw.ops.logs\[\d+\]: (\d+) log lines were lost", log)
    )
    assert lost
    assert lost + len(re.findall(r"INFO test\[\d+\]: line ", log)) == 30_000


TRACEBACK = f"""\
import logging, time
from wsgw.ops.logs import start_logging
writer = start_logging("info", "plain")
try:
    raise ValueError("\\n{FORGED}\\r\\x1b\\u2028{FORGED}")
except ValueError:
    logging.getLogger("test").exception("fault: %s", "\\n{FORGED}")
logging.getLogger("test").info("lone %s", "\\udcff")
writer.stop()
"""


def test_the_text_of_an_exception_forges_no_line() -> None:
    _, log = run(TRACEBACK).communicate(timeout=30)
    assert_every_line_is_ours(log)
    assert b"Traceback (most recent call last)" in log
    assert b"lone \\udcff\n" in log


@pytest.mark.slow
def test_a_process_with_a_closed_standard_error_ends_in_order() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    child = subprocess.Popen(
        [sys.executable, "-c", FLOOD], cwd=ROOT, stdout=subprocess.PIPE, stderr=write_end
    )
    os.close(write_end)
    child.communicate(timeout=30)
    assert child.returncode == 0


# -- a full disk ----------------------------------------------------------------------------------

FULL = """\
import logging, os, resource, sys, time
from wsgw.ops.logs import log_directly, start_logging
kind, log_format, errors = sys.argv[1:]
writer = start_logging("info", log_format) if kind == "queued" else log_directly("info", log_format)
log = logging.getLogger("test")
{fill}
for number in range(50):
    log.info("line %d of those that find no room", number)
deadline = time.monotonic() + 30
while writer and not logging.getLogger().handlers[0].queue.empty():
    assert time.monotonic() < deadline
    time.sleep(0.01)
{empty}
log.info("line 50")
log.info("line 51")
if writer:
    writer.stop()
"""
#: Two full disks, and how each has room again: no byte fits; the file may have 300 bytes, then more.
ROOM = {
    "nothing-fits": (
        "os.dup2(os.open('/dev/full', os.O_WRONLY), 2)",
        "os.dup2(os.open(errors, os.O_WRONLY | os.O_APPEND), 2)",
    ),
    "half-a-line-fits": (
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300, -1))",
        "resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))",
    ),
}


@pytest.mark.parametrize("log_format", ["plain", "json"])
@pytest.mark.parametrize("kind", ["queued", "direct"])
@pytest.mark.parametrize("room", ROOM)
def test_a_full_disk_loses_lines_and_counts_them(
    tmp_path: Path, room: str, kind: str, log_format: str
) -> None:
    fill, empty = ROOM[room]
    errors = tmp_path / "errors"
    with errors.open("ab") as file:
        script = PATIENT + FULL.format(fill=fill, empty=empty)
        subprocess.run(
            [sys.executable, "-c", script, kind, log_format, str(errors)],
            cwd=ROOT,
            stderr=file,
            check=True,
            timeout=60,
        )
    lines = errors.read_text("utf-8").splitlines()
    whole = [line for line in lines if re.search(r"line \d+( of those that find no room)?(\"\}$|$)", line)]
    (report,) = [line for line in lines if "log lines were lost" in line]
    lost = int(re.findall(r"(\d+) log lines were lost", report)[0])
    assert lost + len(whole) == 52
    assert lost in (49, 50) if room == "nothing-fits" else 0 < lost < 50, (
        "one line may be in the writer's hands"
    )
    assert "line 50" in whole[-2]
    assert "line 51" in whole[-1]
    for line in (report, *whole):
        if log_format == "json":
            json.loads(line)
        else:
            assert LINE.match(line)


@pytest.mark.slow
def test_a_gateway_serves_while_the_disk_of_its_log_is_full(xmpp_server: XmppServer) -> None:
    port = ReservedPort()
    upstream = f"tcp://127.0.0.1:{xmpp_server.port}"
    argv = [sys.executable, "-m", "wsgw", "--listen", f"127.0.0.1:{port.number}", "--domain", "localhost"]
    user = ["--user", "root"] if os.geteuid() == 0 else []
    with Path("/dev/full").open("wb") as full:
        child = subprocess.Popen([*argv, "--upstream", upstream, *user], cwd=ROOT, stderr=full)
    try:
        wait_until(lambda: accepts(port.number), 30, "the gateway")
        for _ in range(3):
            browser = Browser(port.number, first=frame(OPENINGS["rfc7395"]))
            server = xmpp_server.accept_stream()
            assert browser.message().startswith(b"<open ")
            server.close()
            browser.until_close()
            browser.close()
        child.send_signal(signal.SIGTERM)
        assert child.wait(40) == 0
    finally:
        child.kill()
        child.wait()
        port.release()
