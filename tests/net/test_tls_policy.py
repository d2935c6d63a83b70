"""What a listener demands of TLS, under each of its names."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.config.snippets import listener, load_text
from tests.net.test_tls import handshake
from tests.support.certificates import Certificate, make_certificate
from wsgw.config.pem import PemFiles
from wsgw.errors import ConfigError
from wsgw.net.tls import browser_context, check_tls
from wsgw.net.tls_policy import TlsPolicy

NAMES = ("a.example", "b.example")
VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Certificate]:
    folder = tmp_path_factory.mktemp("made")
    return [make_certificate(folder / name, name, rsa=True) for name in NAMES]


def files_of(made: list[Certificate]) -> list[Path]:
    return [one.pem for one in made]


def client_with(version: str, ciphers: str = "ALL") -> ssl.SSLContext:
    """A client of one version of TLS that accepts any certificate."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.minimum_version = client.maximum_version = VERSIONS[version]
    client.set_ciphers(ciphers)
    return client


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("options", "spoken"),
    [
        ((), {"TLSv1.2", "TLSv1.3"}),
        (("no_sslv3", "no_tlsv1_1", "cipher_server_preference"), {"TLSv1.2", "TLSv1.3"}),
        (("no_tlsv1_2",), {"TLSv1.3"}),
        (("no_tlsv1_3",), {"TLSv1.2"}),
    ],
)
def test_protocol_options_select_the_versions(
    made: list[Certificate], name: str, options: tuple[str, ...], spoken: set[str]
) -> None:
    context = browser_context(files_of(made), policy=TlsPolicy(options))
    for version in VERSIONS:
        if version in spoken:
            assert handshake(client_with(version), context, name).version() == version
        else:
            with pytest.raises(ssl.SSLError, match=r"(?i)unsupported.protocol|protocol.version"):
                handshake(client_with(version), context, name)


@pytest.mark.parametrize("name", NAMES)
def test_ciphers_select_those_of_tls_1_2(made: list[Certificate], name: str) -> None:
    context = browser_context(files_of(made), policy=TlsPolicy(ciphers="ECDHE-RSA-AES256-GCM-SHA384"))
    end = handshake(client_with("TLSv1.2"), context, name)
    assert (end.cipher() or ("",))[0] == "ECDHE-RSA-AES256-GCM-SHA384"
    with pytest.raises(ssl.SSLError, match=r"(?i)no.shared.cipher"):
        handshake(client_with("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256"), context, name)
    assert handshake(client_with("TLSv1.3"), context, name).version() == "TLSv1.3"


def test_the_order_of_the_ciphers_is_the_listeners(made: list[Certificate]) -> None:
    first, second = "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"
    client = client_with("TLSv1.2", f"{second}:{first}")
    for wanted in ((first, second), (second, first)):
        context = browser_context(files_of(made), policy=TlsPolicy(ciphers=":".join(wanted)))
        assert (handshake(client, context).cipher() or ("",))[0] == wanted[0]


def test_no_cipher_is_without_authentication_or_encryption() -> None:
    context = TlsPolicy(ciphers="ALL:eNULL:@SECLEVEL=0").context()
    weak = {one["name"] for one in context.get_ciphers() if {"auth-null"} & {one.get("auth")}}
    weak |= {one["name"] for one in context.get_ciphers() if not one["strength_bits"]}
    assert weak == set()


def test_no_ticket_ends_resumption_by_tickets(made: list[Certificate]) -> None:
    """Without it a client gets one in either version, see ``test_key_pairs``."""
    context = browser_context(files_of(made), policy=TlsPolicy(("no_ticket",)))
    assert context.num_tickets == 0
    session = handshake(client_with("TLSv1.2"), context).session
    assert session is not None
    assert not session.has_ticket


def test_the_policy_is_part_of_the_key_of_a_context(made: list[Certificate]) -> None:
    files = files_of(made)
    policies = [TlsPolicy(), TlsPolicy(("no_tlsv1_2",)), TlsPolicy(ciphers="ECDHE"), TlsPolicy(ciphers="RSA")]
    contexts = [browser_context(files, policy=policy) for policy in policies]
    assert len(set(contexts)) == len(policies)
    assert [browser_context(files, policy=policy) for policy in policies] == contexts


@pytest.mark.parametrize("ciphers", ["nonsense", "TLS_AES_128_GCM_SHA256", "eNULL", "aNULL"])
def test_ciphers_that_openssl_does_not_know_are_an_error_with_their_line(
    made: list[Certificate], tmp_path: Path, ciphers: str
) -> None:
    text = listener(f'tls, {{certfile, "{made[0].pem}"}},\n{{ciphers, "{ciphers}"}}')
    with pytest.raises(ConfigError) as caught:
        check_tls(load_text(tmp_path, text), PemFiles())
    (problem,) = caught.value.problems
    assert problem.line == 2
    assert problem.reason.startswith(f"ciphers: OpenSSL has no cipher of TLS 1.2 for {ciphers!r}: openssl ")
