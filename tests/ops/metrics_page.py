"""Writes the tables of ``docs/metrics.md``: ``python -m tests.ops.metrics_page docs/metrics.md``."""

from __future__ import annotations

import sys
from pathlib import Path

from wsgw.errors.causes import LABELS
from wsgw.ops.catalogue import METRICS


def metrics_table() -> str:
    """All metrics as Markdown."""
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.meaning} |")
    return "\n".join(rows)


def causes_table() -> str:
    """The labels of ``wsgw_sessions_closed_total`` as Markdown."""
    rows = ["| cause | the session ended because |", "|---|---|"]
    return "\n".join([*rows, *(f"| `{label}` | {meaning} |" for label, meaning in LABELS.items())])


def with_tables(text: str) -> str:
    """The page with the current tables."""
    for name, table in {"metrics": metrics_table(), "causes": causes_table()}.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of the {name} -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{table}\n{end}{after}"
    return text


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(with_tables(page.read_text("utf-8")), encoding="utf-8")
