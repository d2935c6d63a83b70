"""The settings in words, made from the option table: for ``check``, for ``options``, for the status page."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from wsgw.config.admin_options import ADMIN_OPTIONS
from wsgw.config.cross_checks import is_loopback
from wsgw.config.model import (
    CONSOLE,
    HANDLER,
    HOST_META,
    AdminListener,
    Config,
    ListenerConfig,
    RequestHandler,
    Traced,
)
from wsgw.config.option import Computed, Option, Scope
from wsgw.config.options import BY_NAME, GATEWAY_WIDE, OPTIONS

_INTRODUCTION: Final = """\
# Options

In Erlang terms an option is `{name, value}`, in YAML `name: value`.

Times are seconds, or strings with a unit, as in `"30 seconds"`, `"5 minutes"`, `"500 ms"`. Sizes are bytes.
`infinity` means no limit. Strings may be written as binaries, and true flags without a value: `tls` is
`{tls, true}`. Relative file names start at the directory of the file that contains them. Unknown options,
options given twice and values out of bounds are errors.

In `wsgw.yml`, and in any other file that is not ejabberd's, these rules apply to the whole file: to its top
level, its includes (`allow_only`, `disallow`), its `host_config` and its listeners. At the top level of
ejabberd's own file wsgw warns about a name that is similar to one of its options, and ignores all other
names. A file is ejabberd's if its name or folder is one of ejabberd's, if ejabberd's file includes it, or if
it contains ejabberd's options. `hosts` given twice in one file is always an error.
"""
_LISTENER_HEADING: Final = """\
## In a `websocket_session` listener

```erlang check
{5288, websocket_session, [{request_handlers, [{["ws-xmpp"], mod_websocket}]}, {max_sessions, 500}]}
```

The port may include an address: `{{5288, {127,0,0,1}}, websocket_session, [...]}`. `ejabberd_websocket` is
the older name of the module and works too. Options of ejabberd's own listeners (`captcha`, `http_bind`,
`web_admin`, `dhfile`) are ignored with a warning. Options marked * may also be set at the top level, for all
such listeners; the value in a listener overrides it.
"""
_ADMIN: Final = """\
## In a `wsgw_admin` listener

```erlang check
{5289, wsgw_admin, [{ip, {127,0,0,1}}]}
```

Plain HTTP for the admin: `/metrics` for Prometheus, `/healthz`, `/readyz`, `/status`, `/status.json`,
`/history.json`; see [metrics.md](metrics.md).
"""
_TOP_HEADING: Final = "## At the top level\n"
_MODULES: Final = """\

## In `modules`

```erlang check
{modules, [{mod_websocket, []}, {mod_host_meta, [{websocket_url, "wss://@HOST@:5443/ws-xmpp"}]}]}
```

`mod_host_meta` has the options `websocket_url` and `bosh_service_url`: the addresses that clients find by the
domain, by default `auto`; see [discovery.md](discovery.md)."""
#: The options of the top level whose values ``check`` prints without conversion.
_TOP_SHOWN: Final = ("user", "log_level", "log_format", "trace")
_COLUMNS: Final = "| option | type | default | meaning | precedent |\n|---|---|---|---|---|"


def options_table() -> str:
    """The option table as Markdown."""
    rows = [option for option in OPTIONS if option.scope is not Scope.TOP]
    tops = [option for option in OPTIONS if option.scope is Scope.TOP]
    return "\n".join(
        [
            _INTRODUCTION,
            _LISTENER_HEADING,
            _COLUMNS,
            *map(_row, rows),
            "",
            _ADMIN,
            _COLUMNS,
            *map(_row, ADMIN_OPTIONS),
            "",
            _TOP_HEADING,
            _COLUMNS,
            *map(_row, tops),
            _MODULES,
        ]
    )


def _row(option: Option) -> str:
    star = "*" if option.scope is Scope.BOTH else ""
    default = option.default.text if isinstance(option.default, Computed) else f"`{_default(option)}`"
    cells = (f"`{option.name}`{star}", option.type.label, default, option.meaning, option.precedent)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(option: Option) -> str:
    return _shown(option.name, option.default)


def describe(config: Config) -> str:
    """The settings in force, one in a line; without the warnings, which are in ``config.warnings``."""
    given = config.origins.options
    lines = [
        f"configuration: {config.source or 'the command line'}",
        *(_line(name, value, name not in given) for name, value in _gateway_values(config)),
    ]
    for listener in config.listeners:
        lines += ["", f"listener on {_place(listener)}", *_listener_lines(listener, config)]
    for admin in config.admin_listeners:
        lines += ["", f"admin listener on {_place(admin)}", *_admin_lines(admin)]
    return "\n".join(lines)


def _admin_lines(listener: AdminListener) -> Iterator[str]:
    for option in ADMIN_OPTIONS:
        value = getattr(listener, option.name)
        is_default = value == option.default
        yield _line(option.name, "given" if option.name == "token" and value else value, is_default)


class Change(NamedTuple):
    """An option whose value is not its default; value and default as ``check`` prints them."""

    #: The address and port of the listener; empty for an option of the whole gateway.
    listener: str
    option: str
    value: str
    default: str


def changed(config: Config) -> list[Change]:
    """The options that the configuration sets to another value than the default.

    The option ``trace``, which names users and their addresses, has only the number of them.
    """
    found = [("", name, value, config.origins.options) for name, value in _gateway_values(config)]
    for listener in config.listeners:
        given = config.origin(listener).options
        found += [(_place(listener), name, value, given) for name, value in _listener_values(listener)]
    changes = [
        Change(place, name, _without_names(name, value), _default_in_words(BY_NAME[name]))
        for place, name, value, given in found
        if name in given
    ]
    return [one for one in changes if one.value != one.default]


def _without_names(name: str, value: Any) -> str:
    if isinstance(value, Traced):
        return f"{len(value.jids)} JIDs, {len(value.networks)} networks"
    return _shown(name, value)


def _default_in_words(option: Option) -> str:
    return option.default.text if isinstance(option.default, Computed) else _default(option)


def _gateway_values(config: Config) -> Iterator[tuple[str, Any]]:
    yield "hosts", config.hosts
    yield "trusted_proxies", "all" if config.trust_all_proxies else config.trusted_proxies
    yield "certfiles", config.certfiles
    for name in (*GATEWAY_WIDE, *_TOP_SHOWN):
        yield name, getattr(config, name)


def _listener_values(listener: ListenerConfig) -> Iterator[tuple[str, Any]]:
    for option in OPTIONS:
        if option.name in ("inet6", *GATEWAY_WIDE) or option.scope is Scope.TOP:
            continue
        value: Any = getattr(listener, option.name)
        if option.name == "certfile":
            value = listener.certfiles
        if option.name == "max_connect_rate_per_ip":
            value = (value, listener.max_connect_burst_per_ip)
        yield option.name, value


def client_urls(listener: ListenerConfig, hosts: Sequence[str]) -> list[str]:
    """The URLs for clients, one for each path, unless a proxy in front of the gateway changes them.

    The host in the URL is the listener's address. It is the first of ``hosts`` if the listener is on all
    addresses, or if TLS needs a name.
    """
    return [f"ws{_after_the_scheme(listener, hosts)}{path}" for path in listener.url_paths(HANDLER)]


def console_urls(listener: ListenerConfig, hosts: Sequence[str]) -> list[str]:
    """The URLs of the console, as in ``client_urls``."""
    start = f"http{_after_the_scheme(listener, hosts)}"
    return [f"{start}{path.removesuffix('/')}/" for path in listener.url_paths(CONSOLE)]


def _after_the_scheme(listener: ListenerConfig, hosts: Sequence[str]) -> str:
    """``://host:port``, or ``s://host:port`` with TLS."""
    named = listener.tls or listener.ip in ("0.0.0.0", "::")
    host = hosts[0] if named and hosts else in_url(listener.ip)
    return f"{'s' if listener.tls else ''}://{host}:{listener.port}"


def _clients_line(listener: ListenerConfig, hosts: Sequence[str]) -> str:
    """The URLs; for a plain listener on loopback also the URL through a proxy with TLS."""
    urls = client_urls(listener, hosts)
    shown = ", ".join(urls) or f"none: no request_handlers with {HANDLER}"
    if urls and not listener.tls and is_loopback(listener.ip) and hosts:
        path = urls[0].partition("://")[2].partition("/")[2]
        shown += f"  (through a proxy with TLS: wss://{hosts[0]}/{path})"
    return f"  {'URL for clients':<25} {shown}"


def _place(listener: ListenerConfig | AdminListener) -> str:
    return f"{in_url(listener.ip)}:{listener.port}"


def in_url(ip: str) -> str:
    """An IP address as the host of a URL."""
    return f"[{ip}]" if ":" in ip else ip


def _listener_lines(listener: ListenerConfig, config: Config) -> list[str]:
    lines = [_clients_line(listener, config.hosts)]
    if listener.paths_of(HOST_META):
        lines.append(f"  {'host-meta':<25} {_addresses(config)}")
    if urls := console_urls(listener, config.hosts):
        lines.append(f"  {'console':<25} {', '.join(urls)}")
    given = config.origin(listener).options
    for name, value in _listener_values(listener):
        lines.append(_line(name, value, name not in given))
        if name == "upstream_cafile":
            lines.append(_line("upstream_certfiles", listener.upstream_certfiles))
    return lines


def _addresses(config: Config) -> str:
    """The URLs in host-meta, for each host."""
    shown = [
        f"{one.host}: {' '.join(url for url in (one.bosh, one.websocket) if url) or 'no address'}"
        for one in config.host_meta
    ]
    return ", ".join(shown) or f"none: no host has {HOST_META} in its modules"


def _line(name: str, value: Any, is_default: bool = False) -> str:
    return f"  {name:<25} {_shown(name, value)}{'  (default)' if is_default else ''}"


_EMPTY: Final = {
    "websocket_origin": "any",
    "ciphers": "the system's",
    "shaper": "none",
    "user": "wsgw or nobody, if started as root",
    "trusted_proxies": "[]",
    "request_handlers": "[]",
}


def _shown(name: str, value: Any) -> str:
    if isinstance(value, Traced):
        value = (*sorted(value.jids), *value.networks)
    if value in ((), None, ""):
        return _EMPTY.get(name, "none")
    if name == "max_connect_rate_per_ip":
        rate, burst = value
        return "infinity" if rate == math.inf else f"{{{rate:g}, {burst}}}"
    if isinstance(value, tuple):
        return ", ".join(_shown(name, item) for item in value)
    return _shown_one(value)


def _shown_one(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value == math.inf or value == sys.maxsize:
        return "infinity"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, RequestHandler):
        return f"/{'/'.join(value.path)} {value.module}"
    return str(value)
