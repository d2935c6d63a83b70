"""Names that are no options: errors in wsgw's own file, in ejabberd's a warning if similar to an option."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.snippets import load_text, mistakes, write
from wsgw.config import load
from wsgw.config.ejabberd_names import TOP_LEVEL
from wsgw.config.own_files import Owner, owner_of
from wsgw.config.terms import Problems, Term
from wsgw.config.yaml_terms import read_yaml
from wsgw.errors import ConfigError

#: A working file for wsgw alone.
OWN = """\
hosts: [example.org]
listen:
  -
    port: 5288
    module: websocket_session
    upstream: tcp://127.0.0.1:5222
    request_handlers: {/ws-xmpp: mod_websocket}
"""
#: The same settings in a file of ejabberd, with the websocket_session listener.
EJABBERDS = """\
hosts: [example.org]
loglevel: info
listen:
  - {port: 5222, module: ejabberd_c2s}
  - {port: 5288, module: websocket_session, request_handlers: {/ws-xmpp: mod_websocket}}
"""


def _yaml(text: str) -> list[Term]:
    return read_yaml(text, "f.yml", Problems())


@pytest.mark.parametrize(
    ("path", "text", "includer", "owner"),
    [
        ("/etc/wsgw/wsgw.yml", "loglevel: 4", Owner.UNKNOWN, Owner.WSGW),
        ("/etc/ejabberd/wsgw.yml", "loglevel: 4", Owner.EJABBERD, Owner.WSGW),
        ("/etc/wsgw/wsgw-test.yaml", "", Owner.UNKNOWN, Owner.WSGW),
        ("/etc/wsgw/ejabberd.yml", "workers: 2", Owner.UNKNOWN, Owner.EJABBERD),
        ("/etc/ejabberd/conf.d/hosts.yml", "hosts: [a]", Owner.WSGW, Owner.EJABBERD),
        ("/opt/ejabberd-22.05/conf/x.yml", "hosts: [a]", Owner.UNKNOWN, Owner.EJABBERD),
        ("/srv/x.yml", "hosts: [a]", Owner.UNKNOWN, Owner.UNKNOWN),
        ("/srv/x.yml", "hosts: [a]", Owner.EJABBERD, Owner.EJABBERD),
        ("/srv/x.yml", "hosts: [a]", Owner.WSGW, Owner.WSGW),
        ("/srv/x.yml", "{hosts: [a], acl: {}, workers: 2}", Owner.WSGW, Owner.EJABBERD),
        ("/srv/x.yml", "workers: 2", Owner.UNKNOWN, Owner.WSGW),
        ("/srv/x.yml", "listen: [{module: websocket_session}]", Owner.UNKNOWN, Owner.WSGW),
        ("/srv/x.yml", "listen: [{module: ejabberd_c2s}]", Owner.UNKNOWN, Owner.UNKNOWN),
        ("/srv/x.yml", "listen: 5", Owner.UNKNOWN, Owner.UNKNOWN),
    ],
)
def test_a_file_is_recognised_as_wsgws_or_ejabberds(
    path: str, text: str, includer: Owner, owner: Owner
) -> None:
    assert owner_of(Path(path), _yaml(text), includer) is owner


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ("log_levle: debug", "unknown option log_levle; did you mean log_level?"),
        ("trusted_proxys: [10.0.0.1]", "unknown option trusted_proxys; did you mean trusted_proxies?"),
        ("websocket_orign: any", "unknown option websocket_orign; did you mean websocket_origin?"),
        ("hosst: [b]", "unknown option hosst; did you mean hosts?"),
        ("worker: 2", "unknown option worker; did you mean workers?"),
        ("drain_timout: 5", "unknown option drain_timout; did you mean drain_timeout?"),
        ("certfile: x.pem", "certfile belongs in a websocket_session listener, not at the top level"),
        ("max_sessions: 5", "max_sessions belongs in a websocket_session listener, not at the top level"),
        ("tls: true", "tls belongs in a websocket_session listener, not at the top level"),
        ("max_sesions: 5", "unknown option max_sesions; did you mean max_sessions?"),
        ("quite_unknown: 5", "unknown option quite_unknown"),
        (
            "loglevel: 4",
            "loglevel is ejabberd's option and has no effect in wsgw: remove it; did you mean",
        ),
        ("acl: {}", "acl is ejabberd's option and has no effect in wsgw: remove it"),
        ("hosts: [b]", "hosts is already given in line 1"),
        ("host: b", "hosts is already given in line 1"),
        ("listen: []", "listen is already given in line 2"),
        (
            "shaper: 1000",
            "shaper defines shapers by name here, as in shaper: {fast: 50000}; the shaper of clients",
        ),
        ("5: 6", "expected an option, name: value, found 5"),
        ("modules: {mod_websockt: {}}", "modules: unknown module mod_websockt; did you mean mod_websocket?"),
        (
            "host_config: {example.org: {websocket_origin: any}}",
            "host_config: websocket_origin has no effect for a single host; known: modules, certfiles",
        ),
        ("append_host_config: [{example.org: [{tls: true}]}]", "append_host_config: tls has no effect for"),
        ("include_config_file: 5", "include_config_file: expected the name of a file"),
        (
            "include_config_file: {more.yml: {alow_only: [hosts]}}",
            "include_config_file: unknown option alow_only; did you mean allow_only?",
        ),
        (
            "include_config_file: {more.yml: [{dissallow: [hosts]}]}",
            "include_config_file: unknown option dissallow; did you mean disallow?",
        ),
        (
            "include_config_file: {more.yml: {allow_only: [hosts, trusted_proxis]}}",
            "allow_only: trusted_proxis is not an option; did you mean trusted_proxies?",
        ),
        ("include_config_file: {more.yml: {disallow: [5]}}", "disallow: 5 is not an option"),
    ],
)
def test_a_name_that_is_no_option_in_wsgw_yml_is_an_error(tmp_path: Path, line: str, mistake: str) -> None:
    write(tmp_path / "more.yml", "")
    (found,) = mistakes(tmp_path, f"{OWN}{line}\n", "wsgw.yml")
    assert found.startswith(f"8: {mistake}")


@pytest.mark.parametrize(
    ("term", "mistake"),
    [
        ("{log_levle, debug}.", "unknown option log_levle; did you mean log_level?"),
        ("{max_sessions, 5}.", "max_sessions belongs in a websocket_session listener, not at the top level"),
        ('{hosts, ["b"]}.', "hosts is already given in line 1"),
        ("override_global.", "override_global is ejabberd's option and has no effect in wsgw: remove it"),
        ("workers.", "expected an option, {name, value}., found workers"),
        ("{shaper, 1000}.", "shaper defines shapers by name here, as in {shaper, fast, {maxrate, 50000}}."),
        ('{include_config_file, "more.cfg", [{alow_only, [hosts]}]}.', "include_config_file: unknown option"),
        ('{host_config, "a", [{tls, true}]}.', "host_config: tls has no effect for a single host"),
        ("{{add, moduls}, []}.", "unknown option moduls; did you mean modules?"),
    ],
)
def test_a_name_that_is_no_option_in_wsgw_cfg_is_an_error(tmp_path: Path, term: str, mistake: str) -> None:
    write(tmp_path / "more.cfg", "")
    own = '{hosts, ["a"]}.\n{listen, [{5288, websocket_session, [{upstream, "tcp://[::1]"}]}]}.\n'
    (found,) = mistakes(tmp_path, own + term, "wsgw.cfg")
    assert found.startswith(f"3: {mistake}")


def test_options_and_macros_are_valid_in_wsgw_yml(tmp_path: Path) -> None:
    write(tmp_path / "more.yml", "modules: {mod_x: {}}\ntrusted_proxies: [10.0.0.1]\n")
    more = """\
define_macro: {FAST: 1000}
shaper: {normal: FAST}
modules: {mod_websocket: {}}
host_config: {example.org: {modules: {mod_websocket: {}}}}
include_config_file: {more.yml: {allow_only: [trusted_proxies, acl], disallow: modules}}
workers: 2
user: root
"""
    config = load_text(tmp_path, OWN + more, "wsgw.yml")
    assert (config.workers, config.hosts, len(config.trusted_proxies)) == (2, ("example.org",), 1)


def test_repeated_erlang_terms_that_each_name_another_thing_are_valid(tmp_path: Path) -> None:
    text = """\
{define_macro, 'A', 1}. {define_macro, 'B', 2}.
{shaper, slow, {maxrate, 1}}. {shaper, fast, {maxrate, 2}}.
{host_config, "a", [{modules, [{mod_websocket, []}]}]}. {host_config, "b", [{modules, []}]}.
{hosts, ["a", "b"]}.
{listen, [{5288, websocket_session, [{upstream, "tcp://[::1]"}]}]}.
{{add, modules}, [{mod_x, []}]}.
"""
    assert load_text(tmp_path, text, "wsgw.cfg").hosts == ("a",)


@pytest.mark.parametrize("name", ["drain_timout: 5", "certfile: x", "quite_unknown: 1"])
def test_a_file_included_by_wsgw_yml_is_wsgws_own_too(tmp_path: Path, name: str) -> None:
    inner = write(tmp_path / "limits.yml", f"{name}\n")
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, f"{OWN}include_config_file: limits.yml\n", "wsgw.yml")
    assert [(one.file, one.line) for one in caught.value.problems] == [(str(inner), 1)]


def test_settings_that_an_include_leaves_out_are_not_checked(tmp_path: Path) -> None:
    write(tmp_path / "theirs.yml", "hosts: [example.org]\ndrain_timout: 5\n")
    text = OWN.replace("hosts: [example.org]", "include_config_file: {theirs.yml: {allow_only: [hosts]}}")
    assert load_text(tmp_path, text, "wsgw.yml").hosts == ("example.org",)


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ("log_levle: debug", "log_levle is not an option; did you mean log_level?"),
        ("trusted_proxys: [10.0.0.1]", "trusted_proxys is not an option; did you mean trusted_proxies?"),
        ("websocket_orign: any", "websocket_orign is not an option; did you mean websocket_origin?"),
        ("worker: 2", "worker is not an option; did you mean workers?"),
        ("max_sessions: 5", "max_sessions has no effect at the top level; it belongs in a websocket_session"),
        ("max_sesions: 5", "max_sesions is not an option; did you mean max_sessions?"),
        (
            "include_config_file: {more.yml: {alow_only: [hosts]}}",
            "include_config_file: unknown option alow_only; did you mean allow_only?",
        ),
    ],
)
def test_a_name_similar_to_an_option_in_ejabberds_file_is_a_warning(
    tmp_path: Path, line: str, warning: str
) -> None:
    write(tmp_path / "more.yml", "")
    (found,) = load_text(tmp_path, f"{EJABBERDS}{line}\n", "ejabberd.yml").warnings
    assert found.startswith(f"{tmp_path}/ejabberd.yml:6: {warning}")


@pytest.mark.parametrize("line", ["quite_unknown: 5", "mod_of_somebody: {}", "zlib_of_c2s: true"])
def test_other_names_in_ejabberds_file_give_no_warning(tmp_path: Path, line: str) -> None:
    assert load_text(tmp_path, f"{EJABBERDS}{line}\n", "ejabberd.yml").warnings == ()


def test_ejabberds_own_options_give_no_warning(tmp_path: Path) -> None:
    """Not even ``loglevel``, which is one character from ``log_level``."""
    special = {"hosts", "host", "listen", "loglevel", "include_config_file", "define_macro", "define_keyword"}
    special |= {"trusted_proxies", "certfiles", "domain_certfile", "modules"}
    special |= {"websocket_origin", "websocket_ping_interval", "websocket_timeout"}
    text = EJABBERDS + "".join(f"{name}: {{}}\n" for name in sorted(TOP_LEVEL - special))
    assert load_text(tmp_path, text, "ejabberd.yml").warnings == ()


@pytest.mark.parametrize(
    "text",
    [
        "hosts: [a]\nhosts: [b]\n",
        "host: a\nhosts: [b]\n",
    ],
)
@pytest.mark.parametrize("name", ["ejabberd.yml", "wsgw.yml", "other.yml"])
def test_hosts_given_twice_is_an_error_in_any_file(tmp_path: Path, text: str, name: str) -> None:
    listen = "listen: [{port: 5288, module: websocket_session, upstream: 'tcp://[::1]'}]\n"
    assert mistakes(tmp_path, text + listen, name) == ["2: hosts is already given in line 1"]


@pytest.mark.parametrize(
    ("listener", "mistake"),
    [
        (
            "{port: 5289, module: wsgw_admn}",
            "unknown module wsgw_admn of a listener; did you mean wsgw_admin?",
        ),
        ("{port: 5290, module: websocket_sesion}", "unknown module websocket_sesion of a listener; did you"),
        ("{port: 5290, module: something}", "unknown module something of a listener"),
        (
            "{port: 5290, modul: websocket_session}",
            "listen: expected a listener with its module",
        ),
        ("websocket_session", "listen: expected a listener with its module"),
    ],
)
def test_a_listener_without_a_known_module_is_an_error(tmp_path: Path, listener: str, mistake: str) -> None:
    (found,) = mistakes(tmp_path, f"{OWN}  - {listener}\n", "wsgw.yml")
    assert found.startswith(f"8: {mistake}")


def test_listeners_of_ejabberd_are_valid_in_wsgw_yml(tmp_path: Path) -> None:
    more = "".join(
        f"  - {{port: {port}, module: {module}}}\n"
        for port, module in enumerate(["ejabberd_c2s", "ejabberd_http", "mod_mqtt", "mod_of_somebody"], 6000)
    )
    assert load_text(tmp_path, OWN + more, "wsgw.yml").warnings == ()


def test_a_module_similar_to_wsgws_in_ejabberds_file_is_a_warning(tmp_path: Path) -> None:
    text = f"{EJABBERDS}  - {{port: 5289, module: wsgw_admn}}\n  - {{port: 5290, module: mod_of_somebody}}\n"
    (found,) = load_text(tmp_path, text, "ejabberd.yml").warnings
    assert found.endswith(":6: unknown module wsgw_admn of a listener; did you mean wsgw_admin?")


# The lines that an advice prints

MODERN = """\
hosts: [example.org]
loglevel: info
listen:
  - {port: 5222, module: ejabberd_c2s}
"""


def _advised(reason: str) -> str:
    """The lines of an advice, without its indent."""
    return "\n".join(line.removeprefix("    ") for line in reason.splitlines()[1:])


def test_the_lines_for_a_modern_ejabberd_are_valid_as_printed(tmp_path: Path) -> None:
    path = write(tmp_path / "ejabberd.yml", MODERN)
    with pytest.raises(ConfigError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert problem.reason.startswith("no websocket_session listener. This file is ejabberd's own, and")
    assert "write /etc/wsgw/wsgw.yml with these lines\n" in problem.reason
    config = load_text(tmp_path, _advised(problem.reason), "wsgw.yml")
    assert (config.hosts, config.warnings) == (("example.org",), ())
    (listener,) = config.listeners
    assert (listener.port, str(listener.upstream[0])) == (5288, "tcp://127.0.0.1:5222")


def test_the_advice_names_a_mod_websocket_in_an_ejabberd_http(tmp_path: Path) -> None:
    text = MODERN + "  - {port: 5280, module: ejabberd_http, request_handlers: {/ws-xmpp: mod_websocket}}\n"
    (found,) = mistakes(tmp_path, text, "ejabberd.yml")
    hint = "(mod_websocket in this ejabberd_http needs a separate listener on another port)"
    assert found.startswith(f"5: no websocket_session listener {hint}")


def test_the_lines_for_wsgws_own_yaml_are_valid_as_printed(tmp_path: Path) -> None:
    own = "hosts: [example.org]\nworkers: 1\n"
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, own, "wsgw.yml")
    (problem,) = caught.value.problems
    assert "{" not in problem.reason.partition("\n")[2]
    assert len(load_text(tmp_path, own + _advised(problem.reason), "wsgw.yml").listeners) == 1


def test_the_lines_for_erlang_terms_have_an_upstream_if_the_file_has_none(tmp_path: Path) -> None:
    own = '{hosts, ["example.org"]}.\n{workers, 1}.\n'
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, own, "wsgw.cfg")
    (problem,) = caught.value.problems
    config = load_text(tmp_path, own + "{listen, [" + _advised(problem.reason) + "]}.", "wsgw.cfg")
    assert [str(address) for address in config.listeners[0].upstream] == ["tcp://127.0.0.1:5222"]


def test_the_advice_depends_on_the_listeners_of_the_file(tmp_path: Path) -> None:
    text = "hosts: [a]\nlisten: [{port: 5222, module: ejabberd_c2s}%s]"
    (found,) = mistakes(tmp_path, text % "", "server.yml")
    assert "write /etc/wsgw/wsgw.yml with these lines" in found
    slip = ", {port: 5288, module: websocket_sesion}"
    (found,) = mistakes(tmp_path, text % slip, "server.yml")
    assert "add '- {port: 5288, module: websocket_session, ...}' to listen" in found


SINGLE_HOST = "host_config: {exmaple.org: {modules: {mod_websocket: {}}}}"


def test_a_host_config_of_an_unknown_host_is_an_error(tmp_path: Path) -> None:
    reason = "host_config: exmaple.org is not one of the hosts; did you mean example.org?"
    assert reason in "\n".join(mistakes(tmp_path, OWN + SINGLE_HOST, "wsgw.yml"))
    text = EJABBERDS + "modules: {mod_websocket: {}}\n" + SINGLE_HOST
    (warning,) = load_text(tmp_path, text, "ejabberd.yml").warnings
    assert warning.endswith(reason)
    other = text.replace("exmaple.org", "conference.test")
    assert load_text(tmp_path, other, "ejabberd.yml").warnings == ()
    assert load_text(tmp_path, OWN + SINGLE_HOST.replace("exmaple", "EXAMPLE"), "wsgw.yml").warnings == ()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("host_config: {example.org: {moduls: {}}}", "domain_certfile; did you mean modules?"),
        (
            "websocket_session: {port: 5}",
            "websocket_session is the module of a listener: it belongs in listen",
        ),
        ("mod_websocket: {}", "mod_websocket belongs in modules, and in the request_handlers of a listener"),
        ("LOG_LEVEL: debug", "unknown option LOG_LEVEL; did you mean log_level?"),
    ],
)
def test_a_misplaced_or_misspelled_name_is_an_error(tmp_path: Path, line: str, reason: str) -> None:
    assert reason in "\n".join(mistakes(tmp_path, OWN + line, "wsgw.yml"))


@pytest.mark.parametrize(
    ("listener", "reason"),
    [
        (
            "{port: 1, module: mod_websocket}",
            "mod_websocket handles requests and is not a listener; did you mean websocket_session?",
        ),
        (
            "{port: 1, module: ejabberd_http_ws}",
            "ejabberd_http_ws handles requests and is not a listener; did you mean websocket_session?",
        ),
        ("{ports: 1, module: websocket_session}", "unknown option ports; did you mean port?"),
        ("{port: 1, moduel: x, module: websocket_session}", "unknown option moduel; did you mean module?"),
    ],
)
def test_a_listener_with_a_wrong_name_is_an_error(tmp_path: Path, listener: str, reason: str) -> None:
    assert reason in "\n".join(mistakes(tmp_path, f"{OWN}  - {listener}", "wsgw.yml"))


def test_mod_websocket_in_an_ejabberd_http_is_not_served(tmp_path: Path) -> None:
    text = f"{EJABBERDS}  - {{port: 5280, module: ejabberd_http, request_handlers: {{/ws: mod_websocket}}}}"
    (warning,) = load_text(tmp_path, text, "ejabberd.yml").warnings
    assert "ejabberd.yml:6: mod_websocket in this ejabberd_http is not served" in warning


def test_a_setting_of_a_single_host_is_not_set_for_all(tmp_path: Path) -> None:
    text = EJABBERDS + "host_config: {example.org: {log_level: debug}}"
    config = load_text(tmp_path, text, "ejabberd.yml")
    assert (config.log_level, "log_level" in config.origins.options) == ("info", False)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        (
            "ejabberd.cfg",
            OWN,
            "contains YAML, but .cfg is the ending of Erlang terms: rename it to .yml",
        ),
        (
            "ejabberd.yml",
            '%% comment\n{hosts, ["a"]}.\n{listen, []}.',
            "contains Erlang terms, but .yml is the ending of YAML: rename it to .cfg",
        ),
    ],
)
def test_a_file_in_the_other_format_is_an_error(tmp_path: Path, name: str, text: str, reason: str) -> None:
    assert mistakes(tmp_path, text, name) == [f"0: {reason}"]


def test_a_file_with_only_a_document_marker_is_empty(tmp_path: Path) -> None:
    assert "no hosts: name the domains to serve" in "\n".join(
        mistakes(tmp_path, "---\n# nothing\n", "wsgw.yml")
    )


def test_the_lines_for_erlang_terms_are_valid_as_printed(tmp_path: Path) -> None:
    listen = '{hosts, ["example.org"]}.\n{listen, [{5222, ejabberd_c2s, []}, %s]}.\n'
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, listen.replace(", %s", ""))
    _, term, rest, *lines = str(caught.value.problems[0].reason).splitlines()
    assert "/etc/wsgw/wsgw.yml" in rest
    assert len(load_text(tmp_path, listen % term).listeners) == 1
    write(tmp_path / "ejabberd.cfg", listen.replace(", %s", ""))
    config = load_text(tmp_path, "\n".join(line[4:] for line in lines), "wsgw.yml")
    assert config.hosts == ("example.org",)


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        ("port: 5288", "add upstream: tcp://127.0.0.1:5222 to this one"),
        ("request_handlers: 5", "request_handlers: expected a mapping, /PATH: MODULE, found 5"),
        (
            "request_handlers: [/ws]",
            "request_handlers: expected a path and a module, /PATH: MODULE, found /ws",
        ),
        ("max_connect_rate_per_ip: {a: 5}", "a number per second, {rate: RATE, burst: BURST}, or infinity"),
        ("5: 6", "expected an option, name: value, found 5"),
        ("max_depth: {a: [b, 'c d']}", "found {a: [b, 'c d']}"),
    ],
)
def test_advice_for_yaml_is_in_yaml(tmp_path: Path, own: str, reason: str) -> None:
    text = f"hosts: [a]\nlisten:\n  -\n    module: websocket_session\n    {own}\n"
    if own != "port: 5288":
        text += "    port: 5288\n    upstream: tcp://[::1]\n"
    (found,) = mistakes(tmp_path, text, "wsgw.yml")
    assert reason in found


def test_a_wrong_option_of_the_admins_listener_in_yaml(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, f"{OWN}  - {{port: 5289, module: wsgw_admin, tls: true}}\n", "wsgw.yml")
    assert found == "8: wsgw_admin has no option tls; the options are ip, serve, token, allowed_hosts"


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("starttls_reqired", "starttls_required"), ("tsl", "tls"), ("use_proxy_protcol", "use_proxy_protocol")],
)
def test_a_misspelled_option_of_the_c2s_listener_is_a_warning(tmp_path: Path, wrong: str, meant: str) -> None:
    """These options decide how the server is reached: with TLS, at which address."""
    reason = f"{wrong} is not an option of ejabberd_c2s; did you mean {meant}?"
    options = f"ejabberd_c2s, {wrong}: true, access: c2s, hibernate_after: 5"
    slip = EJABBERDS.replace("ejabberd_c2s", options)
    assert [found for found in load_text(tmp_path, slip, "ejabberd.yml").warnings if reason in found]
    own = slip.replace("loglevel: info\n", "")
    assert [found for found in mistakes(tmp_path, own, "wsgw.yml") if reason in found]
