"""The figures as a table, as JSON and as a chart."""

import json
import os
import platform
import statistics
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt  # the backend is chosen first
from rich.console import Console
from rich.table import Table

from bench.load import Times

FOLDER = Path(__file__).parent
FLOOR = "floor: log, answer"
TUTORIAL = "tutorial's silent handler"
GET = "GET /r/{code}"
POST = "POST /shorten"
POST_CACHED = "POST /shorten, authorizer cached"
PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class Results:
    """What was measured: load by shot and connections, seconds of each build, MiB of engine and workers."""

    load: dict[tuple[str, int], Times]
    builds: dict[str, list[float]] = field(default_factory=dict)
    memory: tuple[float, float] | None = None

    def over_floor(self, name: str, connections: int) -> float:
        """A shot's median as a multiple of the floor's, over as many connections."""
        return self.load[name, connections].percentile(50) / self.load[FLOOR, connections].percentile(50)

    def under_tutorial(self, name: str, connections: int) -> float:
        """How many times faster a shot's median is than the tutorial's."""
        return self.load[TUTORIAL, connections].percentile(50) / self.load[name, connections].percentile(50)


def table(results: Results) -> str:
    """The figures for a terminal."""
    console = Console(width=120, force_terminal=False)
    with console.capture() as captured:
        load = Table(title="Requests (ms), and how they compare")
        load.add_column("request", min_width=32)
        for heading in ("conn.", "p50", "p90", "p99", "req/s", "p50 / floor", "tutorial / p50", "wrong"):
            load.add_column(heading, justify="right")
        for (name, connections), times in sorted(results.load.items(), key=lambda item: item[0][1]):
            load.add_row(
                name,
                str(connections),
                *(f"{times.percentile(percent):.1f}" for percent in PERCENTILES),
                f"{times.per_second:.0f}",
                f"{results.over_floor(name, connections):.2f}",
                f"{results.under_tutorial(name, connections):.2f}",
                str(times.wrong),
            )
        console.print(load)
        if results.builds:
            builds = Table(title="Builds and starts (s)")
            builds.add_column("what", min_width=50)
            for heading in ("min", "median", "max"):
                builds.add_column(heading, justify="right")
            for name, seconds in results.builds.items():
                builds.add_row(name, *(f"{figure(seconds):.2f}" for figure in (min, statistics.median, max)))
            console.print(builds)
        if results.memory:
            engine, workers = results.memory
            console.print(f"Memory after the load: engine {engine:.0f} MiB, its workers {workers:.0f} MiB together")
    return captured.get()


def write(results: Results) -> list[Path]:
    """Write latest.json and latest.svg into the benchmark's folder; their paths."""
    data = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "load": [
            {
                "request": name,
                "connections": connections,
                **{f"p{percent}_ms": round(times.percentile(percent), 2) for percent in PERCENTILES},
                "requests_per_second": round(times.per_second, 1),
                "p50_over_floor": round(results.over_floor(name, connections), 3),
                "requests": len(times.milliseconds),
                "wrong": times.wrong,
            }
            for (name, connections), times in results.load.items()
        ],
        "builds_s": {name: [round(one, 3) for one in seconds] for name, seconds in results.builds.items()},
        "memory_mib": results.memory and [round(one) for one in results.memory],
    }
    json_path, chart_path = FOLDER / "latest.json", FOLDER / "latest.svg"
    json_path.write_text(json.dumps(data, indent=2) + "\n")
    _chart(results, chart_path)
    return [json_path, chart_path]


def _chart(results: Results, path: Path) -> None:
    names = [name for name, connections in results.load if connections == 1]
    medians = [results.load[name, 1].percentile(50) for name in names]
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    bars = axes.barh(names, medians, color=["#999" if name in (FLOOR, TUTORIAL) else "#2a7" for name in names])
    axes.bar_label(bars, fmt="%.1f", padding=3)
    axes.invert_yaxis()
    axes.set_xlabel("ms, median, one connection, MiniStack embedded")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
