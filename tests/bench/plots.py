"""The plots of the page, as SVG that depends on the results only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.bench.tables import Figure, Samples, ordered, rate, us, values

COLOURS = {
    "direct": "#9a9a9a",
    "haproxy": "#4477aa",
    "haproxy tls": "#88bbdd",
    "wsgw": "#cc6633",
    "wsgw tls": "#e8a87c",
    "own WebSocket": "#4477aa",
    "wsgw and c2s": "#cc6633",
}
Axes = Any


def draw(rows: Mapping[str, Any], folder: Path) -> None:
    """One file for each plot whose row was measured."""
    import matplotlib as mpl  # type: ignore[import-not-found]

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "wsgw", "svg.fonttype": "none", "font.size": 9})
    mpl.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
    for name, plot in PLOTS.items():
        samples = rows.get(name, {}).get("samples")
        if samples:
            _save(plot, samples, folder / f"{name}.svg")


def _save(plot: Callable[[Any, Samples], None], samples: Samples, file: Path) -> None:
    from matplotlib.figure import Figure as Canvas  # type: ignore[import-not-found]

    canvas = Canvas(figsize=(8, 3.2), layout="constrained")
    plot(canvas, samples)
    canvas.savefig(file, metadata={"Date": None})
    text = file.read_text("utf-8")
    file.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")


def _bars(axes: Axes, samples: Samples, of: Callable[[dict[str, Any]], float], title: str) -> None:
    """Groups by case, with a bar for each subject; the whiskers are the least and the most of the rounds."""
    cases, subjects = ordered(samples, "case"), ordered(samples, "subject")
    width = 0.8 / len(subjects)
    for place, subject in enumerate(subjects):
        figures = [Figure.of(values(samples, case, subject, of)) for case in cases]
        axes.bar(
            [n + (place - (len(subjects) - 1) / 2) * width for n in range(len(cases))],
            [f.median for f in figures],
            width * 0.92,
            label=subject,
            color=COLOURS.get(subject),
            yerr=[[f.median - f.least for f in figures], [f.most - f.median for f in figures]],
            error_kw={"elinewidth": 0.8, "ecolor": "#333333"},
        )
    axes.set_xticks(range(len(cases)), cases)
    axes.set_title(title, loc="left", fontsize=9)
    axes.grid(axis="y", linewidth=0.3)
    axes.set_axisbelow(True)


def _relay(canvas: Any, samples: Samples) -> None:
    left, right = canvas.subplots(1, 2)
    _bars(left, samples, us, "CPU per message there and back, µs")
    _bars(right, samples, rate, "messages a second")
    left.legend(frameon=False)


def _bodies(canvas: Any, samples: Samples) -> None:
    axes = canvas.subplots(1, 2)
    _bars(axes[0], samples, us, "CPU per message, µs (log)")
    axes[0].set_yscale("log")
    speed: Callable[[dict[str, Any]], float] = lambda s: int(s["case"].split()[0]) / us(s)  # noqa: E731
    _bars(axes[1], samples, speed, "MB a second for each core used (log)")
    axes[1].set_yscale("log")
    axes[0].legend(frameon=False)


def _latency(canvas: Any, samples: Samples) -> None:
    axes = canvas.subplots(1, 2)
    _bars(axes[0], samples, lambda s: float(s["p50"]), "p50, µs")
    _bars(axes[1], samples, lambda s: float(s["p99"]), "p99, µs")
    axes[0].legend(frameon=False)


def _sessions(canvas: Any, samples: Samples) -> None:
    axes = canvas.subplots(1, 2)
    _bars(axes[0], samples, us, "CPU per message by sessions, µs")
    _bars(axes[1], samples, rate, "messages a second")
    axes[0].legend(frameon=False)


def _servers(canvas: Any, samples: Samples) -> None:
    axes = canvas.subplots(1, 2)
    _bars(axes[0], samples, us, "CPU of server and gateway per message, µs")
    _bars(axes[1], samples, rate, "messages a second")
    axes[0].legend(frameon=False)


PLOTS: dict[str, Callable[[Any, Samples], None]] = {
    "relay": _relay,
    "bodies": _bodies,
    "latency": _latency,
    "sessions": _sessions,
    "servers": _servers,
}
