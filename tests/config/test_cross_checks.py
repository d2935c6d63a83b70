from __future__ import annotations

import resource
from pathlib import Path

import pytest

from tests.config.snippets import CERTIFICATE, KEY, listener, load_text, mistakes, unprivileged, write
from wsgw.config import load
from wsgw.config.cross_checks import session_limit
from wsgw.errors import ConfigError


@pytest.mark.rule("6120-13.12")
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("tls", "1: tls needs a certfile: one PEM file with certificate, chain and key"),
        ("tls, {certfile, true}", "1: certfile: expected a file name, found true"),
        ('tls, {certfile, "no.pem"}', "1: certfile: {dir}/no.pem does not exist"),
        (
            'tls, {certfile, "chain.pem"}',
            "1: certfile: {dir}/chain.pem holds a certificate but no private key",
        ),
        ('tls, {certfile, "key.pem"}', "1: certfile: {dir}/key.pem holds no PEM certificate"),
        ('{upstream_cafile, "no.pem"}', "1: upstream_cafile: {dir}/no.pem does not exist"),
        (
            'tls, {certfile, "both.pem"},\n{see_other_uri, "ws://a"}',
            "2: see_other_uri sends clients from TLS to ws://; use wss://",
        ),
        (
            "{send_buffer_high, 9000},\n{send_buffer_hard, 8000}",
            "2: send_buffer_hard (8000) is below send_buffer_high (9000)",
        ),
        (
            "\n{send_buffer_high, 2000000}",
            "2: send_buffer_hard (1048576) is below send_buffer_high (2000000)",
        ),
        (
            "\n{max_stanza_size_preauth, 300000}",
            "2: max_stanza_size_preauth (300000) is above max_stanza_size (262144)",
        ),
        (
            'tls, {certfile, "both.pem"},\n{acme_challenge_dir, "a"}',
            "2: acme_challenge_dir: a certificate authority asks on port 80, without tls: move it to a "
            "listener without tls",
        ),
        ('{acme_challenge_dir, ""}', '1: acme_challenge_dir: expected a directory, found ""'),
        ("{ip, {127,0,0,1}}, inet6", "1: inet6 contradicts the IPv4 address 127.0.0.1"),
        (
            "{max_stanza_size, 5000}",
            "1: max_stanza_size: 5000 is out of bounds: 10000 to 1073741824 bytes, or infinity",
        ),
    ],
)
def test_options_that_contradict_each_other_are_an_error(tmp_path: Path, options: str, problem: str) -> None:
    write(tmp_path / "chain.pem", CERTIFICATE)
    write(tmp_path / "key.pem", KEY)
    write(tmp_path / "both.pem", CERTIFICATE + KEY)
    assert mistakes(tmp_path, listener(options)) == [problem.replace("{dir}", str(tmp_path))]


@pytest.mark.parametrize(
    "options",
    [
        'tls, {certfile, "both.pem"}, {see_other_uri, "wss://@HOST@/ws"}',
        '{see_other_uri, "ws://@HOST@/ws"}',
        '{certfile, "no.pem"}',
        '{tls, false}, {certfile, "no.pem"}',
        '{upstream_cafile, "both.pem"}',
        'inet6, {ip, "::1"}',
        "{max_stanza_size, infinity}",
    ],
)
def test_options_that_fit_together_are_no_error(tmp_path: Path, options: str) -> None:
    write(tmp_path / "both.pem", CERTIFICATE + KEY)
    assert mistakes(tmp_path, listener(options)) == []


def test_the_error_of_an_unreadable_certificate_names_owner_and_mode(open_directory: Path) -> None:
    pem = write(open_directory / "both.pem", CERTIFICATE + KEY)
    config = write(open_directory / "f.cfg", listener('tls, {certfile, "both.pem"}'))
    pem.chmod(0o000)
    with unprivileged(), pytest.raises(ConfigError) as caught:
        load(config)
    reason = f"cannot be read: it belongs to {pem.owner()}:{pem.group()}, mode 0000"
    assert str(caught.value) == f"{config}:1: certfile: {pem} {reason}"


def test_tls_takes_the_certificate_of_certfiles(tmp_path: Path) -> None:
    both = write(tmp_path / "both.pem", CERTIFICATE + KEY)
    chain = write(tmp_path / "chain.pem", CERTIFICATE)
    config = load_text(tmp_path, listener("tls") + '{certfiles, ["chain.pem", "both.pem"]}.')
    assert config.listeners[0].certfile is None
    assert config.listeners[0].certfiles == config.certfiles == (chain, both)


def test_a_certificate_without_tls_is_a_warning(tmp_path: Path) -> None:
    text = listener('{certfile, "x.pem"}, {request_handlers, [{"ws", mod_websocket}]}')
    (warning,) = load_text(tmp_path, text).warnings
    assert "has a certfile and no tls: clients get ws:// without encryption; add {tls, true}, or" in warning


def test_certificate_and_key_may_be_two_files(tmp_path: Path) -> None:
    chain = write(tmp_path / "fullchain.pem", CERTIFICATE)
    key = write(tmp_path / "privkey.pem", KEY)
    config = load_text(tmp_path, listener("tls") + '{certfiles, ["fullchain.pem", "privkey.pem"]}.')
    assert config.listeners[0].certfiles == (chain, key)


def test_tls_whose_certfiles_match_no_file_is_an_error(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, listener("tls") + '{certfiles, ["none/*.pem"]}.')
    assert found.endswith(f"with certificate, chain and key ({tmp_path}/none/*.pem matches no file)")


@pytest.mark.parametrize("key", [KEY.replace("BEGIN", "BEGIN ENCRYPTED"), ""])
def test_tls_without_a_usable_key_is_an_error(tmp_path: Path, key: str) -> None:
    write(tmp_path / "fullchain.pem", CERTIFICATE)
    write(tmp_path / "privkey.pem", key)
    (found,) = mistakes(tmp_path, listener("tls") + '{certfiles, ["fullchain.pem", "privkey.pem"]}.')
    assert found == (
        "1: tls needs a certfile: one PEM file with certificate, chain and key ("
        f"{tmp_path}/fullchain.pem holds a certificate but no private key; "
        f"{tmp_path}/privkey.pem holds no PEM certificate)"
    )


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        ("{upstream_verify, false}", "has upstream_verify false."),
        ('{upstream, "tls://h"}, {upstream_verify, false}', "any server can receive the passwords"),
        (
            '{upstream, "tcp://10.0.0.1"}',
            "reaches tcp://10.0.0.1:5222 without TLS: passwords cross the network in clear",
        ),
        ('{upstream, "tcp://xmpp.example"}', "without TLS"),
        ("{request_handlers, []}", "has no request_handlers"),
        ("{max_stanza_size, infinity}", "takes stanzas of any size"),
        ("{websocket_timeout, 10}", "websocket_timeout is too short"),
        (
            '{upstream, "tcp://127.0.0.1"}, {request_handlers, [{"p", mod_host_meta}]}',
            "ignores upstream: it serves pages only; add a request handler with mod_websocket, or remove",
        ),
        ("{max_sessions, 10000000}", "has max_sessions 10000000, but the limit of open files"),
    ],
)
def test_settings_with_a_risk_are_a_warning(tmp_path: Path, options: str, warning: str) -> None:
    handlers = "" if "handlers" in options else '{request_handlers, [{"ws", mod_websocket}]}, '
    (found,) = load_text(tmp_path, listener(handlers + options)).warnings
    assert warning in found
    assert found.endswith(".")


@pytest.mark.parametrize(
    "options",
    [
        '{upstream, "tcp://localhost"}',
        '{upstream, "tcp://[::1]"}',
        '{upstream, "starttls://h"}',
        "{websocket_ping_interval, 0}",
    ],
)
def test_safe_settings_give_no_warning(tmp_path: Path, options: str) -> None:
    text = listener('{request_handlers, [{"ws", mod_websocket}]}, ' + options)
    assert load_text(tmp_path, text).warnings == ()


def test_unusable_certificates_of_the_server_are_a_warning(tmp_path: Path) -> None:
    c2s = '{5222, ejabberd_c2s, [starttls_required, {certfile, "/no.pem"}]}'
    handlers = '{request_handlers, [{"ws", mod_websocket}]}'
    (warning,) = load_text(tmp_path, listener(handlers, c2s)).warnings
    assert "/no.pem does not exist" in warning
    plain = c2s.replace("starttls_required, ", "")
    assert load_text(tmp_path, listener(handlers, plain)).warnings == ()


def test_more_sessions_than_open_files_allow_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, sessions in ((1024, 412), (100, 1), (resource.RLIM_INFINITY, 499_900)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, limit))
        assert session_limit() == sessions
