"""The option table: each row gives the parsing of an option, its line in ``check``, and its documentation.

An option that ejabberd has too has ejabberd's name. A row with a computed default describes it in words;
``server_facts`` and ``interpret`` compute the value.
"""

from __future__ import annotations

from typing import Final

from wsgw.config.gateway_options import GATEWAY_OPTIONS
from wsgw.config.listening_options import LISTENING_OPTIONS
from wsgw.config.option import Option, Scope
from wsgw.config.session_options import SESSION_OPTIONS
from wsgw.config.upstream_options import UPSTREAM_OPTIONS

OPTIONS: Final[tuple[Option, ...]] = LISTENING_OPTIONS + SESSION_OPTIONS + UPSTREAM_OPTIONS + GATEWAY_OPTIONS
BY_NAME: Final = {option.name: option for option in OPTIONS}
#: Options of listeners that apply to the whole gateway: the largest given value counts.
GATEWAY_WIDE: Final = ("drain_timeout", "upgrade_timeout", "workers")
#: The options that a ``websocket_session`` listener can have.
LISTENER_NAMES: Final = tuple(option.name for option in OPTIONS if option.scope is not Scope.TOP)
