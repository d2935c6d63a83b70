"""Reads names, dates and issuer of a certificate. ``tls`` decides whether it is trusted."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

from asn1crypto import keys, x509

from wsgw.config.pem import der_of, pem_certificates

#: What a private key and its certificate have in common: the modulus of RSA, or the octets of another key.
PublicPart = int | bytes
_OF_ALGORITHM: Final = {"RSA PRIVATE KEY": keys.RSAPrivateKey, "EC PRIVATE KEY": keys.ECPrivateKey}
#: What asn1crypto raises for content that it cannot read.
_UNREADABLE: Final = (TypeError, KeyError, AttributeError, OverflowError, ValueError)


class Certificate(NamedTuple):
    """The fields of a certificate that wsgw uses. Names are in lower case, as A-labels; dates are in UTC."""

    not_before: datetime
    not_after: datetime
    #: Domains and IP addresses of the subjectAltName.
    names: tuple[str, ...]
    common_name: str
    #: The issuer's name, for people.
    issuer: str
    #: The names of issuer and subject in a form that can be compared.
    issuer_key: str
    subject_key: str
    #: URLs of the issuer's certificate (caIssuers, RFC 5280 section 4.2.2.1); public authorities give them.
    issuer_urls: tuple[str, ...]
    #: "rsa", "ec" or another name of asn1crypto for the algorithm of the public key.
    key_type: str

    @property
    def is_its_own_issuer(self) -> bool:
        """Whether the certificate is self-issued, as a root certificate is."""
        return self.issuer_key == self.subject_key


def certificates_in(pem: bytes) -> list[Certificate]:
    """The certificates in the content of a PEM file, in their order; unreadable ones are omitted."""
    found = []
    for text in pem_certificates(pem):
        try:
            found.append(certificate_of(der_of(text)))
        except ValueError:  # asn1crypto is stricter than OpenSSL, which reports unusable certificates itself
            continue
    return found


def has_its_issuer(chain: Sequence[Certificate]) -> bool:
    """Whether the issuer of the first certificate in ``chain`` is in it too, or is the certificate itself."""
    leaf, *others = chain
    return leaf.is_its_own_issuer or any(other.subject_key == leaf.issuer_key for other in others)


@lru_cache(maxsize=1024)  # a renewal would read all certificates again, which takes 0.4 ms each
def certificate_of(der: bytes) -> Certificate:
    """The fields of a certificate in DER. Raises ValueError if they cannot be read."""
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
            parsed.public_key.algorithm,
        )
    except (TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"no certificate: {error}") from error


def public_part_of_certificate(certificate: str) -> PublicPart | None:
    """The public key of ``certificate``, one of ``pem_certificates``; None if it cannot be read."""
    try:
        return _public_part(x509.Certificate.load(der_of(certificate)).public_key["public_key"].native)
    except _UNREADABLE:
        return None


def public_part_of_key(label: str, key: bytes) -> PublicPart | None:
    """The public key that belongs to a private one; None if it is unknown, as with EdDSA and passphrases.

    ``label`` and ``key``: the label and the base64 of a PEM file (RFC 7468).
    """
    try:
        der = base64.decodebytes(key)
        if label == "PRIVATE KEY":
            found = keys.PrivateKeyInfo.load(der)["private_key"].parsed
        else:
            found = _OF_ALGORITHM[label].load(der)
        return _public_part(found.native.get("public_key") or found.native)
    except _UNREADABLE:
        return None


def _public_part(native: bytes | Mapping[str, Any]) -> PublicPart | None:
    return native if isinstance(native, bytes) else native.get("modulus")


def _names(parsed: x509.Certificate) -> list[str]:
    extension = parsed.subject_alt_name_value
    names = []
    for name in extension or ():
        if name.name == "dns_name":
            # asn1crypto would decode A-labels; TLS (RFC 6066 section 3) and the configuration have them.
            names.append(name.chosen.contents.decode("ascii", "replace").lower())
        elif name.name == "ip_address":
            names.append(str(ip_address(name.native)))
    return names


def _issuer_urls(parsed: x509.Certificate) -> list[str]:
    return [
        str(access["access_location"].native)
        for access in parsed.authority_information_access_value or ()
        if access["access_method"].native == "ca_issuers"
    ]
