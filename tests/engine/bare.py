"""The engine as a process of its own, with no hooks: nothing is built in it but what a test builds."""

import atexit
import compileall
import functools
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from project import CHECKOUT, INHERITED, NO_LIMITS, NOT_COPIED, PATIENCE, TLS, answers, aws, free_port, until

# Starts an engine for each line, in a fork, so that what all engines import from elsewhere is imported once.
STARTER = """
import json, os, resource, runpy, signal, sys, traceback
import asyncio, concurrent.futures, decimal, gzip, logging.config, secrets, sqlite3, ssl, uuid, xml.etree.ElementTree
import docker, hypercorn.asyncio, hypercorn.config, requests

def start(folder, environment, arguments, functions, seconds, largest_file):
    os.chdir(folder)
    if not functions:
        sys.executable = "/bin/true"  # which becomes the process from which functions are forked
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.alarm(seconds)
    if largest_file is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    for number, name, flags in ((0, os.devnull, os.O_RDONLY), (1, "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)):
        opened = os.open(name, flags)
        os.dup2(opened, number)
        os.close(opened)
    os.dup2(1, 2)
    sys.path[0] = folder
    sys.argv = ["stack.ministack", *arguments]
    runpy.run_module("stack.ministack", run_name="__main__", alter_sys=True)

signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal whose tests are interrupted
for line in sys.stdin:
    asked = json.loads(line)
    if isinstance(asked, int):
        pid, status = os.waitpid(asked, os.WNOHANG)
        print(json.dumps(os.waitstatus_to_exitcode(status) if pid else None), flush=True)
        continue
    if (pid := os.fork()) == 0:
        code = 0
        try:
            start(**asked)
        except SystemExit as end:
            code = end.code or 0
            if isinstance(code, str):
                print(code, file=sys.stderr)
                code = 1
        except BaseException:
            traceback.print_exc()
            code = 2
        finally:
            sys.stdout.flush()
            os._exit(code)
    print(pid, flush=True)
"""
ROLE = "arn:aws:iam::000000000000:role/any"


class Starter:
    """The process that starts engines, and asks the system for their end."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", STARTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.turn = threading.Lock()
        atexit.register(self.process.communicate)

    def ask(self, question: Any) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        with self.turn:
            print(json.dumps(question), file=self.process.stdin, flush=True)
            return json.loads(self.process.stdout.readline())


@functools.cache
def starter() -> Starter:
    """Return the one process that starts engines, with its own code ready to be copied."""
    compileall.compile_dir(CHECKOUT / "stack", quiet=2)
    return Starter()


@dataclass
class Process:
    """An engine's process, which has another parent than this one."""

    pid: int
    returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = starter().ask(self.pid)
        return self.returncode

    def wait(self, patience: float = PATIENCE) -> int:
        until("the engine has ended", lambda: self.poll() is not None, patience, look_every=0.01)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


@dataclass
class Engine:
    """An engine whose package, state and outputs are in one folder."""

    folder: Path
    port: int = field(default_factory=free_port)
    settings: dict[str, str] = field(default_factory=dict)
    functions: bool = True  # without any, the engine starts in a third of the time
    process: Process | None = None

    @classmethod
    def fresh(cls, folder: Path, functions: bool = True, **settings: str) -> "Engine":
        """Return an engine that does not run yet, with a copy of the package."""
        starter()
        shutil.copytree(CHECKOUT / "stack", folder / "stack", ignore=NOT_COPIED)
        (folder / "outputs").mkdir()
        return cls(folder, settings=settings, functions=functions)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def tables(self) -> Path:
        return self.state / "dynamodb"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{name: os.environ[name] for name in INHERITED if name in os.environ},
            "GATEWAY_PORT": str(self.port),
            "BIND_HOST": "127.0.0.1",
            "PERSIST_STATE": "1",
            "STATE_DIR": str(self.state),
            "OUTPUTS_DIR": str(self.folder / "outputs"),
            "TMPDIR": str(self.folder),
            **self.settings,
        }

    def launch(self, *arguments: str, largest_file: int | None = None, seconds: int = 0) -> Process:
        """Start the engine, without waiting for it.

        It may be unable to write files beyond a size, and may be ended after some seconds.
        """
        asked = {
            "folder": str(self.folder),
            "environment": self.environment,
            "arguments": arguments,
            "functions": self.functions,
            "seconds": seconds,
            "largest_file": largest_file,
        }
        self.process = Process(starter().ask(asked))
        return self.process

    def start(self, largest_file: int | None = None) -> "Engine":
        """Start the engine, and wait until it answers."""
        process = self.launch(largest_file=largest_file)
        until("the engine answers", lambda: process.poll() is not None or answers(self.url), look_every=0.02)
        assert process.poll() is None, self.log
        return self

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run the engine, which must end by itself; return its exit code, and what it printed."""
        return self.launch(*arguments, seconds=120).wait(), self.log

    def refused(self) -> str:
        """Start the engine, which must end by itself; return the one line that says why."""
        code, printed = self.run()
        assert (code, printed[:7], printed.count("\n")) == (1, "error: ", 1), printed
        return printed.strip()

    def restore(self) -> str:
        code, printed = self.run("restore")
        assert code == 0, printed
        return printed

    def close(self) -> None:
        """Leave no process behind; nobody looks at the state any more."""
        self.kill()

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Send the engine a signal, and wait for its end."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(60)

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def client(self, service: str, attempts: int = 5) -> Any:
        return aws(self.url, service, attempts)

    def children(self) -> dict[int, str]:
        """Return the command lines of all processes under the engine."""
        assert self.process
        return below(self.process.pid)

    def direct_children(self) -> set[int]:
        assert self.process
        pid = self.process.pid
        return {
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        }

    @staticmethod
    def archive(files: dict[str, str]) -> bytes:
        """Return a function's code as it is uploaded."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            for path, text in files.items():
                file.writestr(path, text)
        return archive.getvalue()

    def function(self, name: str, source: str, **options: Any) -> None:
        """Make a Lambda function of one module, or of more files."""
        files, timeout = options.pop("files", {}), options.pop("Timeout", 20)
        client = self.client("lambda")
        client.create_function(
            FunctionName=name,
            Runtime="python3.12",
            Role=ROLE,
            Handler="handler.handler",
            Timeout=timeout,
            Code={"ZipFile": self.archive({"handler.py": source, **files})},
            **options,
        )
        self.wait_for(name, "active")

    def wait_for(self, function: str, state: str) -> None:
        """Wait until a function is "active", or "updated"."""
        often = {"Delay": 0.05, "MaxAttempts": PATIENCE * 20}
        self.client("lambda").get_waiter(f"function_{state}_v2").wait(FunctionName=function, WaiterConfig=often)

    def api(self, name: str) -> str:
        """Serve a function at every path of an HTTP API; return the URL."""
        client = self.client("apigatewayv2")
        api = client.create_api(Name=name, ProtocolType="HTTP")["ApiId"]
        integration = client.create_integration(
            ApiId=api,
            IntegrationType="AWS_PROXY",
            IntegrationUri=f"arn:aws:lambda:us-east-1:000000000000:function:{name}",
            PayloadFormatVersion="2.0",
        )["IntegrationId"]
        client.create_route(ApiId=api, RouteKey="$default", Target=f"integrations/{integration}")
        client.create_stage(ApiId=api, StageName="dev", AutoDeploy=True)
        return f"{self.url}/_aws/execute-api/{api}/dev"

    def invoke(self, name: str, event: Any = None) -> Any:
        answer = self.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
        return json.loads(answer["Payload"].read())

    def logged(self, name: str) -> list[list[str]]:
        """Return the lines of each request to a function, in any order."""
        client = self.client("logs")
        group = f"/aws/lambda/{name}"
        found = []
        for page in client.get_paginator("describe_log_streams").paginate(logGroupName=group):
            for stream in page["logStreams"]:
                events = client.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
                lines = [event["message"] for event in events]
                found.append([line for line in lines if not line.startswith(("START ", "END ", "REPORT "))])
        return found


def below(pid: int) -> dict[int, str]:
    found = {}
    for children in Path("/proc").glob(f"{pid}/task/*/children"):
        for child in map(int, _read(children).split()):
            found[child] = _read(Path(f"/proc/{child}/cmdline")).replace("\0", " ")
            found.update(below(child))
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):  # the process has just ended
        return ""


def http(**options: Any) -> httpx.Client:
    return httpx.Client(timeout=120, verify=TLS, limits=NO_LIMITS, **options)
