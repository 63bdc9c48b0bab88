"""A function's deployment package: its folder and ``lambdas/common``, zipped.

https://docs.aws.amazon.com/lambda/latest/dg/python-package.html
"""

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stack.errors import PackageError

COMMON = "common"
ENTRY = "handler.py"


@dataclass(frozen=True)
class Package:
    """The bytes of a zip and their hash as Lambda's ``CodeSha256`` gives it."""

    content: bytes

    @property
    def sha256(self) -> str:
        return base64.b64encode(hashlib.sha256(self.content).digest()).decode()


def build(lambdas: Path, name: str) -> Package:
    """Zip function ``name``: the same source gives the same bytes, on any machine and at any time.

    Raises PackageError when the handler is missing or a file is not valid Python.
    """
    folder = lambdas / name
    if not (folder / ENTRY).is_file():
        raise PackageError(f"{lambdas.name}/{name}/{ENTRY} is missing: a function's code has to be there")
    files = {path.relative_to(folder).as_posix(): path for path in _sources(folder)}
    files |= {path.relative_to(lambdas).as_posix(): path for path in _sources(lambdas / COMMON)}
    buffer = io.BytesIO()
    # Stored, not deflated: what a compressor makes differs between versions of zlib.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for arcname, path in sorted(files.items()):
            member = zipfile.ZipInfo(arcname, date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system = 3  # Unix, whatever made it
            member.external_attr = 0o644 << 16
            archive.writestr(member, _checked(path, lambdas))
    return Package(buffer.getvalue())


def _sources(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            yield path


def _checked(path: Path, lambdas: Path) -> bytes:
    shown = path.relative_to(lambdas.parent)
    try:
        source = path.read_bytes()
    except OSError as error:
        raise PackageError(f"{shown} cannot be read: {error.strerror}") from error
    if path.suffix == ".py":
        try:
            compile(source, str(shown), "exec", dont_inherit=True)
        except SyntaxError as error:
            raise PackageError(f"{shown}, line {error.lineno}: {error.msg}") from error
        except ValueError as error:  # a null byte, before Python 3.12
            raise PackageError(f"{shown} is not Python source: {error}") from error
    return source
