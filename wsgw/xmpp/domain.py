"""Brings domain names into the spelling in which wsgw compares them (RFC 7622 section 3.2, IDNA with UTS 46).

No name is looked up in DNS here.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

import idna

#: An XMPP domainpart is at most 1023 bytes (RFC 7622 section 3.2.1), a DNS name 253.
_MAX_DOMAINPART = 1023
_MAX_NAME = 253
#: Allows underscores, which DNS host names exclude: there are XMPP domains with them.
_ASCII_LABEL = re.compile(r"[a-z0-9_-]{1,63}", re.ASCII)


def normalise_domain(domain: str) -> str:
    """Return ``domain`` as lower-case A-labels without trailing dot; an IP address in its shortest form.

    Raises ValueError if ``domain`` cannot be a domain; the text of the error is fit for a message.
    """
    if not 0 < len(domain) <= _MAX_DOMAINPART:
        raise ValueError("a domain has 1 to 1023 characters")
    literal = _address_literal(domain)
    if literal is not None:
        return literal
    try:
        mapped = idna.uts46_remap(domain, std3_rules=False, transitional=False)
    except idna.IDNAError as error:
        raise ValueError(f"not a domain: {error}") from error
    labels = mapped.removesuffix(".").split(".")
    name = ".".join(_normalise_label(label) for label in labels)
    if len(name) > _MAX_NAME:
        raise ValueError(f"a domain has at most {_MAX_NAME} characters")
    return name


def is_domain(text: str, domain: str) -> bool:
    """Whether ``text`` is a spelling of ``domain``, which is normalised."""
    try:
        return normalise_domain(text) == domain
    except ValueError:
        return False


def _address_literal(domain: str) -> str | None:
    try:
        if domain.startswith("[") and domain.endswith("]"):
            return f"[{IPv6Address(domain[1:-1])}]"
        if ":" in domain:
            return str(IPv6Address(domain))
    except ValueError as error:
        reason = "a domain has no ':', neither of a scheme nor of a port, and this is no IPv6 address"
        raise ValueError(f"{reason}: {error}" if "[" in domain else reason) from error
    try:
        return str(IPv4Address(domain))
    except ValueError:
        return None


def _normalise_label(label: str) -> str:
    """Return the A-label of a label that UTS 46 has mapped; raise ValueError for an invalid one."""
    if label.isascii() and not label.startswith("xn--"):
        if not _ASCII_LABEL.fullmatch(label):
            raise ValueError(f"{label!r} is not a label of a domain" if label else "a label is empty")
        return label
    try:
        return idna.alabel(label).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise ValueError(f"not a domain: {error}") from error
