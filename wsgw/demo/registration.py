"""In-band registration (XEP-0077): open an account, change its password, close it.

Before the login there is no session: ``stream`` then calls ``open_form`` and ``open_account``.
"""

from __future__ import annotations

from collections.abc import Callable
from xml.etree.ElementTree import Element

from wsgw.demo.accounts import Accounts, prepare
from wsgw.demo.elements import NS_REGISTER, make
from wsgw.demo.session import Session
from wsgw.demo.stanzas import StanzaError, result_reply


class Registration:
    """Handlers for ``jabber:iq:register``.

    ``is_open``: whether a client without an account can open one. ``delete_account`` takes a localpart and
    ends the account's sessions too.
    """

    def __init__(self, accounts: Accounts, is_open: bool, delete_account: Callable[[str], None]) -> None:
        self.is_open = is_open
        self._accounts = accounts
        self._delete_account = delete_account

    def open_form(self) -> Element:
        """The ``<query/>`` that a new user fills in (section 3.1). Raises StanzaError ``not-allowed``."""
        self._require_open()
        return _query(make(NS_REGISTER, "instructions", text="Choose a name and a password."))

    def open_account(self, payload: Element) -> None:
        """Make the account that the ``<query/>`` names (section 3.1).

        Raises StanzaError ``not-allowed``, ``not-acceptable`` or, for a name that is taken, ``conflict``.
        """
        self._require_open()
        name, password = _field(payload, "username"), _field(payload, "password")
        localpart = prepare(name)
        if localpart is None or not password:
            raise StanzaError("not-acceptable", "A name and a password are needed.")
        if localpart in self._accounts:
            raise StanzaError("conflict", "The name is taken.")
        self._accounts.set_password(localpart, password)

    def form(self, session: Session, iq: Element, payload: Element) -> Element:
        """The ``<query/>`` of a user who has an account (section 3.1)."""
        username = make(NS_REGISTER, "username", text=session.localpart)
        return make(
            NS_REGISTER,
            "query",
            None,
            make(NS_REGISTER, "registered"),
            username,
            make(NS_REGISTER, "password"),
        )

    def submit(self, session: Session, iq: Element, payload: Element) -> None:
        """Change the password (section 3.3) or close the account (section 3.2).

        Raises StanzaError ``bad-request``, ``not-allowed`` or ``not-acceptable``.
        """
        if payload.find(f"{{{NS_REGISTER}}}remove") is not None:
            if len(payload) != 1:
                raise StanzaError("bad-request", "Nothing goes with a removal.")
            # Deleting the account ends this session too, so the answer goes first.
            session.deliver(result_reply(iq))
            self._delete_account(session.localpart)
            return
        if prepare(_field(payload, "username")) != session.localpart:
            raise StanzaError("not-allowed", "That is not your account.")
        password = _field(payload, "password")
        if not password:
            raise StanzaError("not-acceptable", "A password is needed.")
        self._accounts.set_password(session.localpart, password)

    def _require_open(self) -> None:
        if not self.is_open:
            raise StanzaError("not-allowed", "Registration is closed.")


def _query(instructions: Element) -> Element:
    username, password = make(NS_REGISTER, "username"), make(NS_REGISTER, "password")
    return make(NS_REGISTER, "query", None, instructions, username, password)


def _field(payload: Element, name: str) -> str:
    return payload.findtext(f"{{{NS_REGISTER}}}{name}") or ""
