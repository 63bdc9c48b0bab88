#!/usr/bin/env python3
"""Print a token for the API, good for one hour: sign-token.py [USER] [SECRET]"""

import os
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    os.chdir(PROJECT)
    os.execv(sys.executable, [sys.executable, "-m", "stack.commands.token", *sys.argv[1:]])  # noqa: S606
