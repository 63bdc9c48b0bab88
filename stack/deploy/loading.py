"""Check that a function's code can be loaded, as Lambda does before the first request.

The handler is imported in a Python process apart, with the function's environment, and is not called:
what it does with an event is between it and real requests. This is done on a local engine
only, whose functions run under this Python or one like it. On AWS it would run the function's
module with the rights of whoever deploys; there, the API's first answers tell.
"""

import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from stack import packages
from stack.aws import Aws
from stack.deploy.package import COMMON, ENTRY, Package, build
from stack.deploy.resources import function as functions
from stack.deploy.steps import Change, Ensured
from stack.errors import PackageError
from stack.model import Definition, Function
from stack.packages import REQUIREMENTS

TIMEOUT = 60  # seconds; Lambda allows 10, but not on a machine that builds all functions at once
HIDE = Path(__file__).parent.parent / "ministack/site_packages.py"
INHERITED = ("HOME", "LANG", "PATH", "SYSTEMROOT", "TMPDIR")
# What the module prints goes to stderr; what became of it goes to a file.
PROGRAM = """
import importlib, json, pathlib, runpy, sys, traceback
folder, result, hide, *own = sys.argv[1:]
sys.argv[1:] = []
runpy.run_path(hide)
sys.path.insert(0, folder)
found = {}
try:
    if not callable(getattr(importlib.import_module("handler"), "handler", None)):
        found = {"file": "handler.py", "line": 1, "error": "there is no function named handler in it"}
except BaseException as error:
    trace = traceback.extract_tb(error.__traceback__)
    frames = [(frame.filename.removeprefix(folder + "/"), frame.lineno) for frame in trace]
    frames = [(file, line) for file, line in frames if file in own]  # and not in a package
    found = {"error": f"{type(error).__name__}: {error}"}
    if isinstance(error, ModuleNotFoundError):
        found["missing"] = error.name
    if frames:
        found |= {"file": frames[-1][0], "line": frames[-1][1]}
pathlib.Path(result).write_text(json.dumps(found))
sys.stdout.flush()
sys.stderr.flush()
import os
os._exit(0)  # threads that the module started do not hold it up
"""


def ensure(
    aws: Aws,
    definition: Definition,
    function: Function,
    package: Package,
    variables: Mapping[str, str],
    engine_url: str | None,
) -> Ensured:
    """Check the code of a function unless the engine has it already, with this environment.

    Raises PackageError, and DeployError if a function of that name is not this stack's.
    """
    found = functions.find(aws, definition.function_name(function))
    if found is not None:
        functions.check_owner(aws, definition, found)
    if engine_url is None:
        return Ensured(Change.UNCHANGED, function.name)
    if found is not None and functions.has_code(found, package) and functions.variables(found) == variables:
        return Ensured(Change.UNCHANGED, function.name)
    if package.target not in (None, packages.own()):
        try:
            package = build(package.lambdas, function.name, packages.own())
        except PackageError:  # this Python has no packages that it could load
            return Ensured(Change.UNCHANGED, function.name)
    local = {
        "AWS_ENDPOINT_URL": engine_url,
        "AWS_REGION": aws.region,
        "AWS_DEFAULT_REGION": aws.region,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": os.devnull,  # the user's ~/.aws is not for the functions
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_LAMBDA_FUNCTION_NAME": definition.function_name(function),
    }
    check(function.name, package, {**local, **variables})
    return Ensured(Change.LOADED, function.name)


def check(name: str, package: Package, environment: Mapping[str, str]) -> None:
    """Raise PackageError, with file and line where they are known, if the code cannot be loaded."""
    source = f"lambdas/{name}/{ENTRY}"
    with tempfile.TemporaryDirectory() as temporary:
        folder, result = Path(temporary).resolve() / "code", Path(temporary).resolve() / "result"
        zipfile.ZipFile(io.BytesIO(package.content)).extractall(folder)
        inherited = {one: os.environ[one] for one in INHERITED if one in os.environ}
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-B", "-c", PROGRAM, folder, result, HIDE, *package.sources],
                cwd=folder,
                env={**inherited, **environment, "LAMBDA_TASK_ROOT": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=TIMEOUT,
            )
        except subprocess.TimeoutExpired as error:
            raise PackageError(f"{source} cannot be loaded: importing it takes over {TIMEOUT} s") from error
        if not result.exists():
            raise PackageError(
                f"{source} cannot be loaded: importing it ended Python, with exit code {done.returncode}"
            )
        found = json.loads(result.read_text())
    if not found:
        return
    message = " ".join(found["error"].split())
    if found.get("missing"):
        message += f"; name its package in lambdas/{name}/{REQUIREMENTS}"
    if "file" in found:
        within = found["file"]
        shown = f"lambdas/{within}" if within.startswith(f"{COMMON}/") else f"lambdas/{name}/{within}"
        raise PackageError(f"{shown}, line {found['line']}: function {name} cannot be loaded: {message}")
    raise PackageError(f"{source} cannot be loaded: {message}")
