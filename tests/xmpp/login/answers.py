"""The server's elements in a login, and a login that gets them."""

from __future__ import annotations

from wsgw.stanzas.parser import expanded_name
from wsgw.xmpp.login import Login

ROOT = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
IQ = expanded_name("jabber:client", "iq")
SASL = expanded_name("urn:ietf:params:xml:ns:xmpp-sasl", "success")
SASL2 = expanded_name("urn:xmpp:sasl:2", "success")
CONTINUE = expanded_name("urn:xmpp:sasl:2", "continue")


def told(name: str, element: str, login: Login | None = None) -> Login:
    login = login or Login()
    login.from_server(name, ROOT, element.encode())
    return login


def result(content: str, attributes: str = "type='result' id='b'") -> str:
    return f"<iq {attributes}>{content}</iq>"


def nothing_is_known(login: Login) -> bool:
    return (login.succeeded, login.jid, login.over, login.resumable) == (False, "", False, False)
