#!/usr/bin/env python3
"""Measure the stack against the engine's own floor: scripts/bench.py [--quick] [--stack-url URL | --rows]

It starts a stack of its own, measures it, and stops it again; a running stack is asked with
--stack-url URL, which leaves out what would disturb it. It prints one table and writes
bench/latest.json and bench/latest.svg. --quick takes a minute, to show that it works.
With --rows it measures instead how a stack behaves with 100, 10,000 and 1,000,000 links.

Times are of this machine; the ratios can be compared. They are to two functions deployed
beside the stack: the floor, which does nothing but log and answer, and a tutorial's handler,
which makes its one call to DynamoDB and answers in silence.
"""

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
INSTALL = 'source "$0/scripts/lib/common.sh"; find_python; need embedded client test bench'

if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
        sys.exit()
    if subprocess.run(["bash", "-c", INSTALL, str(PROJECT)]).returncode != 0:
        sys.exit(1)
    os.environ["PYTHONPATH"] = os.pathsep.join(map(str, (PROJECT, PROJECT / "tests")))
    command = [str(PROJECT / ".venv/bin/python"), "-m", "bench", *sys.argv[1:]]
    sys.exit(subprocess.run(command, env={**os.environ}).returncode)
