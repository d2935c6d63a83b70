"""Writes ``docs/performance.md`` from the results file: a template with one place for each table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.bench.plots import draw
from tests.bench.tables import Samples, Table, Target
from tests.support.processes import ROOT

PAGE = ROOT / "docs" / "performance.md"
FOLDER = ROOT / "docs" / "performance"
RESULTS = FOLDER / "results.json"
TEMPLATE = Path(__file__).with_name("performance.md.in")

Results = dict[str, Any]
Tables = Mapping[str, Callable[[Samples], Table]]


def read_results() -> Results:
    """The results file: ``machine``, name to text; ``rows``, name to the time of its run and its samples."""
    if not RESULTS.exists():
        return {"machine": {}, "rows": {}}
    results: Results = json.loads(RESULTS.read_text("utf-8"))
    return results


def write_results(results: Results) -> None:
    """One sample on each line, so that a diff is readable."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    whole = json.dumps({**results, "rows": {}}, indent=1, ensure_ascii=False)
    rows = ",\n".join(_row_as_text(name, row) for name, row in results["rows"].items())
    RESULTS.write_text(whole.replace('"rows": {}', f'"rows": {{\n{rows}\n }}') + "\n", encoding="utf-8")


def _row_as_text(name: str, row: Mapping[str, Any]) -> str:
    head = json.dumps({key: value for key, value in row.items() if key != "samples"}, ensure_ascii=False)
    samples = ",\n   ".join(json.dumps(_rounded(sample), ensure_ascii=False) for sample in row["samples"])
    return f'  {json.dumps(name)}: {head[:-1]}, "samples": [\n   {samples}]}}'


def _rounded(sample: Mapping[str, Any]) -> dict[str, Any]:
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in sample.items()}


def render(results: Results, tables: Tables) -> None:
    """Write the page and its plots."""
    PAGE.write_text(text(results, tables), encoding="utf-8")
    draw(results["rows"], FOLDER)


def text(results: Results, tables: Tables) -> str:
    """The page."""
    made = {name: tables[name](row["samples"]) for name, row in results["rows"].items() if row["samples"]}
    places = {name: _markdown(table) for name, table in made.items()}
    places["targets"] = _targets([target for table in made.values() for target in table.targets])
    places["machine"] = "\n".join(f"| {name} | {what} |" for name, what in results["machine"].items())
    places["runs"] = "\n".join(_run(name, row) for name, row in results["rows"].items())
    template = TEMPLATE.read_text("utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda place: places.get(place[1], "Not measured in this run."), template)


def _run(name: str, row: Mapping[str, Any]) -> str:
    others = sorted(sample["elsewhere"] for sample in row["samples"] if "elsewhere" in sample)
    busy = f"{others[len(others) // 2]:.2f}" if others else "–"
    return f"| {name} | {row['at']} | {row['wsgw']} | {row['rounds']} × {row['seconds']:g} s | {busy} |"


def _markdown(table: Table) -> str:
    lines = [list(table.header), ["---"] * len(table.header), *table.lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _targets(targets: list[Target]) -> str:
    lines = ["| figure | target | measured | |", "|---|---|---|---|"]
    for target in targets:
        verdict = "met" if target.met else "**not met**"
        if target.met and target.stretch is not None and target.value.median <= target.stretch:
            verdict = "met, stretch too"
        unit = f" {target.unit}" if target.unit else ""
        lines.append(f"| {target.what} | {target.goal_text} | {target.value.show(2)}{unit} | {verdict} |")
    return "\n".join(lines)
