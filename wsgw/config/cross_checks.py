"""Checks across options: contradictions, which are errors, and combinations that deserve a warning."""

from __future__ import annotations

import math
import os
import resource
import sys
from ipaddress import ip_address
from pathlib import Path

from wsgw.config.ejabberd_names import instead_of_handler, instead_of_option
from wsgw.config.model import HANDLER, OWN_HANDLERS, AdminListener, ListenerConfig
from wsgw.config.pem import check_certificate_and_key, check_certificates
from wsgw.config.precedence import Choices
from wsgw.config.terms import Mark, Problems, in_syntax_of
from wsgw.config.tls_types import NO_TLS_1_2, NO_TLS_1_3
from wsgw.errors import ConfigProblem

#: Descriptors that are kept for listening sockets, logs and the event loop.
_RESERVED_DESCRIPTORS = 200
_MANY_DESCRIPTORS = 1_000_000


def cpus() -> int:
    """The number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


def session_limit(workers: int = 1) -> int:
    """The connections that ``workers`` processes can hold within the limit of open files; each needs two."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sessions_within(limit, workers)


def sessions_within(limit: int, workers: int) -> int:
    """The connections that ``workers`` processes can hold with ``limit`` open files each."""
    if limit == resource.RLIM_INFINITY:
        limit = _MANY_DESCRIPTORS
    return workers * max(1, (limit - _RESERVED_DESCRIPTORS) // 2)


def check_listener(
    listener: ListenerConfig, choices: Choices, keyless: tuple[str, ...], problems: Problems
) -> None:
    """Add each contradiction in ``listener`` to ``problems``, with the line of the wrong option.

    ``keyless``: for each global PEM file that cannot serve TLS, the reason.
    """
    if listener.tls:
        _check_tls(listener, choices, keyless, problems)
        if choices.names("acme_challenge_dir"):
            reason = "a certificate authority asks on port 80, without tls: move it to a listener without tls"
            problems.add(choices.mark("acme_challenge_dir"), f"acme_challenge_dir: {reason}")
    if listener.tls_verify:
        _check_tls_verify(listener, choices, problems)
    if listener.upstream_cafile is not None:
        mark = choices.mark("upstream_cafile")
        _check_file(listener.upstream_cafile, mark, "upstream_cafile", problems, key=False)
    if listener.send_buffer_hard < listener.send_buffer_high:
        problems.add(
            choices.mark("send_buffer_hard", "send_buffer_high"),
            f"send_buffer_hard ({listener.send_buffer_hard}) is below send_buffer_high "
            f"({listener.send_buffer_high})",
        )
    if listener.max_stanza_size_preauth > listener.max_stanza_size:
        problems.add(
            choices.mark("max_stanza_size_preauth", "max_stanza_size"),
            f"max_stanza_size_preauth ({listener.max_stanza_size_preauth}) is above max_stanza_size "
            f"({listener.max_stanza_size})",
        )
    if "inet6" in choices and choices["inet6"] and ":" not in listener.ip:
        problems.add(choices.mark("inet6"), f"inet6 contradicts the IPv4 address {listener.ip}")


def _check_tls(
    listener: ListenerConfig, choices: Choices, keyless: tuple[str, ...], problems: Problems
) -> None:
    mark = choices.mark("certfile", "tls")
    if listener.certfile is not None:
        _check_file(listener.certfile, mark, "certfile", problems, key=True)
    elif not listener.certfiles and not choices.names("certfile"):
        reason = "tls needs a certfile: one PEM file with certificate, chain and key"
        problems.add(mark, f"{reason} ({'; '.join(keyless)})" if keyless else reason)
    if listener.see_other_uri is not None and listener.see_other_uri.startswith("ws:"):
        problems.add(
            choices.mark("see_other_uri"), "see_other_uri sends clients from TLS to ws://; use wss://"
        )


def _check_tls_verify(listener: ListenerConfig, choices: Choices, problems: Problems) -> None:
    mark = choices.mark("tls_verify")
    if not listener.tls:
        problems.add(mark, "tls_verify needs tls: without it no client can show a certificate")
    if listener.cafile is not None:
        _check_file(listener.cafile, choices.mark("cafile"), "cafile", problems, key=False)
    elif not choices.names("cafile"):
        problems.add(mark, "tls_verify needs a cafile: a PEM file with the authorities of the clients")
    if NO_TLS_1_3 in listener.protocol_options:
        reason = f"{NO_TLS_1_3} leaves no version: a listener with tls_verify has TLS 1.3 only"
        problems.add(choices.mark("protocol_options"), reason)


def _check_file(path: Path, mark: Mark, name: str, problems: Problems, key: bool) -> None:
    try:
        (check_certificate_and_key if key else check_certificates)(path)
    except ValueError as error:
        problems.add(mark, f"{name}: {path} {error}")


def warnings_about(
    listener: ListenerConfig, choices: Choices, unusable: tuple[tuple[Mark, str], ...], room: int
) -> list[str]:
    """Warnings about settings that work but are probably not intended, each a sentence with its line.

    ``unusable``: for each certificate file that cannot be used, its place and the reason. ``room``: the
    sessions that the limit of open files allows.
    """
    where = f"The listener on port {listener.port}"
    found = _of_ejabberds_own(where, choices)
    if not listener.request_handlers and listener.acme_challenge_dir is None:
        mark = choices.mark("request_handlers")
        found.append(_at(mark, f"{where} has no request_handlers: it answers every request with 404."))
    found += _of_tls(where, listener, choices)
    if listener.max_stanza_size == sys.maxsize:
        mark = choices.mark("max_stanza_size")
        found.append(_at(mark, f"{where} takes stanzas of any size: one client can use up the memory."))
    if listener.websocket_timeout <= listener.websocket_ping_interval < math.inf:
        mark = choices.mark("websocket_timeout", "websocket_ping_interval")
        found.append(
            _at(
                mark,
                f"{where} disconnects quiet clients before it pings them: websocket_timeout is too short.",
            )
        )
    if listener.max_sessions > room and "max_sessions" in choices:
        reason = (
            f"{where} has max_sessions {listener.max_sessions}, but the limit of open files "
            f"leaves room for {room}."
        )
        found.append(_at(choices.mark("max_sessions"), reason))
    return found + _upstream_warnings(where, listener, choices, unusable)


def _of_tls(where: str, listener: ListenerConfig, choices: Choices) -> list[str]:
    """Warnings about options of TLS that have no effect."""
    found = []
    if listener.cafile is not None and not listener.tls_verify:
        form = in_syntax_of(choices.mark("cafile"), "{tls_verify, true}", "tls_verify: true")
        reason = f"{where} has a cafile and no tls_verify: clients need no certificate"
        found.append(_at(choices.mark("cafile"), f"{reason}; add {form}, or remove the cafile."))
    if listener.tls:
        if listener.ciphers is not None and (listener.tls_verify or NO_TLS_1_2 in listener.protocol_options):
            cause = "tls_verify" if listener.tls_verify else NO_TLS_1_2
            reason = f"{where} ignores ciphers: they are those of TLS 1.2, which {cause} excludes."
            found.append(_at(choices.mark("ciphers"), reason))
        return found
    form = in_syntax_of(choices.mark("certfile"), "{tls, true}", "tls: true")
    if choices.names("certfile"):
        lacks = f"{where} has a certfile and no tls: clients get ws:// without encryption"
        found.append(_at(choices.mark("certfile"), f"{lacks}; add {form}, or remove the certfile."))
    for name in ("protocol_options", "ciphers"):
        if choices.get(name, None):
            reason = f"{where} has {name} and no tls, so they have no effect; add {form}, or remove them."
            found.append(_at(choices.mark(name), reason))
    return found


def _at(mark: Mark, sentence: str) -> str:
    return str(ConfigProblem(mark.file, mark.line, sentence))


def _of_ejabberds_own(where: str, choices: Choices) -> list[str]:
    """Warnings about options and handlers of ``ejabberd_http`` that wsgw ignores, one for each advice."""
    advised: dict[str, list[str]] = {}
    for name in choices.ignored:
        advised.setdefault(instead_of_option(name), []).append(name)
    found = [
        _at(
            choices.ignored[names[0]],
            f"{where} ignores {', '.join(names)}, which ejabberd knows and wsgw does not: {advice}.",
        )
        for advice, names in advised.items()
    ]
    for handler in choices["request_handlers"]:
        if handler.module not in OWN_HANDLERS:
            path = f"/{'/'.join(handler.path)}"
            advice = instead_of_handler(handler.module)
            reason = f"{where} does not serve {path}, whose handler is {handler.module}: {advice}."
            found.append(_at(choices.mark("request_handlers"), reason))
    return found


def _upstream_warnings(
    where: str, listener: ListenerConfig, choices: Choices, unusable: tuple[tuple[Mark, str], ...]
) -> list[str]:
    upstream, verify = choices.mark("upstream"), choices.mark("upstream_verify")
    found = [
        _at(upstream, f"{where} reaches {address} without TLS: passwords cross the network in clear.")
        for address in listener.upstream
        if address.scheme == "tcp" and not is_loopback(address.host)
    ]
    if choices.get("upstream", ()) and choices.names("upstream") and not listener.upstream:
        reason = f"{where} ignores upstream: it serves pages only; add a request handler with {HANDLER}, or"
        found.append(_at(choices.mark("upstream"), f"{reason} remove the upstream."))
    secured = any(address.scheme in ("tls", "starttls", "srv") for address in listener.upstream)
    if secured and not listener.upstream_verify:
        reason = f"{where} has upstream_verify false: any server can receive the passwords."
        found.append(_at(verify, reason))
    elif not listener.upstream_verify:
        found.append(_at(verify, f"{where} has upstream_verify false."))
    if secured and listener.upstream_verify:
        found.extend(
            _at(mark, f"The XMPP server's certificate cannot be trusted from a file: {why}.")
            for mark, why in unusable
        )
    return found


def warnings_about_admin(listener: AdminListener, mark: Mark) -> list[str]:
    """The warnings about an admin listener that other machines can reach, or whose token has no effect."""
    where, found = f"The wsgw_admin listener on port {listener.port}", []
    if not is_loopback(listener.ip):
        reason = "any client that reaches it sees hosts, addresses of servers and figures."
        if listener.token is not None:
            reason = "the token, JIDs and addresses of clients cross the network in clear."
        found.append(_at(mark, f"{where} is open to other machines ({listener.ip}): {reason}"))
    if listener.token is not None and listener.serve == "probes":
        found.append(_at(mark, f"{where} serves only probes: its token has no effect."))
    return found


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
