"""Runs rows and prints their tables: ``python -m tests.bench [ROW...] [--rounds N] [--seconds S]``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench import life, page, servers, tables, traffic
from tests.bench.machine import machine, when
from tests.bench.measure import Bench, as_json, bench


@dataclass(frozen=True, slots=True)
class Row:
    """The function that takes the samples of a row, and the one that makes its table."""

    take: Callable[[Bench], Sequence[Any]]
    table: Callable[[tables.Samples], tables.Table]


ROWS = {
    "relay": Row(traffic.relay, tables.relay),
    "bodies": Row(traffic.bodies, tables.bodies),
    "latency": Row(traffic.latency, tables.latency),
    "storm": Row(traffic.storm, tables.storm),
    "sessions": Row(traffic.sessions, tables.sessions),
    "login": Row(life.login, tables.login),
    "memory": Row(life.memory, tables.memory),
    "servers": Row(servers.servers, tables.servers),
    "workers": Row(traffic.workers, tables.workers),
}


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="scripts/bench.sh", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"by default all: {', '.join(ROWS)}")
    parser.add_argument("--rounds", type=int, default=5, help="how often each path is measured, by turns")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each time")
    parser.add_argument("--hold", type=float, default=40.0, help="memory: how long sessions are idle")
    parser.add_argument("--update", action="store_true", help="put single rows into the page, too")
    parser.add_argument("--render", action="store_true", help="write the page from the results file again")
    arguments = parser.parse_args()
    unknown = set(arguments.rows) - set(ROWS)
    if unknown:
        parser.error(f"no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    if not arguments.render:
        measure(arguments)
    if arguments.render or arguments.update or not arguments.rows:
        page.render(page.read_results(), {name: row.table for name, row in ROWS.items()})
        print_now(f"written: {page.PAGE}")


def measure(arguments: argparse.Namespace) -> None:
    """Run the rows; each is shown, and stored if the page will be written, as soon as it ends."""
    keep = arguments.update or not arguments.rows
    about = machine()
    for name, text in about.items():
        print_now(f"   {name}: {text}")
    with bench(arguments.rounds, arguments.seconds, arguments.hold, print_now) as where:
        for name in arguments.rows or ROWS:
            began = time.monotonic()
            print_now(f"== {name}")
            with where.apart():
                samples = as_json(ROWS[name].take(where))
            if samples:
                show(ROWS[name].table(samples))
            print_now(f"   {name}: {time.monotonic() - began:.0f} s")
            if keep:
                run = {"at": when(), "wsgw": about["wsgw"], "rounds": where.rounds, "seconds": where.seconds}
                results = page.read_results()
                results["machine"] = about
                results["rows"][name] = {**run, "samples": samples}
                results["rows"] = {each: results["rows"][each] for each in ROWS if each in results["rows"]}
                page.write_results(results)


def show(table: tables.Table) -> None:
    """Print a table in columns, and its targets."""
    lines = [list(table.header), *table.lines]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.header))]
    for line in lines:
        print("   " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    for target in table.targets:
        met = "met" if target.met else "NOT MET"
        print(f"   {target.what}: {target.value.show(2)}, target {target.goal_text}: {met}")
    sys.stdout.flush()


def print_now(line: str) -> None:
    """A line of progress."""
    print(line, flush=True)
