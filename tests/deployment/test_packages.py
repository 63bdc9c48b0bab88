"""A function's packages: what its requirements.txt names is in its zip, and nothing else can be imported."""

import io
import json
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

import wheels
from project import Project
from session import session
from stack import packages
from stack.deploy import package
from stack.errors import PackageError
from stack.packages import LAMBDA, Target

MUSL = Target("3.13", "musl", "1.2", "x86_64")
ENTRY = '        Function("probe", (Route("GET /probe"),)),\n'
# One whose worker is a new Python instead of a copy of one that is warm.
COLD = '        Function("cold", (Route("GET /cold"),), variables={"PYTHONHASHSEED": "0"}),\n'
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


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that pip takes wheels from."""
    folder = tmp_path / "index"
    for name, value in wheels.only(folder).items():
        monkeypatch.setenv(name, value)
    wheels.make(
        folder, "measures", {"measures/__init__.py": "SIZE = 1\n", "measures/more.py": "def f(): raise OSError\n"}
    )
    return folder


@pytest.fixture
def lambdas(tmp_path: Path) -> Path:
    """Return a folder with one function, ``probe``, that asks for ``measures``."""
    return function(tmp_path / "lambdas", "measures==1.0\n")


def function(lambdas: Path, requirements: str, handler: str = HANDLER) -> Path:
    folder = lambdas / "probe"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "handler.py").write_text(handler)
    (folder / "requirements.txt").write_text(requirements)
    return lambdas


def zipped(lambdas: Path, target: Target = LAMBDA) -> list[str]:
    content = package.build(lambdas, "probe", target).content
    return zipfile.ZipFile(io.BytesIO(content)).namelist()


def test_a_function_imports_what_it_asks_for_and_nothing_else_of_the_venv(project: Project, index: Path) -> None:
    function(project.folder / "lambdas", "measures\n")
    shutil.copytree(project.folder / "lambdas/probe", project.folder / "lambdas/cold")
    project.define(ENTRY + COLD)
    project.settings |= wheels.only(index)
    printed = project.check("scripts/up.sh")
    assert printed.count("==> installing lambdas/") == 1  # both ask for the same
    with project.stack.http() as client:
        assert client.get("/probe").json() == client.get("/cold").json() == [1, "boto3"]
        shutil.rmtree(index)  # an index that is gone does not matter, because nothing is to be installed
        printed = project.check("scripts/up.sh")
        assert "installing" not in printed
        assert "function    probe                  unchanged" in printed
        assert "function  probe       live" in project.check("scripts/status.sh")

        (project.folder / "lambdas/probe/requirements.txt").write_text("measures\nunheard-of\n")
        failed = project.run("scripts/up.sh")
        assert failed.returncode == 1
        assert failed.stderr.startswith("error: lambdas/probe/requirements.txt cannot be installed for Python 3.")
        assert "No matching distribution found for " in failed.stderr
        assert failed.stderr.count("\n") == 1
        assert client.get("/probe").json() == [1, "boto3"]


def test_a_package_of_the_venv_that_nobody_asked_for_is_named_before_it_fails(project: Project) -> None:
    function(project.folder / "lambdas", "# none\n", "import yaml\ndef handler(event, context): ...\n")
    project.define(ENTRY)
    assert project.run("scripts/up.sh").returncode == 1
    assert (
        "error: lambdas/probe/handler.py, line 1: function probe cannot be loaded: ModuleNotFoundError: "
        "No module named 'yaml'; name its package in lambdas/probe/requirements.txt\n"
    ) in (project.state / "engine.log").read_text()


def test_a_build_says_which_command_installs_packages_that_are_missing(project: Project, index: Path) -> None:
    project.up()
    function(project.folder / "lambdas", "measures\n")
    project.define(ENTRY)
    done = project.deploy()
    assert done.returncode == 1
    assert done.stderr == (
        f"\nerror: lambdas/probe/requirements.txt: the packages are not installed for {packages.own()}; "
        "run scripts/up.sh, which installs them\n"
    )


def test_dev_installs_the_packages_of_requirements_that_are_saved(project: Project, index: Path) -> None:
    function(project.folder / "lambdas", "measures\n", HANDLER.replace("import measures", "class measures: SIZE = 0"))
    project.define(ENTRY)
    wheels.make(index, "figures", {"figures.py": "SIZE = 2\n"})
    project.settings |= wheels.only(index)
    with session(project, "scripts/dev.sh") as window:
        window.shows("watching lambdas/")
        folder = project.folder / "lambdas/probe"
        (folder / "requirements.txt").write_text("figures\n")
        (folder / "handler.py").write_text(HANDLER.replace("measures", "figures"))
        window.shows("==> installing lambdas/probe/requirements.txt")
        window.shows("function    probe                  updated")
        with project.stack.http() as client:
            assert client.get("/probe").json() == [2, "boto3"]
        assert window.interrupt() == 0


def test_the_same_requirements_make_the_same_zip(index: Path, tmp_path: Path) -> None:
    built = []
    for place in ("one", "two"):
        lambdas = function(tmp_path / place / "lambdas", "measures==1.0\n")
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


def test_what_is_installed_is_kept_until_the_requirements_or_the_python_change(
    index: Path, lambdas: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def installs(target: Target = LAMBDA) -> bool:
        packages.install(lambdas, target)
        return "installing" in capsys.readouterr().out

    assert [installs(), installs(), installs(MUSL), installs(MUSL)] == [True, False, True, False]
    file = lambdas / "probe/requirements.txt"
    file.write_text("# a comment\n\nmeasures==1.0\n")
    assert not installs()
    (lambdas / "more.txt").write_text("measures\n")
    file.write_text("-r ../more.txt\n")
    assert [installs(), installs()] == [True, False]
    (lambdas / "more.txt").write_text("measures>=1\n")
    assert installs()


def test_requirements_of_all_functions_are_in_each(index: Path, lambdas: Path) -> None:
    (lambdas / "probe/requirements.txt").unlink()
    (lambdas / "requirements.txt").write_text("measures\n")
    packages.install(lambdas, LAMBDA)
    assert "measures/__init__.py" in zipped(lambdas)


def test_native_code_and_markers_are_those_of_the_python_that_imports_them(index: Path, tmp_path: Path) -> None:
    tags = {"cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64": LAMBDA, "cp313-cp313-musllinux_1_2_x86_64": MUSL}
    for tag, target in tags.items():
        requires = ('older; python_version < "3.13"', 'newer; python_version >= "3.13"')
        wheels.make(index, "native", {f"native/{target.libc}.so": "", "native/__init__.py": ""}, requires, tag)
    for name in ("older", "newer"):
        wheels.make(index, name, {f"{name}.py": ""})
    lambdas = function(tmp_path / "lambdas", "native\n")
    for target, marked, other in ((LAMBDA, "older.py", "newer.py"), (MUSL, "newer.py", "older.py")):
        packages.install(lambdas, target)
        names = zipped(lambdas, target)
        assert f"native/{target.libc}.so" in names
        assert (marked in names, other in names) == (True, False)


def test_a_package_without_a_wheel_for_lambda_is_refused(index: Path, tmp_path: Path) -> None:
    wheels.make(index, "native", {"native.py": ""}, tag="cp312-cp312-win_amd64")
    lambdas = function(tmp_path / "lambdas", "native\n")
    with pytest.raises(PackageError, match=r"cannot be installed for Python 3.12 .*No matching distribution found"):
        packages.install(lambdas, LAMBDA)
    assert [path.name for path in (lambdas / ".packages").glob("new-*")] == []


def test_a_function_that_is_too_large_names_its_largest_packages(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "fifty": 50}
    for name, size in sizes.items():
        wheels.make(index, name, {f"{name}/data": os.urandom(size << 20)})
    lambdas = function(tmp_path / "lambdas", "\n".join(sizes))
    packages.install(lambdas, LAMBDA)
    largest = "the largest are fifty 50.0 MB, five 5.0 MB, four 4.0 MB, three 3.0 MB, two 2.0 MB"
    with pytest.raises(PackageError, match=rf"function probe has 65\.\d MB zipped, .* takes 50.0 MB: .*; {largest}$"):
        package.build(lambdas, "probe")
    monkeypatch.setattr(packages, "ZIPPED_LIMIT", 100 << 20)
    monkeypatch.setattr(packages, "UNZIPPED_LIMIT", 64 << 20)
    with pytest.raises(PackageError, match=rf"function probe has 65\.\d MB unzipped, .* takes 64.0 MB: .*; {largest}$"):
        package.build(lambdas, "probe")


def test_a_zip_is_compressed_once_it_would_not_fit(index: Path, tmp_path: Path) -> None:
    wheels.make(index, "large", {"large/data": bytes(60 << 20)})
    lambdas = function(tmp_path / "lambdas", "large\n")
    packages.install(lambdas, LAMBDA)
    assert len(package.build(lambdas, "probe").content) < 1 << 20


def test_a_file_with_the_name_of_a_package_is_refused(index: Path, lambdas: Path) -> None:
    (lambdas / "probe/measures.py").write_text("")
    packages.install(lambdas, LAMBDA)
    with pytest.raises(PackageError, match=r"lambdas/probe/measures.py has the name of a package that probe asks for"):
        package.build(lambdas, "probe")


def test_an_error_in_a_package_is_shown_where_the_function_calls_it(project: Project, index: Path) -> None:
    function(project.folder / "lambdas", "measures\n", "from measures import more\nmore.f()\n")
    project.define(ENTRY)
    project.settings |= wheels.only(index)
    assert project.run("scripts/up.sh").returncode == 1
    log = (project.state / "engine.log").read_text()
    assert "error: lambdas/probe/handler.py, line 2: function probe cannot be loaded: OSError" in log


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


def test_pydantic_cryptography_and_powertools_work(project: Project) -> None:
    requirements = "pydantic>=2\ncryptography\naws-lambda-powertools\n"
    function(project.folder / "lambdas", requirements, REAL)
    project.define(ENTRY)
    project.up()
    with project.stack.http() as client:
        assert client.get("/probe").json() == {"size": 7, "logger": "Logger"}
    lambdas = project.folder / "lambdas"
    for target, infix in ((LAMBDA, "-linux-gnu."), (MUSL, "-linux-musl.")):
        packages.install(lambdas, target)
        native = [name for name in zipped(lambdas, target) if name.endswith(".so")]
        assert any(name.startswith("pydantic_core/") and infix in name for name in native), native
        assert any(name.startswith("cryptography/hazmat/") for name in native), native


def test_the_engine_says_which_python_its_functions_run_under(shared: Project, lambdas: Path) -> None:
    assert packages.of_engine(lambdas, shared.engine) == packages.own()
    assert packages.of_engine(lambdas, "http://127.0.0.1:1") == LAMBDA
    assert packages.of_engine(lambdas, None) == replace(LAMBDA, machine="aarch64")  # AWS, where it is deployed so
    assert json.loads(packages.described())["python"] == packages.own().python
