"""Makes the settings from a document; options that only ejabberd understands are ignored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from wsgw.config.admin_options import admin_choices
from wsgw.config.advice import missing_listener
from wsgw.config.cross_checks import check_listener, cpus, session_limit, warnings_about, warnings_about_admin
from wsgw.config.document import Document
from wsgw.config.ejabberd_names import LISTENER_OPTIONS, LISTENERS
from wsgw.config.host_meta import host_addresses
from wsgw.config.hosts import served_hosts
from wsgw.config.listeners import RawListener, raw_listeners
from wsgw.config.model import (
    ADMIN_MODULE,
    CONSOLE,
    HANDLER,
    HANDLER_NAMES,
    HOST_META,
    LISTENER_MODULE,
    LISTENER_MODULES,
    OWN_HANDLERS,
    AdminListener,
    Config,
    IPNetwork,
    ListenerConfig,
    UpstreamAddress,
)
from wsgw.config.network_types import Networks, parse_address
from wsgw.config.option_types import Context, Count
from wsgw.config.options import BY_NAME, GATEWAY_WIDE, LISTENER_NAMES
from wsgw.config.origins import OriginsOfDocument
from wsgw.config.placeholders import check_placeholders
from wsgw.config.precedence import Choices, listener_choices, top_choices
from wsgw.config.server_facts import C2S, SERVER_OPTIONS, ServerFacts, server_facts
from wsgw.config.spelling import near, nearest
from wsgw.config.terms import Mark, Misfit, Problems, Term, TupleTerm, entries_of, in_syntax_of, name_of

_PORT = Count(0, 65535)
_OF_EJABBERD = ("ejabberd_", "mod_")
_OUR_LISTENERS = (*LISTENER_MODULES, ADMIN_MODULE)
#: Request handlers that an admin may take for listeners.
_NO_LISTENERS = (HANDLER, HOST_META, "ejabberd_http_ws")
_OWN_LISTENER = f"give it a separate {LISTENER_MODULE} listener on another port"
_N = TypeVar("_N", int, float)
#: Options in the table without a field of the same name in ``ListenerConfig``.
_NOT_FIELDS = frozenset({"inet6", "max_connect_rate_per_ip", *GATEWAY_WIDE})


def interpret(document: Document, problems: Problems) -> Config:
    """The settings that ``document`` gives. They are unusable if ``problems`` has an error afterwards."""
    check_placeholders(document, problems)
    facts = server_facts(document)
    raws = _own_listeners(document, problems)
    all_choices = _choices(raws, document, problems)
    workers = _largest("workers", all_choices, cpus())
    listeners = _Listeners(document, facts, session_limit(workers), problems)
    for raw, choices in zip(raws, all_choices, strict=True):
        listeners.add(raw, choices)
    listeners.add_admin_listeners()
    trusted = _trusted_proxies(document, problems)
    hosts = served_hosts(document, problems)
    addresses = host_addresses(document, hosts, listeners.serving, problems)
    return Config(
        source=document.source,
        hosts=hosts,
        listeners=tuple(listeners.serving),
        trust_all_proxies=trusted is None,
        trusted_proxies=trusted or (),
        drain_timeout=_largest("drain_timeout", all_choices, BY_NAME["drain_timeout"].default),
        upgrade_timeout=_largest("upgrade_timeout", all_choices, BY_NAME["upgrade_timeout"].default),
        workers=workers,
        user=_value(document, "user", "", problems),
        log_level=_value(document, "log_level", BY_NAME["log_level"].default, problems),
        log_format=_value(document, "log_format", BY_NAME["log_format"].default, problems),
        trace=_value(document, "trace", BY_NAME["trace"].default, problems),
        warnings=tuple(dict.fromkeys((*problems.warnings, *listeners.warnings))),
        certfiles=facts.certfiles,
        admin_listeners=tuple(listeners.admin),
        host_meta=addresses,
        origins=listeners.origins.done(),
    )


def _choices(raws: list[RawListener], document: Document, problems: Problems) -> list[Choices]:
    """The options of each of ``raws``, over those at the top level."""
    context = Context(_named(document, "shaper"), _named(document, "access", "shaper_rules"))
    top = top_choices(document, context, problems)
    return [listener_choices(raw, top, context, problems) for raw in raws]


class _Listeners:
    """Collects the listeners with their warnings and their places in the file.

    ``room``: the sessions that the limit of open files allows.
    """

    def __init__(self, document: Document, facts: ServerFacts, room: int, problems: Problems) -> None:
        self.serving: list[ListenerConfig] = []
        self.admin: list[AdminListener] = []
        self.warnings: list[str] = []
        self.origins = OriginsOfDocument(document, facts)
        self._document = document
        self._facts = facts
        self._room = room
        self._problems = problems
        #: Address and port → the line of the listener there.
        self._places: dict[tuple[str, int], int] = {}

    def add(self, raw: RawListener, choices: Choices) -> None:
        """Add a ``websocket_session`` listener."""
        listener = _listener(raw, choices, self._facts, self._room, self._problems)
        _check_place(listener, raw, self._places, self._problems)
        check_listener(listener, choices, self._facts.keyless, self._problems)
        self.warnings += warnings_about(listener, choices, self._facts.unusable, self._room)
        self.serving.append(listener)
        self.origins.add_listener(listener, raw, choices)

    def add_admin_listeners(self) -> None:
        """Add the ``wsgw_admin`` listeners of the document."""
        for raw, listener in _admin_listeners(self._document, self._places, self._problems):
            self.warnings += warnings_about_admin(listener, raw.mark)
            self.admin.append(listener)
            self.origins.add_admin_listener(listener, raw)


# Listeners


def _own_listeners(document: Document, problems: Problems) -> list[RawListener]:
    """The ``websocket_session`` listeners; none at all is an error."""
    every = list(raw_listeners(document))
    own = [raw for raw in every if raw.is_ours]
    if own:
        _check_modules(document, every, problems)
    else:
        mark, hint = _closest_listener(document, every)
        problems.add_missing(mark, missing_listener(document, hint))
    return own


def _check_modules(document: Document, every: list[RawListener], problems: Problems) -> None:
    """Report unknown modules in a file of wsgw's own; in ejabberd's file only misspelled ones of wsgw."""
    for raw in every:
        if raw.module in _OUR_LISTENERS:
            continue
        reason = f"unknown module {raw.module} of a listener{nearest(raw.module, _OUR_LISTENERS)}"
        is_slip = near(raw.module, _OUR_LISTENERS) is not None
        if raw.module in _NO_LISTENERS:
            reason = f"{raw.module} handles requests and is not a listener; did you mean {LISTENER_MODULE}?"
            is_slip = True
        elif _has_our_handler(raw):
            problems.warn(raw.mark, f"{HANDLER} in this {raw.module} is not served: {_OWN_LISTENER}.")
        if raw.module in LISTENERS:
            _check_servers_options(raw, document, problems)
            continue
        if raw.mark.file in document.own_files and (is_slip or not raw.module.startswith(_OF_EJABBERD)):
            problems.add(raw.mark, reason)
        elif is_slip:
            problems.warn(raw.mark, reason)


def _check_servers_options(raw: RawListener, document: Document, problems: Problems) -> None:
    """Warn about misspelled options of the XMPP server's listener that wsgw needs to reach the server."""
    for key, _ in raw.options if raw.module == C2S else ():
        name = name_of(key)
        if name is None or name in SERVER_OPTIONS or name in LISTENER_OPTIONS or name in LISTENER_NAMES:
            continue
        if meant := near(name, SERVER_OPTIONS):
            note = problems.add if raw.mark.file in document.own_files else problems.warn
            note(key.mark, f"{name} is not an option of {C2S}; did you mean {meant}?")


def _closest_listener(document: Document, every: list[RawListener]) -> tuple[Mark, str]:
    """(place, hint) for the error that wsgw has no listener: a misspelled listener, or the whole list."""
    for raw in every:
        if raw.module in _NO_LISTENERS or nearest(raw.module, [LISTENER_MODULE]):
            return raw.mark, f" (is {raw.module} meant to be one?)"
    for raw in every:
        if _has_our_handler(raw):
            return raw.mark, f" ({HANDLER} in this {raw.module} needs a separate listener on another port)"
    settings = document.all("listen")
    return (settings[0].mark if settings else document.mark), ""


def _has_our_handler(raw: RawListener) -> bool:
    handlers = raw.option("request_handlers")
    return handlers is not None and any(
        name_of(module) in HANDLER_NAMES for _, module in entries_of(handlers) if module
    )


def _listener(
    raw: RawListener, choices: Choices, facts: ServerFacts, room: int, problems: Problems
) -> ListenerConfig:
    """One listener with its computed defaults. ``room``: the sessions that the limit of open files allows."""
    handlers = tuple(one for one in choices["request_handlers"] if one.module in OWN_HANDLERS)
    computed: dict[str, Any] = {
        "ip": _ip(raw, choices, problems),
        "request_handlers": handlers,
        "acme_challenge_dir": None if choices["tls"] else choices["acme_challenge_dir"],
        "certfile": choices.get("certfile", None) if choices["tls"] else None,
        "ciphers": choices.get("ciphers", None),
        "max_stanza_size": choices.get("max_stanza_size", facts.max_stanza_size),
        "max_sessions": choices.get("max_sessions", room),
        "upstream": () if _has_pages_only(choices) else _upstream(raw, choices, facts, problems),
        "upstream_proxy_protocol": _upstream_proxy_protocol(choices, facts),
    }
    table = {
        name: choices[name] for name in LISTENER_NAMES if name not in computed and name not in _NOT_FIELDS
    }
    certfile = computed["certfile"]
    shown = (certfile,) if certfile is not None else facts.certfiles if choices["tls"] else ()
    rate, burst = choices["max_connect_rate_per_ip"]
    return ListenerConfig(
        port=_port(raw, problems),
        certfiles=shown,
        upstream_certfiles=facts.upstream_certfiles,
        max_connect_rate_per_ip=rate,
        max_connect_burst_per_ip=burst,
        **table,
        **computed,
    )


def _admin_listeners(
    document: Document, places: dict[tuple[str, int], int], problems: Problems
) -> Iterator[tuple[RawListener, AdminListener]]:
    """The ``wsgw_admin`` listeners, by default on loopback."""
    for raw in raw_listeners(document):
        if raw.module != ADMIN_MODULE:
            continue
        listener = AdminListener(port=_port(raw, problems), **admin_choices(raw, problems))
        _check_place(listener, raw, places, problems)
        yield raw, listener


def _check_place(
    listener: ListenerConfig | AdminListener,
    raw: RawListener,
    places: dict[tuple[str, int], int],
    problems: Problems,
) -> None:
    """Report a second listener on one address and port; port 0 means any free port, so it may repeat."""
    place = (listener.ip, listener.port)
    if listener.port and place in places:
        problems.add(raw.mark, f"port {listener.port} already has a listener, in line {places[place]}")
    places[place] = raw.mark.line


def _port(raw: RawListener, problems: Problems) -> int:
    if raw.transport != "tcp":
        problems.add(raw.mark, f"{raw.module} listens on tcp, not {raw.transport}")
    if raw.port is None:
        problems.add(raw.mark, "the listener has no port")
        return 0
    try:
        return _PORT.parse(raw.port, Context())
    except Misfit as misfit:
        problems.add_misfit("port", misfit)
        return 0


def _ip(raw: RawListener, choices: Choices, problems: Problems) -> str:
    """The address to listen on: from ``{Port, IP}``, from ``ip``, or all addresses."""
    if raw.ip is not None:
        if "ip" in choices:
            problems.add(choices.mark("ip"), "ip is given twice: here and with the port")
        if (ip := _address(raw.ip, problems)) is not None:
            return ip
    return str(choices.get("ip", "::" if choices["inet6"] else "0.0.0.0"))


def _address(term: Term, problems: Problems) -> str | None:
    try:
        return str(parse_address(term))
    except Misfit as misfit:
        problems.add_misfit("ip", misfit)
        return None


def _upstream(
    raw: RawListener, choices: Choices, facts: ServerFacts, problems: Problems
) -> tuple[UpstreamAddress, ...]:
    upstream: tuple[UpstreamAddress, ...] = choices.get("upstream", facts.upstream)
    if not upstream and not choices.names("upstream"):
        form = in_syntax_of(raw.mark, '{upstream, "tcp://127.0.0.1:5222"}', "upstream: tcp://127.0.0.1:5222")
        reason = (
            "no XMPP server to connect to: the file has no usable ejabberd_c2s listener; "
            f"add {form} to this one"
        )
        problems.add_missing(raw.mark, reason)
    return upstream


def _has_pages_only(choices: Choices) -> bool:
    """Whether the listener serves pages and no WebSocket, so that it needs no XMPP server."""
    modules = {handler.module for handler in choices["request_handlers"]}
    has_challenges = choices["acme_challenge_dir"] is not None and not choices["tls"]
    return (has_challenges or bool(modules & {HOST_META, CONSOLE})) and HANDLER not in modules


def _upstream_proxy_protocol(choices: Choices, facts: ServerFacts) -> str:
    default = "off" if "upstream" in choices else facts.upstream_proxy_protocol
    return str(choices.get("upstream_proxy_protocol", default))


# The whole gateway


def _largest(name: str, all_choices: list[Choices], default: _N) -> _N:
    """The largest value that a listener gives: such an option applies to the whole gateway."""
    given: list[_N] = [choices[name] for choices in all_choices if name in choices]
    return max(given, default=default)


def _value(document: Document, name: str, default: Any, problems: Problems) -> Any:
    """The value of an option at the top level; the main file overrides the files that it includes."""
    settings = document.all(name)
    own = [setting for setting in settings if setting.mark.file == document.source] or settings[:1]
    for again in own[1:]:
        problems.add(again.mark, f"{name} is already given in line {own[0].mark.line}")
    try:
        return BY_NAME[name].type.parse(own[0].value, Context()) if own else default
    except Misfit as misfit:
        problems.add_misfit(name, misfit)
        return default


def _trusted_proxies(document: Document, problems: Problems) -> tuple[IPNetwork, ...] | None:
    """The networks of every ``trusted_proxies``, or None for ``all``."""
    networks: dict[IPNetwork, None] = {}
    settings = document.all("trusted_proxies")
    everyone: list[Mark] = []
    for setting in settings:
        try:
            parsed = Networks().parse(setting.value, Context())
        except Misfit as misfit:
            problems.add_misfit("trusted_proxies", misfit)
            continue
        if parsed is None:
            everyone.append(setting.mark)
        else:
            networks.update(dict.fromkeys(parsed))
    if everyone and networks:
        problems.add(everyone[0], "trusted_proxies is all here, and a list at another place: give only one")
    return None if everyone else tuple(networks)


def _named(document: Document, *options: str) -> Mapping[str, Term]:
    """Definitions by name, from ``{shaper, fast, {maxrate, 1000}}`` or ``shaper: {fast: 1000}``."""
    found: dict[str, Term] = {}
    for setting in (setting for option in options for setting in document.all(option)):
        value = setting.value
        pairs = (
            [value.items[:2]] if isinstance(value, TupleTerm) and len(value.items) == 2 else entries_of(value)
        )
        for key, meaning in pairs:
            name = name_of(key)
            if name is not None and meaning is not None:
                found[name] = meaning
    return found
