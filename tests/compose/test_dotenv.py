"""Compose and the scripts read the same settings, or the scripts refuse the line."""

import json

import pytest

from containers import SERVICE, Containers
from project import DEFAULTS
from stack import dotenv
from stack.settings import SETTINGS

pytestmark = pytest.mark.compose

# Each J is a variable of its own here.
ACCEPTED = [
    b"J=plain", b"J=", b"J=''", b'J=""', b"J='pa$word'", b"J='${HOST_PORT:-x}'", b"J='$$'", b"J=a#b", b"J=a #b",
    b"J='a #b' # c", b"J='a'  # it's a comment", b'J="it\'s"', b"J='say \"hi\"'", b"J=it's", b'J=a"b"c',
    b"J=a'b c' # d", b"J='a\\b'", b"J='a\\nb'", b"J=a\\nb", b"J=a\\", b"J=a  ", b"J='a  '", b"J=a\t", b"J=a b  c",
    b"J==a=b", b"J=`x`!*~", b"J=x;y&z|(<>)", b"J=%41", b"J={a}[b]", b"J=a: b",
    b"J=\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x91", b"J='\xc3\xa4' # \xc3\xa4", b"  J=a", b"\tJ=a", b"export J=a",
    b"export  \tJ='a b'", b"\xef\xbb\xbfJ=a", b"J=a\r\nLOG_LEVEL=DEBUG\r", b"J='a'\r", b"J=a\nJ=b",
    b"# J=a\n  # c\n\nJ=b", b"J=a # b $c \\ ' \"", b"J=a #",
]  # fmt: skip


def written() -> bytes:
    """Return a file with every line, the one that begins with a byte order mark first."""
    lines = sorted(ACCEPTED, key=lambda line: not line.startswith(b"\xef"))
    return b"".join(line.replace(b"J", b"COMPOSE_J%d" % number) + b"\n" for number, line in enumerate(lines))


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Containers:
    project = Containers.fresh(tmp_path_factory.mktemp("dotenv"))
    for name in DEFAULTS:
        project.settings.pop(name, None)
    return project


def composed(containers: Containers, **changes: str) -> dict[str, str]:
    """Return the container's environment, as Compose resolves it."""
    resolved = json.loads(containers.compose("config", "--format", "json", **changes))
    environment: dict[str, str] = resolved["services"][SERVICE]["environment"]
    return {name: value.replace("$$", "$") for name, value in environment.items()}  # which escapes it in print


def test_compose_reads_every_value_that_is_accepted_in_the_same_way(containers: Containers) -> None:
    (containers.folder / ".env").write_bytes(written())
    read = dotenv.read(containers.folder / ".env")
    resolved = containers.compose("config", "--environment").splitlines()
    found = dict(line.split("=", 1) for line in resolved if line.startswith(("COMPOSE_J", "LOG_LEVEL=")))
    assert len(read) == len(ACCEPTED) + 1
    assert found == read


def test_the_environment_wins_in_compose_as_in_the_scripts_even_if_it_is_empty(containers: Containers) -> None:
    (containers.folder / ".env").write_text("JWT_SECRET=file\nJWT_ISSUER='fi$le'\nLOG_LEVEL=DEBUG\n")
    environment = {"JWT_SECRET": "pa$word", "LOG_LEVEL": "", "JWT_AUDIENCE": "${HOST_PORT}"}
    read, found = dotenv.load(environment, containers.folder), composed(containers, **environment)
    for name in ("JWT_SECRET", "JWT_ISSUER", "JWT_AUDIENCE", "LOG_LEVEL"):
        assert read[name] == found[name]


def test_an_empty_setting_is_the_same_to_compose_as_none(containers: Containers) -> None:
    (containers.folder / ".env").write_text("")
    assert composed(containers) == composed(containers, **{setting.name: "" for setting in SETTINGS})
    plain, empty = (
        json.loads(containers.compose("config", "--format", "json", **changes))
        for changes in (
            {"LOCALSTACK_AUTH_TOKEN": "x"},
            {setting.name: "" for setting in SETTINGS} | {"LOCALSTACK_AUTH_TOKEN": "x"},
        )
    )
    assert plain == empty
