"""The addresses in host-meta, from ``modules`` and the listeners."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.certificates import Certificate
from wsgw.config import load
from wsgw.config.model import HostAddresses
from wsgw.errors import ConfigError

HANDLERS = '[{"/.well-known", mod_host_meta}, {"/ws a", mod_websocket}]'
PLAIN = f"{{5288, websocket_session, [{{request_handlers, {HANDLERS}}}]}}"
WSS = (
    '{%d, websocket_session, [{tls, true}, {certfile, "%s"}, {request_handlers, [{"/tls", mod_websocket}]}]}'
)
ONLY_PAGE = '{5288, websocket_session, [{request_handlers, [{"/.well-known", mod_host_meta}]}]}'


def addresses(
    folder: Path, modules: str = "", listeners: str = PLAIN, name: str = "wsgw.cfg"
) -> tuple[tuple[HostAddresses, ...], tuple[str, ...]]:
    """(host_meta, warnings) of a file with the hosts a and b."""
    path = folder / name
    listen = f"{{listen, [{{5222, ejabberd_c2s, []}}, {listeners}]}}."
    path.write_text(f'{{hosts, ["a", "b"]}}. {listen}\n{modules}')
    config = load(path)
    return config.host_meta, config.warnings


def of_modules(*options: str) -> str:
    return f"{{modules, [{{mod_host_meta, [{', '.join(options)}]}}]}}."


def urls(found: tuple[HostAddresses, ...]) -> list[tuple[str, str | None, str | None]]:
    return [(one.host, one.websocket, one.bosh) for one in found]


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        ("", [("a", "wss://a/ws%20a", None), ("b", "wss://b/ws%20a", None)]),
        (of_modules(), [("a", "wss://a/ws%20a", None), ("b", "wss://b/ws%20a", None)]),
        ("{modules, [mod_host_meta]}.", [("a", "wss://a/ws%20a", None), ("b", "wss://b/ws%20a", None)]),
        (
            of_modules('{websocket_url, "wss://x.@HOST@/@HOST@"}', '{bosh_service_url, "https://@HOST@/b"}'),
            [("a", "wss://x.a/a", "https://a/b"), ("b", "wss://x.b/b", "https://b/b")],
        ),
        (of_modules("{websocket_url, undefined}"), [("a", None, None), ("b", None, None)]),
        (
            of_modules("{websocket_url, auto}", "{bosh_service_url, auto}"),
            [("a", "wss://a/ws%20a", None), ("b", "wss://b/ws%20a", None)],
        ),
        (
            of_modules('{websocket_url, "ws://127.0.0.1:5288/ws"}'),
            [("a", "ws://127.0.0.1:5288/ws", None), ("b", "ws://127.0.0.1:5288/ws", None)],
        ),
        (
            f'{{host_config, "b", [{of_modules("{websocket_url, undefined}")[:-1]}]}}.',
            [("b", None, None)],
        ),
        (
            of_modules('{websocket_url, "wss://g/"}')
            + f'\n{{append_host_config, "b", [{of_modules("{websocket_url, undefined}")[:-1]}]}}.',
            [("a", "wss://g/", None), ("b", None, None)],
        ),
        (
            of_modules() + '\n{host_config, "b", [{modules, [{mod_roster, []}]}]}.',
            [("a", "wss://a/ws%20a", None)],
        ),
    ],
)
def test_the_addresses_are_those_of_ejabberds_options(
    tmp_path: Path, modules: str, expected: list[tuple[str, str | None, str | None]]
) -> None:
    assert urls(addresses(tmp_path, modules)[0]) == expected


@pytest.mark.parametrize(
    ("port", "url"), [(5443, "wss://a:5443/tls"), (443, "wss://a/tls")], ids=["port", "443"]
)
def test_auto_prefers_a_listener_with_tls(
    tmp_path: Path, certificate: Certificate, port: int, url: str
) -> None:
    found, _ = addresses(tmp_path, listeners=f"{PLAIN}, {WSS % (port, certificate.pem)}")
    assert found[0].websocket == url


def test_without_a_websocket_there_is_no_address(tmp_path: Path) -> None:
    assert urls(addresses(tmp_path, listeners=ONLY_PAGE)[0]) == [("a", None, None), ("b", None, None)]


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        (
            '{websocket_url, "ws://@HOST@/ws"}',
            'websocket_url: expected auto, undefined or a wss:// address, as in wss://@HOST@/path, found "ws://@HOST@/ws"',
        ),
        (
            "{bosh_service_url, 5}",
            "bosh_service_url: expected auto, undefined or a https:// address, "
            "as in https://@HOST@/path, found 5",
        ),
        (
            '{websocket_ur, "wss://a/"}',
            "mod_host_meta has no option websocket_ur; did you mean websocket_url?",
        ),
    ],
)
def test_a_wrong_option_is_an_error_in_our_file_and_a_warning_in_ejabberds(
    tmp_path: Path, option: str, problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        addresses(tmp_path, of_modules(option))
    assert str(caught.value) == f"{tmp_path}/wsgw.cfg:2: {problem}"
    _, warnings = addresses(tmp_path, of_modules(option), name="ejabberd.cfg")
    assert warnings == (f"{tmp_path}/ejabberd.cfg:2: {problem}",)
