from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.config.snippets import term, yaml_value
from wsgw.config.option_types import Choice, Context, Count, FilePath, Flag, OptionType, Rate, Seconds, Shaper
from wsgw.config.terms import Mark, Misfit, Term

SHAPERS = Context(
    {
        "normal": term("{maxrate, 1000}"),
        "number": term("2000"),
        "burst": yaml_value("{rate: 3000, burst_size: 20000}"),
        "old": yaml_value("{maxrate: 4000}"),
        "free": term("none"),
        "broken": term("{maxrate, fast}"),
    }
)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Flag(), term("true"), True),
        (Flag(), yaml_value("no"), False),
        (Count(1, 9), term("9"), 9),
        (Count(1, 9, infinity=True), term("infinity"), sys.maxsize),
        (Seconds(1, 90), term("30"), 30.0),
        (Seconds(0.1, 90), term("0.5"), 0.5),
        (Seconds(1, 90), term('"30 seconds"'), 30.0),
        (Seconds(1, 90), yaml_value("30s"), 30.0),
        (Seconds(1, 90), yaml_value("1 minute"), 60.0),
        (Seconds(1, 9000), yaml_value('"2 Hours"'), 7200.0),
        (Seconds(0.1, 90), yaml_value("500 ms"), 0.5),
        (Seconds(1, 90), yaml_value('"30"'), 30.0),
        (Seconds(1, 86400), yaml_value("1 day"), 86400.0),
        (Seconds(1, 90, infinity=True), yaml_value("infinity"), math.inf),
        (Seconds(1, 90, infinity=True), yaml_value(".inf"), math.inf),
        (Seconds(1, 90, zero_is_infinity=True), term("0"), math.inf),
        (Choice(("off", "v1")), term("v1"), "v1"),
        (Choice(("off", "v1")), yaml_value("off"), "off"),
        (Choice(("off", "v1")), yaml_value("'off'"), "off"),
        (FilePath(), term('"/a/b.pem"'), Path("/a/b.pem")),
        (FilePath(), term('"b.pem"'), Path("b.pem")),
        (Rate(), term("{50, 200}"), (50.0, 200)),
        (Rate(), term("[{rate, 50}, {burst, 200}]"), (50.0, 200)),
        (Rate(), yaml_value("{rate: 0.5, burst: 2}"), (0.5, 2)),
        (Rate(), yaml_value("{rate: 10}"), (10.0, 40)),
        (Rate(), term("10"), (10.0, 40)),
        (Rate(), term("0.1"), (0.1, 1)),
        (Rate(), term("infinity"), (math.inf, sys.maxsize)),
        (Shaper(), term("5000"), 5000),
        (Shaper(), term("none"), None),
        (Shaper(), term("infinity"), None),
        (Shaper(), term("normal"), 1000),
        (Shaper(), term('"number"'), 2000),
        (Shaper(), term("burst"), 3000),
        (Shaper(), term("old"), 4000),
        (Shaper(), term("free"), None),
    ],
)
def test_a_value_of_the_type_is_read(kind: OptionType, value: Term, expected: object) -> None:
    found = kind.parse(value, SHAPERS)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        (Flag(), term("yes"), "expected true or false, found yes"),
        (Flag(), term("1"), "expected true or false, found 1"),
        (Flag(), term('"true"'), 'expected true or false, found "true"'),
        (Flag(), yaml_value(""), "expected true or false, found nothing"),
        (Flag(), term("'TLS'"), "expected true or false; no macro 'TLS' is defined"),
        (Count(1, 9, "bytes"), term("10"), "10 is out of bounds: 1 to 9 bytes"),
        (Count(1, 9), term("0"), "0 is out of bounds: 1 to 9"),
        (Count(1, 9), term("1.0"), "expected a whole number, 1 to 9, found 1.0"),
        (Count(1, 9), term("infinity"), "expected a whole number, 1 to 9, found infinity"),
        (Seconds(1, 9), term("10"), "10 is out of bounds: 1 to 9 seconds"),
        (Seconds(1, 9), term("-1"), "-1 is out of bounds"),
        (Seconds(1, 9), term("1" + "0" * 400), "out of bounds"),
        (Seconds(1, 9), term("-1" + "0" * 400), "out of bounds"),
        (Seconds(1, 9), term("infinity"), "expected a time"),
        (Seconds(1, 9), term('"5 parsecs"'), "expected a time"),
        (Seconds(1, 9), term('"1 minute"'), "out of bounds"),
        (Seconds(1, 9), term("{5, seconds}"), "expected a time"),
        (Choice(("off", "v1")), term("v3"), "expected off or v1, found v3"),
        (Choice(("off", "v1")), term("1"), "expected off or v1, found 1"),
        (FilePath(), term("true"), "expected a file name, found true"),
        (FilePath(), term('""'), "expected a file name"),
        (FilePath(), term(r'"a\0"'), "expected a file name"),
        (FilePath(), term('["a"]'), "expected a file name"),
        (Rate(), term("0"), "expected a rate above 0"),
        (Rate(), term("{50, 0}"), "0 is out of bounds"),
        (Rate(), term("{50, 200, 1}"), "expected a rate"),
        (Rate(), term("fast"), "expected a rate"),
        (Rate(), yaml_value("{rate: 1, burts: 2}"), "expected a number per second"),
        (Rate(), yaml_value("{burst: 2}"), "expected a number per second"),
        (Shaper(), term("0"), "expected a shaper of 1 or more bytes per second, found 0"),
        (Shaper(), term("1.5"), "expected a shaper"),
        (Shaper(), term("broken"), "expected a shaper of 1 or more bytes per second, found fast"),
        (Shaper(), term("fast"), "no shaper 'fast' is defined; the shapers defined are: broken, burst"),
        (Shaper(), term("{maxrate, 1}"), "expected a shaper"),
    ],
)
def test_a_value_of_another_type_is_an_error(kind: OptionType, value: Term, reason: str) -> None:
    with pytest.raises(Misfit) as caught:
        kind.parse(value, SHAPERS)
    ((_, told),) = caught.value.errors
    assert reason in told


def test_a_relative_file_name_starts_at_the_file_that_names_it() -> None:
    named = replace(term('"x.pem"'), mark=Mark("/etc/wsgw/wsgw.yml", 3))
    assert FilePath().parse(named, Context()) == Path("/etc/wsgw/x.pem")
