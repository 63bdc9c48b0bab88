"""Redeploy saved functions and print the functions' logs: the part of scripts/dev.sh that knows the definition.

dev.py starts this program after each build, because the definition may have changed. Each line on stdin asks for
a redeployment, and the outcome is a line on the file descriptor ``--replies``; the end of stdin ends the program.
"""

import argparse
import os
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import yaml
from botocore.exceptions import HTTPClientError

from stack.aws import EXPLAINED, Aws, Local, explain
from stack.commands import logs
from stack.commands.dev import DONE, ENGINE_GONE, READY
from stack.definition import FUNCTIONS, ROLE, Function
from stack.deploy import package
from stack.deploy.package import Package
from stack.deploy.resources import function as functions
from stack.deploy.steps import Change, Ensured, Step, together
from stack.engine import neighbours
from stack.errors import PackageError, ResourceError
from stack.settings import PROJECT, Settings

FAILED = "failed"  # an outcome: it is unknown what serves
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


class Redeployment:
    """The functions, whose code is replaced as it is saved; ``serving`` is the last code of each that loads."""

    def __init__(self, aws: Aws, settings: Settings) -> None:
        self.aws = aws
        self.settings = settings
        self.role_arn: str = aws["iam"].get_role(RoleName=ROLE)["Role"]["Arn"]
        self.serving: dict[str, Package] = {}
        for name in (function.name for function in FUNCTIONS):
            try:
                code = package.build(settings.lambdas, name)
            except PackageError:  # saved since the build: the redeployment of that save names the error
                continue
            if code.sha256 == aws["lambda"].get_function_configuration(FunctionName=name)["CodeSha256"]:
                self.serving[name] = code

    def run(self) -> str:
        """Redeploy the functions whose code differs from what serves, and return the outcome."""
        try:
            packages = {function.name: package.build(self.settings.lambdas, function.name) for function in FUNCTIONS}
        except PackageError as error:
            fail(f"{error} (the previous version serves)")
            return DONE
        for name in sorted(folders(self.settings.lambdas) - packages.keys()):
            say(f"lambdas/{name}/ has no entry in stack/definition.py yet")
        changed = [function for function in FUNCTIONS if packages[function.name] != self.serving.get(function.name)]
        if not changed:
            say("nothing to redeploy: that is what serves")
        refused: list[str] = []
        try:
            together(*(Step("function", f.name, partial(self._replace, f, packages[f.name], refused)) for f in changed))
        except EXPLAINED as error:
            if not is_gone(error, self.settings):
                fail(explain(error))
                say("the next save builds everything again")
            return FAILED
        for reason in refused:
            fail(f"{reason} (the previous version is back)")
        return DONE

    def _replace(self, function: Function, code: Package, refused: list[str]) -> Ensured:
        try:
            functions.ensure(self.aws, self.settings, function, code, self.role_arn)
            functions.warm(self.aws, function)
        except ResourceError as error:
            if function.name not in self.serving:
                raise
            functions.ensure(self.aws, self.settings, function, self.serving[function.name], self.role_arn)
            refused.append(str(error))
            return Ensured(Change.UNCHANGED, function.name)
        self.serving[function.name] = code
        return Ensured(Change.UPDATED, function.name)


def main() -> int:
    """Serve until stdin ends; return ENGINE_GONE if the engine goes away, which dev.py says."""
    parser = argparse.ArgumentParser(prog="python -m stack.commands.redeploy")
    parser.add_argument("--replies", type=int, help="without it, only the logs are printed")
    parser.add_argument("--since", type=float, required=True, help="print the logs from this Unix time on")
    arguments = parser.parse_args()
    done = threading.Event()
    settings = Settings.from_environment(os.environ)  # dev.py has read them before
    try:
        target = Local(settings.host_port, settings.aws_default_region)
        redeployment = None
        if arguments.replies is not None:
            redeployment = Redeployment(Aws(("iam", "lambda"), target), settings)
            for hint in undescribed():
                say(hint)
            os.write(arguments.replies, f"{READY}\n".encode())
        threading.Thread(target=obey, args=(redeployment, arguments.replies, done), daemon=True).start()
        names = [function.name for function in FUNCTIONS]
        for _ in logs.follow(logs.logs_client(target), names, arguments.since, lambda line: print(line, flush=True)):
            if done.wait(logs.LOOK_EVERY):
                return 0
    except EXPLAINED as error:
        if is_gone(error, settings):
            return ENGINE_GONE
        fail(explain(error))
    return 1


def obey(redeployment: Redeployment | None, replies: int, done: threading.Event) -> None:
    """Answer each line on stdin with the outcome of a redeployment, and set ``done`` at the end."""
    while os.read(sys.stdin.fileno(), 100):  # sys.stdin itself would be locked when the program ends
        if redeployment is None:
            continue
        os.write(replies, f"{redeployment.run()}\n".encode())
    done.set()


def is_gone(error: Exception, settings: Settings) -> bool:
    """Return True if the engine went away, and if that is why: it broke off a request, or does not listen."""
    return isinstance(error, HTTPClientError) or not neighbours.listens(settings.host_port)


def folders(lambdas: Path) -> set[str]:
    """Return the names of the folders with a handler."""
    return {path.parent.name for path in lambdas.glob(f"*/{package.ENTRY}")}


def undescribed(document: Path = PROJECT / "openapi.yaml") -> Iterator[str]:
    """Yield a hint for each route that only the definition or only openapi.yaml has."""
    try:
        paths = yaml.safe_load(document.read_text())["paths"]
        described = {f"{method.upper()} {path}" for path in paths for method in paths[path] if method in METHODS}
    except (OSError, yaml.YAMLError, LookupError, TypeError, AttributeError) as error:
        yield f"openapi.yaml cannot be read: {' '.join(str(error).split())}"
        return
    routes = {route.key for function in FUNCTIONS for route in function.routes}
    yield from (f"openapi.yaml does not describe {key} yet" for key in sorted(routes - described))
    yield from (f"openapi.yaml describes {key}, which is no route" for key in sorted(described - routes))


def say(line: str) -> None:
    print(f"==> {line}", flush=True)


def fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
