"""Each XMPP server: whether it answers for each host, and whether clients can log in with its features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import gevent

from wsgw.config.cross_checks import is_loopback
from wsgw.config.model import ListenerConfig, UpstreamAddress
from wsgw.config.remark import Remark
from wsgw.doctor.finding import Finding, Verdict, finding_of
from wsgw.doctor.inquiry import Check, Inquiry
from wsgw.errors import ConfigError
from wsgw.net.certificate import certificate_of
from wsgw.net.tls import check_tls
from wsgw.upstream.check import REACH, TLS, XMPP, Answer, Offer, answers, one_answer

#: Seconds for each attempt in another way than the configured one.
_PATIENCE = 3.0
#: The time before the expiry in which a certificate should have been renewed.
_SOON = timedelta(days=14)
#: The usual ports for clients (RFC 6120 section 14.7, and that of direct TLS).
_STREAMS, _DIRECT_TLS = 5222, 5223


def _check(inquiry: Inquiry) -> Iterator[Finding]:
    config = inquiry.config
    if config is None:
        return
    try:
        check_tls(config, inquiry.files)
    except ConfigError:
        reason = "not asked before the errors of the certificates are corrected"
        yield Finding("upstream.reach", "upstream", Verdict.SKIPPED, reason)
        return
    hosts = [domain for domain in inquiry.domains if domain in config.hosts]
    reported = set()
    for answer in answers(config, inquiry.files, hosts):
        if answer.remark is not None:
            if answer.remark not in reported:  # a server that is down is so for every host
                yield finding_of(_with_a_way(answer, answer.remark, inquiry))
            reported.add(answer.remark)
        elif answer.offer is not None:
            yield from _about(answer, answer.offer)


# A server that can be used


def _about(answer: Answer, offer: Offer) -> Iterator[Finding]:
    subject = f"upstream {', '.join(map(str, answer.check.addresses))}"
    every = tuple(dict.fromkeys((*offer.sasl2, *offer.mechanisms)))
    if not every:
        yield Finding(
            "upstream.sasl",
            subject,
            Verdict.FAILED,
            f"offers no way to log in to {answer.check.domain}",
            "Prosody: add saslauth to modules_enabled; ejabberd: set auth_method and clear "
            "disable_sasl_mechanisms",
        )
        return
    what = f"answers for {answer.check.domain}, with {', '.join(every)}"
    yield Finding("upstream.reach", subject, Verdict.OK, f"{what}; SASL2" if offer.sasl2 else what)
    yield from _about_dates(subject, offer.certificate)
    if set(every) == {"PLAIN"}:
        yield Finding(
            "upstream.sasl",
            subject,
            Verdict.NOTE,
            "offers only PLAIN, by which wsgw and the server see each password",
            'Prosody: authentication = "internal_hashed"; ejabberd: auth_password_format: scram',
        )
    if offer.binds_channel:
        yield Finding(
            "upstream.binding",
            subject,
            Verdict.NOTE,
            "offers channel binding, with which logins through a gateway fail",
            "switch off SCRAM-...-PLUS, HT-...-EXPR, -UNIQ, -ENDP and <sasl-channel-binding/> in the server, "
            "or reach it at a plain tcp:// upstream on loopback",
        )


def _about_dates(subject: str, certificate: bytes | None) -> Iterator[Finding]:
    """Whether the certificate is renewed in time. An expired one that is accepted is a setting."""
    try:
        ends = certificate_of(certificate or b"").not_after
    except ValueError:  # without TLS, or one that only OpenSSL can read
        return
    if timedelta() < ends - datetime.now(timezone.utc) < _SOON:
        what = f"its certificate expires on {ends:%Y-%m-%d %H:%M} UTC: wsgw will refuse it"
        yield Finding("upstream.expiry", subject, Verdict.NOTE, what, "renew it at the XMPP server")


# A server that cannot


def _with_a_way(answer: Answer, remark: Remark, inquiry: Inquiry) -> Remark:
    """``remark`` with the settings by which the same host does answer, if there are some."""
    addresses = answer.check.addresses
    if remark.topic not in (REACH, TLS, XMPP) or len(addresses) > 1 or addresses[0].scheme == "srv":
        return remark
    others = list(_others(answer.listener, addresses[0], remark.topic))
    tried = [
        gevent.spawn(one_answer, other, inquiry.files, answer.check.domain, remark.mark) for other in others
    ]
    gevent.joinall(tried)
    for other, greenlet in zip(others, tried, strict=True):
        found = greenlet.get().remark
        if found is None or found.topic not in (REACH, TLS, XMPP):
            return replace(remark, fix=f"it answers otherwise: set {_settings(other, answer.listener)}")
    return remark


def _others(listener: ListenerConfig, address: UpstreamAddress, topic: str) -> Iterator[ListenerConfig]:
    """Other ways to the same host, the most probable first, each as the options of a listener.

    None leaves out TLS over a network: passwords would cross it in clear.
    """
    quick = replace(listener, connect_timeout=min(_PATIENCE, listener.connect_timeout))
    if topic == REACH:
        if address.port not in (0, _STREAMS):  # with the configured TLS
            yield replace(quick, upstream=(replace(address, port=_STREAMS),))
        if address.port not in (0, _DIRECT_TLS):
            yield replace(quick, upstream=(replace(address, scheme="tls", port=_DIRECT_TLS),))
        return
    schemes = [address.scheme]
    if address.scheme != "unix":
        schemes = ["tcp", "starttls", "tls"] if is_loopback(address.host) else ["starttls", "tls"]
    known = listener.upstream_proxy_protocol
    for protocol in (known, "v2") if known == "off" else (known, "off"):
        for scheme in schemes:
            if (scheme, protocol) != (address.scheme, known):
                upstream = (replace(address, scheme=scheme),)
                yield replace(quick, upstream=upstream, upstream_proxy_protocol=protocol)


def _settings(other: ListenerConfig, listener: ListenerConfig) -> str:
    settings = []
    if other.upstream != listener.upstream:
        settings.append(f"upstream to {other.upstream[0]}")
    if other.upstream_proxy_protocol != listener.upstream_proxy_protocol:
        settings.append(f"upstream_proxy_protocol to {other.upstream_proxy_protocol}")
    return " and ".join(settings)


UPSTREAMS = Check("upstream", _check)
