"""Family 7: the closing handshake (RFC 6455 sections 5.5.1, 7.1 and 7.4)."""

from __future__ import annotations

from collections.abc import Iterator

from tests.conformance.script import (
    TEXT,
    Case,
    End,
    Fin,
    Frame,
    Pause,
    ServerCloses,
    Silence,
    Sized,
    Step,
    bad_text,
    binary,
    close,
    closed,
    echo,
    echo_sized,
    fails,
    more,
    ping,
    ponged,
    text,
)

#: Section 7.4.1 and the registry of section 11.7: the codes for endpoints, and the ranges for applications.
GOOD_CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)
#: Unused, reserved, not to be sent, or outside of every range (section 7.4.2).
BAD_CODES = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999)
#: Above the codes with a meaning in section 7.4.2.
FAR_CODES = (5000, 9999, 65535)


def _order() -> Iterator[Case]:
    def case(number: int, title: str, *script: Step, section: str = "5.5.1", chop: int = 0) -> Case:
        return Case(f"7.1.{number}", section, title, script, chop)

    yield case(1, "Close after an echoed text", text(b"Hello"), echo(b"Hello"), close(), closed())
    yield case(2, "two Closes, one answer", close(), close(), closed())
    yield case(3, "ping after the Close, no pong", close(), ping(), closed())
    yield case(4, "text after the Close, no echo", close(), text(b"late"), closed())
    yield case(5, "Close inside a fragmented text, its rest ignored", text(b"a", fin=False), close(),
               more(b"b", fin=True), closed())  # fmt: skip
    message = Sized(TEXT, 256 * 1024)
    yield case(6, "text of 256 KiB, Close, ping", message, echo_sized(message), close(), ping(), closed())
    yield case(7, "Close, one octet per write", close(1000, b"bye"), closed(), chop=1)
    yield case(8, "a violation after the Close is ignored", close(), Frame(3, b"x"), closed())
    yield case(9, "invalid UTF-8 after the Close is ignored", close(), text(b"\xff"), closed())
    yield case(10, "text, ping and Close in one write", text(b"a"), ping(b"p"), close(), echo(b"a"),
               ponged(b"p"), closed())  # fmt: skip
    yield case(11, "the server ends TCP without waiting for the client", close(), closed(), section="7.1.1")
    yield case(12, "Close as the first frame of the connection", close(1001), closed(1001))
    yield case(13, "TCP ends without a Close: no answer to it", text(b"a"), echo(b"a"), Fin(), End(0),
               section="7.1.5")  # fmt: skip
    yield case(14, "TCP ends inside a frame", text(b"a", withheld=5), Fin(), End(0), section="7.1.5")
    yield case(15, "TCP ends inside a fragmented text", text(b"a", fin=False), Fin(), End(0), section="7.1.5")
    yield case(16, "Close, then TCP ends: still answered", close(), Fin(), closed())


def _started_by_the_server() -> Iterator[Case]:
    def case(number: int, title: str, *script: Step) -> Case:
        return Case(f"7.2.{number}", "7.1.1", title, (ServerCloses(), *script))

    yield case(1, "the server's Close is answered: TCP ends", close(), End(0))
    yield case(2, "the server waits for the client's Close", Silence(), close(), End(0))
    yield case(3, "texts and pings before the client's Close are not answered", text(b"late"), ping(b"late"),
               Silence(), close(), End(0))  # fmt: skip
    yield case(4, "the rest of a message before the client's Close", text(b"a", fin=False), Pause(),
               more(b"b", fin=True), Silence(), close(), End(0))  # fmt: skip
    yield case(5, "an invalid frame instead of the client's Close: no second Close", Frame(3), End(0))
    yield case(6, "invalid UTF-8 instead of the client's Close: no second Close", text(b"\xff"), End(0))
    yield case(7, "TCP ends instead of the client's Close", Fin(), End(0))
    yield case(8, "another code in the client's Close", close(4000, b"mine"), End(0))


def _bodies() -> Iterator[Case]:
    def case(
        number: int, title: str, frame: Frame, end: End, *, section: str = "5.5.1", chop: int = 0
    ) -> Case:
        return Case(f"7.3.{number}", section, title, (frame, end), chop)

    yield case(1, "empty Close counts as 1000", close(None), closed())
    yield case(2, "body of one octet", close(None, b"\x03"), fails())
    yield case(3, "code alone", close(1000), closed())
    yield case(4, "code and reason", close(1000, b"Hello, world!"), closed())
    yield case(5, "reason of 123 octets", close(1000, b"*" * 123), closed())
    yield case(6, "reason of 124 octets", close(1000, b"*" * 124), fails(), section="5.5")
    yield case(7, "reason in UTF-8", close(1000, "κόσμε 𝄞".encode()), closed())
    yield case(8, "reason of 123 octets, one octet per write", close(1000, b"*" * 123), closed(), chop=1)
    yield case(9, "fragmented Close", Frame(8, b"\x03\xe8", fin=False), fails(), section="5.4")
    yield case(10, "Close of 65536 octets, refused before they arrive", Frame(8, withheld=65536), fails(),
               section="5.5")  # fmt: skip
    yield case(11, "reason holds a NUL", close(1000, b"a\0b"), closed())


def _reasons() -> Iterator[Case]:
    bad = (
        ("reason with an octet that starts nothing", b"bye \xff"),
        ("reason with a surrogate", b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80edited"),
        ("reason with an overlong form", b"\xc0\xaf"),
        ("reason cut inside a character", b"bye \xe2\x82"),
        ("reason beyond U+10FFFF", b"\xf4\x90\x80\x80"),
    )
    for number, (title, reason) in enumerate(bad, 1):
        yield Case(f"7.5.{number}", "8.1", title, (close(1000, reason), fails(1007)))


def _codes() -> Iterator[Case]:
    reason = b"why"
    for number, code in enumerate(GOOD_CODES, 1):
        yield Case(f"7.7.{number}", "7.4.1", f"Close {code}", (close(code), closed(code)))
        title = f"Close {code} with a reason"
        yield Case(f"7.7.{number + len(GOOD_CODES)}", "7.4.1", title, (close(code, reason), closed(code)))
    for group, codes in ((9, BAD_CODES), (13, FAR_CODES)):
        for number, code in enumerate(codes, 1):
            yield Case(f"7.{group}.{number}", "7.4.2", f"Close {code}", (close(code), fails()))
            title = f"Close {code} with a reason"
            yield Case(f"7.{group}.{number + len(codes)}", "7.4.2", title, (close(code, reason), fails()))


def _after_failing() -> Iterator[Case]:
    def case(number: int, title: str, *script: Step) -> Case:
        return Case(f"7.14.{number}", "7.1.7", title, script)

    yield case(1, "ping after a reserved opcode, no pong", Frame(3), ping(), fails())
    yield case(2, "Close after a reserved opcode, one Close only", Frame(3), close(), fails())
    yield case(3, "text after invalid UTF-8, no echo", text(b"\xff"), text(b"late"), bad_text())
    yield case(4, "second violation after the first, one Close only", Frame(3), text(b"\xff"), fails())
    yield case(5, "binary after a reserved opcode", Frame(3), binary(b"x"), fails())


CASES = (*_order(), *_started_by_the_server(), *_bodies(), *_reasons(), *_codes(), *_after_failing())
