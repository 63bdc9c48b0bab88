"""Run a function's handler, an invocation for each line on stdin: a double of Lambda's own Python runtime.

Answers go to the descriptor that the command line names, a line each; what the function prints is its log.
"""

import importlib
import json
import os
import sys
import time
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def failure(error: BaseException) -> dict[str, Any]:
    """Return an exception as Lambda reports it."""
    frames = traceback.format_list(traceback.extract_tb(error.__traceback__))
    return {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": frames}


def main() -> None:
    answers = os.fdopen(int(sys.argv[1]), "w", buffering=1)
    module, _, name = os.environ["_HANDLER"].rpartition(".")
    sys.path[0] = str(Path.cwd())
    try:
        handler = getattr(importlib.import_module(module), name)
    except BaseException as error:
        print(json.dumps(failure(error)), file=answers)
        sys.exit(1)
    print(json.dumps(None), file=answers)
    for line in sys.stdin:
        asked = json.loads(line)
        deadline = time.monotonic() + float(os.environ["AWS_LAMBDA_FUNCTION_TIMEOUT"])
        context = SimpleNamespace(
            aws_request_id=asked["invoke-id"],
            function_name=os.environ["AWS_LAMBDA_FUNCTION_NAME"],
            invoked_function_arn=asked["invoked-function-arn"],
            get_remaining_time_in_millis=lambda end=deadline: int((end - time.monotonic()) * 1000),
        )
        try:
            answer = {"result": handler(json.loads(asked["payload"]), context)}
        except Exception as error:
            print(f"[ERROR] {type(error).__name__}: {error}\n{traceback.format_exc()}", file=sys.stderr)
            answer = {"error": failure(error)}
        sys.stdout.flush()
        sys.stderr.flush()
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
