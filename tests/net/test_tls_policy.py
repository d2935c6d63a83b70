"""What a listener demands of TLS, under each of its names."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.config.snippets import HOSTS, listener, load_text
from tests.net.test_tls import handshake
from tests.support.certificates import Certificate, make_certificate
from wsgw.config.pem import PemFiles
from wsgw.errors import ConfigError
from wsgw.net.tls import browser_context, check_tls, listener_context
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


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Certificate]:
    """Certificates of two authorities, one that has expired, and one for servers only."""
    folder = tmp_path_factory.mktemp("clients")
    return {
        "good": make_certificate(folder / "good", "good"),
        "other": make_certificate(folder / "other", "other"),
        "expired": make_certificate(folder / "expired", "expired", days="0"),
        "server": make_certificate(folder / "server", "server", more="extendedKeyUsage=serverAuth\n"),
    }


def verifying(made: list[Certificate], *authorities: Certificate) -> ssl.SSLContext:
    """The context of a listener with ``tls_verify``."""
    content = b"".join(one.ca.read_bytes() for one in authorities)
    return browser_context(files_of(made), policy=TlsPolicy(authorities=content))


def client_of(certificate: Certificate | None, version: str = "TLSv1.3") -> ssl.SSLContext:
    client = client_with(version)
    if certificate is not None:
        client.load_cert_chain(certificate.pem)
    return client


@pytest.mark.parametrize("name", [*NAMES, "unknown.example", None])
def test_a_client_of_a_named_authority_is_accepted(
    made: list[Certificate], clients: dict[str, Certificate], name: str | None
) -> None:
    context = verifying(made, clients["good"])
    assert handshake(client_of(clients["good"]), context, name).version() == "TLSv1.3"


@pytest.mark.parametrize("name", [*NAMES, "unknown.example", None])
@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        (None, "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
        ("other", "unable to get local issuer certificate|certificate signature failure"),
        ("expired", "certificate has expired"),
        ("server", "unsuitable certificate purpose|unsupported certificate purpose"),
    ],
)
def test_any_other_client_is_refused_under_each_name(
    made: list[Certificate], clients: dict[str, Certificate], name: str | None, shown: str | None, reason: str
) -> None:
    context = verifying(made, clients["good"], clients["expired"], clients["server"])
    with pytest.raises(ssl.SSLError, match=reason):
        handshake(client_of(clients[shown] if shown else None), context, name)


def test_a_client_of_tls_1_2_shows_no_certificate(
    made: list[Certificate], clients: dict[str, Certificate]
) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)unsupported.protocol|protocol.version"):
        handshake(client_of(clients["good"], "TLSv1.2"), verifying(made, clients["good"]))


def test_the_authorities_are_part_of_the_key_of_a_context(
    made: list[Certificate], clients: dict[str, Certificate]
) -> None:
    assert verifying(made, clients["good"]) is verifying(made, clients["good"])
    assert verifying(made, clients["good"]) is not verifying(made, clients["other"])


def test_a_cafile_that_openssl_cannot_use_is_an_error_with_its_line(
    made: list[Certificate], tmp_path: Path
) -> None:
    cafile = tmp_path / "ca.pem"
    cafile.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    text = listener(f'tls, {{certfile, "{made[0].pem}"}}, tls_verify,\n{{cafile, "{cafile}"}}')
    config = load_text(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        check_tls(config, PemFiles())
    (problem,) = caught.value.problems
    assert (problem.line, problem.reason.partition(" cannot be used: ")[0]) == (2, f"cafile: {cafile}")
    cafile.unlink()
    with pytest.raises(ConfigError, match=r"ca\.pem cannot be used: No such file"):
        check_tls(config, PemFiles.of(config))


def test_workers_inherit_the_context_of_the_check(made: list[Certificate], tmp_path: Path) -> None:
    """So that all of them accept the tickets of one another, also with options of TLS."""
    text = listener(
        f'tls, {{certfile, "{made[0].pem}"}}, {{ciphers, "ECDHE"}}, {{protocol_options, no_sslv3}}'
    )
    config = load_text(tmp_path, text)
    check_tls(config, PemFiles())
    policy, place = TlsPolicy(("no_sslv3",), "ECDHE"), ("0.0.0.0", 5288)
    made_by_check = browser_context(files_of(made)[:1], policy=policy, place=place)
    assert listener_context(config.listeners[0], config, PemFiles()) is made_by_check


def test_listeners_on_any_free_port_show_their_own_certificates(
    made: list[Certificate], tmp_path: Path
) -> None:
    """Port 0 does not tell one listener from another."""
    listeners = ", ".join(
        f'{{0, websocket_session, [tls, {{certfile, "{one.pem}"}}, {{upstream, "tcp://h"}}]}}' for one in made
    )
    config = load_text(tmp_path, f"{HOSTS} {{listen, [{listeners}]}}.")
    servers = [listener_context(one, config, PemFiles()) for one in config.listeners]
    for one, name, server in zip(made, NAMES, servers, strict=True):
        assert server is not None
        handshake(ssl.create_default_context(cafile=one.ca), server, name)
