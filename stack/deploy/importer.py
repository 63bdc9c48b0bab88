"""Import the handlers of functions, each in a process of its own; run by path, standard library alone.

``importer.py HIDE`` reads a JSON list of functions on stdin, each with the folder of its code, its own files, its
environment, the file that takes the result, and a timeout in seconds. It prints a list of exit codes. boto3 is
imported once, and the processes are forked. HIDE is the path of stack/ministack/site_packages.py.
"""

import importlib
import json
import os
import runpy
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

AT_ONCE = 2 * (os.cpu_count() or 1)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends this without a word: the build has its own
    functions = json.load(sys.stdin)
    runpy.run_path(sys.argv[1])
    sys.argv[1:] = []
    plain = set(sys.modules)
    if sys.platform == "linux":  # elsewhere a process that has loaded the system's libraries must not fork
        import boto3  # noqa: F401
    preloaded = set(sys.modules) - plain
    codes: dict[int, int] = {}
    processes: dict[int, int] = {}
    for number, function in enumerate(functions):
        if len(processes) == AT_ONCE:
            _wait(processes, codes)
        if (process := os.fork()) == 0:
            _load(function, preloaded)
        processes[process] = number
    while processes:
        _wait(processes, codes)
    print(json.dumps([codes[number] for number in range(len(functions))]))


def _wait(processes: dict[int, int], codes: dict[int, int]) -> None:
    process, status = os.wait()
    codes[processes.pop(process)] = os.waitstatus_to_exitcode(status)


def _load(function: dict[str, Any], preloaded: set[str]) -> None:
    """Become the function's process, and end it. What its code prints is not shown."""
    signal.alarm(function["timeout"])
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)
    folder = function["folder"]
    os.environ.clear()
    os.environ.update(function["environment"])
    time.tzset()
    os.chdir(folder)
    sys.path.insert(0, folder)
    _forget(preloaded, {Path(name).stem for name in os.listdir(folder)})  # noqa: PTH208
    Path(function["result"]).write_text(json.dumps(_found(folder, function["sources"])))
    os._exit(0)  # threads that the module started do not hold it up


def _forget(preloaded: set[str], brought: set[str]) -> None:
    """Have modules that the function brings itself be imported from it, and boto3 anew with them."""
    if brought & {name.partition(".")[0] for name in preloaded}:
        for name in preloaded:
            package = name.partition(".")[0]
            if package in brought or package not in sys.stdlib_module_names:
                del sys.modules[name]


def _found(folder: str, own: list[str]) -> dict[str, Any]:
    """Return what is wrong with the code, and nothing if it can be imported."""
    try:
        if not callable(getattr(importlib.import_module("handler"), "handler", None)):
            return {"file": "handler.py", "line": 1, "error": "there is no function named handler in it"}
    except BaseException as error:  # SystemExit is one too
        trace = traceback.extract_tb(error.__traceback__)
        frames = [(frame.filename.removeprefix(f"{folder}/"), frame.lineno) for frame in trace]
        frames = [(file, line) for file, line in frames if file in own]  # and not in a package
        found: dict[str, Any] = {"error": f"{type(error).__name__}: {error}"}
        if isinstance(error, ModuleNotFoundError):
            found["missing"] = error.name
        if frames:
            found |= {"file": frames[-1][0], "line": frames[-1][1]}
        return found
    return {}


if __name__ == "__main__":
    main()
