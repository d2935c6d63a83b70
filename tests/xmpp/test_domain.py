from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.xmpp.domain import normalise_domain


@pytest.mark.parametrize(
    ("domain", "normalised"),
    [
        ("example.org", "example.org"),
        ("Example.ORG.", "example.org"),
        ("localhost", "localhost"),
        ("My_Host.example", "my_host.example"),
        ("Bücher.example", "xn--bcher-kva.example"),
        ("xn--BCHER-kva.example", "xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("пример。рф", "xn--e1afmkfd.xn--p1ai"),
        ("foo_bar.bücher", "foo_bar.xn--bcher-kva"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[0:0:0:0:0:0:0:1]", "[::1]"),
        ("2001:DB8::1", "2001:db8::1"),
    ],
)
def test_a_domain_has_one_normalised_spelling(domain: str, normalised: str) -> None:
    assert normalise_domain(domain) == normalised
    assert normalise_domain(normalised) == normalised


@pytest.mark.parametrize(
    "domain",
    [
        *["", ".", "..", "a..b", ".a", "a b", "a/b", "a@b", "a<b", "a:b", "[a]", "a\0", "a\n", "'", "a%41"],
        *[
            "a" * 64,
            ".".join(["a" * 60] * 5),
            "a" * 2000,
            "xn--",
            "xn--\u00fc",
            "xn--a-\u00e9",
            "\u2603.",
            "\ud800",
        ],
    ],
)
def test_text_that_is_no_domain_is_an_error(domain: str) -> None:
    with pytest.raises(ValueError):
        normalise_domain(domain)


@given(st.text())
def test_every_text_is_normalised_once_or_refused(text: str) -> None:
    try:
        once = normalise_domain(text)
    except ValueError:
        return
    assert once.isascii()
    assert normalise_domain(once) == once
