"""The deployment: builds the stack on any AWS endpoint, and converges.

``stack`` holds the order of the build. Every other module is one kind of resource, with an
``ensure`` function that creates what is missing, updates what differs and leaves the rest.
It needs Python 3.11 and boto3, both of which the engines' images have.
"""

import sys
import traceback
from pathlib import Path
from types import TracebackType

DEFINITION = "definition.py"


def _explain_definition(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """One line, instead of a traceback, for a slip in definition.py: it is the file that people edit."""
    file, line = ("", 0)
    if isinstance(error, SyntaxError):
        file, line = error.filename or "", error.lineno or 0
    elif frames := traceback.extract_tb(trace):
        file, line = frames[-1].filename, frames[-1].lineno or 0
    if Path(file) == Path(__file__).parent.with_name(DEFINITION):
        message = error.msg if isinstance(error, SyntaxError) else error
        print(f"\nerror: stack/{DEFINITION}, line {line}: {message}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _explain_definition
