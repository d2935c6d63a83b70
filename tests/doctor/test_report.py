"""The output of the doctor: lines on a terminal and in a file, and JSON."""

from __future__ import annotations

import io
import json

import pytest

from wsgw.doctor.finding import Finding, Verdict
from wsgw.doctor.report import Json, Lines

FAILED = Finding("upstream.reach", "tcp://127.0.0.1:5222", Verdict.FAILED, "refused", "start the server")
OK = Finding("upstream.reach", "tcp://127.0.0.1:5222", Verdict.OK, "answers")
NOTE = Finding("upstream.sasl", "tcp://127.0.0.1:5222", Verdict.NOTE, "only PLAIN", "offer SCRAM")
SKIPPED = Finding("outside.idle", "example.org", Verdict.SKIPPED, "--quick")


class Output(io.TextIOWrapper):
    """Text in memory, with an encoding, as of a terminal if ``terminal``."""

    def __init__(self, encoding: str = "utf-8", *, terminal: bool = False) -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding, write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    @property
    def text(self) -> str:
        return self.bytes.getvalue().decode(self.encoding)


def lines(output: Output, *findings: Finding, **environ: str) -> list[str]:
    report = Lines(output, environ)
    for finding in findings:
        report.add(finding)
    report.end()
    return output.text.splitlines()


def test_a_line_says_what_and_what_to_do() -> None:
    assert lines(Output(), OK, FAILED, NOTE, SKIPPED, TERM="xterm") == [
        "✔ tcp://127.0.0.1:5222: answers",
        "✘ tcp://127.0.0.1:5222: refused → start the server",
        "! tcp://127.0.0.1:5222: only PLAIN → offer SCRAM",
        "– example.org: --quick",
        "1 ok, 1 failed, 1 to note, 1 skipped",
    ]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_encoding_without_the_signs_gets_words(encoding: str) -> None:
    dash = Finding("a.b", "grüße ✔", Verdict.FAILED, "refused", "start it")
    first, *_ = lines(Output(encoding), dash)
    assert first.startswith("FAIL gr")
    assert first.endswith("\\u2714: refused -> start it")


def test_only_a_terminal_gets_colours_and_wrapped_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    shown = lines(Output(terminal=True), FAILED, TERM="xterm")
    assert shown[:2] == ["\x1b[1;31m✘\x1b[0m tcp://127.0.0.1:5222: refused", "  → start the server"]
    for plain in ({"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": "dumb"}, {}):
        assert lines(Output(terminal=True), FAILED, **plain)[0].startswith("✘ tcp")
    assert lines(Output(), FAILED, TERM="xterm", COLUMNS="40")[0].endswith("start the server")


def test_a_terminal_shows_the_check_that_runs_until_its_first_finding() -> None:
    output = Output(terminal=True)
    report = Lines(output, {"TERM": "xterm"})
    report.begin("upstream")
    assert output.text == "\r\x1b[K\x1b[2m... upstream\x1b[0m"
    report.add(OK)
    assert output.text.split("\x1b[0m")[1].startswith("\r\x1b[K\x1b[32m✔")
    file = Output()
    Lines(file, {"TERM": "xterm"}).begin("upstream")
    assert file.text == ""


def test_the_text_of_a_server_controls_no_terminal() -> None:
    assert lines(Output(), Finding("a.b", "x", Verdict.FAILED, "says \x1b[2J\x07"))[0] == "✘ x: says ?[2J?"


def test_an_advice_of_several_lines_keeps_them() -> None:
    advice = Finding("a.b", "x", Verdict.FAILED, "no listener", "write:\n  listen:\n    - port: 5288")
    assert lines(Output(), advice)[:3] == ["✘ x: no listener → write:", "    listen:", "      - port: 5288"]


def test_json_has_every_field() -> None:
    output = Output()
    report = Json(output)
    for finding in (OK, FAILED):
        report.add(finding)
    assert output.text == ""
    report.end()
    assert json.loads(output.text) == [
        {
            "check": "upstream.reach",
            "subject": "tcp://127.0.0.1:5222",
            "verdict": "ok",
            "what": "answers",
            "fix": "",
        },
        {
            "check": "upstream.reach",
            "subject": "tcp://127.0.0.1:5222",
            "verdict": "failed",
            "what": "refused",
            "fix": "start the server",
        },
    ]
    assert report.failed
