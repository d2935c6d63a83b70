"""The forms of placeholders in templates; replaces bare ones by strings, so that a file can be parsed.

These are the forms of scripts (``@@X@@``, ``@X@``, ``__X__``, ``%X%``, ``<X>``), of the environment
(``${X}``, ``$X``, ``$(X)``), of Jinja, Mustache and Go (``{{ x }}``, ``{% ... %}``), of ERB (``<%= x %>``)
and of Python (``%(x)s``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

#: Placeholders reported for one file: a file that is no configuration must not fill the screen.
_MAX_FOUND: Final = 50
#: The length of a placeholder at most; it also bounds the search in a file that is no configuration.
_SHORT: Final = "{0,100}"
_LONG: Final = "{0,200}"
_NAME: Final = rf"[A-Za-z_][\w.-]{_SHORT}"
#: Parts of a template that give no value: they are removed.
_STATEMENT: Final = "|".join(
    (
        rf"\{{%-?\s?[a-z_][^\n]{_LONG}?%\}}",
        rf"<%(?!=)[^\n]{_LONG}?%>",
        rf"\{{\#[^\n]{_LONG}?\#\}}",
        rf"\{{\{{[\#/^!>][^{{}}\n]{_LONG}\}}\}}",
    )
)
_VALUE: Final = "|".join(
    (
        rf"@@{_NAME}@@",
        rf"@{_NAME}@",
        rf"\{{\{{\{{[^{{}}\n]{_LONG}\}}\}}\}}",
        # Not a tuple in a tuple, where a comma follows the first item.
        rf"\{{\{{-?[ ]?(?!{_NAME}[ ]?,)[.$]?[A-Za-z_][^{{}}\n]{_LONG}\}}\}}",
        rf"<%=[^\n]{_LONG}?%>",
        rf"\$\{{[A-Za-z_]\w{_SHORT}(?::?[-=?][^{{}}\n]{_LONG})?\}}",
        rf"\$\([A-Za-z_]\w{_SHORT}\)",
        r"\$[A-Z_][A-Z0-9_]+",
        rf"%\([A-Za-z_]\w{_SHORT}\)[sd]",
        rf"%[A-Z_][A-Z0-9_]{_SHORT}%",
        rf"\b__[A-Za-z][A-Za-z0-9_]{_SHORT}?__\b",
        rf"(?<!<)<[A-Za-z][\w .-]{_SHORT}>(?!>)",
    )
)
_IN_TEXT: Final = re.compile(f"{_STATEMENT}|{_VALUE}")
_SKIPPED_IN_ERLANG: Final = r"%[^\n]*|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|\$(?:\\.|[^\\{(A-Z_])"
_SKIPPED_IN_YAML: Final = r"(?:^|(?<=\s))\#[^\n]*|\"(?:\\.|[^\"\\\n])*\"|(?<![^\s,\[{:])'(?:''|[^'\n])*'"
_BARE: Final = {
    yaml: re.compile(f"(?P<statement>{_STATEMENT})|(?P<value>{_VALUE})|{skipped}", re.MULTILINE)
    for yaml, skipped in ((False, _SKIPPED_IN_ERLANG), (True, _SKIPPED_IN_YAML))
}


def in_text(text: str) -> Iterator[str]:
    """The placeholders in ``text``."""
    yield from (found.group() for found in _IN_TEXT.finditer(text))


def fill(text: str, yaml: bool) -> tuple[str, list[tuple[int, str]]]:
    """(``text`` without bare placeholders, [(line, placeholder)]).

    A placeholder for a value is replaced by a string that contains it, a statement of the template by blanks;
    line numbers stay the same.
    """
    found: list[tuple[int, str]] = []

    def replaced(match: re.Match[str]) -> str:
        if (match["statement"] is None and match["value"] is None) or len(found) == _MAX_FOUND:
            return match.group()
        found.append((text.count("\n", 0, match.start()) + 1, match.group()))
        if match["statement"] is not None:
            return " " * len(match.group())
        return '"' + match.group().replace("\\", "\\\\").replace('"', '\\"') + '"'

    return _BARE[yaml].sub(replaced, text), found
