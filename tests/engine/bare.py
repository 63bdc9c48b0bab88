"""The engine as a process of its own, with no hooks: nothing is built in it but what a test builds."""

import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from project import CHECKOUT, INHERITED, NO_LIMITS, TLS, answers, aws, free_port, until

# Runs the engine for each line of arguments, in a fork, so that MiniStack is imported once.
RUNS = """
import os, signal, sys
import stack.ministack.__main__ as engine
for arguments in sys.stdin:
    if (pid := os.fork()) == 0:
        try:
            signal.alarm(120)
            log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            engine.main(arguments.split())
        finally:
            os._exit(2)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
ROLE = "arn:aws:iam::000000000000:role/any"


@dataclass
class Engine:
    """An engine whose package, state and outputs are in one folder."""

    folder: Path
    port: int = field(default_factory=free_port)
    settings: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    runs: "subprocess.Popen[str] | None" = None

    @classmethod
    def fresh(cls, folder: Path, **settings: str) -> "Engine":
        shutil.copytree(CHECKOUT / "stack", folder / "stack")
        (folder / "outputs").mkdir()
        return cls(folder, settings=settings)

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

    def launch(self, largest_file: int | None = None) -> "subprocess.Popen[bytes]":
        """Start the engine, without waiting for it; it may be unable to write files beyond a size."""

        def limit() -> None:
            if largest_file is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stack.ministack"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=limit,
            )
        return self.process

    def start(self, largest_file: int | None = None) -> "Engine":
        process = self.launch(largest_file)
        until("the engine answers", lambda: process.poll() is not None or answers(self.url))
        assert process.poll() is None, self.log
        return self

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run the engine, which must end by itself; return its exit code, and what it printed."""
        if self.runs is None:
            self.runs = subprocess.Popen(
                [sys.executable, "-c", RUNS],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self.runs.stdin
        assert self.runs.stdout
        print(*arguments, file=self.runs.stdin, flush=True)
        return int(self.runs.stdout.readline()), self.log

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
        self.stop()
        if self.runs:
            self.runs.communicate()

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(timeout=60)

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
        files = options.pop("files", {})
        client = self.client("lambda")
        client.create_function(
            FunctionName=name,
            Runtime="python3.12",
            Role=ROLE,
            Handler="handler.handler",
            Timeout=20,
            Code={"ZipFile": self.archive({"handler.py": source, **files})},
            **options,
        )
        client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})

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
