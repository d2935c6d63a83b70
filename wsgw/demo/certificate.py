"""A certificate that signs itself, for a demo that another machine opens, and the names for it.

It needs the program ``openssl``.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from wsgw.errors import ConfigError, ConfigProblem

#: Days for which the certificate is valid; it is forgotten when the demo stops.
_DAYS: Final = 30
_EXTENSIONS: Final = (
    "basicConstraints=critical,CA:FALSE",
    "keyUsage=critical,digitalSignature",
    "extendedKeyUsage=serverAuth",
)
#: Addresses that no machine has (RFC 5737, RFC 3849).
_DOCUMENTATION: Final = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


class SelfSigned(NamedTuple):
    """The certificate and its key."""

    #: The file with both, which only this account may read.
    pem: Path
    #: The certificate without its key, as an authority for clients.
    certificate: str
    #: SHA-256 of the certificate, as browsers show it: ``3A:F0:...``.
    fingerprint: str


def names_of(ip: str) -> list[str]:
    """The addresses and the name under which others may reach ``ip``, the best one first.

    On all addresses (``0.0.0.0``, ``::``), it is the address of the way to other networks, if there is one.
    """
    if not ip_address(ip).is_unspecified:
        return [ip]
    with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM) as way:
        try:
            way.connect((_DOCUMENTATION[way.family], 9))  # sends nothing: it only asks for the route
        except OSError:
            return [socket.gethostname()]
        return [way.getsockname()[0], socket.gethostname()]


@contextmanager
def self_signed(names: Sequence[str]) -> Iterator[SelfSigned]:
    """A certificate for hosts or IP addresses, whose file exists as long as the context.

    Raises ConfigError without the program ``openssl``.
    """
    made = _made_for(names)
    begin = made.index(b"-----BEGIN CERTIFICATE-----")
    certificate = made[begin:].decode("ascii")
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).digest()
    with TemporaryDirectory(prefix="wsgw-demo-") as folder:  # with the mode 0700
        pem = Path(folder, "certificate-and-key.pem")
        pem.write_bytes(made)
        yield SelfSigned(pem, certificate, digest.hex(":").upper())


def _made_for(names: Sequence[str]) -> bytes:
    """The certificate and its key, which pass through a pipe."""
    alternative = ",".join(f"{'IP' if _is_address(name) else 'DNS'}:{name}" for name in names)
    command = [
        "openssl",
        "req",
        "-x509",
        "-nodes",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
    ]
    command += ["-days", str(_DAYS), "-subj", "/CN=wsgw demo", "-keyout", "-", "-out", "-"]
    for extension in (f"subjectAltName={alternative}", *_EXTENSIONS):
        command += ["-addext", extension]
    try:
        done = subprocess.run(command, capture_output=True, check=True)
    except FileNotFoundError as error:
        raise _problem("needs the program openssl: install the package openssl") from error
    except subprocess.CalledProcessError as error:
        raise _problem(f"openssl failed: {error.stderr.decode(errors='replace').strip()}") from error
    return done.stdout


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _problem(reason: str) -> ConfigError:
    return ConfigError([ConfigProblem("command line", 0, f"the certificate for https:// {reason}")])
