"""Hide the packages of the engine's Python from a function, except those that Lambda's own Python has.

An import works because the function's requirements.txt names the package, here as on AWS. This is run by path
in the function's process, before anything else; standard library alone.
"""

import os
import sys
import sysconfig
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

LAMBDA_HAS = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")


class Runtime:
    """Find what Lambda's own Python has, after a function's own packages."""

    def __init__(self, folders: list[str]) -> None:
        self.folders = folders

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, self.folders, target) if path is None and name in LAMBDA_HAS else None


def hide() -> None:
    """Leave the standard library on the path, and what PYTHONPATH names."""
    library = sysconfig.get_path("stdlib")
    kept = {*os.environ.get("PYTHONPATH", "").split(os.pathsep)} - {""}
    kept |= {one for one in sys.path if one == library or one.endswith((".zip", "lib-dynload"))}
    sys.meta_path.append(Runtime([one for one in sys.path if one not in kept]))
    sys.path[:] = [one for one in sys.path if one in kept]


hide()
