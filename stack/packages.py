"""The packages that a function's requirements.txt names: pip installs them on the host, before a build takes them.

``lambdas/<function>/requirements.txt`` is for one function and ``lambdas/requirements.txt`` for all of them. What pip
installed is kept in ``lambdas/.packages`` by its content: by the requirements, and by the Python that will import it.
``python3 -m stack.packages`` prints which Python that is, where it runs. The standard library alone is used here.
"""

import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import importlib.util
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stack import http_client
from stack.errors import PackageError

REQUIREMENTS = "requirements.txt"
FOLDER = ".packages"  # in lambdas/, which a container sees; hidden, so that nothing takes it for a function
PATH = "/_stack/python"  # where stack/ministack says which Python functions run under
MIB = 1 << 20
STORED = 40 * MIB  # the largest zip that is not compressed
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
ZIPPED_LIMIT = 50 * MIB
UNZIPPED_LIMIT = 250 * MIB
SHOWN = 5  # packages, the largest ones
INCLUDED = re.compile(r"\s*(?:-r|--requirement|-c|--constraint)[\s=]*(\S+)")
# What pip writes about an installation, which differs between two of the same packages.
RECORDS = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
# pip judges markers such as python_version < "3.13" by the Python that runs pip.
PIP = """
import json, sys
from pip._vendor.packaging import markers
judged, changes = markers.default_environment, json.loads(sys.argv.pop(1))
markers.default_environment = lambda: judged() | changes
from pip._internal.cli.main import main
sys.exit(main())
"""


@dataclass(frozen=True)
class Target:
    """The Python that functions run under: its version, and what native code in their packages is compiled for."""

    python: str
    libc: str  # glibc or musl; elsewhere than on Linux, the system's name
    libc_version: str
    machine: str

    def __str__(self) -> str:
        return f"Python {self.python} ({' '.join(filter(None, (self.libc, self.libc_version, self.machine)))})"

    @property
    def slug(self) -> str:
        return "-".join(filter(None, (f"python{self.python}", self.libc + self.libc_version, self.machine)))

    @property
    def platforms(self) -> Iterator[str]:
        """Yield the platform tags of the wheels that run there, the best first (PEP 600, PEP 656)."""
        major, newest = (int(part) for part in self.libc_version.split(".")[:2])
        family, oldest = ("musllinux", 0) if self.libc == "musl" else ("manylinux", 17)
        for minor in range(newest, oldest - 1, -1):
            yield f"{family}_{major}_{minor}_{self.machine}"
        if family == "manylinux":
            yield f"manylinux2014_{self.machine}"  # pip knows the older names of it

    @property
    def markers(self) -> dict[str, str]:
        """Return the environment markers that pip cannot know (PEP 508)."""
        return {
            "python_version": self.python,
            "python_full_version": f"{self.python}.0",
            "implementation_version": f"{self.python}.0",
            "sys_platform": "linux",
            "platform_system": "Linux",
            "platform_machine": self.machine,
            "os_name": "posix",
        }


LAMBDA = Target("3.12", "glibc", "2.34", "x86_64")  # the runtime python3.12, which is on Amazon Linux 2023
AWS = dataclasses.replace(LAMBDA, machine="aarch64")  # as the functions are deployed there


@functools.cache
def own() -> Target:
    """Return the Python that runs this."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    if sys.platform != "linux":
        return Target(python, sys.platform, "", platform.machine())
    with contextlib.suppress(OSError, ValueError):  # there is no such name in musl
        libc, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        if libc == "glibc":
            return Target(python, libc, version, platform.machine())
    for loader in Path("/lib").glob("ld-musl-*.so.1"):
        printed = subprocess.run([loader], capture_output=True, text=True).stderr
        if version_line := re.search(r"Version (\d+\.\d+)", printed):
            return Target(python, "musl", version_line[1], platform.machine())
    return Target(python, "linux", "", platform.machine())


def of_engine(lambdas: Path, url: str | None) -> Target:
    """Return the Python of the functions of an engine; without a URL, of AWS.

    An engine that does not say another has that of AWS Lambda, under the architecture that is Lambda's default.
    It is not asked where no function has packages.
    """
    if url is None:
        return AWS
    if not wanted(lambdas):
        return LAMBDA
    try:
        answer = http_client.request("GET", f"{url}{PATH}")
        return parse(answer.body) if answer.status == 200 else LAMBDA
    except (OSError, ValueError):
        return LAMBDA


def parse(text: str | bytes) -> Target:
    """Return the target that an engine has described. Raises ValueError."""
    try:
        return Target(**json.loads(text))
    except TypeError as error:
        raise ValueError(f"not a description of a Python: {text!r}") from error


def described() -> str:
    """Return what describes the Python that runs this."""
    return json.dumps(dataclasses.asdict(own()))


def requirements(lambdas: Path, name: str) -> list[Path]:
    """Return the files that name a function's packages; empty if there are none."""
    files = (lambdas / REQUIREMENTS, lambdas / name / REQUIREMENTS)
    return [file for file in files if file.is_file() and any(_lines(file))]


def wanted(lambdas: Path) -> list[str]:
    """Return the functions that have requirements."""
    return sorted(path.parent.name for path in lambdas.glob("*/handler.py") if requirements(lambdas, path.parent.name))


def find(lambdas: Path, name: str, target: Target) -> Path | None:
    """Return the folder with a function's packages, or None if it asks for none; the zip is beside the folder.

    Raises PackageError if they are not installed.
    """
    files = requirements(lambdas, name)
    if not files:
        return None
    folder = _folder(lambdas, files, target)
    if not folder.with_suffix(".zip").is_file():
        raise PackageError(
            f"{_shown(lambdas, files)}: the packages are not installed for {target}; "
            "run scripts/up.sh, which installs them"
        )
    return folder


def install(lambdas: Path, target: Target) -> None:
    """Install the packages of every function that asks for some, where that is still to be done; remove earlier ones.

    Raises PackageError, with pip's reason.
    """
    todo = {_folder(lambdas, files, target): files for files in _all(lambdas)}
    if all(folder.with_suffix(".zip").is_file() for folder in todo):
        return
    try:
        with _turn(lambdas / FOLDER):
            for folder, files in todo.items():
                if not folder.with_suffix(".zip").is_file():
                    print(f"==> installing {_shown(lambdas, files)} for {target}", flush=True)
                    _install(lambdas, files, target, folder)
            _remove_all_but(todo, lambdas / FOLDER / target.slug)
    except OSError as error:
        raise PackageError(f"the packages cannot be kept in {lambdas / FOLDER}: {error.strerror}") from error


def check_size(name: str, content: bytes) -> None:
    """Raise PackageError for a function's zip that is too large for Lambda."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sizes = [(info.filename, info.file_size) for info in archive.infolist()]
    unzipped = sum(size for _, size in sizes)
    for size, limit, what in ((len(content), ZIPPED_LIMIT, "zipped"), (unzipped, UNZIPPED_LIMIT, "unzipped")):
        if size > limit:
            largest: Counter[str] = Counter()
            for file, one in sizes:
                largest[file.partition("/")[0]] += one
            shown = ", ".join(f"{package} {_mib(one)}" for package, one in largest.most_common(SHOWN))
            raise PackageError(
                f"function {name} has {_mib(size)} {what}, and Lambda takes {_mib(limit)}: "
                f"ask for fewer packages in {REQUIREMENTS}; the largest are {shown}"
            )


def member(name: str, compression: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    """Return the header of a file in a zip, the same on any machine and at any time."""
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.create_system = 3  # Unix, whatever made it
    info.external_attr = 0o644 << 16
    info.compress_type = compression
    return info


def _all(lambdas: Path) -> Iterator[list[Path]]:
    for name in wanted(lambdas):
        yield requirements(lambdas, name)


def _lines(file: Path) -> Iterator[str]:
    try:
        text = file.read_text()
    except (OSError, ValueError) as error:
        raise PackageError(f"{file} cannot be read: {error}") from error
    yield from (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))


def _folder(lambdas: Path, files: list[Path], target: Target) -> Path:
    digest = hashlib.sha256()
    pending, seen = list(files), set()
    while pending:
        file = pending.pop(0)
        if file in seen or not file.is_file():  # pip says so of one that is missing
            continue
        seen.add(file)
        for line in _lines(file):
            digest.update(f"{line.strip()}\n".encode())
            if included := INCLUDED.match(line):
                pending.append(file.parent / included[1])
        digest.update(b"\0")
    return lambdas / FOLDER / target.slug / digest.hexdigest()[:16]


def _shown(lambdas: Path, files: list[Path]) -> str:
    return " and ".join(file.relative_to(lambdas.parent).as_posix() for file in files)


def _mib(size: int) -> str:
    return f"{size / MIB:.1f} MB"


@contextlib.contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Let one process at a time install packages."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(lambdas: Path, files: list[Path], target: Target, folder: Path) -> None:
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=lambdas / FOLDER, prefix="new-") as temporary:
        new = Path(temporary, "packages")
        _pip(lambdas, files, target, new)
        new.mkdir(exist_ok=True)  # requirements may ask for nothing here, by their markers
        shutil.rmtree(new / "bin", ignore_errors=True)  # programs, which start with this machine's path of Python
        for record in [path for path in new.glob("*.dist-info/*") if path.name in RECORDS]:
            record.unlink()
        zipped = Path(temporary, "packages.zip")
        zipped.write_bytes(_zip(new))
        shutil.rmtree(folder, ignore_errors=True)  # of an installation that was interrupted just here
        new.rename(folder)
        zipped.rename(folder.with_suffix(".zip"))


def _remove_all_but(wanted: Collection[Path], parent: Path) -> None:
    """Remove what no function asks for any more."""
    for folder in {path.with_suffix("") for path in parent.iterdir()} - {*wanted}:
        folder.with_suffix(".zip").unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def _pip(lambdas: Path, files: list[Path], target: Target, folder: Path) -> None:
    if importlib.util.find_spec("pip") is None:  # a .venv of uv's
        subprocess.run([sys.executable, "-m", "ensurepip"], capture_output=True)
    arguments = ["--target", str(folder), "--no-compile", "--no-user", "--disable-pip-version-check", "--no-input"]
    for file in files:
        arguments += ["--requirement", str(file)]
    markers: Mapping[str, str] = {}
    if target != own():
        markers = target.markers
        arguments += ["--only-binary=:all:", "--implementation=cp", f"--python-version={target.python}"]
        arguments += [f"--platform={one}" for one in target.platforms]
    environment = {name: os.environ[name] for name in os.environ if name not in ("PIP_PREFIX", "PIP_ROOT")}
    done = subprocess.run(
        [sys.executable, "-I", "-c", PIP, json.dumps(markers), "install", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        log = lambdas / FOLDER / "pip.log"
        log.write_text(done.stdout)
        said = re.findall(r"^ERROR: (.*)", done.stdout, re.MULTILINE) or done.stdout.splitlines()[-1:]
        reason = " ".join(said[-1].split()) if said else f"exit code {done.returncode}"
        raise PackageError(
            f"{_shown(lambdas, files)} cannot be installed for {target}: {reason} (all that pip says is in {log})"
        )


def _zip(folder: Path) -> bytes:
    """Return a zip of the folder: stored as far as it fits, for what a compressor makes differs between zlibs."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if _is_of_a_package(path)}
    size = sum(path.stat().st_size for path in files.values())
    compression = zipfile.ZIP_STORED if size <= STORED else zipfile.ZIP_DEFLATED
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, path in sorted(files.items()):
            archive.writestr(member(name, compression), path.read_bytes())
    return buffer.getvalue()


def _is_of_a_package(path: Path) -> bool:
    return path.is_file() and path.suffix != ".pyc" and "__pycache__" not in path.parts


if __name__ == "__main__":
    print(described())
