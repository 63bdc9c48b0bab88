"""Edit, save, live: ``python -m stack.commands.dev`` is what scripts/dev.sh does once its packages are there."""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import watchfiles

from stack.aws import EXPLAINED, Aws, Local, explain
from stack.commands import logs, openapi
from stack.definition import DEFINITION
from stack.deploy import loading, package
from stack.deploy.package import Package
from stack.deploy.resources import function as functions
from stack.deploy.steps import Change, Ensured, side_by_side
from stack.engine.health import State, look
from stack.model import Function
from stack.settings import PROJECT, Settings

DEBOUNCE = 200  # milliseconds at most that saves are gathered
STEP = 40  # milliseconds without a save that end the gathering
LOOK_UP = 200  # milliseconds of waiting for a save, between which nothing is missed


@dataclass
class Redeployment:
    """Puts saved code into the functions; ``serving`` is the last code of each that worked."""

    aws: Aws
    settings: Settings
    engine_url: str
    serving: dict[str, Package] = field(default_factory=dict)

    def start(self) -> None:
        """Note what serves, and redeploy what differs from it: it was saved while nobody watched. Raises as ``run``."""
        client = self.aws["lambda"]
        for name in (function.name for function in DEFINITION.functions):
            code = package.build(self.settings.lambdas, name)
            if code.sha256 == client.get_function_configuration(FunctionName=name)["CodeSha256"]:
                self.serving[name] = code
        if len(self.serving) < len(DEFINITION.functions):
            self.run()

    def run(self) -> None:
        """Redeploy the functions whose code is not what serves. Raises DeployError and the SDK's errors."""
        packages = {
            function.name: package.build(self.settings.lambdas, function.name) for function in DEFINITION.functions
        }
        changed = [
            function for function in DEFINITION.functions if packages[function.name] != self.serving.get(function.name)
        ]
        if not changed:
            say("nothing to redeploy: that is what serves")
        for name in unknown(self.settings.lambdas):
            say(f"lambdas/{name}/ has no entry in stack/definition.py yet")
        with side_by_side() as steps:
            for one in changed:
                steps.start("function", one.name, partial(self._replace, one, packages[one.name]))

    def _replace(self, function: Function, code: Package) -> Ensured:
        environment = DEFINITION.environment(function, self.settings)
        loading.ensure(self.aws, DEFINITION, function, code, environment, self.engine_url)
        role_name = DEFINITION.role_name(function, self.aws.region)
        role_arn = self.aws["iam"].get_role(RoleName=role_name)["Role"]["Arn"]
        functions.ensure(self.aws, DEFINITION, function, code, environment, role_arn)
        functions.ensure_active(self.aws, DEFINITION, function, code, environment, role_arn)
        self.serving[function.name] = code
        return Ensured(Change.UPDATED, function.name)


def main() -> int:
    """Until Ctrl-C: 0; or 1 with one line on stderr if the stack cannot be brought up, or goes away."""
    parser = argparse.ArgumentParser(prog="scripts/dev.sh")
    parser.add_argument("--resume", choices=("stop", "leave"), help="go on, and do this with the stack at the end")
    resume = parser.parse_args().resume
    # Tidy up after a kill too, and after Ctrl-C even where the parent process ignores it.
    for interruption in (signal.SIGTERM, signal.SIGINT):
        signal.signal(interruption, signal.default_int_handler)
    stop_at_end = resume == "stop"
    try:
        settings = Settings.from_environment(os.environ)
        target = Local(settings.host_port, settings.aws_default_region)
        if resume is None:
            stop_at_end = look(target.url, settings.outputs) is State.STARTING
            if not up():
                return 1
        for change in openapi.update():
            say(f"openapi.yaml: {change}")
        session(settings, target, "stop" if stop_at_end else "leave")
    except KeyboardInterrupt:
        print(flush=True)
        return 0
    except EXPLAINED as error:
        return fail(explain(error))
    finally:
        if stop_at_end:
            subprocess.run([PROJECT / "scripts/down.sh"])
        else:
            say("the stack is left running, as it was: scripts/down.sh stops it")
    return 0


def session(settings: Settings, target: Local, at_end: str) -> None:
    """Watch and follow until KeyboardInterrupt. Raises the SDK's errors when the engine is gone."""
    aws = Aws(("iam", "lambda", "sts"), target)
    redeployment = Redeployment(aws, settings, target.url)
    with following(target) as gone:
        watching = False
        for changes in watchfiles.watch(
            settings.lambdas,
            PROJECT / "stack",
            debounce=DEBOUNCE,
            step=STEP,
            stop_event=gone,
            rust_timeout=LOOK_UP,
            yield_on_timeout=True,
            raise_interrupt=True,
        ):
            if not watching:  # from now on no save is missed
                watching = True
                attempt(redeployment.start)
                say("watching lambdas/ and stack/; the functions' logs follow; Ctrl-C ends it")
            if not changes:
                continue
            paths = sorted({Path(path).relative_to(PROJECT).as_posix() for _, path in changes})
            shown = [path for path in paths if (PROJECT / path).exists()]  # not an editor's temporary files
            say(f"saved: {', '.join(shown or paths)}")
            if any(path.startswith("stack/") for path in paths):
                if up():  # with the new definition, which this process has not got
                    os.execv(sys.executable, [sys.executable, "-m", "stack.commands.dev", "--resume", at_end])  # noqa: S606
                continue
            attempt(redeployment.run)


def attempt(redeploy: Callable[[], None]) -> None:
    """Redeploy, or say in one line why not: what served before goes on serving."""
    try:
        redeploy()
    except EXPLAINED as error:
        fail(explain(error))


@contextlib.contextmanager
def following(target: Local) -> Iterator[threading.Event]:
    """Print the functions' logs meanwhile, in a thread. The event is set if the engine goes away.

    Raises the SDK's error about that at the end.
    """
    done, gone = threading.Event(), threading.Event()
    errors: list[Exception] = []
    since = time.time()

    def follow() -> None:
        try:
            names = [function.name for function in DEFINITION.functions]
            for _ in logs.follow(logs.logs_client(target), names, since, lambda line: print(line, flush=True)):
                if done.wait(logs.LOOK_EVERY):
                    return
        except EXPLAINED as error:
            errors.append(error)
            gone.set()

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield gone
    finally:
        done.set()
        thread.join()
    if errors:
        raise errors[0]


def unknown(lambdas: Path) -> list[str]:
    """The folders with a handler that no function of the definition has."""
    return sorted(
        {path.parent.name for path in lambdas.glob("*/handler.py")} - {one.name for one in DEFINITION.functions}
    )


def up() -> bool:
    """Bring everything up to date; scripts/up.sh itself says how that went."""
    return subprocess.run([PROJECT / "scripts/up.sh"]).returncode == 0


def say(line: str) -> None:
    print(f"==> {line}", flush=True)


def fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
