"""README.md and docs/ are true: what there is, is in them."""

import re
import tomllib

from project import CHECKOUT, DEFAULTS
from stack.definition import DEFINITION

README = (CHECKOUT / "README.md").read_text()
TROUBLESHOOTING = CHECKOUT / "docs/troubleshooting.md"
PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
DOCUMENTATION = "\n".join(path.read_text() for path in PAGES)


def test_every_script_is_named() -> None:
    names = [path.name for path in (CHECKOUT / "scripts").iterdir() if path.is_file()]
    assert [name for name in names if f"scripts/{name}" not in DOCUMENTATION] == []


def test_every_setting_has_one_row_with_its_default() -> None:
    lines = (CHECKOUT / "docs/settings.md").read_text().splitlines()
    cells = [line.split("|") for line in lines if line.startswith("|")]
    for name, default in DEFAULTS.items():
        (row,) = [row for row in cells if len(row) == 5 and re.search(rf"`{name}`", row[1])]
        if not name.endswith("_IMAGE"):
            assert row[2].strip() == (f"`{default}`" if default else ""), name


def test_paths_exist() -> None:
    named = set(re.findall(r"(?:scripts|lambdas|init|stack|compose|tests|docs)/[\w./-]*\w", DOCUMENTATION))
    assert "scripts/up.sh" in named
    made = re.compile(r"/\.packages$|/requirements.txt$|notes")  # by whoever follows docs/add-your-own.md
    assert [path for path in named if not (CHECKOUT / path).exists() and not made.search(path)] == []


def test_links_to_other_pages_lead_somewhere() -> None:
    for page in PAGES:
        links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())
        assert [link for link in links if not (page.parent / link).exists()] == [], page


def test_the_example_has_the_fixed_api_id() -> None:
    assert f"http://127.0.0.1:4566/_aws/execute-api/{DEFINITION.api_id}/dev" in README


def test_the_embedded_engine_is_the_pinned_image() -> None:
    groups = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["dependency-groups"]
    assert f"ministack=={DEFAULTS['MINISTACK_IMAGE'].partition(':')[2]}" in groups["embedded"]


def test_the_messages_that_troubleshooting_quotes_are_those_of_the_tools() -> None:
    if TROUBLESHOOTING.exists():
        section = TROUBLESHOOTING.read_text()
    else:
        section = README[README.index("## When something is wrong") :].partition("\n## ")[0]
    quoted = [
        said
        for line in section.splitlines()
        if line.startswith("| `")
        for said in re.findall(r"`([^`]+)`", line.split("|")[1])
    ]
    assert quoted
    paths = [path for folder in ("stack", "scripts") for path in (CHECKOUT / folder).rglob("*")]
    source = "\n".join(path.read_text() for path in paths if path.suffix in (".py", ".sh"))
    source = re.sub(r'"\n\s*f?"', "", source)  # a message over several lines
    for said in quoted:
        variable = r"\blambdas/\S+|\b[24]0\d\b|\(Address already in use\)|invalid syntax"
        parts = [part.strip(" :") for part in re.sub(variable, "…", said).split("…")]
        assert [part for part in parts if part not in source] == [], said


def test_commands_have_no_comments_which_an_interactive_zsh_would_run() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", DOCUMENTATION, re.DOTALL)
    assert blocks
    assert [line for block in blocks for line in block.splitlines() if re.search(r"(^|\s)#", line)] == []
