"""The way to the XMPP server: every scheme, who is trusted, who is refused, and what the browser hears.

The server is scripted: plain sockets in the test's hands, with TLS by Python's own ``ssl``.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.flags
import dns.message
import dns.rrset
import pytest

from tests.support.certificates import Certificate, make_certificate
from tests.support.gateway import Gateway
from tests.support.processes import ReservedPort, wait_until
from tests.support.wire import (
    CLOSE_7395,
    END,
    OPENINGS,
    SECONDS,
    SERVER_HEADER,
    Browser,
    Connection,
    XmppServer,
    frame,
    within,
)
from wsgw.net import srv

OPEN = OPENINGS["rfc7395"]
PLAIN = b"<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></stream:features>"
STARTTLS = (
    b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
    b"</stream:features>"
)
PROCEED = b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
#: Nobody is waited for so long: what succeeds, or fails at once, does so before the deadline of a read.
PATIENT = "{workers, 1}, {connect_timeout, 60}, "
#: Where the deadline is what ends an attempt; by default it is as long as that of a read.
HASTY = "{workers, 1}, {connect_timeout, 2}, "
#: From the opening of a stream to the end of such an attempt, and what a busy machine may add, in seconds.
SOON = 4.0


@pytest.fixture
def start(certificate: Certificate, tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """``start(ws_options, ...)``: a gateway with these listener options; it must end in order."""
    running: list[Gateway] = []

    def start(ws_options: str, pace: str = PATIENT, **settings: str) -> Gateway:
        folder = tmp_path / f"gateway-{len(running)}"
        gateway = Gateway(folder, certificate, 1, ws_options=pace + ws_options, **settings)
        try:
            return gateway.start()
        finally:
            running.append(gateway)

    yield start
    statuses = [gateway.stop() for gateway in running]
    for gateway in running:
        gateway.close()
        gateway.assert_clean_log({})
    assert not any(statuses), statuses


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Certificate]:
    """``certificates(name, kind)``: one for ``name``; ``kind`` is its folder, each has a CA of its own."""
    made: dict[str, Certificate] = {}

    def make(name: str = "localhost", kind: str = "good", *, days: str | None = None) -> Certificate:
        key = f"{kind}-{name}"
        if key not in made:
            made[key] = make_certificate(
                tmp_path_factory.mktemp(key),
                name,
                extra="",
                days=days or "30",
                alternative=kind != "common name",
            )
        return made[key]

    return make


@pytest.fixture(scope="module")
def start_secure(
    xmpp_server: XmppServer,
    certificate: Certificate,
    certificates: Callable[..., Certificate],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str, str], Gateway]]:
    """``start_secure(scheme, pace)``: the module's gateway that reaches the server so, and knows several
    authorities.
    """
    folder = tmp_path_factory.mktemp("secure")
    known = [certificates(), certificates("127.0.0.1.example"), certificates(kind="expired", days="0")]
    known.append(certificates(kind="common name"))
    cafile = folder / "authorities.pem"
    cafile.write_bytes(b"".join(each.ca.read_bytes() for each in known))
    gateways: dict[str, Gateway] = {}

    def start(scheme: str, pace: str) -> Gateway:
        upstream = f'{{upstream, "{scheme}://127.0.0.1:{xmpp_server.port}"}}, '
        options = pace + upstream + f'{{upstream_cafile, "{cafile}"}}, '
        if options not in gateways:
            gateways[options] = Gateway(folder / str(len(gateways)), certificate, 1, ws_options=options)
            gateways[options].start()
        return gateways[options]

    try:
        yield start
        statuses = [gateway.stop() for gateway in gateways.values()]
        assert not any(statuses), statuses
    finally:
        for gateway in gateways.values():
            gateway.close()
    for gateway in gateways.values():
        gateway.assert_clean_log({})


@pytest.fixture(params=["starttls", "tls"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def secure(start_secure: Callable[[str, str], Gateway], scheme: str) -> Gateway:
    return start_secure(scheme, PATIENT)


@pytest.fixture
def hasty(start_secure: Callable[[str, str], Gateway], scheme: str) -> Gateway:
    return start_secure(scheme, HASTY)


class Hello:
    """What the gateway's TLS client said first."""

    name: str | None = None


def server_context(certificate: Certificate, hello: Hello, alpn: bool = True) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    if alpn:
        context.set_alpn_protocols(["xmpp-client"])

    def note(_socket: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        hello.name = name

    context.sni_callback = note
    return context


def secured(connection: Connection, context: ssl.SSLContext) -> Connection:
    """The connection after the TLS handshake; ssl.SSLError if the gateway refuses, or goes."""
    sock = connection.socket.dup()
    connection.close()
    sock.settimeout(SECONDS)
    return Connection(context.wrap_socket(sock, server_side=True))


def negotiate(server: XmppServer) -> Connection:
    """The part of a session before STARTTLS is done."""
    connection = server.accept()
    connection.read_until(b"version='1.0'>")
    connection.send(SERVER_HEADER + STARTTLS)
    assert connection.read_until(b"/>") == b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
    connection.send(PROCEED)
    return connection


def assert_relays(browser: Browser, server: Connection) -> None:
    """The way is open, both ways, and ends in order."""
    assert server.read_until(b"version='1.0'>").startswith(b"<?xml version='1.0'?><stream:stream ")
    server.send(SERVER_HEADER + PLAIN)
    assert browser.message().startswith(b"<open ")
    assert b"mechanisms" in browser.message()
    browser.text(CLOSE_7395)
    assert server.read_until(END)
    server.close()
    assert browser.until_close()[1] == 1000
    browser.close()


def assert_fails(browser: Browser) -> None:
    """The browser hears soon that the server cannot be reached, in the RFC's order."""
    with within(SOON):
        messages, code, reason = browser.until_close()
    assert [message[:13] for message in messages] == [b"<open xmlns='", b"<stream:error", CLOSE_7395[:13]]
    assert b"<remote-connection-failed " in messages[1]
    assert b"the XMPP server cannot be reached" in messages[1]
    assert (code, reason) == (1011, "remote-connection-failed")
    browser.close()


def open_stream(gateway: Gateway) -> Browser:
    return Browser(gateway.ws_port, first=frame(OPEN))


def logged(gateway: Gateway, pattern: str, already: int = 0) -> None:
    """A line of the log, behind the first ``already`` characters."""

    def found() -> bool:
        return re.search(pattern, gateway.child.text()[already:]) is not None

    wait_until(found, SECONDS, f"{pattern} in the log")


# -- without TLS ----------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_tcp(start: Callable[..., Gateway], xmpp_server: XmppServer, host: str) -> None:
    browser = open_stream(start(f'{{upstream, "tcp://{host}:{xmpp_server.port}"}}, '))
    assert_relays(browser, xmpp_server.accept())


def test_unix(start: Callable[..., Gateway], tmp_path: Path) -> None:
    path = tmp_path / "xmpp.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(SECONDS)
        browser = open_stream(start(f'{{upstream, "unix:{path}"}}, '))
        assert_relays(browser, Connection(listener.accept()[0]))


def test_failover(start: Callable[..., Gateway], xmpp_server: XmppServer, tmp_path: Path) -> None:
    nobody = ReservedPort()
    ways = [
        f"tcp://127.0.0.1:{nobody.number}",
        f"unix:{tmp_path}/none",
        f"tcp://127.0.0.1:{xmpp_server.port}",
    ]
    gateway = start(f'{{upstream, ["{ways[0]}", "{ways[1]}", "{ways[2]}"]}}, ')
    browser = open_stream(gateway)
    assert_relays(browser, xmpp_server.accept())
    nobody.release()


def test_nobody_there(start: Callable[..., Gateway], tmp_path: Path) -> None:
    nobody = ReservedPort()
    gateway = start(f'{{upstream, ["tcp://127.0.0.1:{nobody.number}", "unix:{tmp_path}/none"]}}, ')
    assert_fails(open_stream(gateway))
    logged(
        gateway,
        r"localhost: no connection to the XMPP server: tcp://\S+: .*refused; unix:\S+: .*No such file",
    )
    nobody.release()


def test_name_that_does_not_resolve(start: Callable[..., Gateway]) -> None:
    gateway = start('{upstream, "tcp://no-such-host.invalid:5222"}, ', HASTY)
    assert_fails(open_stream(gateway))


@contextlib.contextmanager
def dropping() -> Iterator[int]:
    """A port of loopback that answers no SYN: its backlog is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_packets_dropped(start: Callable[..., Gateway]) -> None:
    with dropping() as port:
        gateway = start(f'{{upstream, "tcp://127.0.0.1:{port}"}}, ', HASTY)
        assert_fails(open_stream(gateway))
        logged(gateway, r"no connection to the XMPP server: tcp://\S+: ")


def test_failover_from_one_that_drops_packets(start: Callable[..., Gateway], xmpp_server: XmppServer) -> None:
    """Each way has its own time: the first must not use up that of the next."""
    with dropping() as port:
        ways = f'["tcp://127.0.0.1:{port}", "tcp://127.0.0.1:{xmpp_server.port}"]'
        browser = open_stream(start(f"{{upstream, {ways}}}, ", HASTY))
        with within(SOON):
            server = xmpp_server.accept()
        assert_relays(browser, server)


def test_browser_vanishes_while_the_server_is_connected_to(start: Callable[..., Gateway]) -> None:
    with dropping() as port:
        gateway = start(f'{{upstream, "tcp://127.0.0.1:{port}"}}, ')
        for vanish in (Browser.reset, Browser.close):
            browser = open_stream(gateway)
            wait_until(lambda: descriptors(gateway, port) == 1, SECONDS, "the attempt to connect")
            closed = gateway.child.text().count("= closed host=localhost")
            vanish(browser)
            wait_until(
                lambda before=closed: gateway.child.text().count("= closed host=localhost") > before,
                SECONDS,
                "the end in the log",
            )
            wait_until(lambda: descriptors(gateway, port) == 0, SECONDS, "the end of the attempt")


def descriptors(gateway: Gateway, port: int) -> int:
    """Sockets the gateway holds towards ``port``."""
    inodes = set()
    for pid in gateway.workers:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    lines = Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
    rows = [line.split() for line in lines]
    return sum(row[2].endswith(f":{port:04X}") and row[9] in inodes for row in rows)


# -- STARTTLS and direct TLS: whose certificate is trusted ------------------------------------------


def tls_options(server: XmppServer, scheme: str, certificate: Certificate | None, more: str = "") -> str:
    cafile = f'{{upstream_cafile, "{certificate.ca}"}}, ' if certificate else ""
    return f'{{upstream, "{scheme}://127.0.0.1:{server.port}"}}, {cafile}{more}'


def accept_tls(server: XmppServer, scheme: str, context: ssl.SSLContext) -> Connection:
    return secured(negotiate(server) if scheme == "starttls" else server.accept(), context)


def test_good_certificate(
    secure: Gateway, xmpp_server: XmppServer, certificates: Callable[..., Certificate], scheme: str
) -> None:
    """Signed by an authority of ``upstream_cafile``, for the XMPP domain, whatever address it is at."""
    hello = Hello()
    browser = open_stream(secure)
    server = accept_tls(xmpp_server, scheme, server_context(certificates(), hello))
    assert isinstance(server.socket, ssl.SSLSocket)
    assert hello.name == "localhost"
    assert server.socket.selected_alpn_protocol() == ("xmpp-client" if scheme == "tls" else None)
    assert_relays(browser, server)


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        (("127.0.0.1.example",), "hostname mismatch: its subjectAltName must have DNS:localhost"),
        (("localhost", "common name"), "its subjectAltName must have DNS:localhost; a Common Name alone"),
        (("localhost", "other"), "unable to get"),
        (("localhost", "expired"), "expired"),
    ],
    ids=["wrong name", "common name only", "unknown authority", "expired"],
)
def test_bad_certificate(
    secure: Gateway,
    xmpp_server: XmppServer,
    certificates: Callable[..., Certificate],
    scheme: str,
    shown: tuple[str, ...],
    reason: str,
) -> None:
    browser = open_stream(secure)
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        accept_tls(xmpp_server, scheme, server_context(certificates(*shown), Hello())).read(1)
    assert_fails(browser)
    logged(secure, f"certificate verify failed: .*{reason}")


@pytest.mark.parametrize(
    ("where", "scheme"), [("certfiles", "tls"), ("domain_certfile", "starttls"), ("c2s certfile", "starttls")]
)
def test_certificate_that_the_configuration_names(
    start: Callable[..., Gateway],
    xmpp_server: XmppServer,
    certificates: Callable[..., Certificate],
    scheme: str,
    where: str,
) -> None:
    """It is trusted as it stands: of an unknown authority, for another name, expired."""
    own = certificates("somebody.example", kind="own", days="0")
    settings = {
        "certfiles": {"top_level": f'{{certfiles, ["{own.pem}"]}}.\n'},
        "domain_certfile": {"top_level": f'{{domain_certfile, "localhost", "{own.pem}"}}.\n'},
        "c2s certfile": {"c2s_options": f'{{certfile, "{own.pem}"}}, '},
    }[where]
    browser = open_stream(start(tls_options(xmpp_server, scheme, None), **settings))
    assert_relays(browser, accept_tls(xmpp_server, scheme, server_context(own, Hello())))


def test_named_certificate_with_a_common_name_only(
    start: Callable[..., Gateway], xmpp_server: XmppServer, certificates: Callable[..., Certificate]
) -> None:
    """What the configuration names is trusted as it stands, whatever names are in it."""
    own = certificates(kind="common name")
    browser = open_stream(
        start(tls_options(xmpp_server, "tls", None), top_level=f'{{certfiles, ["{own.pem}"]}}.\n')
    )
    assert_relays(browser, accept_tls(xmpp_server, "tls", server_context(own, Hello())))


def test_named_certificate_and_another_of_a_known_authority(
    start: Callable[..., Gateway], xmpp_server: XmppServer, certificates: Callable[..., Certificate]
) -> None:
    """Both are trusted; the second client comes without the first's detour."""
    own, good = certificates("somebody.example", kind="own", days="0"), certificates()
    gateway = start(tls_options(xmpp_server, "tls", good), top_level=f'{{certfiles, ["{own.pem}"]}}.\n')
    context = server_context(good, Hello())
    browser = open_stream(gateway)
    detour = accept_tls(xmpp_server, "tls", context)
    assert_relays(browser, accept_tls(xmpp_server, "tls", context))
    with contextlib.suppress(OSError):
        assert detour.read_to_end() == b"", "nothing is said to a server that is not trusted"
    assert_relays(open_stream(gateway), accept_tls(xmpp_server, "tls", context))
    browser = open_stream(gateway)
    with pytest.raises(ssl.SSLError):
        accept_tls(xmpp_server, "tls", server_context(own, Hello())).read(1)
    assert_relays(browser, accept_tls(xmpp_server, "tls", server_context(own, Hello())))


def test_named_certificate_and_a_strangers(
    start: Callable[..., Gateway], xmpp_server: XmppServer, certificates: Callable[..., Certificate]
) -> None:
    own, other = certificates("somebody.example", kind="own", days="0"), certificates(kind="other")
    gateway = start(tls_options(xmpp_server, "tls", None), top_level=f'{{certfiles, ["{own.pem}"]}}.\n')
    browser = open_stream(gateway)
    first = accept_tls(xmpp_server, "tls", server_context(other, Hello()))
    with contextlib.suppress(OSError):
        assert first.read_to_end() == b""
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        accept_tls(xmpp_server, "tls", server_context(other, Hello())).read(1)
    assert_fails(browser)


def test_without_verification(
    start: Callable[..., Gateway], xmpp_server: XmppServer, certificates: Callable[..., Certificate]
) -> None:
    gateway = start(tls_options(xmpp_server, "tls", None, "{upstream_verify, false}, "))
    logged(gateway, "WARNING .*upstream_verify false")
    browser = open_stream(gateway)
    other = certificates(kind="other")
    assert_relays(browser, accept_tls(xmpp_server, "tls", server_context(other, Hello())))


# -- STARTTLS, spoken wrongly ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("features", "answer", "reason"),
    [
        (STARTTLS, PROCEED + b"<message/>", "unexpected"),
        (STARTTLS, PROCEED + b"<mess", "more than <proceed/>"),
        (STARTTLS + PROCEED, b"", "unexpected"),
        (STARTTLS, b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>" + END, "unexpected"),
        (PLAIN, b"", "does not offer STARTTLS"),
        (
            b"<stream:features><x xmlns='urn:x' y='urn:ietf:params:xml:ns:xmpp-tls'>"
            b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></x></stream:features>",
            b"",
            "does not offer STARTTLS",
        ),
        (
            b"<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
            b"",
            "unexpected",
        ),
        (b"<x>" * 70_000, b"", "."),
        (b"</nonsense>", b"", "."),
        (END, b"", "unexpected end of stream"),
        (b"<x xmlns='a jid=admin@localhost'/>", b"", "unexpected x during STARTTLS"),
    ],
    ids=[
        "stanza",
        "half a stanza",
        "proceed unasked",
        "failure",
        "none",
        "elsewhere",
        "error",
        "endless",
        "bad",
        "end",
        "lookalike",
    ],
)
def test_starttls_refused(
    start_secure: Callable[[str, str], Gateway],
    xmpp_server: XmppServer,
    features: bytes,
    answer: bytes,
    reason: str,
) -> None:
    gateway = start_secure("starttls", PATIENT)
    already = len(gateway.child.text())
    browser = open_stream(gateway)
    server = xmpp_server.accept()
    server.read_until(b"version='1.0'>")
    with contextlib.suppress(OSError):
        server.send(SERVER_HEADER + features)
        if answer:
            server.read_until(b"/>")
            server.send(answer)
    assert_fails(browser)
    with contextlib.suppress(OSError):
        assert b"\x16\x03" not in server.read_to_end(), "no TLS after that"
    logged(gateway, f"no connection to the XMPP server: starttls://.*{reason}", already)
    server.close()


@pytest.mark.parametrize(
    "said", [b"", SERVER_HEADER, SERVER_HEADER + STARTTLS], ids=["nothing", "header", "features"]
)
def test_server_falls_silent_during_starttls(
    start_secure: Callable[[str, str], Gateway], xmpp_server: XmppServer, said: bytes
) -> None:
    browser = open_stream(start_secure("starttls", HASTY))
    server = xmpp_server.accept()
    server.send(said)
    assert_fails(browser)
    server.read_to_end()
    server.close()


def test_server_falls_silent_during_tls(hasty: Gateway, xmpp_server: XmppServer, scheme: str) -> None:
    browser = open_stream(hasty)
    server = negotiate(xmpp_server) if scheme == "starttls" else xmpp_server.accept()
    assert_fails(browser)
    server.read_to_end()
    server.close()


def test_server_requires_starttls(start: Callable[..., Gateway], xmpp_server: XmppServer) -> None:
    gateway = start(tls_options(xmpp_server, "tcp", None))
    browser = open_stream(gateway)
    server = xmpp_server.accept_stream(STARTTLS)
    messages, code, _ = browser.until_close()
    assert b"<remote-connection-failed " in messages[1]
    assert b"the XMPP server requires STARTTLS (upstream starttls://)" in messages[1]
    assert code == 1011
    assert server.read_to_end() == END
    logged(gateway, "ERROR .*localhost: the XMPP server requires STARTTLS; write its upstream as starttls://")
    server.close()
    browser.close()


# -- SRV ------------------------------------------------------------------------------------------


class NameServer(threading.Thread):
    """Answers questions for SRV records with what ``records`` holds by name, over UDP."""

    def __init__(self, records: dict[str, list[str]]) -> None:
        super().__init__(daemon=True)
        self.records = records
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    def run(self) -> None:
        while True:
            data, client = self._socket.recvfrom(4096)
            if not data:
                self._socket.close()
                return
            question = dns.message.from_wire(data)
            name = question.question[0].name
            self.asked.append(name.to_text(omit_final_dot=True))
            reply = dns.message.make_response(question)
            reply.flags |= dns.flags.RA
            found = self.records.get(self.asked[-1])
            if found:
                reply.answer.append(dns.rrset.from_text(name, 300, "IN", "SRV", *found))
            self._socket.sendto(reply.to_wire(), client)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", ("127.0.0.1", self.port))
        self.join()


@pytest.fixture
def name_server() -> Iterator[NameServer]:
    server = NameServer(
        {
            "_xmpps-client._tcp.both.example": ["20 0 5223 tls.example."],
            "_xmpp-client._tcp.both.example": ["10 0 5222 first.example.", "30 0 5222 last.example."],
            "_xmpp-client._tcp.none.example": ["0 0 0 ."],
            "_xmpps-client._tcp.half.example": ["0 0 0 ."],
            "_xmpp-client._tcp.half.example": ["0 0 5222 only.example."],
        }
    )
    server.start()
    srv._resolver.cache_clear()
    resolver = srv._resolver()
    resolver.nameservers, resolver.port = ["127.0.0.1"], server.port
    yield server
    srv._resolver.cache_clear()
    server.close()


def test_srv(name_server: NameServer) -> None:
    for _ in range(3):
        found = [str(address) for address in srv.look_up("both.example", 20.0)]
        assert found == [
            "starttls://first.example:5222",
            "tls://tls.example:5223",
            "starttls://last.example:5222",
        ]
    assert len(name_server.asked) == 2, "answers are kept"
    assert [str(address) for address in srv.look_up("half.example", 20.0)] == ["starttls://only.example:5222"]
    assert [str(address) for address in srv.look_up("bare.example", 20.0)] == ["starttls://bare.example:5222"]


def test_srv_that_offers_nothing(name_server: NameServer) -> None:
    with pytest.raises(OSError, match="no server for clients"):
        srv.look_up("none.example", 20.0)
