"""Reads a file of Erlang terms, each ended by a dot, as ``file:consult/1`` does.

Reading continues after an error, so that one run shows all errors: at the same place after a missing or
superfluous comma, otherwise after the next dot.
"""

from __future__ import annotations

from collections.abc import Sequence

from wsgw.config.erlang_scanner import BadSyntax, Scanner, Token, TokenKind
from wsgw.config.terms import MAX_DEPTH, Atom, ListTerm, Mark, Number, Problems, Term, Text, TupleTerm

#: Errors reported for one file: a file that is no configuration must not fill the screen.
_MAX_SYNTAX_PROBLEMS = 50

#: Characters of a variable in a message: fewer than a token has.
_LONGEST_SHOWN = 15

_CLOSERS = {"{": "}", "[": "]", "<<": ">>"}


def read_erlang(text: str, file: str, problems: Problems) -> list[Term]:
    """The terms of ``text``; its errors go to ``problems``, with ``file`` as the name of the file."""
    return _Reader(text, file, problems).read()


class _Reader:
    def __init__(self, text: str, file: str, problems: Problems) -> None:
        self._scanner = Scanner(text)
        self._file = file
        self._problems = problems
        self._found = 0
        #: Small errors in this term; dropped if they turn out to be inside a string.
        self._notes: list[tuple[int, str]] = []
        self._ahead: Token | None = None
        self._last_line = 1
        #: The first quoted token of this term that spans lines: its closing quote may be missing.
        self._suspect: Token | None = None

    def read(self) -> list[Term]:
        terms: list[Term] = []
        while self._found < _MAX_SYNTAX_PROBLEMS:
            self._suspect = None
            try:
                if self._peek().kind is TokenKind.END:
                    break
                term = self._term(0)
                terms.append(term)
                self._finish(term)
            except BadSyntax as error:
                self._recover(error)
            self._report_notes()
        return terms

    # Tokens

    def _peek(self) -> Token:
        if self._ahead is None:
            self._ahead = self._scanner.next_token()
            if self._ahead.last_line > self._ahead.line and self._suspect is None:
                self._suspect = self._ahead
        return self._ahead

    def _next(self) -> Token:
        token = self._peek()
        self._ahead = None
        self._last_line = token.last_line
        return token

    def _accept(self, punctuation: str) -> bool:
        if self._peek().is_(punctuation):
            self._next()
            return True
        return False

    def _mark(self, token: Token) -> Mark:
        return Mark(self._file, token.line)

    # Mistakes

    def _note(self, line: int, reason: str) -> None:
        self._notes.append((line, reason))

    def _report_notes(self) -> None:
        for line, reason in self._notes:
            self._problems.add(Mark(self._file, line), reason)
        self._found += len(self._notes)
        self._notes.clear()

    def _recover(self, error: BadSyntax) -> None:
        """Report ``error``, and continue after the next dot."""
        suspect_start = error.start if error.unclosed_quote else None
        if self._suspect is not None:
            suspect_start = self._suspect.start
        self._ahead = None if suspect_start is not None else self._ahead
        if suspect_start is None:
            self._note(error.line, error.reason)
            self._skip_to_dot()
            return
        line = self._scanner.line_at(suspect_start)
        self._notes = [note for note in self._notes if note[0] < line]
        self._note(line, "a quote opened on this line is not closed on it")
        resume = self._scanner.next_line(suspect_start)
        opened = self._scanner.text[suspect_start:resume]
        self._scanner.offset = resume
        if not opened.partition("%")[0].rstrip().endswith("."):
            self._skip_to_dot()

    def _skip_to_dot(self) -> None:
        self._suspect = None
        while True:
            try:
                if self._next().kind in (TokenKind.DOT, TokenKind.END):
                    return
            except BadSyntax as error:
                self._ahead = None
                if error.unclosed_quote:
                    self._scanner.offset = self._scanner.next_line(error.start)

    # Terms

    def _finish(self, term: Term) -> None:
        """Read the dot after a term."""
        last_line = self._last_line
        token = self._peek()
        if token.kind is TokenKind.DOT:
            self._next()
        elif (token.is_("{") and token.line > last_line) or token.kind is TokenKind.END:
            self._note(last_line, "missing '.' after this term")
        else:
            raise BadSyntax(token.line, f"expected '.' after the term, found {token}", token.start)

    def _term(self, depth: int) -> Term:
        token = self._next()
        if depth > MAX_DEPTH:
            raise BadSyntax(token.line, f"nested more than {MAX_DEPTH} deep", token.start)
        match token.kind:
            case TokenKind.ATOM:
                return Atom(str(token.value), self._mark(token))
            case TokenKind.STRING:
                return Text(self._adjacent_strings(token), self._mark(token))
            case TokenKind.INTEGER | TokenKind.FLOAT:
                assert not isinstance(token.value, str)
                return Number(token.value, self._mark(token))
            case TokenKind.PUNCTUATION:
                return self._compound(token, depth)
            case TokenKind.VARIABLE:
                raise BadSyntax(token.line, _variable(str(token)), token.start)
        raise self._unexpected(token)

    def _unexpected(self, token: Token) -> BadSyntax:
        if token.kind in (TokenKind.DOT, TokenKind.END):
            self._ahead = token  # so that skipping stops at this dot
        return BadSyntax(token.line, f"expected a term, found {token}", token.start)

    def _adjacent_strings(self, first: Token) -> str:
        parts = [str(first.value)]
        while self._peek().kind is TokenKind.STRING:
            parts.append(str(self._next().value))
        return "".join(parts)

    def _compound(self, token: Token, depth: int) -> Term:
        match token.value:
            case "{":
                items, _ = self._sequence(token, depth)
                return TupleTerm(tuple(items), self._mark(token))
            case "[":
                return self._list(token, depth)
            case "<<":
                return self._binary(token)
            case "-" | "+":
                return self._signed(token)
        raise self._unexpected(token)

    def _list(self, token: Token, depth: int) -> Term:
        items, tail = self._sequence(token, depth)
        if isinstance(tail, ListTerm):  # [a | [b, c]] is [a, b, c]
            items, tail = [*items, *tail.items], tail.tail
        return ListTerm(tuple(items), self._mark(token), tail)

    def _sequence(self, opener: Token, depth: int) -> tuple[list[Term], Term | None]:
        """The items up to the closing bracket, and the tail of an improper list."""
        closer = _CLOSERS[str(opener.value)]
        items: list[Term] = []
        if self._accept(closer):
            return items, None
        while True:
            items.append(self._term(depth + 1))
            if closer == "]" and self._accept("|"):
                tail = self._term(depth + 1)
                if not self._accept(closer):
                    raise self._unclosed(opener, closer)
                return items, tail
            if self._sequence_ends(opener, closer):
                return items, None

    def _sequence_ends(self, opener: Token, closer: str) -> bool:
        """After an item, read the comma or the closing bracket; returns whether it was the bracket."""
        if self._accept(closer):
            return True
        token = self._peek()
        if self._accept(","):
            if not self._peek().is_(closer):
                return False
            self._note(token.line, f"superfluous ',' before '{closer}'")
            self._next()
            return True
        if token.kind in (TokenKind.ATOM, TokenKind.STRING, TokenKind.INTEGER, TokenKind.FLOAT) or token.is_(
            "{"
        ):
            self._note(token.line, f"missing ',' before {token}")
            return False
        raise self._unclosed(opener, closer)

    def _unclosed(self, opener: Token, closer: str) -> BadSyntax:
        token = self._peek()
        opened = f"the {opener} of line {opener.line}"
        if token.kind in (TokenKind.DOT, TokenKind.END):
            return BadSyntax(token.line, f"{opened} is not closed before {token}", token.start)
        return BadSyntax(token.line, f"expected ',' or '{closer}' for {opened}, found {token}", token.start)

    def _signed(self, sign: Token) -> Term:
        token = self._next()
        if token.kind not in (TokenKind.INTEGER, TokenKind.FLOAT):
            raise BadSyntax(token.line, f"expected a number after {sign}, found {token}", token.start)
        assert not isinstance(token.value, str)
        return Number(-token.value if sign.value == "-" else token.value, self._mark(sign))

    def _binary(self, opener: Token) -> Term:
        """A binary after its ``<<``: ``"text", 10, "more"/utf8>>``; sizes in bits are not supported."""
        segments: list[str | int] = []
        while not self._accept(">>"):
            token = self._next()
            octet = token.kind is TokenKind.INTEGER and 0 <= int(token.value) <= 255
            if token.kind is not TokenKind.STRING and not octet:
                raise BadSyntax(token.line, f"expected strings or bytes in <<>>, found {token}", token.start)
            segments.append(token.value if isinstance(token.value, str) else int(token.value))
            if self._accept("/"):
                self._next()
            if not self._accept(",") and not self._peek().is_(">>"):
                raise self._unclosed(opener, ">>")
        return Text(_binary_text(segments), self._mark(opener))


def _binary_text(segments: Sequence[str | int]) -> str:
    """The text of a binary: strings unchanged; runs of byte values as UTF-8, or Latin-1 if that fails."""
    text, run = "", bytearray()
    for segment in [*segments, ""]:
        if isinstance(segment, int):
            run.append(segment)
            continue
        text += _decoded(run) + segment
        run.clear()
    return text


def _decoded(octets: bytearray) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def _variable(name: str) -> str:
    """The message about a variable. A long one that is no macro's name may be a secret without its quotes."""
    if len(name) > _LONGEST_SHOWN and not name.isupper():
        return "a variable is here; a name in capitals needs single quotes, a string double quotes"
    return f"{name} is a variable here; a name in capitals needs single quotes: '{name}'"
