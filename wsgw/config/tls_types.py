"""Types of option values for the TLS of browsers: its versions and its ciphers.

Whether OpenSSL knows the ciphers is found out by ``net.tls_policy``.
"""

from __future__ import annotations

from typing import ClassVar, Final

from wsgw.config.option_types import Context, one_or_more, parse_each, wrong_type
from wsgw.config.terms import Atom, Misfit, Term, name_of, show, text_of

NO_TLS_1_2: Final = "no_tlsv1_2"
NO_TLS_1_3: Final = "no_tlsv1_3"
NO_TICKET: Final = "no_ticket"
#: Of OpenSSL, and so of ejabberd, but always so in wsgw.
_ALWAYS: Final = (
    "no_sslv2",
    "no_sslv3",
    "no_tlsv1",
    "no_tlsv1_1",
    "no_compression",
    "cipher_server_preference",
    "single_dh_use",
    "single_ecdh_use",
)
_KNOWN: Final = (*_ALWAYS, NO_TLS_1_2, NO_TLS_1_3, NO_TICKET)


class ProtocolOptions:
    """Names of OpenSSL's options, each once: a list of strings, of which each may be several joined by ``|``.

    ejabberd joins the items of its list with ``|``, so its users write both.
    """

    label: ClassVar[str] = 'a list such as ["no_tlsv1_2"], or a string such as "no_tlsv1|no_tlsv1_1"'

    def parse(self, term: Term, context: Context) -> tuple[str, ...]:
        names = [name for each in parse_each(one_or_more(term), self._names) for name in each]
        if NO_TLS_1_2 in names and NO_TLS_1_3 in names:
            reason = f"{NO_TLS_1_2} and {NO_TLS_1_3} leave no version: wsgw has none but TLS 1.2 and 1.3"
            raise Misfit(term.mark, reason)
        return tuple(dict.fromkeys(names))

    def _names(self, term: Term) -> list[str]:
        text = text_of(term)
        if text is None:
            raise wrong_type(term, self.label)
        names = [name.strip() for name in text.split("|")]
        if not set(names).issubset(_KNOWN):
            raise Misfit(term.mark, f"wsgw has no {show(term)}; its options are {', '.join(_KNOWN)}")
        return names


class Ciphers:
    """A list of ciphers as ``openssl ciphers`` reads it."""

    label: ClassVar[str] = "a string of OpenSSL's"

    def parse(self, term: Term, context: Context) -> str:
        # Names such as HIGH look like a macro; of an undefined one ``net.tls_policy`` finds no cipher.
        text = name_of(term) if isinstance(term, Atom) and term.looks_like_macro else text_of(term)
        if not text or not text.isascii() or not text.isprintable():
            raise wrong_type(term, "a string as `openssl ciphers` reads it")
        return text
