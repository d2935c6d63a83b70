from __future__ import annotations

import pytest

from tests.support.certificates import Certificate
from wsgw.config import from_arguments
from wsgw.config.command_line import DemoPages
from wsgw.config.model import RequestHandler
from wsgw.errors import ConfigError

UPSTREAM = ["tcp://127.0.0.1:5222"]


@pytest.mark.parametrize(
    ("listen", "ip", "port"),
    [
        ("5288", "0.0.0.0", 5288),
        ("127.0.0.1:5288", "127.0.0.1", 5288),
        ("[::1]:5288", "::1", 5288),
        ("[::]:0", "::", 0),
    ],
)
def test_listen_takes_an_address_and_a_port(listen: str, ip: str, port: int) -> None:
    config = from_arguments(listen, ["Example.org"], UPSTREAM)
    (found,) = config.listeners
    assert (found.ip, found.port) == (ip, port)
    assert found.request_handlers == (RequestHandler(("ws-xmpp",), "mod_websocket"),)
    assert (config.source, config.hosts, config.warnings) == ("", ("example.org",), ())


def test_several_domains_and_upstreams_may_be_given() -> None:
    config = from_arguments("5288", ["a", "b"], [*UPSTREAM, "srv:a"])
    assert config.hosts == ("a", "b")
    assert [str(address) for address in config.listeners[0].upstream] == [*UPSTREAM, "srv:a"]


@pytest.mark.parametrize("tls", [False, True])
def test_a_demo_has_its_pages(certificate: Certificate, tls: bool) -> None:
    url = "wss://10.0.0.1:5288/ws-xmpp"
    pages = DemoPages(url, str(certificate.pem) if tls else "")
    config = from_arguments("0.0.0.0:5288", ["a"], UPSTREAM, pages)
    (found,) = config.listeners
    assert {one.path: one.module for one in found.request_handlers} == {
        ("ws-xmpp",): "mod_websocket",
        (".well-known",): "mod_host_meta",
        (): "wsgw_console",
    }
    assert [page.websocket for page in config.host_meta] == [url]
    assert (found.tls, found.certfiles) == (tls, (certificate.pem,) if tls else ())


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("::1:5288", ["a"], UPSTREAM), "--listen: '::1:5288' is not [IP:]PORT, an IPv6 address in brackets"),
        (("localhost:5288", ["a"], UPSTREAM), '--listen: ip: expected an IP address, found "localhost"'),
        (("99999", ["a"], UPSTREAM), "--listen: port: 99999 is out of bounds: 0 to 65535"),
        (("", ["a"], UPSTREAM), "--listen: '' is not [IP:]PORT"),
        (("5288", [], UPSTREAM), "--domain: name at least one domain to serve"),
        (("5288", ["a b"], UPSTREAM), "--domain: hosts: "),
        (("5288", ["a"], []), "--upstream: name the XMPP server, as in tcp://127.0.0.1:5222"),
        (("5288", ["a"], ["h:5"]), "--upstream: upstream: upstream h:5: expected tcp://HOST:PORT"),
    ],
)
def test_a_bad_argument_is_an_error(arguments: tuple[str, list[str], list[str]], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_arguments(*arguments)
    (found,) = map(str, caught.value.problems)
    assert found.startswith(problem)


def test_all_errors_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        from_arguments("x", ["a b"], ["h"])
    assert [problem.file for problem in caught.value.problems] == ["--domain", "--listen", "--upstream"]
