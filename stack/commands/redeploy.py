"""Redeploy saved functions and print the functions' logs: the part of scripts/dev.sh that knows the definition.

dev.py starts this program after each build, because the definition may have changed. Each line on stdin asks for
a redeployment, and the outcome is a line on the file descriptor ``--replies``; the end of stdin ends the program.
"""

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import yaml
from botocore.exceptions import HTTPClientError

from stack import packages
from stack.aws import Aws, Local
from stack.aws_errors import EXPLAINED, explain
from stack.checks import load
from stack.commands import logs
from stack.commands.debugging import Debugging
from stack.commands.dev import DONE, ENGINE_GONE, READY
from stack.deploy import loading, package
from stack.deploy.loading import Source
from stack.deploy.package import Package
from stack.deploy.resources import function as functions
from stack.deploy.resources import user_pool
from stack.deploy.steps import Change, Ensured, side_by_side
from stack.engine import neighbours
from stack.errors import DeployError, PackageError
from stack.model import Definition, Function
from stack.settings import COGNITO, PROJECT, Settings

FAILED = "failed"  # an outcome: it is unknown what serves
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


class Redeployment:
    """The functions, whose code is replaced as it is saved; ``serving`` is the last code of each that loads."""

    def __init__(self, target: Local, definition: Definition, settings: Settings) -> None:
        services = ("sts", "iam", "lambda", *([user_pool.SERVICE] if settings.identity_provider == COGNITO else []))
        self.aws = Aws(services, target)
        self.target, self.definition, self.settings = target, definition, settings
        self.serving: dict[str, Package] = {}
        for one in definition.functions:
            try:
                code = package.build(settings.lambdas, one.name, self.python)
            except PackageError:  # saved since the build: the redeployment of that save names the error
                continue
            found = functions.find(self.aws, definition.function_name(one))
            if found is not None and functions.has_code(found, code):
                self.serving[one.name] = code

    @property
    def python(self) -> packages.Target:
        return packages.of_engine(self.settings.lambdas, self.target.url)

    def run(self) -> str:
        """Redeploy the functions whose code differs from what serves, and return the outcome."""
        wanted = self.definition.functions
        for name in sorted(folders(self.settings.lambdas) - {one.name for one in wanted}):
            say(f"lambdas/{name}/ has no entry in stack/definition.py yet")
        try:
            python = self.python
            packages.install(self.settings.lambdas, python)
            with contextlib.suppress(PackageError):  # then the code is not loaded here before it is replaced
                packages.install(self.settings.lambdas, packages.own())
            code = {one.name: package.build(self.settings.lambdas, one.name, python) for one in wanted}
            changed = [one for one in wanted if code[one.name] != self.serving.get(one.name)]
            if not changed:
                say("nothing to redeploy: that is what serves")
            with side_by_side() as steps:
                for one in changed:
                    steps.start("function", one.name, partial(self._replace, one, code[one.name]))
        except PackageError as error:
            fail(f"{error} (the previous version serves)")
            return DONE
        except EXPLAINED as error:
            if not is_gone(error, self.settings):
                fail(explain(error))
                say("the next save builds everything again")
            return FAILED
        return DONE

    def _replace(self, function: Function, code: Package) -> Ensured:
        """Replace a function's code. Code that cannot be loaded is found out before anything is touched."""
        environment = user_pool.environment(self.aws, self.definition, self.settings, function)
        loading.ensure(self.aws, self.definition, [Source(function, code, environment)], self.target.url)
        role_name = self.definition.role_name(function, self.aws.region)
        role_arn = self.aws["iam"].get_role(RoleName=role_name)["Role"]["Arn"]
        functions.ensure(self.aws, self.definition, function, code, environment, role_arn)
        functions.ensure_active(self.aws, self.definition, function, code, environment, role_arn)
        self.serving[function.name] = code
        return Ensured(Change.UPDATED, function.name)


def main() -> int:
    """Serve until stdin ends; return ENGINE_GONE if the engine goes away, which dev.py says."""
    parser = argparse.ArgumentParser(prog="python -m stack.commands.redeploy")
    parser.add_argument("--replies", type=int, help="without it, only the logs are printed")
    parser.add_argument("--since", type=float, required=True, help="print the logs from this Unix time on")
    parser.add_argument("--debug", nargs="*", default=[], help="debug these functions, or all")
    arguments = parser.parse_args()
    done = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the process that imports the functions' code
    settings = Settings.from_environment(os.environ)  # dev.py has read them before
    debugging = None
    try:
        target = Local(settings.host_port, settings.aws_default_region)
        definition = load(settings.name_prefix)
        redeployment = None
        if arguments.replies is not None:
            redeployment = Redeployment(target, definition, settings)
            for hint in undescribed(definition):
                say(hint)
            debugging = debug(settings, definition, arguments.debug)
            os.write(arguments.replies, f"{READY}\n".encode())
        threading.Thread(target=obey, args=(redeployment, debugging, arguments.replies, done), daemon=True).start()
        names = [function.name for function in definition.functions]
        for lines in logs.follow(logs.logs_client(target), definition, names, arguments.since):
            for line in lines:
                print(line, flush=True)
            if done.wait(logs.LOOK_EVERY):
                return 0
    except EXPLAINED as error:
        if is_gone(error, settings):
            return ENGINE_GONE
        fail(explain(error))
    finally:
        if debugging is not None:
            debugging.close()
    return 1


def debug(settings: Settings, definition: Definition, wanted: Sequence[str]) -> Debugging | None:
    """Start the wanted functions under the debugger, and say where an editor attaches."""
    if not wanted:
        return None
    debugging = Debugging(settings, definition, wanted)
    for name in debugging.missing:
        fail(f"{name} is not debugged: it has no entry in stack/definition.py")
    try:
        debugging.open()
    except DeployError as error:
        debugging.close()
        fail(str(error))
        say("nothing is debugged: the next save of stack/ or .env tries that again")
        return None
    for name in debugging.functions:
        say(f"{name} can be debugged: attach to 127.0.0.1:{debugging.ports[name]}")
    return debugging


def obey(redeployment: Redeployment | None, debugging: Debugging | None, replies: int, done: threading.Event) -> None:
    """Answer each line on stdin with the outcome of a redeployment, and set ``done`` at the end."""
    while os.read(sys.stdin.fileno(), 100):  # sys.stdin itself would be locked when the program ends
        if redeployment is None:
            continue
        with debugging.waiting() if debugging else contextlib.nullcontext():
            outcome = redeployment.run()
        os.write(replies, f"{outcome}\n".encode())
    done.set()


def is_gone(error: Exception, settings: Settings) -> bool:
    """Return True if the engine went away, and if that is why: it broke off a request, or does not listen."""
    return isinstance(error, HTTPClientError) or not neighbours.listens(settings.host_port)


def folders(lambdas: Path) -> set[str]:
    """Return the names of the folders with a handler."""
    return {path.parent.name for path in lambdas.glob(f"*/{package.ENTRY}")}


def undescribed(definition: Definition, document: Path = PROJECT / "openapi.yaml") -> Iterator[str]:
    """Yield a hint for each route that only the definition or only openapi.yaml has."""
    try:
        paths = yaml.safe_load(document.read_text())["paths"]
        described = {f"{method.upper()} {path}" for path in paths for method in paths[path] if method in METHODS}
    except (OSError, yaml.YAMLError, LookupError, TypeError, AttributeError) as error:
        yield f"openapi.yaml cannot be read: {' '.join(str(error).split())}"
        return
    routes = {route.key for route in definition.routes}
    yield from (f"openapi.yaml does not describe {key} yet" for key in sorted(routes - described))
    yield from (f"openapi.yaml describes {key}, which is not a route" for key in sorted(described - routes))


def say(line: str) -> None:
    print(f"==> {line}", flush=True)


def fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
