"""The README is true: what there is, is in it."""

import re
import tomllib
from pathlib import Path

import pytest

from project import CHECKOUT, DEFAULTS
from stack.definition import API_ID, FUNCTIONS

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
    named = set(re.findall(r"(?:scripts|lambdas|init|stack|compose|tests)/[\w./-]*\w", README))
    assert named
    assert [path for path in named if not (CHECKOUT / path).exists()] == []


def test_its_example_has_the_fixed_api_id() -> None:
    assert f"http://127.0.0.1:4566/_aws/execute-api/{API_ID}/dev" in README


def test_the_embedded_engine_is_the_pinned_image() -> None:
    groups = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["dependency-groups"]
    image = ENV["MINISTACK_IMAGE"]
    assert f"ministack=={image.partition(':')[2]}" in groups["embedded"]


def troubles() -> list[str]:
    """What the tools say, from the first column of the troubleshooting table."""
    section = README[README.index("## When something is wrong") :].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [said for row in rows for said in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize("said", troubles())
def test_what_its_troubleshooting_table_quotes_is_what_the_tools_say_and_is_provoked(said: str) -> None:
    def texts(*folders: str) -> str:
        paths = [path for folder in folders for path in (CHECKOUT / folder).rglob("*") if path.suffix in (".py", ".sh")]
        joined = "\n".join(path.read_text() for path in paths if path != Path(__file__))
        return re.sub(r'"\n\s*f?"', "", joined)  # a message over several lines

    words = re.sub(r"\blambdas/\S+|\b40\d\b|\b20\d\b|\(Address already in use\)|invalid syntax", "…", said)
    parts = [part.strip(" :") for part in words.split("…") if part.strip(" :")]
    assert parts
    assert [part for part in parts if part not in texts("stack", "scripts")] == []
    longest = max(parts, key=len)
    assert any(longest[start : start + 14] in texts("tests") for start in range(max(len(longest) - 13, 1)))


def test_its_commands_have_no_comments_which_an_interactive_zsh_would_run() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    assert blocks
    assert [line for block in blocks for line in block.splitlines() if re.search(r"(^|\s)#", line)] == []
