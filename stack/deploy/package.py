"""A function's deployment package: its folder, ``lambdas/common`` and the packages that it asks for, zipped.

https://docs.aws.amazon.com/lambda/latest/dg/python-package.html
"""

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from stack import packages
from stack.errors import PackageError
from stack.packages import LAMBDA, Target

COMMON = "common"
ENTRY = "handler.py"
COMPILED = 256  # files that are remembered: those of lambdas/common are in every package


@dataclass(frozen=True)
class Package:
    """The bytes of a zip and their hash as Lambda's ``CodeSha256`` gives it.

    ``sources`` are the project's files in it, which come from ``lambdas``. ``target`` is the Python that its packages
    are for, or None if it has none.
    """

    content: bytes
    sources: frozenset[str]
    lambdas: Path
    target: Target | None

    @property
    def sha256(self) -> str:
        return base64.b64encode(hashlib.sha256(self.content).digest()).decode()


def build(lambdas: Path, name: str, target: Target = LAMBDA) -> Package:
    """Zip function ``name``: the same source gives the same bytes, on any machine and at any time.

    Raises PackageError when the handler is missing, a file is not valid Python, or the packages for ``target`` are
    not installed or too large.
    """
    folder = lambdas / name
    if not (folder / ENTRY).is_file():
        raise PackageError(f"{lambdas.name}/{name}/{ENTRY} is missing: a function's code has to be there")
    files = {path.relative_to(folder).as_posix(): path for path in _sources(folder)}
    files |= {path.relative_to(lambdas).as_posix(): path for path in _sources(lambdas / COMMON)}
    installed = packages.find(lambdas, name, target)
    buffer = io.BytesIO(installed.with_suffix(".zip").read_bytes() if installed else b"")
    # Stored, not deflated: what a compressor makes differs between versions of zlib.
    with zipfile.ZipFile(buffer, "a" if installed else "w", zipfile.ZIP_STORED) as archive:
        _check_clash(lambdas, name, {one.partition("/")[0] for one in archive.namelist()}, files)
        for arcname, path in sorted(files.items()):
            archive.writestr(packages.member(arcname), _checked(path, lambdas))
    content = buffer.getvalue()
    packages.check_size(name, content)
    return Package(content, frozenset(files), lambdas, target if installed else None)


def _check_clash(lambdas: Path, name: str, installed: set[str], files: Mapping[str, Path]) -> None:
    for arcname in sorted(files):
        top = arcname.partition("/")[0]
        if {top, top.removesuffix(".py"), f"{top}.py"} & installed:
            shown = files[arcname].relative_to(lambdas.parent)
            raise PackageError(f"{shown} has the name of a package that {name} asks for: rename the file or its folder")


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
        _check_syntax(source, shown)
    return source


@lru_cache(COMPILED)
def _check_syntax(source: bytes, shown: Path) -> None:
    try:
        compile(source, str(shown), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise PackageError(f"{shown}, line {error.lineno}: {error.msg}") from error
    except ValueError as error:  # a null byte, before Python 3.12
        raise PackageError(f"{shown} is not Python source: {error}") from error
