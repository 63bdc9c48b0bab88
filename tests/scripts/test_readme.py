"""The README is true: what there is, is in it."""

import re
import tomllib

import pytest

from deploy.definition import API_ID, FUNCTIONS
from project import CHECKOUT, DEFAULTS

README = (CHECKOUT / "README.md").read_text()
ENV = DEFAULTS


@pytest.mark.parametrize("script", sorted(path.name for path in (CHECKOUT / "scripts").iterdir() if path.is_file()))
def test_every_script_is_in_it(script: str) -> None:
    assert f"`{script}`" in README or f"scripts/{script}" in README


@pytest.mark.parametrize("name", ENV)
def test_every_setting_is_in_its_table_with_its_default(name: str) -> None:
    (row,) = [line for line in README.splitlines() if line.startswith("|") and f"`{name}`" in line.split("|")[1]]
    if not name.endswith("_IMAGE"):
        assert row.split("|")[2].strip() == (f"`{ENV[name]}`" if ENV[name] else "")


@pytest.mark.parametrize("key", [route.key for function in FUNCTIONS for route in function.routes])
def test_every_route_is_in_it(key: str) -> None:
    assert f"| `{key}`" in README


@pytest.mark.parametrize(
    "folder", sorted(p.name for p in CHECKOUT.iterdir() if p.is_dir() and (p / "__init__.py").exists())
)
def test_every_package_is_in_it(folder: str) -> None:
    assert f"| `{folder}/` |" in README


def test_its_relative_paths_exist() -> None:
    named = set(re.findall(r"(?:scripts|lambdas|init|deploy|compose|tests)/[\w./-]*\w", README))
    assert named
    assert [path for path in named if not (CHECKOUT / path).exists()] == []


def test_its_example_has_the_fixed_api_id() -> None:
    assert f"http://127.0.0.1:4566/_aws/execute-api/{API_ID}/dev" in README


def test_the_embedded_engine_is_the_pinned_image() -> None:
    groups = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["dependency-groups"]
    image = ENV["MINISTACK_IMAGE"]
    assert f"ministack=={image.partition(':')[2]}" in groups["embedded"]
