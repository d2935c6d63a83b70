from __future__ import annotations

import pytest

from wsgw.config.erlang_scanner import BadSyntax, Scanner, TokenKind


def _tokens(text: str) -> list[tuple[TokenKind, object]]:
    scanner = Scanner(text)
    found: list[tuple[TokenKind, object]] = []
    while (token := scanner.next_token()).kind is not TokenKind.END:
        found.append((token.kind, token.value))
    return found


def test_a_term_is_split_into_tokens() -> None:
    assert _tokens("{a, 'B', 1.5, 7}. % end") == [
        (TokenKind.PUNCTUATION, "{"),
        (TokenKind.ATOM, "a"),
        (TokenKind.PUNCTUATION, ","),
        (TokenKind.ATOM, "B"),
        (TokenKind.PUNCTUATION, ","),
        (TokenKind.FLOAT, 1.5),
        (TokenKind.PUNCTUATION, ","),
        (TokenKind.INTEGER, 7),
        (TokenKind.PUNCTUATION, "}"),
        (TokenKind.DOT, "."),
    ]


def test_a_dot_ends_a_term_only_before_a_blank_a_comment_or_the_end() -> None:
    assert _tokens("1.") == [(TokenKind.INTEGER, 1), (TokenKind.DOT, ".")]
    assert _tokens("1.%x")[1] == (TokenKind.DOT, ".")
    with pytest.raises(BadSyntax):
        _tokens("a.b")


def test_a_token_knows_its_line() -> None:
    scanner = Scanner('a\n\n"b\nc"\nd')
    tokens = [scanner.next_token() for _ in range(4)]
    assert [(token.line, token.last_line) for token in tokens] == [(1, 1), (3, 4), (5, 5), (5, 5)]


@pytest.mark.parametrize("text", ['"abc', "'abc", '"abc\\"', "$", "~", "1#1", "99#1", "16#xyz"])
def test_text_that_is_no_token_is_an_error(text: str) -> None:
    scanner = Scanner(text)
    with pytest.raises(BadSyntax):
        scanner.next_token()
    assert scanner.offset > 0, "the scanner continues after the error"


def test_a_number_with_too_many_digits_is_an_error() -> None:
    with pytest.raises(BadSyntax):
        _tokens("9" * 10_000)
