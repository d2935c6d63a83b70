"""The options of a ``wsgw_admin`` listener."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from wsgw.config.listeners import RawListener
from wsgw.config.model import ADMIN_MODULE
from wsgw.config.network_types import Address, Hosts
from wsgw.config.option import Option
from wsgw.config.option_types import Choice, Context
from wsgw.config.spelling import nearest
from wsgw.config.terms import Atom, Misfit, Problems, Term, name_of, text_of

ADMIN_IP: Final = "127.0.0.1"
#: The characters of a bearer token (RFC 6750 section 2.1).
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
_SHORTEST, _LONGEST = 16, 256


@dataclass(frozen=True, slots=True)
class Token:
    """A secret. No message shows it."""

    label: ClassVar[str] = f"a string of {_SHORTEST} to {_LONGEST} letters, digits and characters of -._~+/"

    def parse(self, term: Term, context: Context) -> str:
        text = text_of(term)
        if text is None:
            raise Misfit(term.mark, f"expected {self.label}")
        if not _SHORTEST <= len(text) <= _LONGEST:
            raise Misfit(term.mark, f"expected {self.label}, found {len(text)} characters")
        if _TOKEN.fullmatch(text) is None:
            raise Misfit(term.mark, f"expected {self.label}, found another character")
        return text


ADMIN_OPTIONS: Final[tuple[Option, ...]] = (
    Option(
        "ip", Address(), ADMIN_IP, "The address to listen on: a string or a tuple of numbers.", "ejabberd"
    ),
    Option(
        "serve",
        Choice(("all", "probes")),
        "all",
        "`probes` answers only `/healthz`, `/readyz` and `/metrics`: for a port that others than the admin "
        "reach.",
        "Envoy's and Spring's separate probe ports",
    ),
    Option(
        "token",
        Token(),
        None,
        "The secret with which an admin sees the sessions: JIDs, addresses of clients, traces. Without it no "
        "answer has them. `openssl rand -base64 24` makes one.",
        "RFC 6750; Home Assistant's and Grafana's tokens",
    ),
    Option(
        "allowed_hosts",
        Hosts(),
        (),
        "Host names under which browsers reach this listener, for example through a proxy with TLS. On "
        "loopback, and on all pages about sessions, other names than these, `localhost` and IP addresses are "
        "refused.",
        "Django's ALLOWED_HOSTS",
    ),
)
_BY_NAME: Final = {option.name: option for option in ADMIN_OPTIONS}


def admin_choices(raw: RawListener, problems: Problems) -> Mapping[str, Any]:
    """The values of all options of a ``wsgw_admin`` listener; errors are added to ``problems``."""
    chosen: dict[str, Any] = {}
    given = [(Atom("ip", raw.ip.mark), raw.ip)] if raw.ip is not None else []
    for key, value in [*given, *raw.options]:
        name = name_of(key)
        if name not in _BY_NAME:
            problems.add(key.mark, _unknown(name))
        elif name in chosen:
            problems.add(key.mark, f"{name} is given twice")
        else:
            chosen[name] = _parsed(name, Atom("true", key.mark) if value is None else value, problems)
    return {option.name: chosen.get(option.name, option.default) for option in ADMIN_OPTIONS}


def _unknown(name: str | None) -> str:
    """The message about an unknown option. A long name may be a token that is at the wrong place."""
    known = f"; the options are {', '.join(_BY_NAME)}"
    if name is None or len(name) >= _SHORTEST:
        return f"{ADMIN_MODULE} has an option that it does not know{known}"
    return f"{ADMIN_MODULE} has no option {name}{nearest(name, tuple(_BY_NAME)) or known}"


def _parsed(name: str, value: Term, problems: Problems) -> Any:
    option = _BY_NAME[name]
    try:
        return option.type.parse(value, Context())
    except Misfit as misfit:
        problems.add_misfit(name, misfit)
        return option.default
