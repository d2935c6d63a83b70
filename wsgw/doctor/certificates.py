"""The certificates that the configuration names: usable, valid, complete, with a key that only wsgw reads."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from pathlib import Path

from wsgw.config.model import Config
from wsgw.config.pem import PemFiles
from wsgw.doctor.configuration import findings_of
from wsgw.doctor.finding import Finding, Verdict, finding_of
from wsgw.doctor.inquiry import Check, Inquiry
from wsgw.errors import ConfigError
from wsgw.net.findings import findings
from wsgw.net.key_pairs import KeyPair, has_key, key_pairs
from wsgw.net.tls import check_tls


def _check(inquiry: Inquiry) -> Iterator[Finding]:
    config = inquiry.config
    if config is None:
        return
    try:
        check_tls(config, inquiry.files)
    except ConfigError as error:
        yield from findings_of("certificate.usable", error)
    remarks = findings(config, inquiry.files, time.time())
    yield from map(finding_of, remarks)
    remarked = {remark.path for remark in remarks}
    for pair in _shown(config, inquiry.files):
        if pair.path not in remarked:
            yield Finding("certificate.dates", str(pair.path), Verdict.OK, _summary(pair))
    yield from _keys(config, inquiry)


def _shown(config: Config, files: PemFiles) -> list[KeyPair]:
    """The certificates that clients see, each once."""
    pairs = [pair for listener in config.listeners for pair in key_pairs(listener.certfiles, files)]
    return list({pair.path: pair for pair in pairs}.values())


def _summary(pair: KeyPair) -> str:
    certificate = pair.certificate
    if certificate is None:
        return "usable"
    return f"for {', '.join(certificate.names[:3])} until {certificate.not_after:%Y-%m-%d}, with its key"


def _keys(config: Config, inquiry: Inquiry) -> Iterator[Finding]:
    """Keys that other accounts of the machine can read."""
    paths = [path for listener in config.listeners for path in listener.certfiles]
    for path in dict.fromkeys(paths):
        if _is_open_key(path, inquiry):
            what = "any account of this machine can read the key in it"
            yield Finding("certificate.key", str(path), Verdict.NOTE, what, f"chmod o-r {path}")


def _is_open_key(path: Path, inquiry: Inquiry) -> bool:
    try:
        mode = path.stat().st_mode
        return bool(mode & stat.S_IROTH) and has_key(inquiry.files.read(path))
    except OSError:
        return False


CERTIFICATES = Check("certificate", _check)
