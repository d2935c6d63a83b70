from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.snippets import CERTIFICATE, KEY, listener, load_text, mistakes, term, write, yaml_value
from wsgw.config.option_types import Context
from wsgw.config.terms import Misfit, Term
from wsgw.config.tls_types import Ciphers, ProtocolOptions

HANDLER = '{request_handlers, [{"ws", mod_websocket}]}'


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (term("[]"), ()),
        (term('["no_sslv3"]'), ("no_sslv3",)),
        (term('[<<"no_sslv3">>, no_tlsv1_2]'), ("no_sslv3", "no_tlsv1_2")),
        (term('"no_sslv2|no_sslv3|no_tlsv1"'), ("no_sslv2", "no_sslv3", "no_tlsv1")),
        (term('["no_tlsv1 | no_tlsv1_1", "no_tlsv1"]'), ("no_tlsv1", "no_tlsv1_1")),
        (yaml_value("[no_tlsv1_3, no_ticket]"), ("no_tlsv1_3", "no_ticket")),
        (yaml_value("no_tlsv1_2"), ("no_tlsv1_2",)),
    ],
)
def test_protocol_options_are_a_list_or_joined(value: Term, expected: tuple[str, ...]) -> None:
    assert ProtocolOptions().parse(value, Context()) == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (term("true"), "expected a list such as"),
        (term("[1]"), "expected a list such as"),
        (term('["no_tlsv12"]'), 'wsgw has no "no_tlsv12"; its options are no_sslv2, no_sslv3'),
        (term('["x"]'), 'wsgw has no "x"; its options are no_sslv2, no_sslv3, no_tlsv1'),
        (term('"no_sslv3|"'), 'wsgw has no "no_sslv3|"; its options are'),
        (term('["no_tlsv1_2", "no_tlsv1_3"]'), "no_tlsv1_2 and no_tlsv1_3 leave no version"),
        (term('"no_tlsv1|no_tlsv1_3|no_tlsv1_2"'), "no_tlsv1_2 and no_tlsv1_3 leave no version"),
    ],
)
def test_other_protocol_options_are_an_error(value: Term, reason: str) -> None:
    with pytest.raises(Misfit) as caught:
        ProtocolOptions().parse(value, Context())
    assert reason in str(caught.value)


def test_ciphers_are_text() -> None:
    assert Ciphers().parse(term('"HIGH:!aNULL@STRENGTH"'), Context()) == "HIGH:!aNULL@STRENGTH"
    for word in (yaml_value("HIGH"), yaml_value('"HIGH"'), term("'HIGH'")):
        assert Ciphers().parse(word, Context()) == "HIGH", "although macros have such names"
    for wrong in ("1", '""', '"a\\nb"', "true", '["HIGH"]'):
        with pytest.raises(Misfit):
            Ciphers().parse(term(wrong), Context())


def test_options_of_tls_that_have_no_effect_are_a_warning(tmp_path: Path) -> None:
    text = listener(f'{HANDLER}, {{ciphers, "HIGH"}}, {{protocol_options, ["no_tlsv1_2"]}}')
    assert [warning.partition("5288 ")[2] for warning in load_text(tmp_path, text).warnings] == [
        f"has {name} and no tls, so they have no effect; add {{tls, true}}, or remove them."
        for name in ("protocol_options", "ciphers")
    ]
    write(tmp_path / "both.pem", CERTIFICATE + KEY)
    text = text.replace("{ciphers", '{tls, true}, {certfile, "both.pem"}, {ciphers')
    (warning,) = load_text(tmp_path, text).warnings
    assert "ignores ciphers: they are those of TLS 1.2, which no_tlsv1_2 excludes." in warning
    assert load_text(tmp_path, text.replace("no_tlsv1_2", "no_tlsv1_3")).warnings == ()


def test_the_place_of_a_wrong_value_is_shown(tmp_path: Path) -> None:
    text = listener('\n{protocol_options,\n ["no_tlsv1_2",\n "no_tlsv4"]}')
    (found,) = mistakes(tmp_path, text)
    assert found.startswith('4: protocol_options: wsgw has no "no_tlsv4"')


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            '{tls_verify, true}, {cafile, "both.pem"}',
            "2: tls_verify needs tls: without it no client can show",
        ),
        ("tls, {tls_verify, true}", "2: tls_verify needs a cafile: a PEM file with the authorities"),
        ('tls, {tls_verify, true}, {cafile, "no.pem"}', "2: cafile: {dir}/no.pem does not exist"),
        ('tls, {tls_verify, true}, {cafile, "key.pem"}', "2: cafile: {dir}/key.pem holds no PEM certificate"),
        ("tls, {tls_verify, true}, {cafile, true}", "2: cafile: expected a file name, found true"),
        (
            'tls, {tls_verify, true}, {cafile, "both.pem"}, {protocol_options, ["no_tlsv1_3"]}',
            "2: no_tlsv1_3 leaves no version: a listener with tls_verify has TLS 1.3 only",
        ),
    ],
)
def test_tls_verify_needs_tls_1_3_and_a_cafile(tmp_path: Path, options: str, problem: str) -> None:
    write(tmp_path / "both.pem", CERTIFICATE + KEY)
    write(tmp_path / "key.pem", KEY)
    (found,) = mistakes(tmp_path, listener(f'{{certfile, "both.pem"}},\n{options}'))
    assert found.startswith(problem.replace("{dir}", str(tmp_path)))


def test_a_cafile_without_tls_verify_and_ciphers_with_it_are_a_warning(tmp_path: Path) -> None:
    write(tmp_path / "both.pem", CERTIFICATE + KEY)
    text = listener(f'{HANDLER}, tls, {{certfile, "both.pem"}}, {{cafile, "both.pem"}}, {{ciphers, "HIGH"}}')
    (warning,) = load_text(tmp_path, text).warnings
    assert (
        "has a cafile and no tls_verify: clients need no certificate; add {tls_verify, true}, or" in warning
    )
    (warning,) = load_text(tmp_path, text.replace("{cafile", "tls_verify, {cafile")).warnings
    assert "ignores ciphers: they are those of TLS 1.2, which tls_verify excludes." in warning
