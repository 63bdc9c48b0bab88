"""Check that the functions' code can be loaded, as Lambda does before the first request.

Each handler is imported in a Python process apart, with the function's environment, and is not called:
what it does with an event is between it and real requests. This is done on a local engine
only, whose functions run under this Python or one like it. On AWS it would run the function's
module with the rights of whoever deploys; there, the API's first answers tell.
"""

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stack import packages
from stack.aws import Aws
from stack.deploy import importer
from stack.deploy.package import COMMON, ENTRY, Package, build
from stack.deploy.resources import function as functions
from stack.deploy.steps import Change, Ensured
from stack.errors import PackageError
from stack.model import Definition, Function
from stack.packages import REQUIREMENTS

LONGEST = 500  # characters of an exception's message
TIMEOUT = 30  # seconds; Lambda allows 10, but not on a machine that builds all functions at once
HIDE = Path(__file__).parent.parent / "ministack/site_packages.py"
# Optimized as this Python is: another one's .pyc files would not do, and boto3 would be compiled each time.
OPTIONS = ("-I", "-B", *["-O"] * sys.flags.optimize)
INHERITED = ("HOME", "LANG", "PATH", "SYSTEMROOT", "TMPDIR")


@dataclass(frozen=True)
class Source:
    """Hold what a function is made from: its entry in the definition, its code and its environment."""

    function: Function
    package: Package
    environment: Mapping[str, str]


def ensure(aws: Aws, definition: Definition, sources: Sequence[Source], engine_url: str | None) -> Ensured:
    """Check the code of functions, except where the engine has it already, with this environment.

    Raises PackageError, and DeployError if a function of such a name is not this stack's.
    """
    changed = [source for source in sources if _is_changed(aws, definition, source)]
    if engine_url is None:
        return Ensured(Change.UNCHANGED, "")
    local = {
        "AWS_ENDPOINT_URL": engine_url,
        "AWS_REGION": aws.region,
        "AWS_DEFAULT_REGION": aws.region,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": os.devnull,  # the user's ~/.aws is not for the functions
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    loadable = []
    for source in changed:
        name = {"AWS_LAMBDA_FUNCTION_NAME": definition.function_name(source.function)}
        package = source.package
        if package.target not in (None, packages.own()):
            try:
                package = build(package.lambdas, source.function.name, packages.own())
            except PackageError:  # this Python has no packages that it could load
                continue
        loadable.append(replace(source, package=package, environment={**local, **name, **source.environment}))
    if loadable:
        check(loadable)
    return Ensured(Change.LOADED if loadable else Change.UNCHANGED, "")


def _is_changed(aws: Aws, definition: Definition, source: Source) -> bool:
    found = functions.find(aws, definition.function_name(source.function))
    if found is None:
        return True
    functions.check_owner(aws, definition, found)
    return not functions.has_code(found, source.package) or functions.variables(found) != source.environment


def check(sources: Sequence[Source]) -> None:
    """Raise PackageError, with file and line where they are known, for the first code that cannot be loaded."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:  # an import that goes on may write there
        asked = []
        for number, source in enumerate(sources):
            folder = Path(temporary).resolve() / f"code-{number}"
            zipfile.ZipFile(io.BytesIO(source.package.content)).extractall(folder)
            environment = {**inherited, **source.environment, "LAMBDA_TASK_ROOT": str(folder)}
            asked.append(
                {
                    "folder": str(folder),
                    "result": str(folder.with_suffix(".result")),
                    "sources": [*source.package.sources],
                    "environment": environment,
                    "timeout": TIMEOUT,
                }
            )
        command = [sys.executable, *OPTIONS, str(importer.__file__), str(HIDE)]
        done = subprocess.run(command, input=json.dumps(asked), env=inherited, capture_output=True, text=True)
        if done.returncode == -signal.SIGINT:
            raise PackageError("importing the functions' code was interrupted")
        if done.returncode:
            said = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
            raise PackageError(f"the functions' code cannot be loaded: the Python that imports it ended ({said})")
        for source, one, code in zip(sources, asked, json.loads(done.stdout), strict=True):
            result = Path(str(one["result"]))
            _refuse(source, json.loads(result.read_text()) if result.exists() else None, code)


def _refuse(source: Source, found: Mapping[str, str] | None, code: int) -> None:
    """Raise PackageError unless nothing was found."""
    name = source.function.name
    entry = f"lambdas/{name}/{ENTRY}"
    if found is None:
        why = f"importing it ended Python, with exit code {code}"
        if code == -signal.SIGALRM:
            why = f"importing it takes over {TIMEOUT} s"
        raise PackageError(f"{entry} cannot be loaded: {why}")
    if not found:
        return
    words = " ".join(found["error"].split())[:LONGEST]
    message = "".join(one if one.isprintable() else "?" for one in words)
    if found.get("missing"):
        message += f"; name its package in lambdas/{name}/{REQUIREMENTS}"
    if "file" in found:
        within = found["file"]
        shown = f"lambdas/{within}" if within.startswith(f"{COMMON}/") else f"lambdas/{name}/{within}"
        raise PackageError(f"{shown}, line {found['line']}: function {name} cannot be loaded: {message}")
    raise PackageError(f"{entry} cannot be loaded: {message}")
