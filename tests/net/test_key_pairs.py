"""The certificates for browsers: which key belongs to which certificate, and which one a name gets."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from tests.net.test_tls import handshake
from tests.support.certificates import Certificate, make_certificate
from wsgw.config.pem import PemFiles
from wsgw.errors import ConfigError
from wsgw.net.key_pairs import _matched, by_name, key_pairs
from wsgw.net.tls import _contexts, browser_context
from wsgw.net.tls_policy import TlsPolicy


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=True)


INTERNATIONAL = "xn--bcher-kva.example"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Certificate]:
    """Certificates by a name for each: of one name, of a wildcard, one with RSA for the first one's name."""
    folder = tmp_path_factory.mktemp("made")
    return {
        "first": make_certificate(folder / "first", "a.example"),
        "rsa": make_certificate(folder / "rsa", "a.example", rsa=True),
        "wild": make_certificate(folder / "wild", "*.b.example", "DNS:B.example"),
        "named": make_certificate(folder / "named", "chat.b.example", rsa=True),
        "international": make_certificate(folder / "international", INTERNATIONAL),
    }


def files_of(made: dict[str, Certificate]) -> list[Path]:
    return [one.pem for one in made.values()]


def shown(certfiles: list[Path], name: str | None, client: ssl.SSLContext | None = None) -> bytes | None:
    """The certificate that a client gets that asks for ``name``; None asks for no name."""
    if client is None:
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    return handshake(client, browser_context(certfiles), name).getpeercert(binary_form=True)


def is_of(certificate: Certificate, der: bytes | None) -> bool:
    return der == ssl.PEM_cert_to_DER_cert(certificate.chain.read_text())


@pytest.mark.rule("6066-3")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.example", "first"),
        ("A.Example", "first"),
        ("b.example", "wild"),
        ("x.b.example", "wild"),
        ("x.y.b.example", "first"),
        (INTERNATIONAL, "international"),
        ("b\u00fccher.example", "international"),
        ("unknown.example", "first"),
        ("localhost", "first"),
        (None, "first"),
    ],
)
def test_the_name_selects_the_certificate(
    made: dict[str, Certificate], name: str | None, expected: str
) -> None:
    assert is_of(made[expected], shown(files_of(made), name))


@pytest.mark.parametrize(
    ("name", "algorithm", "expected"),
    [
        ("a.example", "ECDHE-ECDSA-AES128-GCM-SHA256", "first"),
        ("a.example", "ECDHE-RSA-AES128-GCM-SHA256", "rsa"),
        (None, "ECDHE-RSA-AES128-GCM-SHA256", "rsa"),
        ("chat.b.example", "ECDHE-RSA-AES128-GCM-SHA256", "named"),
        ("chat.b.example", "ECDHE-ECDSA-AES128-GCM-SHA256", "wild"),
    ],
)
def test_a_client_gets_the_type_of_key_that_it_knows(
    made: dict[str, Certificate], name: str | None, algorithm: str, expected: str
) -> None:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(algorithm)
    assert is_of(made[expected], shown(files_of(made), name, client))


@pytest.mark.rule("7301")
def test_every_name_has_alpn_and_the_oldest_version(made: dict[str, Certificate]) -> None:
    context = browser_context(files_of(made))
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.set_alpn_protocols(["h2", "http/1.1"])
    for name in ("a.example", "b.example"):
        end = handshake(client, context, name)
        assert (end.version(), end.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")


def test_certificate_and_key_may_be_in_separate_files(made: dict[str, Certificate]) -> None:
    parts = [path for one in made.values() for path in (one.key, one.chain)]
    for name, expected in (("a.example", "first"), ("x.b.example", "wild")):
        assert is_of(made[expected], shown(parts, name))


@pytest.mark.parametrize(
    ("algorithm", "form"),
    [
        (("rsa:2048",), ("rsa", "-traditional")),
        (("rsa:2048",), ("pkcs8", "-topk8", "-nocrypt")),
        (("ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"), ("ec",)),
        (("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), ("ec", "-no_public")),
        (("ed25519",), ("pkey",)),
    ],
    ids=["RSA, PKCS 1", "RSA, PKCS 8", "ECDSA", "ECDSA without its public key", "Ed25519"],
)
def test_a_key_is_found_in_any_form(
    made: dict[str, Certificate], tmp_path: Path, algorithm: tuple[str, ...], form: tuple[str, ...]
) -> None:
    """OpenSSL tries the last two, whose public key cannot be read from them."""
    chain, key, other = tmp_path / "chain.pem", tmp_path / "key.pem", tmp_path / "other.pem"
    openssl("req", "-x509", "-newkey", *algorithm, "-nodes", "-subj", "/CN=x", "-keyout", key, "-out", chain)
    openssl(*form, "-in", key, "-out", other)
    keys = [one.key for one in made.values()]
    (pair,) = key_pairs([*keys, chain, other], PemFiles())
    assert pair.path == chain
    browser_context([chain, other])


def test_keys_are_not_tried_one_by_one(
    made: dict[str, Certificate], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Five hundred certificates with as many keys took minutes, in each worker."""
    monkeypatch.setattr("wsgw.net.key_pairs._fit", lambda *_: pytest.fail("a trial"))
    _matched.cache_clear()
    parts = [path for one in made.values() for path in (one.key, one.chain, one.ca)]
    assert len(key_pairs(parts, PemFiles())) == len(made)


def test_the_certificate_comes_before_its_chain(made: dict[str, Certificate], tmp_path: Path) -> None:
    one, wrong = made["first"], tmp_path / "wrong.pem"
    wrong.write_text(one.ca.read_text() + one.pem.read_text())
    with pytest.raises(ConfigError, match="the file needs the key of its first certificate"):
        browser_context([wrong])
    first = tmp_path / "key-first.pem"
    first.write_text(one.key.read_text() + one.chain.read_text() + one.ca.read_text())
    assert is_of(one, shown([first], None))


def test_of_certbots_files_the_one_with_the_chain_is_shown(
    made: dict[str, Certificate], tmp_path: Path
) -> None:
    one = made["first"]
    fullchain = tmp_path / "fullchain.pem"
    fullchain.write_text(one.chain.read_text() + one.ca.read_text())
    (pair,) = key_pairs([one.chain, one.ca, fullchain, one.key], PemFiles())
    assert pair.path == fullchain


def test_a_certificate_without_a_key_is_not_shown(made: dict[str, Certificate], tmp_path: Path) -> None:
    """It is one of the XMPP server's."""
    files = [made["wild"].chain, made["first"].pem, tmp_path / "none.pem"]
    assert [pair.path for pair in key_pairs(files, PemFiles())] == [made["first"].pem]
    with pytest.raises(ConfigError, match="cannot be used as certfile: no file has a certificate and its"):
        browser_context([made["wild"].chain, made["first"].key])


def test_each_file_with_a_key_must_be_usable(made: dict[str, Certificate], tmp_path: Path) -> None:
    """Also one that another certificate of the same name hides."""
    mixed = tmp_path / "mixed.pem"
    mixed.write_text(make_certificate(tmp_path, "a.example").chain.read_text() + made["wild"].key.read_text())
    with pytest.raises(ConfigError, match="key values mismatch"):
        browser_context([made["first"].pem, mixed])


@pytest.mark.rule("6066-3")
def test_a_certificate_without_names_is_a_default_only(made: dict[str, Certificate], tmp_path: Path) -> None:
    old = make_certificate(tmp_path, "a.example", alternative=False)
    assert by_name(key_pairs([old.pem], PemFiles())) == {}
    assert is_of(old, shown([old.pem, made["wild"].pem], "a.example"))
    assert is_of(made["wild"], shown([old.pem, made["wild"].pem], "b.example"))


def test_a_session_is_resumed_under_its_name(made: dict[str, Certificate]) -> None:
    """One context keeps the keys of all tickets."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    context = browser_context(files_of(made))
    first = handshake(client, context, "b.example")
    assert handshake(client, context, "b.example", first.session).session_reused


def test_a_renewal_makes_the_contexts_of_changed_certificates_only(made: dict[str, Certificate]) -> None:
    first, rsa, wild = (key_pairs([made[name].pem], PemFiles())[0] for name in ("first", "rsa", "wild"))
    default, named = _contexts((first, wild), TlsPolicy())
    renewed_default, renewed = _contexts((rsa, wild), TlsPolicy())
    assert renewed_default is not default
    assert renewed["b.example"] is named["b.example"]
    with_policy = _contexts((rsa, wild), TlsPolicy(("no_tlsv1_2",)))[1]
    assert with_policy["b.example"] is not named["b.example"]


def test_a_session_is_resumed_after_a_renewal(made: dict[str, Certificate], tmp_path: Path) -> None:
    """Also if the new certificate has another type of key."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    pem = tmp_path / "served.pem"
    pem.write_bytes(made["first"].pem.read_bytes())
    first = handshake(client, browser_context([pem]), "a.example")
    pem.write_bytes(made["rsa"].pem.read_bytes())
    context = browser_context([pem])
    assert handshake(client, context, "a.example", first.session).session_reused
    assert is_of(made["rsa"], handshake(client, context, "a.example").getpeercert(binary_form=True))
    pem.write_bytes(made["first"].chain.read_bytes() + made["rsa"].key.read_bytes())
    with pytest.raises(ConfigError):
        browser_context([pem])
    assert is_of(made["rsa"], handshake(client, context, "a.example").getpeercert(binary_form=True))
