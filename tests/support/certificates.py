"""A certificate authority for the test run, made by the ``openssl`` command."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_DAYS = "30"


@dataclass(frozen=True)
class Certificate:
    """``pem`` has chain and key in one file, as wsgw and ejabberd read it; the other files are its parts."""

    ca: Path
    chain: Path
    key: Path
    pem: Path


def make_certificate(
    folder: Path,
    name: str = "localhost",
    extra: str = "IP:127.0.0.1",
    days: str = _DAYS,
    *,
    alternative: bool = True,
    more: str = "",
    rsa: bool = False,
) -> Certificate:
    """A new CA and, signed by it, a certificate for ``name``; everything below ``folder``.

    With ``days`` "0" it has expired when this returns; without ``alternative`` it has a Common Name only.
    ``more`` are lines of further extensions. With ``rsa`` the keys are of RSA, otherwise of ECDSA.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    chain, key, request = folder / "chain.pem", folder / "key.pem", folder / "request.pem"
    extensions = folder / "extensions"
    names = f"subjectAltName=DNS:{name}{',' + extra if extra else ''}\n" if alternative else ""
    extensions.write_text(f"{names}basicConstraints=CA:FALSE\nauthorityKeyIdentifier=keyid\n{more}")
    kind = ("rsa:2048",) if rsa else ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    new_key = ("-newkey", *kind, "-nodes")
    # Python 3.13 and newer refuse a CA without a key usage (RFC 5280 section 4.2.1.3).
    ca_subject = ("-subj", "/CN=wsgw test CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _openssl("req", "-x509", *new_key, "-days", _DAYS, *ca_subject, "-keyout", ca_key, "-out", ca)
    _openssl("req", "-utf8", *new_key, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
    signing = ("-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", days, "-extfile", extensions)
    _openssl("x509", "-req", "-in", request, *signing, "-out", chain)
    pem = folder / "chain-and-key.pem"
    pem.write_bytes(chain.read_bytes() + key.read_bytes())
    return Certificate(ca=ca, chain=chain, key=key, pem=pem)


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr}")
