#!/usr/bin/env python3
"""Measure the stack: scripts/bench.py [--quick] [--stack-url URL] [--write FILE] [SECTION...]

Sections: builds (beside the same calls made by hand), edits (save to live), requests (beside a
function that does nothing but answer, and a redirect as tutorials write it, both on a plain engine)
lists (a page of 10,000 own links), and engine (bursts, kills, large tables and workers; in Docker
too where a Docker engine answers).
It starts engines of its own and stops them again. With --stack-url it asks a stack that is up, for
its requests alone. The figures are printed; --write puts them into FILE as JSON too. --quick takes a
minute, to show that it works. Times are of this machine; only the ratios can be compared.
"""

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
INSTALL = 'source "$0/scripts/lib/common.sh"; find_python; need embedded dev client test'

if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
        sys.exit()
    if subprocess.run(["bash", "-c", INSTALL, str(PROJECT)]).returncode != 0:
        sys.exit(1)
    os.environ["PYTHONPATH"] = os.pathsep.join(map(str, (PROJECT, PROJECT / "tests")))
    command = [str(PROJECT / ".venv/bin/python"), "-m", "bench", *sys.argv[1:]]
    sys.exit(subprocess.run(command).returncode)
