"""Run the benchmark's sections, print their tables, and write the figures only where asked to."""

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

from bench import builds, engine, load
from bench.setting import Failed, Section, Setting
from project import Project, Stack

# A new section is a function (Setting) -> list of rows, and one entry here.
SECTIONS: dict[str, Section] = {
    "builds": builds.measure_builds,
    "edits": builds.measure_edits,
    "requests": load.measure_requests,
    "lists": load.measure_lists,
    "engine": engine.measure_engine,
}


def main() -> int:
    """Return 0, or 1 if an answer was wrong or a step failed."""
    parser = argparse.ArgumentParser(prog="scripts/bench.py", add_help=False)
    parser.add_argument("sections", nargs="*", metavar="SECTION")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--stack-url", metavar="URL")
    parser.add_argument("--write", metavar="FILE", type=Path)
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}; use {', '.join(SECTIONS)}")
    if arguments.quick and arguments.write:
        parser.error("--quick measures too little to be written: leave out --quick or --write")
    wanted = ["requests"] if arguments.stack_url else arguments.sections or list(SECTIONS)
    with tempfile.TemporaryDirectory() as folder:
        project = Project.copy(Path(folder))
        stack = Stack(arguments.stack_url.rstrip("/")) if arguments.stack_url else None
        setting = Setting(project, stack, arguments.quick)
        try:
            results = {}
            for name in wanted:
                results[name] = SECTIONS[name](setting)
                print(table(name, results[name]), flush=True)
        except Failed as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        finally:
            setting.close()
    if arguments.write:
        machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
        arguments.write.write_text(json.dumps({"machine": machine, **results}, indent=2) + "\n")
        print(f"written: {arguments.write}")
    return 0


def table(title: str, rows: list[dict[str, str | float]]) -> str:
    """Return the rows as aligned columns, under their names."""
    shown = [list(rows[0])] + [[str(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in shown
    ]
    return "\n".join([f"\n==> {title}", *lines])


if __name__ == "__main__":
    sys.exit(main())
