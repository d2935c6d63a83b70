"""Warnings about settings that work but are probably not intended: open listeners, certificates.

Each warning has its file and line, and says what to do. ``config`` finds settings that contradict one
another; those are errors.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from wsgw.config.cross_checks import is_loopback
from wsgw.config.model import Config, ListenerConfig
from wsgw.config.pem import PemFiles
from wsgw.config.remark import Remark
from wsgw.config.terms import Mark
from wsgw.net.certificate import Certificate, certificates_in, has_its_issuer
from wsgw.net.key_pairs import KeyPair, key_pairs, wildcard_of

#: A certificate with less time than this, or than a tenth of its life, should have been renewed.
_SOON: Final = timedelta(days=14)


def findings(config: Config, files: PemFiles, now: float) -> list[Remark]:
    """The warnings about ``config`` and the certificates in ``files``; ``now``: seconds since the epoch."""
    moment = datetime.fromtimestamp(now, timezone.utc)
    return list(
        dict.fromkeys(
            [*_open_listeners(config), *_challenge_directories(config), *_certificates(config, files, moment)]
        )
    )


# Listeners


def _open_listeners(config: Config) -> Iterator[Remark]:
    """Listeners without TLS that other machines can reach, unless a proxy, which may end TLS, is trusted."""
    if config.trust_all_proxies or config.trusted_proxies:
        return
    for listener in config.listeners:
        if listener.tls or is_loopback(listener.ip) or not listener.has_websocket:
            continue
        yield Remark(
            "listener.open",
            config.mark(listener, "ip"),
            f"the listener on port {listener.port}",
            f"is open to other machines ({listener.ip}) without TLS, and no proxy is trusted: "
            "passwords cross the network in clear",
            "give it tls and a certfile, or the ip 127.0.0.1 behind a proxy on this machine, or name the "
            "proxy in trusted_proxies",
            fatal=False,
        )


def _challenge_directories(config: Config) -> Iterator[Remark]:
    """Directories of ``acme_challenge_dir`` that do not exist."""
    for listener in config.listeners:
        path = listener.acme_challenge_dir
        if path is not None and not path.is_dir():
            yield Remark(
                "listener.challenges",
                config.mark(listener, "acme_challenge_dir"),
                f"acme_challenge_dir: {path}",
                "is not a directory: certificate authorities get 404",
                "create it, readable for the account of the workers",
                fatal=False,
            )


# Certificates


def _certificates(config: Config, files: PemFiles, now: datetime) -> Iterator[Remark]:
    shown: set[Path] = set()
    for listener in config.listeners:
        pairs = key_pairs(listener.certfiles, files)
        for pair in pairs:
            if pair.path not in shown:
                mark = config.certificate_mark(listener, pair.path)
                yield from _of_browsers(mark, pair.path, certificates_in(pair.pem), now)
        shown.update(pair.path for pair in pairs)
        yield from _no_certificate_for_the_hosts(config, listener, pairs)
    yield from _hosts_without_a_certificate(config, files)
    yield from _of_the_server(config, shown, files, now)
    yield from _all_authorities(config, files, now)


def _all_authorities(config: Config, files: PemFiles, now: datetime) -> Iterator[Remark]:
    """Expired authorities of the XMPP server's certificate, and of the clients' certificates."""
    for listener in config.listeners:
        if listener.upstream_cafile is not None:
            effect = "the XMPP server's certificate is refused"
            if not _judges_the_server(listener):
                effect = "wsgw does not check the XMPP server's certificate; if it did, it would refuse it"
            mark = config.mark(listener, "upstream_cafile")
            subject = f"upstream_cafile: {listener.upstream_cafile}"
            yield from _of_authorities(mark, subject, effect, _read(listener.upstream_cafile, files), now)
        if listener.tls_verify and listener.cafile is not None:
            effect = "the certificate of every client is refused"
            subject, authorities = f"cafile: {listener.cafile}", _read(listener.cafile, files)
            yield from _of_authorities(config.mark(listener, "cafile"), subject, effect, authorities, now)


def _judges_the_server(listener: ListenerConfig) -> bool:
    """Whether wsgw checks the XMPP server's certificate."""
    secured = any(address.scheme in ("tls", "starttls", "srv") for address in listener.upstream)
    return secured and listener.upstream_verify


def _of_browsers(mark: Mark, path: Path, chain: list[Certificate], now: datetime) -> Iterator[Remark]:
    """Errors of a certificate that wsgw shows to clients, and of its chain."""
    clients = f"clients of {_listed(chain[0].names)}" if chain and chain[0].names else "clients"
    for number, certificate in enumerate(chain):
        which = "" if number == 0 else f" (certificate {number + 1} of it)"
        subject = f"certfile: {path}{which}"
        dates = _dates(certificate, now, "renew it")
        if dates:
            what = f"{dates[0]}: {clients} refuse it"
            yield Remark("certificate.dates", mark, subject, what, dates[1], path=path)
        elif _expires_soon(certificate, now):
            what = f"expires on {_shown(certificate.not_after)}: {clients} will refuse it"
            yield Remark("certificate.soon", mark, subject, what, "renew it", fatal=False, path=path)
    if chain and not chain[0].names:
        fix = "get one that names the host of their URL in it"
        what = "has no subjectAltName: clients refuse it"
        yield Remark("certificate.names", mark, f"certfile: {path}", what, fix, path=path)
    if chain:
        yield from _about_chain(mark, path, chain)


def _expires_soon(certificate: Certificate, now: datetime) -> bool:
    """Whether programs that renew certificates should have renewed it: they do so at a third of its life."""
    life = certificate.not_after - certificate.not_before
    return certificate.not_after - now < min(life / 10, _SOON)


def _no_certificate_for_the_hosts(
    config: Config, listener: ListenerConfig, pairs: Sequence[KeyPair]
) -> Iterator[Remark]:
    """The warning that all certificates of a listener are for names far from the hosts."""
    names = _names(pairs)
    if names and config.hosts and not _covered(config, names):
        path = pairs[0].path
        yield Remark(
            "certificate.names",
            config.certificate_mark(listener, path),
            f"certfile: {path}",
            f"names {_listed(sorted(names))}, but neither one of the hosts nor a name below one "
            f"({_listed(config.hosts)}): clients whose URL has another name refuse it",
            "get one for the host of their URL",
            fatal=False,
            path=path,
        )


def _hosts_without_a_certificate(config: Config, files: PemFiles) -> Iterator[Remark]:
    """The warning that the certificates of all listeners are for some of the hosts only."""
    pairs = [pair for listener in config.listeners for pair in key_pairs(listener.certfiles, files)]
    covered = _covered(config, _names(pairs))
    missing = [host for host in config.hosts if host not in (*covered, "localhost")]
    if covered and missing:
        yield Remark(
            "certificate.names",
            config.origins.options.get("hosts", config.nowhere),
            "no certificate of a listener",
            f"names {_listed(missing)}, or a name below: clients whose URL has such a name refuse "
            "the connection",
            "get a certificate for the host of their URL",
            fatal=False,
        )


def _names(pairs: Iterable[KeyPair]) -> set[str]:
    certificates = [pair.certificate for pair in pairs]
    return {name for certificate in certificates if certificate is not None for name in certificate.names}


def _covered(config: Config, names: Collection[str]) -> list[str]:
    """The hosts for which a certificate with one of ``names`` is meant.

    It is valid for the host, for a name below it, or for the name of its WebSocket in host-meta.
    """
    above = {parent for name in names for parent in _and_parents(name.removeprefix("*."))}
    urls = {one.host: urlsplit(one.websocket or "").hostname or one.host for one in config.host_meta}

    def is_valid(host: str) -> bool:
        return host in names or wildcard_of(host) in names

    return [
        host for host in config.hosts if host in above or is_valid(host) or is_valid(urls.get(host, host))
    ]


def _and_parents(name: str) -> Iterator[str]:
    """``name`` and each domain above it."""
    while name:
        yield name
        name = name.partition(".")[2]


def _of_the_server(config: Config, shown: set[Path], files: PemFiles, now: datetime) -> Iterator[Remark]:
    """Expired certificates that wsgw trusts at the XMPP server because the configuration names them."""
    named = [path for listener in config.listeners for path in listener.upstream_certfiles]
    for path in dict.fromkeys([*named, *config.certfiles]):
        for certificate in _read(path, files)[:1] if path not in shown else ():
            dates = _dates(certificate, now, "renew it, restart the XMPP server and reload wsgw")
            if dates:
                yield Remark(
                    "certificate.server",
                    config.origins.files.get(path, config.nowhere),
                    str(path),
                    f"{dates[0]}: wsgw still trusts it at the XMPP server, but other clients of the server "
                    "do not",
                    dates[1],
                    fatal=False,
                )


def _of_authorities(
    mark: Mark, subject: str, effect: str, authorities: Iterable[Certificate], now: datetime
) -> Iterator[Remark]:
    """A file of authorities of which none is valid at ``now``; ``effect`` says what follows from that."""
    found = [_dates(certificate, now, "use a newer file") for certificate in authorities]
    if found and found[0] is not None and None not in found:
        yield Remark("certificate.authorities", mark, subject, f"{found[0][0]}: {effect}", found[0][1])


def _read(path: Path, files: PemFiles) -> list[Certificate]:
    try:
        return certificates_in(files.read(path))
    except OSError:  # another check reports that the file cannot be read
        return []


def _dates(certificate: Certificate, now: datetime, renew: str) -> tuple[str, str] | None:
    """What is wrong with the dates, and what to do; None if the certificate is valid at ``now``.

    ``renew`` says what to do with an expired certificate.
    """
    if certificate.not_after <= now:
        return f"has expired on {_shown(certificate.not_after)}", renew
    if certificate.not_before > now:
        return (
            f"is not valid before {_shown(certificate.not_before)}",
            f"set the clock of this machine, which shows {_shown(now)}, or use a valid certificate",
        )
    return None


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _about_chain(mark: Mark, path: Path, chain: list[Certificate]) -> Iterator[Remark]:
    """The warning if the file lacks the issuer's certificate.

    A file with one certificate that names no URL of its issuer is taken for one of a private authority,
    whose certificate the clients have.
    """
    leaf, *others = chain
    if has_its_issuer(chain) or not (others or leaf.issuer_urls):
        return
    source = f" ({leaf.issuer_urls[0]})" if leaf.issuer_urls else ""
    yield Remark(
        "certificate.chain",
        mark,
        f"certfile: {path}",
        f"lacks the certificate of its issuer, {leaf.issuer}: clients without it refuse the connection",
        f"append it{source}; authorities call the whole file fullchain",
        path=path,
    )
