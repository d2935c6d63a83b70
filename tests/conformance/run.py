"""Runs the cases against both servers: ``python -m tests.conformance.run [--report FILE] [ID...]``.

An ID is that of a case, or a prefix: ``6.4``. The exit status is 1 if a server fails a case.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import wsgw
from tests.conformance.as_xmpp import refusal_code
from tests.conformance.cases import CASES, FAMILIES
from tests.conformance.harness import HARNESSES, Harness
from tests.conformance.script import Case

#: By case and harness: the difference from the expected outcome, empty if there is none.
Results = dict[str, dict[str, str]]

_INTRODUCTION = """\
# RFC 6455, case by case

How wsgw handles valid and invalid WebSocket traffic, octet by octet. Each case is a dialogue over a raw
socket with one exact outcome: each frame that wsgw sends, the code of the Close, and the end of TCP. wsgw
must refuse an error at the first octet that shows it. The numbers follow the families of the Autobahn
test suite; the cases are independent of it. Its families 12 and 13 are omitted: they test compression,
which wsgw does not negotiate.

`scripts/conformance.sh` runs all cases and writes this file; the tests run them too. This run was with
{versions}.

Each case runs against two servers:

- **echo**: wsgw's frame parser, session machine and socket wrapper with an application that returns every
  text and binary message.
- **gateway**: `python -m wsgw` in front of an XMPP server that returns every stanza. The text of a case is
  put into an XML element, in the same fragments and, if the case is about a size, with that size. The data
  that reaches the XMPP server is checked too: every stanza before the end; then no further data if the
  WebSocket was closed or broken, or a stream error and the end tag if the text was invalid. An empty text,
  which is a keepalive of old clients, is accepted without an answer. Stanzas above 8 MiB, the limit for
  stanzas of the XMPP server, are acknowledged to the browser instead of returned.

Two inputs are valid in WebSocket but not in XMPP; there the gateway passes by refusing them:

- *(1003)*: binary messages, at their first octet (RFC 7395 section 3.2);
- *(1008)*: characters that XML does not allow, with the stream error `not-well-formed`.
"""


def play(harness: Harness, cases: Sequence[Case], results: Results) -> None:
    """Run ``cases`` and record the differences."""
    for family in FAMILIES:
        chosen = [case for case in cases if case.family == family]
        passed = 0
        for case in chosen:
            difference = _difference(harness, case)
            results.setdefault(case.id, {})[harness.name] = difference
            passed += not difference
            if difference:
                print(f"      {harness.name} {case.id} {case.title}: {difference}", flush=True)
        if chosen:
            print(f"   {harness.name:8}{family:>3}  {passed} of {len(chosen)} passed", flush=True)


def _difference(harness: Harness, case: Case) -> str:
    try:
        harness.play(case)
    except (AssertionError, OSError, EOFError) as error:
        return str(error) or type(error).__name__
    return ""


def report(cases: Sequence[Case], results: Results) -> str:
    """The results as Markdown."""
    versions = f"wsgw {wsgw.__version__}, Python {platform.python_version()}, gevent {version('gevent')}"
    lines = [_INTRODUCTION.format(versions=versions), "## Summary", ""]
    lines += ["| family | | cases | echo | gateway |", "|---|---|---|---|---|"]
    for family, name in FAMILIES.items():
        lines.append(_summary(family, name, [case for case in cases if case.family == family], results))
    lines.append(_summary("", "all", cases, results))
    for family, name in FAMILIES.items():
        lines += [
            "",
            f"## {family}. {name}",
            "",
            "| case | RFC 6455 | | echo | gateway |",
            "|---|---|---|---|---|",
        ]
        lines += [_row(case, results[case.id]) for case in cases if case.family == family]
    return "\n".join(lines) + "\n"


def _summary(family: str, name: str, cases: Sequence[Case], results: Results) -> str:
    passed = [sum(not results[case.id][harness.name] for case in cases) for harness in HARNESSES]
    return f"| {family} | {name} | {len(cases)} | {passed[0]} passed | {passed[1]} passed |"


def _row(case: Case, result: dict[str, str]) -> str:
    code = refusal_code(case)
    echo, gateway = ("FAILED" if result[harness.name] else "passed" for harness in HARNESSES)
    note = f" ({code})" if code else ""
    return f"| {case.id} | {case.section} | {case.title} | {echo} | {gateway}{note} |"


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs the RFC 6455 cases.")
    parser.add_argument("ids", nargs="*", metavar="ID", help="cases, or prefixes of IDs; by default all")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the results to this file")
    arguments = parser.parse_args()
    if arguments.ids and arguments.report:
        parser.error("a report needs all cases: give no ID")
    cases = [case for case in CASES if not arguments.ids or _is_chosen(case.id, arguments.ids)]
    if not cases:
        parser.error("no case has such an ID")
    results: Results = {}
    with tempfile.TemporaryDirectory(prefix="wsgw-conformance-") as folder:
        for start in HARNESSES:
            harness = start(Path(folder))
            try:
                play(harness, cases, results)
            finally:
                harness.stop()
    if arguments.report:
        arguments.report.write_text(report(cases, results), "utf-8")
    return int(any(difference for result in results.values() for difference in result.values()))


def _is_chosen(case_id: str, ids: Sequence[str]) -> bool:
    return any(case_id == chosen or case_id.startswith((f"{chosen}.", f"{chosen}/")) for chosen in ids)


if __name__ == "__main__":
    sys.exit(main())
