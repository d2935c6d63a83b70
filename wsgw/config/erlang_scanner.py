"""Tokens of Erlang terms, as ``file:consult/1`` reads them (Erlang Reference Manual, "Data Types").

``erlang_terms`` makes terms of the tokens.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum
from math import isfinite


class TokenKind(Enum):
    """The types of tokens; ``DOT`` ends a term, ``END`` is the end of the file."""

    ATOM = "atom"
    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    PUNCTUATION = "punctuation"
    VARIABLE = "variable"
    DOT = "dot"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """One token; ``start`` is its offset in the text, and lines count from 1."""

    kind: TokenKind
    value: str | int | float
    start: int
    line: int
    #: The line of its end; after ``line`` only for quoted text over several lines.
    last_line: int

    def is_(self, punctuation: str) -> bool:
        return self.kind is TokenKind.PUNCTUATION and self.value == punctuation

    def __str__(self) -> str:
        """The token's name in messages, without the content of a string, which may be a password."""
        match self.kind:
            case TokenKind.DOT:
                return "the '.'"
            case TokenKind.END:
                return "the end of the file"
            case TokenKind.STRING:
                return "a string"
            case TokenKind.PUNCTUATION:
                return f"'{self.value}'"
        return str(self.value)


class BadSyntax(Exception):
    """The text is not an Erlang term at ``line``; ``start`` is the offset of the error."""

    def __init__(self, line: int, reason: str, start: int, unclosed_quote: bool = False) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason
        self.start = start
        self.unclosed_quote = unclosed_quote


_BLANK = re.compile(r"(?:[\x00-\x20\x80-\xa0]+|%[^\n]*)+")
_ATOM = re.compile(r"[a-zß-öø-ÿ][\w@]*")
_VARIABLE = re.compile(r"[A-Z_À-ÖØ-Þ][\w@]*")
_QUOTED = {
    '"': re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL),
    "'": re.compile(r"'[^'\\]*(?:\\.[^'\\]*)*'", re.DOTALL),
}
_BASED = re.compile(r"(\d{1,2})#([0-9A-Za-z_]+)", re.ASCII)
_FLOAT = re.compile(r"\d[\d_]*\.\d[\d_]*(?:[eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"\d[\d_]*", re.ASCII)
_PUNCTUATION = re.compile(r"<<|>>|[{}\[\],|:/+-]")
_DOT = re.compile(r"\.(?=[\x00-\x20\x80-\xa0%]|\Z)")
_ESCAPE = re.compile(r"\\(x\{[0-9a-fA-F]{1,8}\}|x[0-9a-fA-F]{2}|[0-7]{1,3}|\^.|.)", re.DOTALL)
_CHARACTER = re.compile(rf"\$(?:{_ESCAPE.pattern}|[^\\])", re.DOTALL)
_NAMED_ESCAPES = {
    "b": "\b",
    "d": "\x7f",
    "e": "\x1b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "s": " ",
    "t": "\t",
    "v": "\v",
}


class Scanner:
    """Reads the tokens of ``text`` from ``offset``, which the caller may change."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.offset = 0
        self._newlines = [found.start() for found in re.finditer("\n", text)]

    def line_at(self, offset: int) -> int:
        """The line of ``offset``, from 1."""
        return bisect_right(self._newlines, offset - 1) + 1

    def next_line(self, offset: int) -> int:
        """The offset of the line after that of ``offset``."""
        newline = self.text.find("\n", offset)
        return len(self.text) if newline < 0 else newline + 1

    def next_token(self) -> Token:
        """The next token. Raises BadSyntax for text that is not a token, and sets ``offset`` after it."""
        blank = _BLANK.match(self.text, self.offset)
        if blank:
            self.offset = blank.end()
        start = self.offset
        if start >= len(self.text):
            return self._token(TokenKind.END, "", start, start)
        if self.text[start] in _QUOTED:
            return self._quoted(start)
        if self.text[start] == "$":
            return self._character(start)
        if self.text[start].isdecimal() and self.text[start].isascii():
            return self._number(start)
        return self._plain(start)

    def _token(self, kind: TokenKind, value: str | int | float, start: int, end: int) -> Token:
        self.offset = end
        return Token(kind, value, start, self.line_at(start), self.line_at(max(start, end - 1)))

    def _fail(self, start: int, reason: str, end: int, unclosed_quote: bool = False) -> BadSyntax:
        self.offset = end
        return BadSyntax(self.line_at(start), reason, start, unclosed_quote)

    def _plain(self, start: int) -> Token:
        for pattern, kind in (
            (_ATOM, TokenKind.ATOM),
            (_VARIABLE, TokenKind.VARIABLE),
            (_PUNCTUATION, TokenKind.PUNCTUATION),
            (_DOT, TokenKind.DOT),
        ):
            found = pattern.match(self.text, start)
            if found:
                return self._token(kind, found.group(), start, found.end())
        if self.text[start] == ".":
            raise self._fail(start, "a '.' ends a term only before a blank or the end of a line", start + 1)
        raise self._fail(start, f"unexpected character {self.text[start]!r}", start + 1)

    def _quoted(self, start: int) -> Token:
        quote = self.text[start]
        found = _QUOTED[quote].match(self.text, start)
        if not found:
            reason = f"the quote {quote} opened here is never closed"
            raise self._fail(start, reason, len(self.text), unclosed_quote=True)
        value = self._unescaped(found.group()[1:-1], start, found.end())
        return self._token(TokenKind.ATOM if quote == "'" else TokenKind.STRING, value, start, found.end())

    def _character(self, start: int) -> Token:
        found = _CHARACTER.match(self.text, start)
        if not found:
            raise self._fail(start, "'$' without a character", start + 1)
        value = self._unescaped(found.group()[1:], start, found.end())
        return self._token(TokenKind.INTEGER, ord(value), start, found.end())

    def _unescaped(self, text: str, start: int, end: int) -> str:
        if "\\" not in text:
            return text
        try:
            return _ESCAPE.sub(_unescape, text)
        except ValueError as error:
            raise self._fail(start, str(error), end) from error

    def _number(self, start: int) -> Token:
        based = _BASED.match(self.text, start)
        if based:
            return self._integer(start, based.end(), based.group(2), int(based.group(1)))
        fraction = _FLOAT.match(self.text, start)
        if fraction:
            value = float(fraction.group().replace("_", ""))
            if not isfinite(value):
                raise self._fail(start, "the number is out of range", fraction.end())
            return self._token(TokenKind.FLOAT, value, start, fraction.end())
        whole = _INTEGER.match(self.text, start)
        assert whole is not None, "called at a digit"
        return self._integer(start, whole.end(), whole.group(), 10)

    def _integer(self, start: int, end: int, digits: str, base: int) -> Token:
        try:
            if not 2 <= base <= 36:
                raise ValueError(f"no number has base {base}")
            value = int(digits.rstrip("_"), base)
        except ValueError as error:
            raise self._fail(start, f"not a number: {error}", end) from error
        return self._token(TokenKind.INTEGER, value, start, end)


def _unescape(found: re.Match[str]) -> str:
    escape = found.group(1)
    if escape[0] == "x" and len(escape) > 1:
        return _character_of(int(escape[1:].strip("{}"), 16))
    if escape[0] in "01234567":
        return chr(int(escape, 8))
    if escape[0] == "^" and len(escape) > 1:
        return chr(ord(escape[1]) & 31)
    return _NAMED_ESCAPES.get(escape, escape)


def _character_of(code: int) -> str:
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise ValueError(f"there is no character \\x{{{code:x}}}")
    return chr(code)
