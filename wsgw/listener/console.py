"""The console (``wsgw_console``): static files, and a small document with the settings that they need.

It serves the same bytes to every client and takes no input. A login is one of the XMPP server, over the
WebSocket of this listener.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from wsgw import __version__
from wsgw.errors import PageAnswer, refusals
from wsgw.opening.pages import PageRequest
from wsgw.pages.assets import INDEX, Asset, page_files, security_fields

#: The document with the settings, next to the files.
SETTINGS: Final = "settings.json"
_METHODS: Final = "GET, HEAD"
#: Read at the import, so in the parent: workers may lack the right, and an upgrade may remove the files.
_FILES: Final = page_files("console")
_PROTECTION: Final = security_fields()


class Console:
    """The console of one listener, below each of ``prefixes``: the segments of the paths of its handlers."""

    def __init__(
        self,
        prefixes: Iterable[tuple[str, ...]],
        websocket: str | None,
        hosts: Sequence[str],
        accounts: Mapping[str, str],
    ) -> None:
        """``websocket``: the path of the listener's WebSocket (``/ws-xmpp``); None without one.

        ``hosts``: the served domains. ``accounts``: JID → password of accounts to offer, those of the demo.
        """
        settings: dict[str, Any] = {
            "version": __version__,
            "hosts": list(hosts),
            "accounts": [{"jid": jid, "password": password} for jid, password in accounts.items()],
        }
        self._prefixes = frozenset(prefixes)
        self._places: dict[tuple[str, ...], Asset] = {}
        for prefix in self._prefixes:
            settings["websocket"] = websocket and "../" * len(prefix) + websocket.removeprefix("/")
            document = Asset.of(json.dumps(settings).encode(), "application/json")
            self._places[prefix] = _FILES[INDEX]
            named = {**_FILES, SETTINGS: document}
            self._places.update(((*prefix, name), asset) for name, asset in named.items())

    def has(self, segments: tuple[str, ...]) -> bool:
        """Whether the path with these decoded ``segments`` is that of a file of the console."""
        return segments in self._places

    def answer(self, request: PageRequest) -> PageAnswer:
        """The file, 304 if the browser has it, or a redirection to the folder of the files."""
        asset, segments = self._places[request.segments], request.segments
        if request.method not in ("GET", "HEAD"):
            return _answer(HTTPStatus.METHOD_NOT_ALLOWED, [("Allow", _METHODS)])
        if segments in self._prefixes and segments and not request.target.partition("?")[0].endswith("/"):
            # Relative, so that it is also right behind a proxy that serves the console under another path.
            folder = ("Location", f"./{quote(segments[-1], safe='')}/")
            return _answer(HTTPStatus.TEMPORARY_REDIRECT, [folder])
        if asset.is_known(", ".join(request.values("if-none-match"))):
            return _answer(HTTPStatus.NOT_MODIFIED, asset.fields)
        return _answer(HTTPStatus.OK, asset.fields, asset.body)


def _answer(status: HTTPStatus, fields: Sequence[tuple[str, str]], body: bytes = b"") -> PageAnswer:
    return PageAnswer(refusals.CONSOLE, status, status.phrase, [*fields, *_PROTECTION], body)
