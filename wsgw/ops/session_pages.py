"""The pages about sessions, for an admin with the token of the listener.

    /status/login           the form for the token; makes a cookie
    /status/sessions        a table of sessions, with search; ``.json`` for programs
    /status/session?id=     one session, and its trace; ``.json`` for programs
    /status/trace           switches the trace of a session on or off
    /status/logout

A request has the token (``Authorization: Bearer``) or the cookie. A request that changes something and has
the cookie must come from a page of this listener. The pages work without scripts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import chain
from typing import Any, Final
from urllib.parse import urlencode

from wsgw.ops.http_server import Answer, Page, Pages, Request, Route
from wsgw.ops.page_frame import FOLDER
from wsgw.ops.session_exchange import Answers, SessionExchange
from wsgw.ops.session_markup import login_page, session_page, table_page
from wsgw.ops.session_queries import LONGEST_TRACE, Document
from wsgw.ops.token_access import COOKIE, LIFETIME, Access, Caller

#: Lines of a page of the table.
PAGE: Final = 50
#: Characters of a search at most.
_WORDS: Final = 256
_SESSIONS: Final = FOLDER + "sessions"
_STATUS_OF_REFUSAL: Final = {Caller.UNKNOWN: 401, Caller.LIMITED: 429}
_JSON: Final = "application/json"


class SessionPages:
    """The pages of one listener."""

    def __init__(self, access: Access, exchange: SessionExchange, version: Callable[[], str]) -> None:
        self._access = access
        self._exchange = exchange
        self._version = version

    @property
    def all(self) -> Pages:
        """The routes."""
        return {
            FOLDER + "login": Route(self._form, self._login, guarded=True, has_form=True),
            FOLDER + "logout": Route(None, self._logout, guarded=True),
            _SESSIONS: Route(self._admitted(self._table), guarded=True, has_form=True),
            FOLDER + "sessions.json": Route(self._admitted(self._table_document), guarded=True),
            FOLDER + "session": Route(self._admitted(self._session), guarded=True, has_form=True),
            FOLDER + "session.json": Route(self._admitted(self._session_document), guarded=True),
            FOLDER + "trace": Route(None, self._admitted(self._trace), guarded=True),
        }

    # -- admission -------------------------------------------------------------------------------

    def _admitted(self, page: Page) -> Page:
        """``page``, only for requests with the token or the cookie."""

        def answer(request: Request) -> Answer:
            caller = self._access.caller(request.field("Authorization"), request.field("Cookie"))
            if caller in _STATUS_OF_REFUSAL:
                return self._refused(request, _STATUS_OF_REFUSAL[caller])
            is_change = request.environ["REQUEST_METHOD"] == "POST"
            if is_change and caller is Caller.COOKIE and not request.is_of_this_site:
                return Answer.of_text(403)
            return page(request)

        return answer

    def _refused(self, request: Request, status: int) -> Answer:
        if request.path.endswith(".json"):
            return Answer.of_text(status)._replace(more=[("WWW-Authenticate", "Bearer")])
        back = f"{request.path}?{request.query_string}" if request.query_string else request.path
        return self._login_page(back, status)

    def _login_page(self, back: str, status: int = 200, error: str = "") -> Answer:
        if status == 429:
            error = "There were too many wrong tokens. Try again in a minute."
        more = [("WWW-Authenticate", "Bearer")] if status == 401 else []
        return Answer.of_page(login_page(_way_back(back), error, self._version()), status, more)

    def _form(self, request: Request) -> Answer:
        return self._login_page(request.query.get("back", ""))

    def _login(self, request: Request) -> Answer:
        back = _way_back(request.form.get("back", ""))
        if not request.is_of_this_site:
            return Answer.of_text(403)
        caller = self._access.check(request.form.get("token", "").strip())
        if caller in _STATUS_OF_REFUSAL:
            return self._login_page(
                back, _STATUS_OF_REFUSAL[caller], "This is not the token of this listener."
            )
        return Answer.see_other(back, [_cookie(request, self._access.new_cookie(), LIFETIME)])

    def _logout(self, request: Request) -> Answer:
        if not request.is_of_this_site:
            return Answer.of_text(403)
        return Answer.see_other(FOLDER.rstrip("/"), [_cookie(request, "", 0)])

    # -- sessions --------------------------------------------------------------------------------

    def _table(self, request: Request) -> Answer:
        return Answer.of_page(table_page(self._find(request), self._version()))

    def _table_document(self, request: Request) -> Answer:
        return _json(self._find(request))

    def _find(self, request: Request) -> Document:
        """The sessions of all workers that match ``q``, those after the connection ``after``."""
        words = request.query.get("q", "").strip()[:_WORDS]
        after = _number(request.query.get("after", ""))
        query = {"ask": "sessions", "words": words, "after": after, "count": PAGE + 1}
        answers = self._exchange.ask_all(query)
        lines = chain.from_iterable(answer["sessions"] for answer in answers.found)
        shown: list[Document] = sorted(lines, key=lambda line: int(line["connection"]))[: PAGE + 1]
        return {
            "words": words,
            "after": after,
            "sessions": shown[:PAGE],
            "matching": sum(answer["matching"] for answer in answers.found),
            "next": shown[PAGE - 1]["connection"] if len(shown) > PAGE else None,
            "silent_workers": answers.silent,
        }

    def _session(self, request: Request) -> Answer:
        connection = _number(request.query.get("id", ""))
        found, silent = self._facts(connection)
        error = "This worker already traces as many sessions as it may." if "busy" in request.query else ""
        markup = session_page(connection, found, silent, error, self._version(), time.time())
        return Answer.of_page(markup, 200 if found is not None else 404)

    def _session_document(self, request: Request) -> Answer:
        found, silent = self._facts(_number(request.query.get("id", "")))
        if found is not None:
            return _json(found)
        return Answer.of_text(503 if silent else 404)

    def _facts(self, connection: int) -> tuple[Document | None, list[int]]:
        """(What the worker of a connection knows of it, None if no worker does; the silent workers)."""
        answers = self._exchange.ask_all({"ask": "session", "connection": connection})
        return _first(answers), answers.silent

    def _trace(self, request: Request) -> Answer:
        connection = _number(request.form.get("id", ""))
        seconds = min(_number(request.form.get("seconds", "")), LONGEST_TRACE)
        query = {"ask": "trace", "connection": connection, "seconds": seconds}
        answer = _first(self._exchange.ask_all(query)) or {}
        busy = {"busy": 1} if "busy" in answer else {}
        return Answer.see_other(f"{FOLDER}session?{urlencode({'id': connection, **busy})}")


def _first(answers: Answers) -> Document | None:
    return next(filter(None, answers.found), None)


def _number(text: str) -> int:
    """A number in a query or a form; 0 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0


def _way_back(path: str) -> str:
    """A path of these pages to return to after the login; never an address of another host."""
    is_ours = path.startswith(FOLDER + "session") and path.isascii() and path.isprintable()
    return path if is_ours else _SESSIONS


def _json(document: Any) -> Answer:
    return Answer(200, json.dumps(document, indent=1).encode(), _JSON)


def _cookie(request: Request, value: str, seconds: int) -> tuple[str, str]:
    """``Secure`` only behind a proxy with TLS: a browser would not send it to this listener otherwise."""
    secure = "; Secure" if request.field("X-Forwarded-Proto").lower() == "https" else ""
    path = FOLDER.rstrip("/")
    fields = f"Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
    return "Set-Cookie", f"{COOKIE}={value}; {fields}"
