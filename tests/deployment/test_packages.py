"""A function's packages: what its requirements.txt names is in its zip, and nothing else can be imported."""

import io
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import builds
import wheels
from project import Project
from session import session
from stack import packages
from stack.deploy import loading, package
from stack.deploy.loading import Source
from stack.errors import PackageError
from stack.model import Function, Route
from stack.packages import LAMBDA, Target

pytestmark = pytest.mark.long

MUSL = Target("3.13", "musl", "1.2", "x86_64")
ENTRY = 'Function("probe", (Route("GET /probe"),)), '
# One whose worker is a new Python instead of a copy of one that is warm.
COLD = 'Function("cold", (Route("GET /cold"),), variables={"PYTHONHASHSEED": "0"}), '
HANDLER = """import importlib, json
import measures


def there(name):
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def handler(event, context):
    names = ("boto3", "yaml", "ministack", "pytest", "certifi", "pip")
    return {"statusCode": 200, "body": json.dumps([measures.SIZE, *filter(there, names)])}
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the folder that pip takes wheels from."""
    folder = tmp_path_factory.mktemp("index")
    measures = {"measures/__init__.py": "SIZE = 1\n", "measures/more.py": "def f(): raise OSError\n"}
    wheels.make(folder, "measures", measures)
    wheels.make(folder, "figures", {"figures.py": "SIZE = 2\n"})
    wheels.make(folder, "older", {"older.py": "", "large/data": bytes(60 << 20)})
    wheels.make(folder, "newer", {"newer.py": ""})
    wheels.make(folder, "windows", {"windows.py": ""}, tag="cp312-cp312-win_amd64")
    tags = {"cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64": LAMBDA, "cp313-cp313-musllinux_1_2_x86_64": MUSL}
    for tag, target in tags.items():
        requires = ('older; python_version < "3.13"', 'newer; python_version >= "3.13"')
        wheels.make(folder, "native", {f"native/{target.libc}.so": "", "native/__init__.py": ""}, requires, tag)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in wheels.only(folder).items():
            patch.setenv(name, value)
        yield folder


@pytest.fixture(scope="module")
def installed(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one function, ``probe``, whose packages are installed for two Pythons."""
    lambdas = function(tmp_path_factory.mktemp("installed") / "lambdas", "native\n")
    for target in (LAMBDA, MUSL):
        packages.install(lambdas, target)
    return lambdas


@pytest.fixture
def lambdas(installed: Path, tmp_path: Path) -> Path:
    """Return a copy of that folder, which a test may change."""
    return Path(shutil.copytree(installed, tmp_path / "lambdas"))


def function(lambdas: Path, requirements: str, handler: str = HANDLER) -> Path:
    folder = lambdas / "probe"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "handler.py").write_text(handler)
    (folder / "requirements.txt").write_text(requirements)
    return lambdas


def zipped(lambdas: Path, target: Target = LAMBDA) -> list[str]:
    content = package.build(lambdas, "probe", target).content
    return zipfile.ZipFile(io.BytesIO(content)).namelist()


def test_a_function_imports_what_it_asks_for_and_nothing_else_and_dev_installs_what_is_saved(
    desk: Project, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    function(desk.folder / "lambdas", "measures\n")
    shutil.copytree(desk.folder / "lambdas/probe", desk.folder / "lambdas/cold")
    builds.shrink(desk, ENTRY + COLD)
    monkeypatch.setattr("stack.definition.DEFINITION", builds.defined(desk))
    requirements = desk.folder / "lambdas/probe/requirements.txt"
    desk = replace(desk, settings={**desk.settings, **wheels.only(index)})
    with session(desk, "scripts/dev.sh") as window, desk.stack.http() as client:
        window.shows("watching lambdas/")
        assert window.printed.count("==> installing lambdas/") == 1  # both ask for the same
        assert client.get("/probe").json() == client.get("/cold").json() == [1, "boto3"]
        assert "function  probe       live" in builds.status(desk)[1]

        requirements.write_text("figures\n")
        (desk.folder / "lambdas/probe/handler.py").write_text(HANDLER.replace("measures", "figures"))
        window.shows("==> installing lambdas/probe/requirements.txt")
        window.shows("function    probe                  updated")
        assert client.get("/probe").json() == [2, "boto3"]
        assert window.interrupt() == 0


def test_a_build_says_which_command_installs_packages_that_are_missing(few: Project, tmp_path: Path) -> None:
    lambdas = Path(shutil.copytree(few.folder / "lambdas", tmp_path / "lambdas"))
    function(lambdas, "measures\n")
    assert builds.run(
        few, builds.with_function(Function("probe", (Route("GET /probe"),)), builds.FEW), lambdas
    ).error == (
        f"lambdas/probe/requirements.txt: the packages are not installed for {packages.own()}; "
        "run scripts/up.sh, which installs them"
    )


def test_the_same_requirements_make_the_same_zip_and_its_errors_are_shown_where_the_function_calls_it(
    index: Path, tmp_path: Path
) -> None:
    built = []
    for place in ("one", "two"):
        lambdas = function(tmp_path / place / "lambdas", "-r ../more.txt\n", "from measures import more\nmore.f()\n")
        (lambdas / "more.txt").write_text("measures==1.0\n")
        packages.install(lambdas, packages.own())
        built.append(package.build(lambdas, "probe", packages.own()))
    assert built[0].sha256 == built[1].sha256
    assert sorted(zipped(lambdas, packages.own())) == [
        "handler.py",
        "measures-1.0.dist-info/METADATA",
        "measures-1.0.dist-info/WHEEL",
        "measures-1.0.dist-info/entry_points.txt",
        "measures/__init__.py",
        "measures/more.py",
        "requirements.txt",
    ]
    with pytest.raises(
        PackageError, match=r"^lambdas/probe/handler\.py, line 2: function probe cannot be loaded: OSError"
    ):
        loading.check([Source(Function("probe"), built[0], {})])
    (lambdas / "more.txt").write_text("measures>=1\n")
    assert not is_installed(lambdas, packages.own())


def is_installed(lambdas: Path, target: Target = LAMBDA) -> bool:
    try:
        return packages.find(lambdas, "probe", target) is not None
    except PackageError:
        return False


def test_what_is_installed_is_kept_until_the_requirements_or_the_python_change(
    lambdas: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for target in (LAMBDA, MUSL):
        packages.install(lambdas, target)
    assert capsys.readouterr().out == ""
    assert not is_installed(lambdas, packages.AWS)
    file = lambdas / "probe/requirements.txt"
    file.write_text("# a comment\n\nnative\n")
    assert is_installed(lambdas)
    file.write_text("measures\n")
    assert not is_installed(lambdas)
    packages.install(lambdas, LAMBDA)
    assert is_installed(lambdas)
    assert not is_installed(lambdas, MUSL)
    file.write_text("native\n")
    assert not is_installed(lambdas)  # it was asked for no more
    assert is_installed(lambdas, MUSL)


def test_requirements_of_all_functions_are_in_each(lambdas: Path) -> None:
    (lambdas / "probe/requirements.txt").rename(lambdas / "requirements.txt")
    packages.install(lambdas, LAMBDA)
    assert "native/__init__.py" in zipped(lambdas)


def test_native_code_and_markers_are_those_of_the_python_that_imports_them(installed: Path) -> None:
    for target, marked, other in ((LAMBDA, "older.py", "newer.py"), (MUSL, "newer.py", "older.py")):
        names = zipped(installed, target)
        assert f"native/{target.libc}.so" in names
        assert (marked in names, other in names) == (True, False)


def test_a_package_without_a_wheel_for_lambda_is_refused(index: Path, tmp_path: Path) -> None:
    lambdas = function(tmp_path / "lambdas", "windows\n")
    with pytest.raises(PackageError) as refused:
        packages.install(lambdas, LAMBDA)
    said = r"lambdas/probe/requirements.txt cannot be installed for Python 3.12 .*No matching distribution found for .*"
    assert re.fullmatch(said, str(refused.value))  # which is one line
    assert [path.name for path in (lambdas / ".packages").glob("new-*")] == []


def test_a_function_that_is_too_large_names_its_largest_packages(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "fifty": 50}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, size in sizes.items():
            archive.writestr(f"{name}/data", bytes(size << 20))
    largest = "the largest are fifty 50.0 MB, five 5.0 MB, four 4.0 MB, three 3.0 MB, two 2.0 MB"
    with pytest.raises(PackageError, match=rf"function probe has 65\.\d MB zipped, .* takes 50.0 MB: .*; {largest}$"):
        packages.check_size("probe", content.getvalue())
    monkeypatch.setattr(packages, "UNZIPPED_LIMIT", 59 << 20)
    with pytest.raises(PackageError, match=r"has 60\.\d MB unzipped, .* takes 59.0 MB: .* large 60.0 MB"):
        package.build(installed, "probe")


def test_a_zip_is_compressed_once_it_would_not_fit(installed: Path) -> None:
    assert len(package.build(installed, "probe").content) < 1 << 20


def test_a_file_with_the_name_of_a_package_is_refused(lambdas: Path) -> None:
    (lambdas / "probe/native.py").write_text("")
    with pytest.raises(PackageError, match=r"lambdas/probe/native.py has the name of a package that probe asks for"):
        package.build(lambdas, "probe")


REAL = """import json
from aws_lambda_powertools import Logger
from cryptography.fernet import Fernet
from pydantic import BaseModel


class Note(BaseModel):
    size: int


def handler(event, context):
    key = Fernet(Fernet.generate_key())
    size = Note(size=key.decrypt(key.encrypt(b"7")).decode()).size
    return {"statusCode": 200, "body": json.dumps({"size": size, "logger": Logger.__name__})}
"""


@pytest.mark.search  # the page's function has native code too: test_add_your_own
def test_pydantic_cryptography_and_powertools_work(project: Project) -> None:
    requirements = "pydantic>=2\ncryptography\naws-lambda-powertools\n"
    function(project.folder / "lambdas", requirements, REAL)
    builds.shrink(project, ENTRY)
    project.up()
    with project.stack.http() as client:
        assert client.get("/probe").json() == {"size": 7, "logger": "Logger"}
    lambdas = project.folder / "lambdas"
    targets = ((LAMBDA, "-x86_64-linux-gnu."), (packages.AWS, "-aarch64-linux-gnu."), (MUSL, "-x86_64-linux-musl."))
    for target, infix in targets:
        packages.install(lambdas, target)
        native = [name for name in zipped(lambdas, target) if name.endswith(".so")]
        assert any(name.startswith("pydantic_core/") and infix in name for name in native), native
        assert any(name.startswith("cryptography/hazmat/") for name in native), native


def test_the_engine_says_which_python_its_functions_run_under(bare: Project, installed: Path) -> None:
    assert packages.of_engine(installed, bare.engine) == packages.own()
    assert packages.of_engine(installed, "http://127.0.0.1:1") == LAMBDA
    assert packages.of_engine(installed, None) == packages.AWS
    assert json.loads(packages.described())["python"] == packages.own().python
