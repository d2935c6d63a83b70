"""TLS contexts, for browsers and for the XMPP server.

For browsers: certificates selected by name, TLS 1.2 and newer unless the listener's ``TlsPolicy`` demands
more, no compression, no renegotiation. For the XMPP server: its certificate must be valid for the XMPP
domain (RFC 6120 section 13.7.2), by its subjectAltName alone (RFC 9525 section 2). A certificate that the
configuration names is trusted without further checks.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from weakref import WeakValueDictionary

from wsgw.config.model import Config, ListenerConfig
from wsgw.config.pem import PemFiles, leaf_certificate
from wsgw.errors import ConfigError, ConfigProblem
from wsgw.net.key_pairs import KeyPair, by_name, default_pairs, key_pairs, wildcard_of
from wsgw.net.memory_file import as_file
from wsgw.net.tls_policy import TlsPolicy, why

#: The ALPN protocol of direct TLS to an XMPP server (XEP-0368).
ALPN_XMPP_CLIENT = "xmpp-client"
_ALPN = ["http/1.1"]
#: The contexts in use: a renewal makes those of the changed certificates only, since a worker that made five
#: hundred would stand still for half a second.
_IN_USE: WeakValueDictionary[tuple[tuple[KeyPair, ...], TlsPolicy], ssl.SSLContext] = WeakValueDictionary()
_OTHER_KEY = ": the key belongs to another certificate; the file needs the key of its first certificate"
_SMALL_KEY = ": get one with RSA of 2048 bits or more, or with ECDSA"
#: What an admin can do, by OpenSSL's reason code (``SSLError.reason``).
_ADVICE = {
    "KEY_VALUES_MISMATCH": _OTHER_KEY,
    "KEY_TYPE_MISMATCH": _OTHER_KEY,
    "EE_KEY_TOO_SMALL": _SMALL_KEY,
    "CA_KEY_TOO_SMALL": _SMALL_KEY,
    "CA_MD_TOO_WEAK": ": get one that is signed with SHA-256",
    "BAD_DECRYPT": ": the key has a passphrase; remove it with openssl pkey",
}


def check_tls(config: Config, files: PemFiles) -> None:
    """Raise ConfigError with the line of every PEM file and option that OpenSSL cannot use."""
    problems: set[ConfigProblem] = set()
    for listener in config.listeners:
        policy = TlsPolicy()
        try:
            if listener.tls:
                policy = TlsPolicy.of(listener, config, files)
        except ConfigError as error:
            problems.update(error.problems)
        try:
            if listener.certfiles:
                browser_context(listener.certfiles, files, policy, _place(listener))
        except ConfigError as error:
            for problem in error.problems:
                mark = config.certificate_mark(listener, Path(problem.file))
                problems.add(ConfigProblem(mark.file, mark.line, f"{problem.file} {problem.reason}"))
        try:
            if listener.upstream_cafile is not None:  # the system's authorities take 20 ms and need no check
                _verifying_context(listener.upstream_cafile, files)
        except ConfigError as error:
            mark = config.mark(listener, "upstream_cafile")
            for problem in error.problems:
                problems.add(ConfigProblem(mark.file, mark.line, f"{problem.file} {problem.reason}"))
    if problems:
        raise ConfigError(sorted(problems))


def listener_context(listener: ListenerConfig, config: Config, files: PemFiles) -> ssl.SSLContext | None:
    """The context of ``listener``, one of ``config``; None without ``tls``. Raises ConfigError."""
    if not listener.tls:
        return None
    policy = TlsPolicy.of(listener, config, files)
    return browser_context(listener.certfiles, files, policy, _place(listener))


def browser_context(
    certfiles: Sequence[Path],
    files: PemFiles | None = None,
    policy: TlsPolicy | None = None,
    place: tuple[str, int] | None = None,
) -> ssl.SSLContext:
    """The context of a ``tls`` listener that shows the certificates in ``certfiles``.

    ``certfiles``: files with chains and keys, the default certificate first; ``files``: their content. The
    server name that the client sends (RFC 6066 section 3) selects the certificate. ``place``: the listener's
    address and port. The same place (without one: the same ``certfiles``) and the same ``policy`` give the
    same context, which shows from then on the certificates given last. Raises ConfigError, before any change,
    if a file cannot be used.
    """
    files = files or PemFiles()
    for path in certfiles:
        try:
            files.read(path)
        except OSError as error:
            raise _unusable(path, error) from error
    pairs = key_pairs(certfiles, files)
    if not pairs:
        reason = "cannot be used as certfile: no file has a certificate and its key"
        raise ConfigError([ConfigProblem(str(certfiles[0]), 0, reason)])
    policy = policy or TlsPolicy()
    default, named = _contexts(pairs, policy)
    base = _base(place or tuple(certfiles), policy)
    base.sni_callback = partial(_select, default, named)
    return base


def _place(listener: ListenerConfig) -> tuple[str, int] | None:
    """Address and port of ``listener``; None for port 0, any free port, which several listeners may have."""
    return (listener.ip, listener.port) if listener.port else None


@lru_cache(maxsize=64)
def _base(owner: tuple[object, ...], policy: TlsPolicy) -> ssl.SSLContext:
    """The context in which every connection of a listener begins; it has no certificate.

    It has the keys of session tickets. It outlives the certificates, and workers that are forked after the
    parent's check share it: so a ticket is valid at each of them, also after a renewal, and under each name.
    The last is harmless because a policy by which clients show certificates issues none.
    """
    del owner  # only a part of the key
    context = policy.context()
    context.set_alpn_protocols(_ALPN)
    return context


@lru_cache(maxsize=8)
def _contexts(
    pairs: tuple[KeyPair, ...], policy: TlsPolicy
) -> tuple[ssl.SSLContext, Mapping[str, ssl.SSLContext]]:
    """The default context and those by name; OpenSSL takes only the certificate from them."""
    named = by_name(pairs)
    default = default_pairs(pairs, named)
    shown = dict.fromkeys([default, *named.values()])
    contexts = {group: _context_with(group, policy) for group in shown}
    for pair in pairs:  # one that no name selects must be usable too: a reload can make it the first
        if not any(pair in group for group in shown):
            _context_with((pair,), policy)
    return contexts[default], {name: contexts[group] for name, group in named.items()}


def _context_with(pairs: tuple[KeyPair, ...], policy: TlsPolicy) -> ssl.SSLContext:
    """A context with ``pairs``, one of each type of key; OpenSSL selects one that the client can verify."""
    context = _IN_USE.get((pairs, policy))
    if context is None:
        context = _IN_USE[pairs, policy] = _new_context_with(pairs, policy)
    return context


def _new_context_with(pairs: tuple[KeyPair, ...], policy: TlsPolicy) -> ssl.SSLContext:
    context = policy.context()
    context.set_alpn_protocols(_ALPN)
    for pair in pairs:
        try:
            # Without a password OpenSSL asks for one at the terminal; an empty one makes a locked key an
            # error.
            with as_file(pair.pem) as name:
                context.load_cert_chain(name, password="")
        except OSError as error:
            raise _unusable(pair.path, error) from error
    return context


def _select(
    default: ssl.SSLContext,
    contexts: Mapping[str, ssl.SSLContext],
    connection: ssl.SSLSocket | ssl.SSLObject,
    name: str | None,
    _base: ssl.SSLContext,
) -> None:
    """Show the certificate for ``name``, the client's server name; the default for any other name."""
    wanted = (name or "").lower().removesuffix(".")
    connection.context = contexts.get(wanted) or contexts.get(wildcard_of(wanted)) or default


def _unusable(certfile: Path, error: OSError) -> ConfigError:
    reason = f"cannot be used as certfile: {why(error)}{_advice(error)}"
    return ConfigError([ConfigProblem(str(certfile), 0, reason)])


def _advice(error: OSError) -> str:
    """What the admin can do about a certificate and its key, as the end of a sentence; may be empty."""
    return _ADVICE.get(error.reason, "") if isinstance(error, ssl.SSLError) else ""


class UpstreamTls:
    """The TLS contexts for an upstream, and the check of the XMPP server's certificate."""

    def __init__(
        self,
        *,
        verify: bool,
        cafile: Path | None,
        trusted: Iterable[Path],
        alpn: Sequence[str] = (),
        files: PemFiles | None = None,
    ) -> None:
        """``verify``: whether the certificate is checked. ``cafile``: authorities to trust like the system's.

        ``trusted``: PEM files; the first certificate of each is trusted without further checks. ``alpn``: the
        protocols to offer. ``files``: the content of the PEM files. Raises ConfigError if ``cafile`` is
        unusable.
        """
        leaves = [leaf_certificate(path, files or PemFiles()) for path in trusted]
        self._trusted = frozenset(filter(None, leaves))
        self._verified = _verifying_context(cafile, files)
        self._verified.minimum_version = ssl.TLSVersion.TLSv1_2
        # RFC 9525 section 2 forbids the Common Name: a holder who can write any host into it must not pass.
        self._verified.hostname_checks_common_name = False
        self._unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._unverified.check_hostname = False
        self._unverified.verify_mode = ssl.CERT_NONE
        self._verify = verify
        self._accepted_last = self._unverified if self._trusted or not verify else self._verified
        if alpn:
            self._verified.set_alpn_protocols(list(alpn))
            self._unverified.set_alpn_protocols(list(alpn))

    @property
    def attempts(self) -> tuple[ssl.SSLContext, ...]:
        """The contexts to try, each on a new connection; the one that succeeded last is the first."""
        if not self._verify or not self._trusted:
            return (self._accepted_last,)
        both = (self._unverified, self._verified)
        return both if self._accepted_last is self._unverified else both[::-1]

    def accepts(self, context: ssl.SSLContext, certificate: bytes | None) -> bool:
        """Whether the peer of a handshake with ``context`` is trusted; ``certificate``: the peer's, DER."""
        accepted = context is self._verified or not self._verify or certificate in self._trusted
        if accepted:
            self._accepted_last = context
        return accepted


def _verifying_context(cafile: Path | None, files: PemFiles | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        if cafile is not None:
            with as_file((files or PemFiles()).read(cafile)) as name:
                context.load_verify_locations(name)
    except OSError as error:
        reason = f"cannot be used as upstream_cafile: {why(error)}"
        raise ConfigError([ConfigProblem(str(cafile), 0, reason)]) from error
    return context
