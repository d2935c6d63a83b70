"""The inside of a gateway: each fault is found, with what to do, and no other; a healthy one has none.

Real gateways run in front of real servers. The doctor reads a file with their ports and one fault.
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.doctor.diagnosis import Diagnosis, diagnose
from tests.support.certificates import Certificate
from tests.support.fixtures import Make
from tests.support.gateway import Gateway
from tests.support.processes import ReservedPort
from tests.support.servers import Server
from tests.upstream.scripted import dropping
from tests.upstream.test_check import config_of
from wsgw.config.pem import PemFiles, leaf_certificate
from wsgw.doctor import limits, upstreams
from wsgw.doctor.finding import Verdict
from wsgw.upstream.check import REACH, TLS, XMPP, Answer, Offer, checks_of

pytestmark = pytest.mark.slow

CONFIG = """\
hosts: {hosts}
workers: 2
listen:
- module: websocket_session
  port: {ws}
  ip: 127.0.0.1
  request_handlers: {{/ws-xmpp: mod_websocket}}
  upstream: {upstream}
  upstream_cafile: {ca}
  connect_timeout: {seconds}
  {options}
- module: websocket_session
  port: {wss}
  ip: 127.0.0.1
  tls: true
  certfile: {certfile}
  request_handlers: {{/ws-xmpp: mod_websocket}}
  upstream: {upstream}
  upstream_cafile: {ca}
  connect_timeout: {seconds}
{more}
"""


@pytest.fixture
def examine(
    tmp_path: Path, certificate: Certificate, start_gateway: Callable[[Server], Gateway]
) -> Callable[..., Diagnosis]:
    """``examine(server, ...)``: the findings for the gateway in front of it, with one setting changed."""

    def run(
        server: Server,
        upstream: str = "",
        *,
        certfile: Path | None = None,
        hosts: str = "[localhost]",
        options: str = "",
        more: str = "",
        seconds: int = 3,
    ) -> Diagnosis:
        gateway = start_gateway(server)
        private = Path(shutil.copy(certfile or certificate.pem, tmp_path / "certificate.pem"))
        private.chmod(0o600)
        config = tmp_path / "wsgw.yml"
        config.write_text(
            CONFIG.format(
                hosts=hosts,
                options=options,
                more=more,
                seconds=seconds,
                ws=gateway.ws_port,
                wss=gateway.wss_port,
                certfile=private,
                ca=certificate.ca,
                upstream=upstream or f"tcp://127.0.0.1:{server.c2s_port}",
            )
        )
        return diagnose(config, "--quick", "--cafile", certificate.ca)

    return run


def only(found: Diagnosis, check: str, verdict: str = "failed") -> Mapping[str, str]:
    """The one finding of the inside, which must be of this check."""
    assert [(one["check"], one["verdict"]) for one in found.inside] == [(check, verdict)], found.inside
    return found.inside[0]


# -- without a fault ------------------------------------------------------------------------------


def test_a_healthy_gateway_has_no_fault(server: Server, examine: Callable[..., Diagnosis]) -> None:
    found = examine(server)
    assert (found.status, found.inside) == (0, [])
    assert {one["check"] for one in found.findings if one["verdict"] == "ok"} >= {
        "configuration.valid",
        "certificate.dates",
        "port.free",
        "limit.files",
        "upstream.reach",
    }
    (reached,) = found.of("upstream.reach")
    assert "answers for localhost, with " in reached["what"]
    assert "SCRAM-SHA-1" in reached["what"]
    assert all("open, by" in one["what"] for one in found.of("port.free"))


@pytest.mark.real
@pytest.mark.parametrize("name", ["ejabberd", "prosody"])
@pytest.mark.parametrize("scheme", ["starttls", "tls"])
def test_a_server_with_tls_is_healthy_too(
    start_server: Callable[[str], Server], examine: Callable[..., Diagnosis], name: str, scheme: str
) -> None:
    """Over TLS ejabberd binds logins to it, which a gateway must not hide."""
    server = start_server(name)
    port = server.c2s_tls_port if scheme == "tls" else server.c2s_starttls_port
    found = examine(server, f"{scheme}://127.0.0.1:{port}")
    assert found.status == 0
    if name == "ejabberd":
        note = only(found, "upstream.binding", "note")
        assert note["fix"].startswith("switch off SCRAM-...-PLUS")
    else:
        assert found.inside == []


# -- the XMPP server ------------------------------------------------------------------------------


def test_a_server_that_is_down(prosody: Server, examine: Callable[..., Diagnosis]) -> None:
    port = ReservedPort()
    fault = only(examine(prosody, f"tcp://127.0.0.1:{port.number}"), "upstream.reach")
    port.release()
    assert fault["subject"] == f"upstream tcp://127.0.0.1:{port.number}"
    assert fault["what"] == "cannot be used: Connection refused"
    assert fault["fix"] == "start the XMPP server, or name the port it listens on"


def test_a_server_whose_packets_are_lost(prosody: Server, examine: Callable[..., Diagnosis]) -> None:
    with dropping() as port:
        fault = only(examine(prosody, f"tcp://127.0.0.1:{port}", seconds=1), "upstream.reach")
    assert fault["what"] == "does not answer within 1 s"


def test_a_port_for_another_protocol(ejabberd: Server, examine: Callable[..., Diagnosis]) -> None:
    found = examine(ejabberd, f"tcp://127.0.0.1:{ejabberd.http_port}", seconds=1)
    fault = only(found, "upstream.xmpp")
    assert fault["fix"].startswith("name the port for XMPP clients")


def test_a_server_that_requires_starttls(ejabberd: Server, examine: Callable[..., Diagnosis]) -> None:
    port = ejabberd.c2s_starttls_port
    fault = only(examine(ejabberd, f"tcp://127.0.0.1:{port}"), "upstream.starttls")
    assert (fault["what"], fault["fix"]) == (
        "requires STARTTLS",
        f"write it as starttls://127.0.0.1:{port}",
    )


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_a_port_with_other_tls(ejabberd: Server, examine: Callable[..., Diagnosis], scheme: str) -> None:
    """The doctor tries the other ways to the same port."""
    port, other = ejabberd.c2s_tls_port, "tls"
    if scheme == "tls":
        port, other = ejabberd.c2s_port, "tcp"
    check = "upstream.tls" if scheme == "tls" else "upstream.xmpp"
    fault = only(examine(ejabberd, f"{scheme}://127.0.0.1:{port}"), check)
    assert fault["fix"] == f"it answers otherwise: set upstream to {other}://127.0.0.1:{port}"


def test_a_port_that_expects_a_proxy_header(ejabberd: Server, examine: Callable[..., Diagnosis]) -> None:
    fault = only(examine(ejabberd, f"tcp://127.0.0.1:{ejabberd.c2s_proxy_port}"), "upstream.xmpp")
    assert fault["fix"] == "it answers otherwise: set upstream_proxy_protocol to v2"


def test_a_port_that_expects_no_proxy_header(prosody: Server, examine: Callable[..., Diagnosis]) -> None:
    fault = only(examine(prosody, options="upstream_proxy_protocol: v2"), "upstream.xmpp")
    assert fault["fix"] == "it answers otherwise: set upstream_proxy_protocol to off"


@pytest.mark.real
@pytest.mark.parametrize("name", ["ejabberd", "prosody"])
@pytest.mark.parametrize("scheme", ["tcp", "starttls", "tls"])
def test_a_host_that_the_server_does_not_serve(
    start_server: Callable[[str], Server], examine: Callable[..., Diagnosis], name: str, scheme: str
) -> None:
    server = start_server(name)
    ports = {"tcp": server.c2s_port, "starttls": server.c2s_starttls_port, "tls": server.c2s_tls_port}
    found = examine(server, f"{scheme}://127.0.0.1:{ports[scheme]}", hosts="[localhost, other.example]")
    (fault,) = [one for one in found.inside if one["verdict"] == "failed"]
    if (name, scheme) == ("ejabberd", "tls"):  # it answers with a certificate of another host
        assert fault["check"] == "upstream.certificate"
        assert fault["fix"] == "it names localhost, 127.0.0.1: get a certificate for other.example"
    else:
        assert fault["check"] == "upstream.host"
        assert fault["fix"] == "hosts must name a domain that the XMPP server serves"


@pytest.mark.parametrize(
    ("address", "topic", "proxy", "expected"),
    [
        ("tcp://127.0.0.1:5223", XMPP, "off", ["starttls off", "tls off", "tcp v2", "starttls v2", "tls v2"]),
        ("tcp://192.0.2.1:5223", XMPP, "off", ["starttls off", "tls off", "starttls v2", "tls v2"]),
        ("tls://127.0.0.1:5222", TLS, "v1", ["tcp v1", "starttls v1", "tcp off", "starttls off", "tls off"]),
        ("unix:/run/xmpp", XMPP, "v2", ["unix off"]),
    ],
)
def test_the_other_ways_to_a_port(address: str, topic: str, proxy: str, expected: list[str]) -> None:
    """Over the network only those with TLS."""
    (listener,) = config_of(address, upstream_proxy_protocol=proxy).listeners
    others = upstreams._others(listener, listener.upstream[0], topic)
    assert [f"{one.upstream[0].scheme} {one.upstream_proxy_protocol}" for one in others] == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("tcp://127.0.0.1:5280", ["tcp://127.0.0.1:5222", "tls://127.0.0.1:5223"]),
        ("starttls://127.0.0.1:5222", ["tls://127.0.0.1:5223"]),
        ("unix:/run/xmpp", []),
    ],
)
def test_the_usual_ports_of_a_host_that_is_not_reached(address: str, expected: list[str]) -> None:
    (listener,) = config_of(address).listeners
    others = upstreams._others(listener, listener.upstream[0], REACH)
    assert [str(one.upstream[0]) for one in others] == expected


def test_features_that_hinder_logins(make: Make) -> None:
    config = config_of("tls://xmpp.example:5223")
    check = next(iter(checks_of(config)))
    leaf = leaf_certificate(make("xmpp.example", days="5").chain, PemFiles())

    def about(*mechanisms: str, binds: bool = False, certificate: bytes | None = None) -> dict[str, Verdict]:
        answer = Answer(check, config.listeners[0], None, Offer(mechanisms, (), binds, certificate))
        assert answer.offer is not None
        return {one.check: one.verdict for one in upstreams._about(answer, answer.offer)}

    good = {"upstream.reach": Verdict.OK}
    assert about("SCRAM-SHA-1", "PLAIN") == good
    assert about() == {"upstream.sasl": Verdict.FAILED}
    assert about("PLAIN") == {**good, "upstream.sasl": Verdict.NOTE}
    assert about("SCRAM-SHA-1-PLUS", binds=True) == {**good, "upstream.binding": Verdict.NOTE}
    assert about("SCRAM-SHA-1", certificate=leaf) == {**good, "upstream.expiry": Verdict.NOTE}


# -- certificates ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings", "check", "what", "fix"),
    [
        ("localhost", {"days": "0"}, "certificate.dates", "has expired on 20", "renew it"),
        (
            "localhost",
            {"alternative": False},
            "certificate.names",
            "has no subjectAltName",
            "get one that names the host",
        ),
        (
            "localhost",
            {"more": "authorityInfoAccess=caIssuers;URI:http://ca.example/intermediate.der\n"},
            "certificate.chain",
            "lacks the certificate of its issuer",
            "append it (http://ca.example/intermediate.der)",
        ),
    ],
    ids=["expired", "no name", "chain"],
)
def test_a_certificate_that_clients_refuse(
    prosody: Server,
    examine: Callable[..., Diagnosis],
    make: Make,
    name: str,
    settings: dict[str, object],
    check: str,
    what: str,
    fix: str,
) -> None:
    fault = only(examine(prosody, certfile=make(name, **settings).pem), check)
    assert fault["what"].startswith(what)
    assert fault["fix"].startswith(fix)
    assert "refuse" in fault["what"]


def test_a_certificate_for_another_name(
    prosody: Server, examine: Callable[..., Diagnosis], make: Make
) -> None:
    """Only a note: clients may have the URL of another host in their settings."""
    fault = only(examine(prosody, certfile=make("other.example").pem), "certificate.names", "note")
    assert "names other.example, but neither one of the hosts" in fault["what"]
    assert fault["fix"] == "get one for the host of their URL"


def test_a_key_of_another_certificate_and_a_key_for_everyone(
    prosody: Server, start_gateway: Callable[[Server], Gateway], make: Make, tmp_path: Path
) -> None:
    mixed = tmp_path / "mixed.pem"
    mixed.write_bytes(make("localhost").chain.read_bytes() + make("other.example").key.read_bytes())
    mixed.chmod(0o644)
    config = tmp_path / "wsgw.yml"
    gateway = start_gateway(prosody)
    text = CONFIG.format(
        hosts="[localhost]",
        options="",
        more="",
        seconds=3,
        ws=gateway.ws_port,
        wss=gateway.wss_port,
        certfile=mixed,
        ca=mixed,
        upstream=f"tcp://127.0.0.1:{prosody.c2s_port}",
    )
    config.write_text(text)
    found = diagnose(config, "--quick")
    (unusable,) = found.of("certificate.usable")
    assert "the key belongs to another certificate" in unusable["what"]
    (key,) = found.of("certificate.key")
    assert (key["verdict"], key["fix"]) == ("note", f"chmod o-r {mixed}")


# -- the machine ----------------------------------------------------------------------------------


def test_a_port_of_another_program(prosody: Server, examine: Callable[..., Diagnosis]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        more = f"- {{module: wsgw_admin, port: {port}, ip: 127.0.0.1}}"
        fault = only(examine(prosody, more=more), "port.free")
    assert fault["subject"] == f"port 127.0.0.1:{port}"
    assert "Address already in use by " in fault["what"]
    assert "stop it, or choose another port" in fault["what"]


@contextmanager
def open_files(process: int, most: int) -> Iterator[None]:
    soft, hard = resource.prlimit(process, resource.RLIMIT_NOFILE)
    resource.prlimit(process, resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.prlimit(process, resource.RLIMIT_NOFILE, (soft, hard))


def test_a_low_limit_of_open_files_of_the_running_gateway(
    prosody: Server, start_gateway: Callable[[Server], Gateway], examine: Callable[..., Diagnosis]
) -> None:
    """A fault if the configuration promises more sessions, otherwise a note."""
    process = start_gateway(prosody).child.pid
    with open_files(process, 300):
        fault = only(examine(prosody, options="max_sessions: 1000"), "limit.files")
        note = only(examine(prosody), "limit.files", "note")
    assert fault["subject"] == note["subject"] == f"open files of process {process}"
    assert note["what"] == "300 at most, room for 100 sessions"
    assert fault["what"] == f"{note['what']}, but max_sessions is 1000"
    assert note["fix"] == "raise LimitNOFILE (systemctl edit wsgw) or ulimit -n, and restart wsgw"
    assert fault["fix"] == f"{note['fix']}, or lower max_sessions"


def test_a_low_limit_of_this_shell_is_that_of_no_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service that deploy.sh installs has its own limit."""
    config = config_of("unix:/none")
    process = limits._Process("self", is_gateway=False)
    assert [one.verdict for one in limits._open_files(config, process, 300)] == [Verdict.OK]
    monkeypatch.setattr(limits, "_given", lambda *_: 1000)
    assert [one.verdict for one in limits._open_files(config, process, 300)] == [Verdict.NOTE]


def test_more_sessions_than_local_ports(prosody: Server, examine: Callable[..., Diagnosis]) -> None:
    found = examine(prosody, options="max_sessions: 70000")
    (fault,) = found.of("limit.ports")
    assert fault["verdict"] == "failed"
    assert "local ports for each address of the XMPP server" in fault["what"]
    assert "or reach the server by a Unix socket" in fault["fix"]


def test_a_queue_longer_than_the_systems(prosody: Server, examine: Callable[..., Diagnosis]) -> None:
    most = int(Path("/proc/sys/net/core/somaxconn").read_text("ascii"))
    if most >= 65535:
        pytest.skip("the system's queue has the longest backlog")
    note = only(examine(prosody, options="backlog: 65535"), "limit.queue", "note")
    assert note["what"] == f"the system queues {most} new connections, not 65535 (backlog)"
    assert note["fix"] == "sysctl -w net.core.somaxconn=65535"


def test_without_a_running_gateway_this_is_noted(tmp_path: Path) -> None:
    port = ReservedPort()
    port.release()
    config = tmp_path / "wsgw.yml"
    config.write_text(
        f"hosts: [localhost]\nlisten:\n- {{module: websocket_session, port: {port.number}, ip: 127.0.0.1,"
        f" upstream: 'unix:{tmp_path}/none'}}\n"
    )
    found = diagnose(config, "--quick")
    (note,) = found.of("port.gateway")
    assert (note["verdict"], note["fix"]) == ("note", "start it: systemctl start wsgw")
    (limit,) = found.of("limit.files")
    assert limit["subject"] == "open files of this shell"


def test_more_workers_than_the_processors_of_the_control_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_CGROUPS", tmp_path)
    monkeypatch.setattr(limits, "_group_of", lambda _process: "wsgw.service")
    (tmp_path / "wsgw.service").mkdir()
    maximum = tmp_path / "wsgw.service" / "cpu.max"
    config = replace(config_of("unix:/none"), workers=4)
    process = limits._Process("self", is_gateway=False)
    for quota, expected in (("max 100000", []), ("400000 100000", []), ("150000 100000", ["workers"])):
        maximum.write_text(f"{quota}\n")
        found = list(limits._processors(config, process))
        assert [one.subject for one in found] == expected
    assert found[0].what == "4 workers share the time of 1.5 processors (cpu.max)"
    assert found[0].fix == "set workers to 1"


def test_the_limit_of_the_doctors_shell_is_no_warning_about_the_gateway(
    prosody: Server, examine: Callable[..., Diagnosis]
) -> None:
    """A shell may open 1024 files, and the service 65536."""
    with open_files(os.getpid(), 1024):
        assert examine(prosody, options="max_sessions: 5000").inside == []
