"""Findings about valid settings, each with its line and the action."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.config.snippets import C2S, HOSTS, load_text
from tests.support.certificates import Certificate
from tests.support.fixtures import Make
from wsgw.config import from_arguments, load
from wsgw.config.pem import PemFiles
from wsgw.config.remark import Remark
from wsgw.net.certificate import certificates_in
from wsgw.net.findings import findings
from wsgw.upstream.check import checks_of

DAY = 86_400.0
HANDLERS = '{request_handlers, [{"ws", mod_websocket}]}'
#: The options of the listener are in line 4, ``more`` from line 6 on.
CONFIG = """\
{{hosts, ["{host}"]}}.
{{listen, [
  {{{{5288, "{ip}"}}, websocket_session, [
    {options}{handlers}]}}
]}}.
{more}
"""


def found(
    folder: Path,
    options: str = "",
    more: str = "",
    *,
    ip: str = "127.0.0.1",
    host: str = "example.org",
    days: float = 0.0,
) -> list[Remark]:
    """The findings when the clock is so many days ahead."""
    path = folder / "ejabberd.cfg"
    if "{upstream," not in options:
        options += '{upstream, "tcp://127.0.0.1"}, '
    path.write_text(CONFIG.format(options=options, more=more, ip=ip, host=host, handlers=HANDLERS))
    config = load(path)
    problems = findings(config, PemFiles.of(config), time.time() + days * DAY)
    assert all(problem.mark.file == str(path) for problem in problems)
    return problems


def the_one(problems: list[Remark]) -> tuple[int, str]:
    (problem,) = problems
    return problem.mark.line, problem.reason


def tls(certfile: Path) -> str:
    return f'{{tls, true}},{{certfile, "{certfile}"}}, '


def test_good_settings_give_no_finding(tmp_path: Path, make: Make) -> None:
    certificate = make()
    more = f'{{certfiles, ["{certificate.pem}"]}}.'
    for ip in ("127.0.0.1", "0.0.0.0"):
        assert found(tmp_path, tls(certificate.pem), more, ip=ip) == []
    assert found(tmp_path, f'{{upstream_cafile, "{certificate.ca}"}}, ') == []


# -- dates ----------------------------------------------------------------------------------------


def test_an_expired_certificate_is_a_finding(tmp_path: Path, make: Make) -> None:
    line, reason = the_one(found(tmp_path, tls(make().pem), days=31))
    assert line == 4
    assert reason.startswith(f"certfile: {make().pem} has expired on 20")
    assert reason.endswith(" UTC: clients of example.org refuse it: renew it")


def test_a_certificate_that_is_not_valid_yet_is_a_finding(tmp_path: Path, make: Make) -> None:
    line, reason = the_one(found(tmp_path, tls(make().pem), days=-400))
    assert line == 4
    assert reason.startswith(f"certfile: {make().pem} is not valid before 20")
    assert "clients of example.org refuse it: set the clock of this machine, which shows 20" in reason


@pytest.mark.parametrize(
    ("days", "life", "expected"), [(26, "30", 0), (27.5, "30", 1), (85, "100", 0), (190, "200", 1)]
)
def test_a_certificate_that_should_have_been_renewed_is_a_finding(
    tmp_path: Path, make: Make, days: float, life: str, expected: int
) -> None:
    """Its remaining time is below a tenth of its life, or two weeks."""
    problems = found(tmp_path, tls(make(days=life).pem), days=days)
    assert [problem.mark.line for problem in problems] == [4] * expected
    for problem in problems:
        assert problem.reason.startswith(f"certfile: {make(days=life).pem} expires on 20")
        assert problem.reason.endswith(" UTC: clients of example.org will refuse it: renew it")


def test_an_expired_certificate_of_certfiles_is_one_finding(tmp_path: Path, make: Make) -> None:
    """Only one, although it is also trusted as the server's; at the line that names the file."""
    more = f'{{certfiles, [\n"{make().pem}"]}}.'
    line, reason = the_one(found(tmp_path, "{tls, true}, ", more, days=31))
    assert line == 7
    assert "clients of example.org refuse it" in reason


def test_each_certificate_by_name_is_looked_at(tmp_path: Path, make: Make) -> None:
    """An expired one has its line; names are compared with the hosts over all certificates."""
    good, mail = make(), make(name="mail.example")
    more = f'{{certfiles, [\n"{good.pem}",\n"{mail.pem}"]}}.'
    assert found(tmp_path, "tls, ", more) == []
    problems = found(tmp_path, "tls, ", more, days=40)
    assert [(problem.mark.line, problem.reason.split(" on 20")[0]) for problem in problems] == [
        (7, f"certfile: {good.pem} has expired"),
        (8, f"certfile: {mail.pem} has expired"),
    ]
    (alone,) = found(tmp_path, "tls, ", f'{{certfiles, [\n"{mail.pem}"]}}.')
    assert alone.reason.startswith(f"certfile: {mail.pem} names mail.example, but neither one of the hosts")


def test_an_expired_certificate_of_the_chain_is_a_finding(tmp_path: Path, make: Make) -> None:
    old, new = make(days="3"), make()
    pem = tmp_path / "chain.pem"
    pem.write_bytes(
        new.chain.read_bytes() + new.ca.read_bytes() + old.chain.read_bytes() + new.key.read_bytes()
    )
    line, reason = the_one(found(tmp_path, tls(pem), days=4))
    assert line == 4
    assert reason.startswith(f"certfile: {pem} (certificate 3 of it) has expired on ")


@pytest.mark.parametrize(
    "more",
    ['{{certfiles, ["{pem}"]}}.', '{{domain_certfile, "example.org", "{pem}"}}.'],
    ids=["all", "one host"],
)
@pytest.mark.parametrize("days", [31, -400])
def test_an_expired_certificate_of_the_server_is_a_finding(
    tmp_path: Path, make: Make, more: str, days: float
) -> None:
    line, reason = the_one(found(tmp_path, "", more.format(pem=make().pem), days=days))
    assert line == 6
    assert reason.startswith(f"{make().pem} {'has expired on' if days > 0 else 'is not valid before'} 20")
    assert "wsgw still trusts it at the XMPP server, but other clients" in reason
    assert ("renew it" if days > 0 else "set the clock") in reason


def test_authorities_that_have_all_expired_are_a_finding(tmp_path: Path, make: Make) -> None:
    cafile = tmp_path / "authorities.pem"
    cafile.write_bytes(make().ca.read_bytes())
    secured = f'{{upstream_cafile, "{cafile}"}}, {{upstream, "starttls://127.0.0.1"}}, '
    line, reason = the_one(found(tmp_path, secured, days=31))
    assert line == 4
    assert "the XMPP server's certificate is refused: use a newer file" in reason
    for unused in (secured.replace("starttls", "tcp"), secured + "{upstream_verify, false}, "):
        _, reason = the_one(found(tmp_path, unused, days=31))
        assert "wsgw does not check the XMPP server's certificate; if" in reason
    longer = make("other.example", days="90")
    cafile.write_bytes(make().ca.read_bytes() + longer.chain.read_bytes())
    assert found(tmp_path, f'{{upstream_cafile, "{cafile}"}}, ', days=31) == []


def test_authorities_of_clients_that_have_expired_are_a_finding(tmp_path: Path, make: Make) -> None:
    verified = tls(make(days="90").pem) + f'{{tls_verify, true}}, {{cafile, "{make().ca}"}}, '
    assert found(tmp_path, verified) == []
    line, reason = the_one(found(tmp_path, verified, days=31))
    assert line == 4
    assert reason.startswith(f"cafile: {make().ca} has expired on ")
    assert "the certificate of every client is refused: use a newer file" in reason


# -- names and chains -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["example.org", "*.example.org", "ws.example.org"])
def test_a_certificate_for_the_host_is_no_finding(tmp_path: Path, make: Make, name: str) -> None:
    assert found(tmp_path, tls(make(name).pem)) == []


def test_a_certificate_for_no_host_is_a_finding(tmp_path: Path, make: Make) -> None:
    line, reason = the_one(found(tmp_path, tls(make("notexample.org").pem)))
    assert line == 4
    assert "names notexample.org, but neither one of the hosts nor a name below one (example.org)" in reason


def hosts_of(folder: Path, hosts: str, certificates: list[Certificate], more: str = "") -> list[str]:
    """The findings about a listener with ``certificates``; all are about the line with the hosts."""
    path = folder / "wsgw.yml"
    options = "upstream: 'tcp://127.0.0.1', tls: true, request_handlers: {/ws: mod_websocket}"
    named = ", ".join(str(one.pem) for one in certificates)
    listener = f"{{port: 5288, module: websocket_session, {options}}}"
    path.write_text(f"hosts: [{hosts}]\ncertfiles: [{named}]\nlisten:\n- {listener}\n{more}")
    config = load(path)
    problems = findings(config, PemFiles.of(config), time.time())
    assert all((problem.mark.file, problem.mark.line) == (str(path), 1) for problem in problems)
    return [problem.reason for problem in problems]


def test_a_host_without_a_certificate_is_a_finding(tmp_path: Path, make: Make) -> None:
    """All certificates count, and a wildcard for one label."""
    certificates = [make("a.example"), make("*.b.example")]
    assert hosts_of(tmp_path, "a.example, x.b.example, b.example, localhost", certificates) == []
    (reason,) = hosts_of(tmp_path, "a.example, x.y.b.example, c.example", certificates)
    assert reason.startswith("no certificate of a listener names x.y.b.example, c.example, or a name below: ")


def test_a_host_with_another_name_in_host_meta_is_no_finding(tmp_path: Path, make: Make) -> None:
    """Its clients connect to that name."""
    more = "modules: {mod_host_meta: {websocket_url: 'wss://chat.a.example/ws'}}\n"
    assert hosts_of(tmp_path, "a.example, b.example", [make("*.a.example")], more) == []
    (reason,) = hosts_of(tmp_path, "a.example, b.example", [make("x.a.example")], more)
    assert "names b.example, or" in reason


def test_a_certificate_with_a_common_name_only_is_a_finding(tmp_path: Path, make: Make) -> None:
    _, reason = the_one(found(tmp_path, tls(make(alternative=False).pem)))
    assert "has no subjectAltName: clients refuse it" in reason


def test_a_missing_issuer_is_a_finding(tmp_path: Path, make: Make) -> None:
    certificate = make(more="authorityInfoAccess=caIssuers;URI:http://ca.example/r3.der\n")
    line, reason = the_one(found(tmp_path, tls(certificate.pem)))
    assert line == 4
    assert "lacks the certificate of its issuer, Common Name: wsgw test CA" in reason
    assert "append it (http://ca.example/r3.der)" in reason
    whole = tmp_path / "whole.pem"
    whole.write_bytes(certificate.pem.read_bytes() + certificate.ca.read_bytes())
    assert found(tmp_path, tls(whole)) == []


def test_the_chain_of_another_certificate_is_a_finding(tmp_path: Path, make: Make) -> None:
    pem = tmp_path / "chain.pem"
    pem.write_bytes(make().pem.read_bytes() + make(days="20").chain.read_bytes())
    assert "lacks the certificate of its issuer" in the_one(found(tmp_path, tls(pem)))[1]


def test_unreadable_certificates_are_left_out() -> None:
    text = b"-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n"
    assert certificates_in(b"") == []
    assert certificates_in(text % b"AAAA" + text % b"@@@@=" + text % b"MAA=") == []


# -- open listeners -------------------------------------------------------------------------------


@pytest.mark.parametrize("ip", ["0.0.0.0", "::", "192.0.2.7"])
def test_a_plain_listener_open_to_other_machines_is_a_finding(tmp_path: Path, ip: str) -> None:
    line, reason = the_one(found(tmp_path, ip=ip))
    assert line == 3
    assert f"the listener on port 5288 is open to other machines ({ip}) without TLS" in reason
    assert "trusted_proxies" in reason


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.3.2.1", "::1"])
def test_a_plain_listener_on_loopback_is_no_finding(tmp_path: Path, ip: str) -> None:
    assert found(tmp_path, ip=ip) == []


@pytest.mark.parametrize("server", ["", f"{C2S}, "])
def test_a_plain_listener_without_a_websocket_is_no_finding(tmp_path: Path, server: str) -> None:
    """It has no XMPP server to check either."""
    pages = f'{{80, websocket_session, [{{acme_challenge_dir, "{tmp_path}"}}]}}'
    config = load_text(tmp_path, f"{HOSTS} {{listen, [{server}{pages}]}}.")
    assert findings(config, PemFiles.of(config), time.time()) == []
    assert checks_of(config) == {}


def test_a_missing_directory_of_acme_challenges_is_a_finding(tmp_path: Path) -> None:
    options = '{acme_challenge_dir, "missing"}, '
    assert the_one(found(tmp_path, options)) == (
        4,
        f"acme_challenge_dir: {tmp_path}/missing is not a directory: certificate authorities get 404: "
        "create it, readable for the account of the workers",
    )


@pytest.mark.parametrize("trusted", ["all", '["10.0.0.0/8"]'])
def test_a_plain_listener_behind_a_trusted_proxy_is_no_finding(tmp_path: Path, trusted: str) -> None:
    assert found(tmp_path, more=f"{{trusted_proxies, {trusted}}}.", ip="0.0.0.0") == []


def test_without_a_file_a_finding_names_the_argument() -> None:
    config = from_arguments("5288", ["a"], ["tcp://127.0.0.1"])
    (problem,) = findings(config, PemFiles(), time.time())
    assert str(problem).startswith("--listen: the listener on port 5288 is open to other machines (0.0.0.0)")
