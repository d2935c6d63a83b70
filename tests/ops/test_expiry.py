"""When the certificates of listeners expire."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.fixtures import Make
from wsgw.config import load
from wsgw.config.pem import PemFiles
from wsgw.ops.expiry import ANY_NAME, MOST_NAMES, Expiries, expiries

DAY = 86_400.0


def expiries_of(folder: Path, options: str, more: str = "") -> Expiries:
    path = folder / "wsgw.yml"
    upstream = "upstream: 'tcp://127.0.0.1'"
    listener = f"{{port: 5288, module: websocket_session, {upstream}{options}}}"
    path.write_text(f"hosts: [example.org]\nlisten:\n- {listener}\n{more}")
    config = load(path)
    return expiries(config, PemFiles.of(config))


def test_a_certificate_has_its_last_moment(tmp_path: Path, make: Make) -> None:
    pem = make(days="20").pem
    ((name, expiry),) = expiries_of(tmp_path, f", tls: true, certfile: {pem}").files.items()
    assert name == str(pem)
    assert expiry == pytest.approx(time.time() + 20 * DAY, abs=DAY)


def test_a_listener_without_tls_has_no_certificate(tmp_path: Path, make: Make) -> None:
    assert expiries_of(tmp_path, "") == ({}, {})


def test_each_certificate_for_browsers_has_its_last_moment(tmp_path: Path, make: Make) -> None:
    """One without a key is the XMPP server's."""
    first, second, pin = make(), make(name="b.example"), make(name="c.example")
    named = [first.pem, second.chain, second.key, pin.chain]
    more = f"certfiles: [{', '.join(map(str, named))}]\n"
    assert list(expiries_of(tmp_path, ", tls: true", more).files) == [str(first.pem), str(second.chain)]
    assert expiries_of(tmp_path, "", more) == ({}, {})


def test_each_name_has_its_certificates(tmp_path: Path, make: Make) -> None:
    """The first to expire comes first; one that another one hides counts for its file only."""
    first, rsa = make("a.example", days="20"), make("a.example", days="10", rsa=True)
    wild, hidden = make("*.b.example", days="5"), make("a.example", days="1")
    named = ", ".join(str(one.pem) for one in (first, rsa, wild, hidden))
    found = expiries_of(tmp_path, ", tls: true", f"certfiles: [{named}]\n")
    assert {name: [(one.file, one.key_type) for one in shown] for name, shown in found.names.items()} == {
        "*.b.example": [(str(wild.pem), "ec")],
        ANY_NAME: [(str(rsa.pem), "rsa"), (str(first.pem), "ec")],
        "a.example": [(str(rsa.pem), "rsa"), (str(first.pem), "ec")],
    }
    assert next(iter(found.names)) == "*.b.example"
    assert str(hidden.pem) in found.files


def test_an_address_is_no_name_and_a_common_name_neither(tmp_path: Path, make: Make) -> None:
    """Clients that connect to an address ask for no name."""
    pem = make("c.example", extra="IP:192.0.2.1,IP:2001:db8::1").pem
    assert list(expiries_of(tmp_path, f", tls: true, certfile: {pem}").names) == [ANY_NAME, "c.example"]
    pem = make("c.example", alternative=False).pem
    assert list(expiries_of(tmp_path, f", tls: true, certfile: {pem}").names) == [ANY_NAME]


def test_the_names_of_two_listeners_are_put_together(tmp_path: Path, make: Make) -> None:
    first, second = make("a.example", days="20"), make("a.example", days="10")
    options = f"upstream: 'tcp://127.0.0.1', tls: true, certfile: {second.pem}"
    other = f"- {{port: 5289, module: websocket_session, {options}}}\n"
    found = expiries_of(tmp_path, f", tls: true, certfile: {first.pem}", other)
    assert [one.file for one in found.names["a.example"]] == [str(second.pem), str(first.pem)]


def test_the_number_of_names_is_limited(tmp_path: Path, make: Make) -> None:
    """Those that expire first are kept."""
    extra = ",".join(f"DNS:n{number}.example" for number in range(MOST_NAMES + 10))
    many, soon = make("a.example", extra=extra), make("z.example", days="3")
    found = expiries_of(tmp_path, ", tls: true", f"certfiles: [{many.pem}, {soon.pem}]\n")
    assert len(found.names) == MOST_NAMES
    assert next(iter(found.names)) == "z.example"
