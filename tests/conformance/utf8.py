"""Family 6: text is UTF-8 (RFC 6455 section 8.1), checked by RFC 3629's grammar at the first wrong octet.

Every octet sequence is sent in three ways: in one frame, octet by octet, and one octet per fragment. In the
last two an invalid sequence ends at its first wrong octet: the failure must come without another one.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.conformance.script import (
    CONTINUATION,
    TEXT,
    Case,
    Frame,
    Pause,
    Step,
    bad_text,
    echo,
    fragments,
    more,
    text,
)

_TAIL = (0x80, 0xBF)
#: RFC 3629 section 4: the first octets, and the bounds of each following octet.
_GRAMMAR: tuple[tuple[range, tuple[tuple[int, int], ...]], ...] = (
    (range(0x80), ()),
    (range(0xC2, 0xE0), (_TAIL,)),
    (range(0xE0, 0xE1), ((0xA0, 0xBF), _TAIL)),
    (range(0xE1, 0xED), (_TAIL, _TAIL)),
    (range(0xED, 0xEE), ((0x80, 0x9F), _TAIL)),
    (range(0xEE, 0xF0), (_TAIL, _TAIL)),
    (range(0xF0, 0xF1), ((0x90, 0xBF), _TAIL, _TAIL)),
    (range(0xF1, 0xF4), (_TAIL, _TAIL, _TAIL)),
    (range(0xF4, 0xF5), ((0x80, 0x8F), _TAIL, _TAIL)),
)


def fault(payload: bytes) -> int | None:
    """The index of the first wrong octet, the length if the end is missing, None for valid text."""
    position = 0
    while position < len(payload):
        bounds = next((tails for firsts, tails in _GRAMMAR if payload[position] in firsts), None)
        if bounds is None:
            return position
        for low, high in bounds:
            position += 1
            if position == len(payload) or not low <= payload[position] <= high:
                return position
        position += 1
    return None


#: Octets after those that must be refused without them.
_WITHHELD = 10


def _octet_wise(payload: bytes, broken_at: int | None) -> Frame:
    if broken_at is None or broken_at == len(payload):
        return text(payload)
    return text(payload[: broken_at + 1], withheld=_WITHHELD)


def _octet_fragments(payload: bytes, broken_at: int | None) -> tuple[Frame, ...]:
    sent = payload if broken_at is None else payload[: broken_at + 1]
    octets = [sent[index : index + 1] for index in range(len(sent))]
    if broken_at is None or broken_at == len(payload):
        return fragments(*octets)
    return tuple(
        Frame(CONTINUATION if index else TEXT, octet, fin=False) for index, octet in enumerate(octets)
    )


def _three_ways(group: int, number: int, title: str, payload: bytes) -> Iterator[Case]:
    broken_at = fault(payload)
    end = echo(payload) if broken_at is None else bad_text()
    case = Case(f"6.{group}.{number}", "8.1", title, (text(payload), end))
    yield case
    yield case.renumbered("octets", "octet by octet", script=(_octet_wise(payload, broken_at), end), chop=1)
    pieces = _octet_fragments(payload, broken_at)
    if len(payload) > 1:
        yield case.renumbered("fragments", "one octet per fragment", script=(*pieces, end))


# -- the sequences -----------------------------------------------------------------------------------

_KOSME = "κόσμε".encode()
_BAD = _KOSME + b"\xed\xa0\x80" + b"edited"
_VALID = "Hello-µ@ßöäüàá-UTF-8!!".encode()

#: Each group: (number, kind of its sequences, (title, octets)...).
_Sequence = tuple[str, bytes]
_PLANES = [plane << 16 | low for plane in range(17) for low in (0xFFFE, 0xFFFF)]


def _hex(octets: bytes) -> str:
    return octets.hex(" ")


def _named(name: str, *sequences: str) -> list[_Sequence]:
    octets = [bytes.fromhex(sequence) for sequence in sequences]
    return [(f"{name}: {_hex(each)}", each) for each in octets]


def _lonely(first: int, last: int) -> _Sequence:
    octets = b"".join(bytes((octet, 0x20)) for octet in range(first, last + 1))
    return f"first octets {first:02x} to {last:02x}, each before a space", octets


_MISSING_LAST = (
    "c0",
    "e080",
    "f08080",
    "f8808080",
    "fc80808080",
    "df",
    "efbf",
    "f7bfbf",
    "fbbfbfbf",
    "fdbfbfbfbf",
)

_GROUPS: dict[int, list[_Sequence]] = {
    5: [
        ("greek text", _KOSME),
        ("latin text with umlauts", _VALID),
        ("two, three and four octets mixed", "¢€𝄞ह한𐍈".encode()),
        ("right-to-left text", "שלום עולם مرحبا".encode()),
        ("emoji with joiners", "👩‍👩‍👧‍👦🏳️‍🌈".encode()),
    ],
    6: [(f"the first {size} octets of a greek word", _KOSME[:size]) for size in range(1, len(_KOSME) + 1)],
    7: _named("first sequence of its length", "00", "c280", "e0a080", "f0908080"),
    8: _named("first sequence of a length beyond four", "f888808080", "fc8480808080"),
    9: _named("last sequence of its length", "7f", "dfbf", "efbfbf", "f48fbfbf"),
    10: _named("last sequence beyond U+10FFFF", "f7bfbfbf", "fbbfbfbfbf", "fdbfbfbfbfbf"),
    11: _named("at a border", "ed9fbf", "ee8080", "efbfbd", "f48fbfbf", "f4908080"),
    12: [
        *_named("continuation octets without a first", "80", "bf"),
        *((f"{size} continuation octets without a first", (b"\x80\xbf" * 4)[:size]) for size in range(2, 8)),
        ("every continuation octet, without a first", bytes(range(0x80, 0xC0))),
    ],
    13: [_lonely(first, last) for first, last in
         ((0xC0, 0xDF), (0xE0, 0xEF), (0xF0, 0xF7), (0xF8, 0xFB), (0xFC, 0xFD))],
    14: _named("last octet missing", *_MISSING_LAST),
    15: [("all sequences without their last octet in a row", bytes.fromhex("".join(_MISSING_LAST)))],
    16: _named("unused octets", "fe", "ff", "fefeffff"),
    17: _named("overlong slash", "c0af", "e080af", "f08080af", "f8808080af", "fc80808080af"),
    18: _named("longest overlong of its length", "c1bf", "e09fbf", "f08fbfbf", "f887bfbfbf", "fc83bfbfbfbf"),
    19: _named("overlong NUL", "c080", "e08080", "f0808080", "f880808080", "fc8080808080"),
    20: _named("surrogate", "eda080", "edadbf", "edae80", "edafbf", "edb080", "edbe80", "edbfbf"),
    21: _named("surrogate pair", "eda080edb080", "eda080edbfbf", "edadbfedb080", "edadbfedbfbf",
               "edae80edb080", "edae80edbfbf", "edafbfedb080", "edafbfedbfbf"),
    22: [
        *((f"non-character U+{point:04X}", chr(point).encode()) for point in _PLANES),
        *((f"non-character U+{point:04X}", chr(point).encode()) for point in (0xFDD0, 0xFDEF)),
    ],
    23: [(f"special U+{point:04X}", chr(point).encode()) for point in range(0xFFF9, 0x10000)],
    24: _named("second octet at its bound", "c1bf", "c280", "e09fbf", "e0a080", "ed9fbf", "eda080",
               "f08fbfbf", "f0908080", "f48fbfbf", "f4908080", "f5808080"),
    25: _named("valid text, an invalid octet, valid text",
               "6162ff6364", "c3a9c03f61", "e282ac8061", "f09d849ef561"),
    26: _named("character interrupted by a valid one",
               "c361", "e28261", "f09d8461", "e2c3a9", "f09df09d849e"),
}  # fmt: skip


def _sequences() -> Iterator[Case]:
    for group, sequences in _GROUPS.items():
        for number, (title, payload) in enumerate(sequences, 1):
            yield from _three_ways(group, number, title, payload)


# -- the dialogues -----------------------------------------------------------------------------------


def _empty() -> Iterator[Case]:
    yield Case("6.1.1", "8.1", "empty text", (text(b""), text(b"x"), echo(b""), echo(b"x")))
    empty: tuple[Step, ...] = (*fragments(b"", b"", b""), text(b"x"), echo(b""), echo(b"x"))
    yield Case("6.1.2", "5.4", "empty text in three fragments", empty)
    yield Case("6.1.3", "5.4", "empty fragments around text", (*fragments(b"", b"text", b""), echo(b"text")))


def _good() -> Iterator[Case]:
    yield Case("6.2.1", "8.1", "valid text in one frame", (text(_VALID), echo(_VALID)))
    yield Case("6.2.2", "8.1", "cut between characters", (*fragments(_VALID[:8], _VALID[8:]), echo(_VALID)))
    for number, place in enumerate((7, 11, 13), 3):
        pieces = fragments(_VALID[:place], _VALID[place:])
        yield Case(f"6.2.{number}", "8.1", f"cut after octet {place}", (*pieces, echo(_VALID)))
    octets = fragments(*(_VALID[index : index + 1] for index in range(len(_VALID))))
    yield Case("6.2.6", "8.1", "one octet per fragment", (*octets, echo(_VALID)))
    yield Case("6.2.7", "8.1", "one octet per fragment and per write", (*octets, echo(_VALID)), 1)
    astral = "𝄞".encode()
    for place in (1, 2, 3):
        pieces = fragments(astral[:place], astral[place:])
        title = f"a character of four octets cut after octet {place}"
        yield Case(f"6.2.{7 + place}", "8.1", title, (*pieces, echo(astral)))


def _bad() -> Iterator[Case]:
    yield Case("6.3.1", "8.1", "invalid text in one frame", (text(_BAD), bad_text()))
    octets = fragments(*(_BAD[index : index + 1] for index in range(len(_BAD))))
    yield Case("6.3.2", "8.1", "invalid text, one octet per fragment", (*octets, bad_text()))
    yield Case(
        "6.3.3", "8.1", "valid text, then invalid text", (text(_KOSME), echo(_KOSME), text(_BAD), bad_text())
    )


def _fail_fast() -> Iterator[Case]:
    beyond = _KOSME + b"\xf4\x90"
    surrogate = _KOSME + b"\xed\xa0"
    for first, bad, name in ((1, beyond, "beyond U+10FFFF"), (6, surrogate, "surrogate")):
        head, octet = bad[:-1], bad[-1:]

        scripts: tuple[tuple[str, int, tuple[Frame | Pause, ...]], ...] = (
            ("refused when its fragment is complete", 0, (text(bad, fin=False),)),
            (
                "refused in the fragment with the invalid octet",
                0,
                (text(head, fin=False), Pause(), more(octet)),
            ),
            ("refused before its frame is complete", 0, (text(bad, withheld=100),)),
            ("refused in the write with the invalid octet", 1, (text(bad, fin=False, withheld=100),)),
            (
                "refused in an incomplete continuation",
                0,
                (text(head, fin=False), Pause(), more(octet, withheld=9)),
            ),
        )
        for number, (title, chop, script) in enumerate(scripts, first):
            yield Case(f"6.4.{number}", "8.1", f"{name}: {title}", (*script, bad_text()), chop)


CASES = (*_empty(), *_good(), *_bad(), *_fail_fast(), *_sequences())
