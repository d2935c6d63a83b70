"""What stands in a certificate: names, dates, issuer. Whether it is trusted is the business of ``tls``."""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_address
from typing import NamedTuple

from asn1crypto import x509

from wsgw.config.pem import der_of, pem_certificates


class Certificate(NamedTuple):
    """Names are lower-cased; dates are in UTC."""

    not_before: datetime
    not_after: datetime
    #: Of the subjectAltName: domains and addresses.
    names: tuple[str, ...]
    common_name: str
    #: In words, and as they compare.
    issuer: str
    issuer_key: str
    subject_key: str
    #: Where the issuer says that its certificate can be had; public authorities do.
    issuer_urls: tuple[str, ...]

    @property
    def is_its_own_issuer(self) -> bool:
        """Whether it has signed itself, as a root has."""
        return self.issuer_key == self.subject_key

    def covers(self, host: str) -> bool:
        """Whether a client that connects to ``host`` finds it in the names (RFC 9525 section 6.3)."""
        _, dot, parent = host.partition(".")
        return host in self.names or (bool(dot) and f"*.{parent}" in self.names)


def certificates_in(pem: bytes) -> list[Certificate]:
    """The certificates of a PEM file, in their order; those that cannot be read are left out."""
    found = []
    for text in pem_certificates(pem):
        try:
            found.append(certificate_of(der_of(text)))
        except ValueError:  # OpenSSL takes what the library of this module does not, and says so itself
            continue
    return found


def certificate_of(der: bytes) -> Certificate:
    """Raises ValueError if it cannot be read."""
    try:
        parsed = x509.Certificate.load(der)
        validity = parsed["tbs_certificate"]["validity"]
        return Certificate(
            validity["not_before"].native,
            validity["not_after"].native,
            tuple(_names(parsed)),
            str(parsed.subject.native.get("common_name", "")).lower(),
            parsed.issuer.human_friendly,
            parsed.issuer.hashable,
            parsed.subject.hashable,
            tuple(_issuer_urls(parsed)),
        )
    except (TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"no certificate: {error}") from error


def _names(parsed: x509.Certificate) -> list[str]:
    extension = parsed.subject_alt_name_value
    names = []
    for name in extension or ():
        if name.name == "dns_name":
            names.append(name.native.lower())
        elif name.name == "ip_address":
            names.append(str(ip_address(name.native)))
    return names


def _issuer_urls(parsed: x509.Certificate) -> list[str]:
    return [
        str(access["access_location"].native)
        for access in parsed.authority_information_access_value or ()
        if access["access_method"].native == "ca_issuers"
    ]
