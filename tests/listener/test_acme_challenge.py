"""Requests of a certificate authority at a listener, and the files that they may get."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.listener.heads import GOOD, TEXT, accepts, answer, connect, refusal, request
from tests.support.edges import StartEdge
from tests.support.gateway import Gateway
from tests.support.processes import wait_until
from tests.support.wire import CLOSE, SECONDS, Browser
from wsgw.listener import acme_challenge
from wsgw.listener.acme_challenge import LARGEST, AcmeChallenges
from wsgw.opening.pages import page_answer

URL = "/.well-known/acme-challenge"
TOKEN = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
CONTENT = TOKEN.encode() + b".9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
CONFIG = """\
{{hosts, ["localhost"]}}.
{{workers, 1}}.
{{drain_timeout, 20}}.
{{acme_challenge_dir, %s}}.
{{listen, [
  {{{c2s_port}, ejabberd_c2s, []}},
  {{{ws_port}, websocket_session, [
    {{ip, {{127,0,0,1}}}},
    {{request_handlers, [{{"/", mod_websocket}}]}}
  ]}},
  {{{wss_port}, websocket_session, [{{ip, {{127,0,0,1}}}}]}}
]}}.
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The directory, next to a file that no request may get."""
    (tmp_path / "secret").write_bytes(b"secret")
    found = tmp_path / "tokens"
    found.mkdir()
    (found / TOKEN).write_bytes(CONTENT)
    return found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("tokens")
    (found / TOKEN).write_bytes(CONTENT)
    return found


@pytest.fixture(scope="module")
def edge(start_edge: StartEdge, served: Path) -> Gateway:
    return start_edge(config=CONFIG % json.dumps(str(served)))


def asked(folder: Path, target: str, method: str = "GET") -> tuple[int, bytes]:
    """(status, body) of the answer."""
    found = page_answer([AcmeChallenges(folder)], method, target, [])
    assert found is not None
    assert isinstance(found.body, bytes)
    assert ("Cache-Control", "no-store") in found.headers
    return found.status, found.body


@pytest.mark.rule("8555-8.3")
@pytest.mark.parametrize("host", ["localhost", "chat.example.org:80", "127.0.0.1"])
def test_any_host_gets_the_file(edge: Gateway, host: str) -> None:
    """On a listener with a WebSocket, and on one without."""
    expected = request(
        "HTTP/1.1 200 OK",
        "Content-Type: application/octet-stream",
        "Cache-Control: no-store",
        TEXT[1],
        f"Content-Length: {len(CONTENT)}",
        "Connection: close",
    )
    for port in (edge.ws_port, edge.wss_port):
        full = answer(port, request(f"GET {URL}/{TOKEN} HTTP/1.1", f"Host: {host}"))
        assert full == expected + CONTENT
        assert answer(port, request(f"HEAD {URL}/{TOKEN} HTTP/1.1", f"Host: {host}")) == expected


@pytest.mark.rule("8555-8.3")
def test_other_methods_are_not_allowed(edge: Gateway) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        lines = (f"{method} {URL}/{TOKEN} HTTP/1.1", "Host: localhost")
        expected = refusal(405, "Method Not Allowed", "Allow: GET, HEAD", "Cache-Control: no-store")
        assert answer(edge.ws_port, request(*lines)) == expected


def test_the_websocket_next_to_it_works(edge: Gateway) -> None:
    assert accepts(edge.ws_port, request("GET /.well-known/acme HTTP/1.1", *GOOD[1:]))


def test_a_listener_without_a_websocket_has_nothing_else(edge: Gateway) -> None:
    assert answer(edge.wss_port, request(*GOOD)) == refusal(404, "Not found")


@pytest.mark.slow
@pytest.mark.rule("8555-8.3")
def test_the_file_is_served_while_the_gateway_stops(start_edge: StartEdge, served: Path) -> None:
    gateway = start_edge(config=CONFIG % json.dumps(str(served)), fresh=True)
    browser = Browser(gateway.ws_port)
    late = connect(gateway.ws_port)
    late.send(f"GET {URL}/{TOKEN} HTTP/1.1\r\nHost: localhost\r\n".encode())
    gateway.child.signal(signal.SIGTERM)
    while browser.frame()[0] != CLOSE:
        pass
    late.send(b"\r\n")
    assert late.read_to_end().endswith(b"\r\n\r\n" + CONTENT)
    late.close()
    browser.close()
    assert gateway.child.wait(40) == 0


@pytest.mark.rule("8555-8.3-file")
@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/.",
        "/missing",
        "/.hidden",
        "/secret.txt",
        "/..%2fsecret",
        "/%2e%2e%2fsecret",
        "/%2Fetc%2Fhostname",
        f"/sub/{TOKEN}",
        f"/{TOKEN}%20",
        f"/{TOKEN}%0a",
        f"/{TOKEN}.",
        "/%d9%a3",
        "/%ff",
        "/" + "a" * 255,
        "/" + "a" * 256,
        "/" + "a" * 16000,
    ],
)
def test_a_path_that_is_no_token_gets_nothing(
    folder: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / ".hidden").write_bytes(b"secret")
    (folder / "secret.txt").write_bytes(b"secret")
    (folder / "sub").mkdir()
    (folder / "sub" / TOKEN).write_bytes(b"secret")
    assert asked(folder, URL + path) == (404, b"")
    assert caplog.records == [], "clients invent such paths"


@pytest.mark.rule("8555-8.3-file")
@pytest.mark.parametrize(
    "path",
    ["/../secret", "/%2e%2e/secret", "/../../secret", f"/{TOKEN}%00", "/%00", "x", f"/../../{TOKEN}"],
)
def test_a_path_out_of_the_folder_is_no_request_for_it(folder: Path, path: str) -> None:
    assert page_answer([AcmeChallenges(folder)], "GET", URL + path, []) is None


@pytest.mark.parametrize("path", [f"/./{TOKEN}", f"//{TOKEN}/", f"/x/../{TOKEN}", f"/%4c{TOKEN[1:]}?x=/..#y"])
def test_another_spelling_of_the_path_gets_the_file(folder: Path, path: str) -> None:
    assert asked(folder, URL + path) == (200, CONTENT)


def make(path: Path, kind: str) -> None:
    """Make something in the place of a token's file."""
    target = path.parent.parent / "secret"
    if kind == "link":
        path.symlink_to(target)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            folder = os.open(path.parent, os.O_PATH)
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
            os.close(folder)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(b"x" * (LARGEST + 1))


@pytest.mark.rule("8555-8.3-file")
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("link", "it is a symbolic link"),
        ("device", "it is a symbolic link"),
        ("fifo", "it is not a regular file"),
        ("directory", "it is not a regular file"),
        ("socket", "No such device or address"),
        ("large", "it has more than 4096 bytes"),
    ],
)
def test_only_a_small_regular_file_is_served(
    folder: Path, kind: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the reason once. No descriptor stays open."""
    make(folder / "other", kind)
    challenges = AcmeChallenges(folder)
    before = os.listdir("/proc/self/fd")
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            found = page_answer([challenges], "GET", f"{URL}/other", [])
            assert found is not None
            assert (found.status, found.phrase, found.body) == (404, "Not found", b"")
    assert caplog.messages == [f"acme_challenge_dir: {folder}/other is not served: {reason}"]
    assert os.listdir("/proc/self/fd") == before


def test_the_log_has_a_reason_again_after_a_pause(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acme_challenge, "LOGGED_EVERY", 0.0)
    challenges = AcmeChallenges(folder / "missing")
    for _ in range(2):
        page_answer([challenges], "GET", f"{URL}/{TOKEN}", [])
    reason = f"acme_challenge_dir: {folder}/missing is not served: No such file or directory"
    assert caplog.messages == [reason] * 2


@pytest.mark.rule("8555-8.3-file")
def test_a_hard_link_and_the_largest_file_are_served(folder: Path) -> None:
    os.link(folder / TOKEN, folder / "linked")
    (folder / "large").write_bytes(b"x" * LARGEST)
    (folder / "empty").touch()
    assert asked(folder, f"{URL}/linked") == (200, CONTENT)
    assert asked(folder, f"{URL}/large") == (200, b"x" * LARGEST)
    assert asked(folder, f"{URL}/empty") == (200, b"")


@pytest.fixture
def renewing(folder: Path) -> Iterator[None]:
    """A thread replaces the file by a link, and the link by the file, all the time."""
    ended = threading.Event()

    def renew() -> None:
        link, file = folder / "link", folder / "file"
        while not ended.is_set():
            link.symlink_to("../secret")
            link.rename(folder / TOKEN)
            file.write_bytes(CONTENT)
            file.rename(folder / TOKEN)

    thread = threading.Thread(target=renew)
    thread.start()
    yield
    ended.set()
    thread.join()


@pytest.mark.rule("8555-8.3-file")
@pytest.mark.usefixtures("renewing")
def test_a_file_that_is_replaced_is_served_whole_or_not(folder: Path) -> None:
    seen: set[tuple[int, bytes]] = set()

    def have_been_seen() -> bool:
        seen.update(asked(folder, f"{URL}/{TOKEN}") for _ in range(200))
        return len(seen) > 1

    wait_until(have_been_seen, SECONDS, "the file and the link")
    assert seen == {(200, CONTENT), (404, b"")}
