"""Redeploy what is saved until Ctrl-C: ``python -m stack.commands.dev`` is what scripts/dev.sh does.

The wanted state is the sources on disk. After a save, a build that succeeded and whose definition and settings are
still those on disk needs only its changed functions replaced (redeploy.py); anything else runs scripts/up.sh.

The definition is not imported here, and no setting is kept: either may have an error that the next save fixes.
"""

import contextlib
import fcntl
import hashlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stack import dotenv
from stack.engine.embedded import Embedded
from stack.engine.health import State, look
from stack.errors import DeployError
from stack.settings import PROJECT, SETTINGS, GivenTo, Settings

LOOK_EVERY = 0.1  # seconds
LOOKING_SHARE = 10  # of the time, at most one part in so many is spent looking for saves
SETTLED = 0.05  # seconds without a save that end a series of saves
SERIES = 1.0  # seconds; the longest series
ENGINE_EVERY = 1.0  # seconds between looks for an engine that has gone
END_TIMEOUT = 30  # seconds; a redeployment under way is not broken off
READY = "ready"  # what redeploy.py answers once it knows what serves
DONE = "done"  # what it answers to a redeployment after which it is known what serves
ENGINE_GONE = 3  # the exit code of redeploy.py
UNDER_DEV = "UNDER_DEV"  # the variable by which up.sh knows that dev.sh runs it
FUNCTIONS = "lambdas"
FOLDERS = (FUNCTIONS, "stack", "init", "compose")
FILES = (".env", ".env.local", "docker-compose.yml", "pyproject.toml")
# What says which engine is meant, and what an engine reads only when it starts: a change of these restarts it.
ENGINE_SETTINGS = [setting.name for setting in SETTINGS if setting.given_to is GivenTo.HOST]
ENGINE_SETTINGS += ["HOST_PORT", "OUTPUTS_DIR", "AWS_DEFAULT_REGION"]
WATCHING = "watching lambdas/, stack/ and .env; the functions' logs follow; Ctrl-C ends it"
WAITING = "waiting for a save that fixes this; Ctrl-C ends it"


class Sources:
    """The files that a build reads, by path relative to the project."""

    def __init__(self) -> None:
        self.seen = dict(self._look())

    def saved(self) -> list[str]:
        """Return the paths that have been saved or removed since the last call, once no more are."""
        before, began = self.seen, time.monotonic()
        self.seen = dict(self._look())
        if self.seen == before:
            return []
        while time.monotonic() < began + SERIES:
            time.sleep(SETTLED)
            latest = dict(self._look())
            if latest == self.seen:
                break
            self.seen = latest
        return sorted(path for path in before | self.seen if before.get(path) != self.seen.get(path))

    def fingerprint(self) -> str:
        """Return a hash of all that a full build reads, which is everything but the functions."""
        digest = hashlib.sha256()
        for path in sorted(path for path, _ in self._look() if not path.startswith(f"{FUNCTIONS}/")):
            try:
                content = (PROJECT / path).read_bytes()
            except OSError:  # removed just now: the next look sees that
                continue
            digest.update(f"{path}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()

    def _look(self) -> Iterator[tuple[str, tuple[int, int, int]]]:
        paths = [PROJECT / name for name in FILES]
        for folder in FOLDERS:
            for place, folders, files in os.walk(PROJECT / folder):
                folders[:] = [name for name in folders if _counts(name)]
                paths += [Path(place, name) for name in files if _counts(name)]
        for path in paths:
            try:
                status = path.stat()
            except OSError:
                continue
            yield path.relative_to(PROJECT).as_posix(), (status.st_mtime_ns, status.st_size, status.st_ino)


def _counts(name: str) -> bool:
    """Return False for what is hidden or made by Python, which no package takes."""
    return not (name.startswith(".") or name == "__pycache__" or name.endswith(".pyc"))


@dataclass(frozen=True)
class Target:
    """The stack that the settings on disk mean; ``values`` are all of them by name."""

    settings: Settings
    values: Mapping[str, str]

    @classmethod
    def load(cls) -> "Target":
        """Return the stack that the settings mean now. Raises SettingError."""
        values = dotenv.load()
        return cls(Settings.from_environment(values), values)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.values}

    @property
    def state(self) -> State:
        return look(f"http://127.0.0.1:{self.settings.host_port}", self.settings.outputs)

    def same_engine(self, other: "Target") -> bool:
        return all(self.environment.get(name) == other.environment.get(name) for name in ENGINE_SETTINGS)

    @property
    def absent(self) -> bool:
        """Return whether the stack has no engine, not even one that is starting."""
        return self.state is State.STARTING and Embedded(self.settings, self.settings.state_dir).running() is None

    def lock(self) -> int | None:
        """Return the lock of the port's one dev.sh, or None if another one holds it."""
        file = Path(tempfile.gettempdir(), f"shortener-dev-{os.getuid()}-{self.settings.host_port}.lock")
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor


class Redeployer:
    """The running redeploy.py of a stack. Without ``redeploys`` it prints only the logs."""

    def __init__(self, target: Target, since: float, redeploys: bool, debugged: Sequence[str]) -> None:
        self.redeploys = redeploys
        self.asked = False
        self.replies, replies = os.pipe()
        command = [sys.executable, "-m", "stack.commands.redeploy", "--since", str(since)]
        self.process = subprocess.Popen(
            [*command, "--replies", str(replies), "--debug", *debugged] if redeploys else command,
            cwd=PROJECT,
            env=target.environment,
            stdin=subprocess.PIPE,
            stderr=None if redeploys else subprocess.DEVNULL,  # the build has said what is wrong
            pass_fds=(replies,),
            start_new_session=True,  # Ctrl-C is for dev.py alone, which ends the others in order
        )
        os.close(replies)

    def ask(self) -> None:
        """Ask for a redeployment, whose outcome is to be read from ``replies``."""
        self.asked = True
        with contextlib.suppress(BrokenPipeError):  # it is gone, which is seen where the outcome is read
            os.write(self._stdin.fileno(), b"redeploy\n")

    def outcome(self) -> str | None:
        """Return the outcome once there is one; empty if the process ended without one."""
        ready, _, _ = select.select([self.replies], [], [], LOOK_EVERY)
        self.asked = self.asked and not ready
        return os.read(self.replies, 100).decode().strip() if ready else None

    def end(self) -> None:
        """End it, once it has done what it is doing. An import of the functions' code is broken off: it may hang."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()
        if self.asked:
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.killpg(self.process.pid, signal.SIGINT)
        try:
            self.process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.replies)

    @property
    def _stdin(self) -> IO[bytes]:
        if self.process.stdin is None:
            raise ValueError("stdin is a pipe")
        return self.process.stdin


class Dev:
    """One run of dev.sh.

    ``built`` is the fingerprint of the last build, or None if that failed or if what serves is unknown.
    """

    def __init__(self, debugged: Sequence[str]) -> None:
        self.debugged = debugged
        self.interrupted = False
        self.exit_code = 0
        self.sources = Sources()
        self.target: Target | None = None
        self.lock: int | None = None
        self.started_here = False
        self.built: str | None = None
        self.redeployer: Redeployer | None = None
        self.engine_gone = False
        self.next_look = 0.0

    def interrupt(self, number: int, _: object) -> None:
        """Handle a signal. A flag and no exception, so that nothing is left half done."""
        self.interrupted = True
        if number == signal.SIGHUP:  # the terminal is gone
            sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115

    def run(self) -> int:
        """Watch until the user interrupts; return 0, or 1 if that cannot begin or the stack cannot be stopped."""
        self.converge()
        pause = LOOK_EVERY
        while not self.interrupted:
            time.sleep(pause)
            self.heed_engine()
            began = time.monotonic()
            saved = self.sources.saved()
            pause = max(LOOK_EVERY, (time.monotonic() - began) * LOOKING_SHARE)
            if saved and not self.interrupted:
                pause = LOOK_EVERY
                for said, there in (("saved", True), ("removed", False)):
                    if paths := [path for path in saved if (path in self.sources.seen) is there]:
                        say(f"{said}: {', '.join(paths)}")
                self.converge()
        return self.leave()

    def converge(self) -> None:
        """Bring what serves to what is on disk, or say why not and leave that to the next save."""
        wanted = self.sources.fingerprint()
        if self.redeployer is not None and wanted == self.built:
            self.redeploy(self.redeployer)
            return
        self.built = None
        try:
            target = Target.load()
            if not self.take(target):
                return
        except DeployError as error:
            fail(str(error))
            say(WAITING)
            return
        self.end_redeployer()
        began = time.time()
        succeeded = self.script("up.sh", {**os.environ, UNDER_DEV: "1"}) == 0
        if self.interrupted:
            return
        self.engine_gone = target.state in (State.STARTING, State.OTHER)
        if not self.engine_gone:
            self.redeployer = Redeployer(target, time.time() if succeeded else began, succeeded, self.debugged)
        if not succeeded:
            say(WAITING)
        elif self.redeployer is not None and self.outcome(self.redeployer) == READY:
            self.built = wanted
            say(WATCHING)

    def take(self, target: Target) -> bool:
        """Make ``target`` the stack of this run, and stop the previous one; return False if another dev.sh has it."""
        old = self.target
        if old is None or target.settings.host_port != old.settings.host_port:
            if (lock := target.lock()) is None:
                fail("scripts/dev.sh is running for this stack already: use that one, or end it first")
                if old is None:
                    self.interrupted, self.exit_code = True, 1
                return False
            if self.lock is not None:
                os.close(self.lock)
            self.lock = lock
        if old is None:
            self.started_here = target.absent
        elif not target.same_engine(old):
            say("a setting of the engine itself has changed: it is started again")
            self.end_redeployer()
            self.script("down.sh", old.environment)
        self.target = target
        return True

    def redeploy(self, redeployer: Redeployer) -> None:
        """Replace the functions whose code was saved."""
        redeployer.ask()
        if self.outcome(redeployer) != DONE:
            self.built = None

    def outcome(self, redeployer: Redeployer) -> str:
        """Return what the redeployer answers, or nothing if it ends or the user interrupts."""
        outcome = None
        while outcome is None and not self.interrupted:
            outcome = redeployer.outcome()
        return outcome or ""

    def heed_engine(self) -> None:
        """Say so once when the engine goes away, and build again when it is back."""
        if self.target is None:
            return
        if self.redeployer is not None and (code := self.redeployer.process.poll()) is not None:
            redeployed = self.redeployer.redeploys
            self.end_redeployer()
            self.built = None
            if self.target.state is State.STARTING:
                self.engine_gone = True
                fail("the engine has stopped: the next save, or scripts/up.sh, starts it again; Ctrl-C ends this")
            elif code == ENGINE_GONE:
                self.engine_gone = True  # and is back already
            elif redeployed:
                fail("the functions' logs cannot be followed; the next save builds everything again")
        if self.engine_gone and time.monotonic() > self.next_look:
            self.next_look = time.monotonic() + ENGINE_EVERY
            if self.target.state in (State.READY, State.FAILED):
                say("the engine is back")
                self.converge()

    def leave(self) -> int:
        """Stop the stack if this run started it, or say what is left."""
        print(flush=True)
        self.end_redeployer()
        if self.target is None:
            return self.exit_code
        if self.started_here:
            if self.script("down.sh", self.target.environment, to_its_end=True) != 0:
                fail("the stack is not stopped: fix what is said above, then run scripts/down.sh")
                return 1
            return self.exit_code
        match self.target.state:
            case State.READY:
                say("the stack is left running, as it was: scripts/down.sh stops it")
            case State.STARTING | State.OTHER:
                say("the engine is not running")
            case _:
                say("the engine is left running, but the stack on it is not healthy: see scripts/status.sh")
        return self.exit_code

    def end_redeployer(self) -> None:
        if self.redeployer is not None:
            self.redeployer.end()
            self.redeployer = None

    def script(self, name: str, environment: Mapping[str, str], to_its_end: bool = False) -> int | None:
        """Run a script of the project and return its exit code; end it if the user interrupts."""
        process = subprocess.Popen(
            [PROJECT / "scripts" / name],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sys.stdout,
            stderr=sys.stderr,
            start_new_session=True,  # Ctrl-C is for this process alone, which ends the others in order
        )
        while True:
            try:
                return process.wait(LOOK_EVERY)
            except subprocess.TimeoutExpired:
                if self.interrupted and not to_its_end:
                    os.killpg(process.pid, signal.SIGTERM)
                    process.wait()
                    return None


def main(debugged: Sequence[str]) -> int:
    """Run until a signal says that the user has had enough. Functions that are named are debugged."""
    dev = Dev(debugged)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, dev.interrupt)
    return dev.run()


def say(line: str) -> None:
    print(f"==> {line}", flush=True)


def fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
