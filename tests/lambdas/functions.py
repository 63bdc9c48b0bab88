"""Import and invoke the functions as Lambda does."""

import contextlib
import importlib
import io
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest

from .events import Event

LAMBDAS = Path(__file__).resolve().parent.parent.parent / "lambdas"
# All that a function sees of its environment beside the variables that it is loaded with.
RUNTIME = {
    "HOME": os.devnull,  # where boto3 would find the developer's own account
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}
CONTEXT = SimpleNamespace(aws_request_id="11111111-1111-4111-8111-111111111111")


@dataclass(frozen=True)
class Function:
    """Hold the modules of a function's package, by the names that it imports them under."""

    modules: dict[str, ModuleType]

    @property
    def handler(self) -> ModuleType:
        return self.modules["handler"]

    def answer(self, event: Any) -> dict[str, Any]:
        """Return what the handler returns to Lambda."""
        sys.modules.update(self.modules)  # for what it imports only when it needs it
        answer: dict[str, Any] = self.handler.handler(event, CONTEXT)
        return answer

    def invoke(self, event: Any) -> dict[str, Any]:
        """Return the answer without the request ID, which every answer of a route's function must have."""
        answer = self.answer(event)
        if "statusCode" in answer:
            answer["headers"] = dict(answer["headers"])
            assert answer["headers"].pop("apigw-requestid") == event["requestContext"]["requestId"]
        return answer

    def __call__(self, event: Any) -> dict[str, Any]:
        """Invoke it with an event that must not make it fail: its answer is a decision, not the fallback."""
        with contextlib.redirect_stdout(io.StringIO()) as output:
            answer = self.invoke(event)
        assert '"ERROR"' not in output.getvalue(), output.getvalue()
        return answer

    def stop_clock(self, now: float) -> None:
        """Set the function's time to ``now`` from here on."""
        self.handler.time = SimpleNamespace(time=lambda: now)  # type: ignore[attr-defined]


def load(name: str, **variables: str) -> Function:
    """Import function ``name`` anew with these variables."""
    with pytest.MonkeyPatch.context() as patch, _imported_modules_forgotten() as imported:
        for variable in [*os.environ]:
            patch.delenv(variable)
        for variable, value in {**RUNTIME, **variables}.items():
            patch.setenv(variable, value)
        patch.setattr(sys, "path", [str(LAMBDAS / name), str(LAMBDAS), *sys.path])
        patch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers the first environment that it saw
        importlib.import_module("handler")
    return Function(imported)


def invocation(function: Function, event: Event, output: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    """Return what the function answers to an event, and what it prints meanwhile."""
    output.readouterr()
    return function.invoke(event), output.readouterr().out


@contextlib.contextmanager
def _imported_modules_forgotten() -> Iterator[dict[str, ModuleType]]:
    """Collect the modules of a function's package that are imported meanwhile, and forget them afterwards."""
    imported: dict[str, ModuleType] = {}
    before = _take_modules()
    try:
        yield imported
    finally:
        imported |= _take_modules()
        sys.modules |= before


def _take_modules() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.split(".")[0] in ("handler", "cursor", "hosts", "urls", "common")]
    return {name: sys.modules.pop(name) for name in names}
