"""Renewed certificates are used without a signal; ``tests/load`` shows it under load."""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.load.renewals import der
from tests.processes.conftest import Start
from tests.processes.test_reload import change, shown_certificate
from tests.support.certificates import Certificate, make_certificate
from tests.support.gateway import ERLANG_CONFIG, Gateway
from tests.support.observe import PATIENCE, said, worker_of
from tests.support.processes import wait_until
from tests.support.wire import Browser
from wsgw.config.model import Config
from wsgw.config.pem import PemFiles
from wsgw.config.source import Source
from wsgw.errors import ConfigError
from wsgw.processes.renewal import Renewal, _check_that_none_is_lost
from wsgw.processes.settings import Settings

#: Seconds between two looks in these tests.
OFTEN = {"wsgw.processes.renewal.LOOK_EVERY": 0.2}


def install(folder: Path, certificate: Certificate) -> None:
    """Write certificate and key as two files, under certbot's names."""
    folder.mkdir(parents=True)
    (folder / "fullchain.pem").write_bytes(certificate.chain.read_bytes())
    (folder / "privkey.pem").write_bytes(certificate.key.read_bytes())


def point(link: Path, target: Path) -> None:
    """Make ``link`` a symbolic link to ``target``, in one step."""
    new = link.with_name("new-link")
    new.symlink_to(target)
    new.replace(link)


def started(start: Start, c2s_port: int, files: Path, own: Certificate) -> Gateway:
    """A gateway that shows the certificates in the directory ``files``."""
    gateway = start(c2s_port, top_level=f'{{certfiles, ["{files}/*.pem"]}}.\n', constants=OFTEN)
    change(gateway, f',\n    {{certfile, "{own.pem}"}}', "")
    expected = ssl.PEM_cert_to_DER_cert((files / "fullchain.pem").read_text())
    wait_until(lambda: shown_certificate(gateway.wss_port) == expected, PATIENCE, "the first certificate")
    return gateway


@pytest.fixture
def renewed(tmp_path: Path) -> Certificate:
    return make_certificate(tmp_path / "renewed")


@pytest.mark.rule("tls-renewal")
def test_a_renewal_as_by_kubernetes_is_used(
    start: Start, certificate: Certificate, renewed: Certificate, tmp_path: Path
) -> None:
    """All links lead through ..data, which is replaced."""
    files = tmp_path / "files"
    install(files / "..1", certificate)
    install(files / "..2", renewed)
    point(files / "..data", Path("..1"))
    for name in ("fullchain.pem", "privkey.pem"):
        (files / name).symlink_to(Path("..data") / name)
    gateway = started(start, 1, files, certificate)
    point(files / "..data", Path("..2"))
    wait_until(lambda: shown_certificate(gateway.wss_port) == der(renewed), PATIENCE, "the new certificate")
    os.unlink(files / "privkey.pem")
    said(gateway, "privkey.pem cannot be used as certfile: No such file or directory")
    assert shown_certificate(gateway.wss_port) == der(renewed)
    assert gateway.stop() == 0


def test_new_authorities_of_clients_are_used(start: Start, certificate: Certificate, tmp_path: Path) -> None:
    clients = [make_certificate(tmp_path / name, name) for name in ("first", "second")]
    cafile = tmp_path / "clients.pem"
    cafile.write_bytes(clients[0].ca.read_bytes())
    verify = f'{{{{tls, true}}}}, {{{{tls_verify, true}}}}, {{{{cafile, "{cafile}"}}}}'
    text = ERLANG_CONFIG.replace("{{tls, true}}", verify)
    gateway = start(1, config=text, constants=OFTEN)
    assert [is_accepted(gateway, certificate, one) for one in clients] == [True, False]
    (tmp_path / "new.pem").write_bytes(clients[1].ca.read_bytes())
    (tmp_path / "new.pem").replace(cafile)
    wait_until(lambda: is_accepted(gateway, certificate, clients[1]), PATIENCE, "the new authority")
    assert not is_accepted(gateway, certificate, clients[0])
    cafile.write_text("nothing")
    said(gateway, "clients.pem cannot be used: no certificate")
    assert [is_accepted(gateway, certificate, one) for one in clients] == [False, True]
    assert gateway.stop() == 0


def is_accepted(gateway: Gateway, certificate: Certificate, client: Certificate) -> bool:
    """Whether a WebSocket opens for a client that shows ``client``."""
    context = ssl.create_default_context(cafile=certificate.ca)
    context.load_cert_chain(client.pem)
    try:
        browser = Browser(gateway.wss_port, context=context)
    except OSError:
        return False
    browser.close()
    return True


def test_all_workers_accept_a_session_ticket_after_a_renewal(
    start: Start, certificate: Certificate, renewed: Certificate, tmp_path: Path
) -> None:
    """Also one from before; each worker would have new keys for tickets with a new context."""
    files = tmp_path / "files"
    install(files, certificate)
    gateway = started(start, 1, files, certificate)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.maximum_version = ssl.TLSVersion.TLSv1_2  # the session is there at once

    def handshake(session: ssl.SSLSession | None) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", gateway.wss_port), PATIENCE)
        return client.wrap_socket(plain, server_hostname="localhost", session=session)

    with handshake(None) as tls:
        before = tls.session
    for name, content in (("privkey.pem", renewed.key), ("fullchain.pem", renewed.chain)):
        (files / name).write_bytes(content.read_bytes())
    said(gateway, "new certificates in use: ")
    wait_until(lambda: shown_certificate(gateway.wss_port) == der(renewed), PATIENCE, "the new certificate")
    with handshake(None) as tls:
        after = tls.session
    with ExitStack() as stack:
        reached: set[tuple[int | None, bool]] = set()

        def all_are_reached() -> bool:
            for session in (before, after, None):  # three, as the workers take connections alternately
                tls = stack.enter_context(handshake(session))
                assert tls.session_reused is (session is not None)
                if session is not None:
                    worker = worker_of(gateway, gateway.wss_port, tls.getsockname()[1])
                    reached.add((worker, session is after))
            return len(reached) == 2 * len(gateway.workers)

        wait_until(all_are_reached, PATIENCE, "both tickets at each worker")
    assert gateway.stop() == 0


def test_a_parent_that_does_not_serve_reads_nothing(tmp_path: Path) -> None:
    """After an upgrade the previous parent leaves new files to its successor."""
    pem = tmp_path / "served.pem"
    pem.write_text("")
    crew = SimpleNamespace(settings=Settings(Config.__new__(Config), PemFiles([pem])))
    renewal = Renewal(crew)  # type: ignore[arg-type]
    pem.write_text("changed")
    for _ in range(3):
        renewal.look(serving=False)
    assert renewal.is_current
    for _ in range(2):
        renewal.look(serving=True)  # this configuration has no listeners, so that any use of it fails
    assert not renewal.is_current


@pytest.mark.rule("tls-renewal")
def test_a_chain_that_has_lost_its_issuer_is_not_used(
    certificate: Certificate, renewed: Certificate, tmp_path: Path
) -> None:
    """A chain without it stays allowed where it was before: clients of a private authority have it."""
    pem, config = tmp_path / "served.pem", tmp_path / "wsgw.yml"
    listener = f"port: 5288, module: websocket_session, tls: true, certfile: {pem}"
    config.write_text(f"hosts: [localhost]\nlisten:\n- {{{listener}, upstream: 'tcp://127.0.0.1'}}\n")
    pem.write_bytes(certificate.pem.read_bytes() + certificate.ca.read_bytes())
    whole = Settings.read(Source(str(config)))
    pem.write_bytes(renewed.pem.read_bytes())
    torn = whole.with_files(whole.files.read_again())
    with pytest.raises(ConfigError, match="no certificate of the issuer any more"):
        _check_that_none_is_lost(whole, torn)
    _check_that_none_is_lost(torn, torn)
    pem.write_bytes(renewed.pem.read_bytes() + renewed.ca.read_bytes())
    _check_that_none_is_lost(whole, whole.with_files(whole.files.read_again()))
