"""The shape of a row of the option table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from wsgw.config.option_types import OptionType, Seconds

KIB: Final = 1024
MIB: Final = 1024 * KIB
DAY: Final = 86400


class Scope(Enum):
    """Where an option can be given."""

    #: In a ``websocket_session`` listener only.
    LISTENER = "listener"
    #: At the top level for all listeners, or in one listener, which overrides it.
    BOTH = "listener or top level"
    #: At the top level only.
    TOP = "top level"


@dataclass(frozen=True, slots=True)
class Computed:
    """A default that depends on the rest of the configuration or on the machine; ``text`` describes it."""

    text: str


@dataclass(frozen=True, slots=True)
class Option:
    name: str
    type: OptionType
    default: Any
    meaning: str
    #: Programs with the same option, or the reason for the default.
    precedent: str
    scope: Scope = Scope.LISTENER


def timeout(name: str, default: float, meaning: str, precedent: str, infinity: bool = False) -> Option:
    return Option(name, Seconds(0.1, DAY, infinity), default, meaning, precedent)
