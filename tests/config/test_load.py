"""Whole files, as admins write them."""

from __future__ import annotations

import os
import re
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.config.snippets import CERTIFICATE, FIXTURES, HOSTS, KEY, load_text, mistakes, unprivileged, write
from wsgw.config import load
from wsgw.config.model import RequestHandler, UpstreamAddress
from wsgw.errors import ConfigError, ConfigProblem

DEBIAN = Path("/etc/ejabberd/ejabberd.yml")


def test_a_stock_file_of_ejabberd_2_1_is_read() -> None:
    config = load(FIXTURES / "ejabberd-2.1.cfg")
    (listener,) = config.listeners
    assert config.hosts == ("example.org",)  # the only one with mod_websocket
    assert config.trusted_proxies == (ip_network("127.0.0.1/32"), ip_network("10.0.0.0/8"))
    assert (listener.ip, listener.port, listener.tls) == ("0.0.0.0", 5288, False)
    assert listener.request_handlers == (RequestHandler(("ws-xmpp",), "mod_websocket"),)
    assert listener.upstream == (UpstreamAddress("tcp", "127.0.0.1", 5222),)
    assert (listener.max_stanza_size, listener.shaper) == (65536, 1000)
    assert config.warnings == ()


def test_a_stock_file_of_ejabberd_23_is_read() -> None:
    config = load(FIXTURES / "ejabberd-23.yml")
    (listener,) = config.listeners
    assert config.hosts == ("localhost", "example.org")
    assert config.trusted_proxies == (ip_network("127.0.0.1/32"), ip_network("fd00::/8"))
    assert (listener.ip, listener.port) == ("127.0.0.1", 5288)
    assert [str(address) for address in listener.upstream] == [
        "starttls://127.0.0.1:5222",
        "starttls://[::1]:5222",
    ]
    assert (listener.websocket_timeout, listener.websocket_ping_interval) == (600.0, 45.0)
    assert (listener.max_connect_rate_per_ip, listener.max_connect_burst_per_ip) == (20.0, 100)
    assert (listener.shaper, listener.upstream_proxy_protocol) == (3000, "off")


@pytest.mark.skipif(not os.access(DEBIAN, os.R_OK), reason="no ejabberd of Debian here, or not for this user")
def test_debians_file_lacks_only_the_listener(tmp_path: Path) -> None:
    copy = write(tmp_path / "ejabberd.yml", DEBIAN.read_text())
    with pytest.raises(ConfigError) as caught:
        load(copy)
    (problem,) = caught.value.problems
    assert problem.reason.startswith("no websocket_session listener")


def test_a_file_next_to_a_modern_ejabberd_is_read(tmp_path: Path) -> None:
    """wsgw.yml includes ejabberd's file, in which ejabberd refuses the websocket_session listener."""
    text = (FIXTURES / "ejabberd-23.yml").read_text()
    head, _, tail = text.partition("  -\n    port: 'WS_PORT'")
    rest = tail[tail.index("websocket_ping_interval") :]
    write(tmp_path / "theirs.yml", head + rest)
    ours = """
include_config_file:
  theirs.yml:
    allow_only: [hosts, listen, certfiles, trusted_proxies]
websocket_ping_interval: 20
listen:
  - {port: 5288, module: websocket_session, request_handlers: {"/ws-xmpp": mod_websocket}}
"""
    config = load_text(tmp_path, ours, "wsgw.yml")
    (listener,) = config.listeners
    assert config.hosts == ("localhost", "example.org")
    assert listener.upstream[0] == UpstreamAddress("starttls", "127.0.0.1", 5222)
    assert listener.websocket_ping_interval == 20.0


# The README of the old module, verbatim.

README_MODULE = """\
    {mod_websocket, []}
"""
README_LISTENER = """\
    {5288, websocket_session, [
      {request_handlers, [{["ws-xmpp"], mod_websocket}]},
      {tls, true},
      {certfile, "/path/to/certificate.pem"}
    ]}
"""


def _readme_file(listener: str) -> str:
    return f"""
{HOSTS}
{{listen, [
    {{5222, ejabberd_c2s, [{{access, c2s}}]}},
{listener}
]}}.
{{modules, [
{README_MODULE}
]}}.
"""


def test_the_snippets_of_the_old_readme_are_read(tmp_path: Path) -> None:
    assert mistakes(tmp_path, _readme_file(README_LISTENER)) == [
        "8: certfile: /path/to/certificate.pem does not exist"
    ]
    pem = write(tmp_path / "certificate.pem", CERTIFICATE + KEY)
    listener = README_LISTENER.replace("/path/to/certificate.pem", str(pem))
    (found,) = load_text(tmp_path, _readme_file(listener)).listeners
    assert (found.port, found.tls, found.certfile) == (5288, True, pem)
    assert found.request_handlers == (RequestHandler(("ws-xmpp",), "mod_websocket"),)


def test_the_old_readmes_snippet_without_tls_is_read(tmp_path: Path) -> None:
    """That README lets an admin remove the two lines where no encryption is needed."""
    lines = README_LISTENER.splitlines()
    plain = "\n".join([lines[0], lines[1].rstrip(","), lines[4]])
    (found,) = load_text(tmp_path, _readme_file(plain)).listeners
    assert (found.tls, found.certfile) == (False, None)


# Mistakes

FIVE_MISTAKES = """\
%% A file with five mistakes.
{hosts, ["example.org", "exa mple.org"]}.
{loglevel 4}.
{listen, [
  {5222, ejabberd_c2s, []},
  {5288, websocket_session, [
    {request_handlers, [{["ws-xmpp"], mod_websocket}]},
    {max_sesions, 100},
    {max_depth,
     "deep"}
  ]}
]}.
{acl, admin, {user, "aleksey"}.
"""


def test_five_errors_are_five_lines(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, FIVE_MISTAKES)
    path = tmp_path / "ejabberd.cfg"
    assert str(caught.value).splitlines() == [
        f"{path}:2: hosts: \"exa mple.org\": 'exa mple' is not a label of a domain",
        f"{path}:3: missing ',' before 4",
        f"{path}:8: unknown option max_sesions; did you mean max_sessions?",
        f'{path}:10: max_depth: expected a whole number, 2 to 1000, found "deep"',
        f"{path}:13: the '{{' of line 13 is not closed before the '.'",
    ]


FIVE_MISTAKES_IN_YAML = """\
hosts: [example.org, "exa mple.org"]
trusted_proxies:
  - 127.0.0.1
  - nonsense
listen:
  - port: 5222
    module: ejabberd_c2s
  - port: 5288
    module: websocket_session
    request_handlers:
      /ws-xmpp: mod_websockt
    max_sesions: 100
    max_depth: deep
"""


def test_five_errors_in_yaml_are_five_lines(tmp_path: Path) -> None:
    found = mistakes(tmp_path, FIVE_MISTAKES_IN_YAML, "wsgw.yml")
    assert [int(mistake.partition(":")[0]) for mistake in found] == [1, 4, 11, 12, 13]


def test_an_error_in_an_included_file_has_the_name_of_that_file(tmp_path: Path) -> None:
    inner = write(tmp_path / "hosts.cfg", '\n\n{hosts, ["a..b"]}.\n')
    outer = (
        '{include_config_file, "hosts.cfg"}.\n{listen, [{5288, websocket_session, [{upstream, "tcp://h"}]}]}.'
    )
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, outer)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == (str(inner), 3)


def test_after_a_syntax_error_no_missing_setting_is_reported(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "{hosts, [").__len__() == 1


def test_a_file_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ejabberd\.cfg: does not exist"):
        load(tmp_path / "ejabberd.cfg")


def test_the_error_of_an_unreadable_file_names_owner_and_mode(open_directory: Path) -> None:
    path = write(open_directory / "ejabberd.yml", "hosts: [a]")
    path.chmod(0o000)
    owner = re.escape(f"{path.owner()}:{path.group()}")
    with (
        unprivileged(),
        pytest.raises(ConfigError, match=f"cannot be read: it belongs to {owner}, mode 0000"),
    ):
        load(path)


def test_a_file_without_a_known_extension_has_the_format_of_its_beginning(tmp_path: Path) -> None:
    erlang = """% old
override_global.
{hosts, ["a"]}.
{listen, [{5288, websocket_session, [{upstream, "srv:a"}]}]}.
"""
    yaml = "# new\nhosts: [a]\nlisten: [{port: 5288, module: websocket_session, upstream: 'srv:a'}]"
    assert load_text(tmp_path, erlang, "first").hosts == load_text(tmp_path, yaml, "second").hosts == ("a",)


# Anything at all

_PIECES = st.sampled_from(
    [
        *[
            "{",
            "}",
            "[",
            "]",
            ",",
            ".",
            ".\n",
            "|",
            "<<",
            ">>",
            '"',
            "'",
            "$a",
            "-",
            "16#ff",
            "1.5e3",
            "%\n",
            "\\",
        ],
        *[
            "{listen, [",
            "{5288, websocket_session, [",
            "]}",
            "]}.\n",
            '{hosts, ["a.b"]}.',
            "{tls, true}",
            "tls",
        ],
        *[
            "{define_macro, 'A', ",
            "'A'",
            "{host_config, ",
            "modules",
            "mod_websocket",
            "{shaper, ",
            "{upstream, ",
        ],
        *[
            "listen:",
            "\n  - ",
            "port: 5288",
            "module: websocket_session",
            "hosts:",
            "&a ",
            "*a",
            "<<: ",
            "\t",
            "\n",
        ],
        *[
            "define_macro:",
            "host_config:",
            "trusted_proxies:",
            "[a, b]",
            "{a: b}",
            "include_config_file:",
            "x.cfg",
            "@@X@@",
            "{{ x }}",
            "{% if x %}",
        ],
    ]
)
#: All examples of a test write into the same folder.
_IN_ONE_FOLDER = settings(
    suppress_health_check=[*settings().suppress_health_check, HealthCheck.function_scoped_fixture]
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["f.cfg", "f.yml", "f", "wsgw.cfg", "wsgw.yml", "ejabberd.yml"])
@_IN_ONE_FOLDER
@given(text=st.one_of(st.lists(_PIECES, max_size=40).map("".join), st.text()))
def test_every_text_is_a_configuration_or_a_config_error(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", errors="replace")
    _load_or_config_error(path)


@pytest.mark.parametrize("name", ["f.cfg", "f.yml", "f", "wsgw.cfg", "wsgw.yml", "ejabberd.yml"])
@_IN_ONE_FOLDER
@given(content=st.binary())
def test_every_file_is_a_configuration_or_a_config_error(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    _load_or_config_error(path)


@pytest.mark.slow
@_IN_ONE_FOLDER
@given(data=st.data())
def test_every_damaged_file_is_a_configuration_or_a_config_error(tmp_path: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["ejabberd-2.1.cfg", "ejabberd-23.yml"]))
    text = (FIXTURES / name).read_text()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(start + 40, len(text))))
    path = tmp_path / name
    path.write_text(text[:start] + data.draw(_PIECES) + text[end:])
    _load_or_config_error(path)


def _load_or_config_error(path: Path) -> None:
    problems: tuple[ConfigProblem, ...] = ()
    config = None
    try:
        config = load(path)
    except ConfigError as error:
        problems = error.problems
    assert (config is None) == bool(problems)
    assert all(problem.reason for problem in problems)
