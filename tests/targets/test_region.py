"""A region that is not the running stack's ends a build at once, in one line, and changes nothing."""

import re
from pathlib import Path

import boto3
import pytest

import builds
from engine.bare import Engine
from project import Project
from stack.aws import Local
from stack.definition import DEFINITION
from stack.deploy import region
from stack.errors import DeployError

OTHER = "eu-west-1"
LINE = (
    f"the engine has the stack in us-east-1, and AWS_DEFAULT_REGION is {OTHER}: set it back to us-east-1, "
    "or forget the stack, links and all: scripts/down.sh --wipe"
)


def test_another_region_than_the_stacks_is_named_with_both_and_the_way_back_works(project: Project) -> None:
    before = project.up()
    done = project.run("scripts/up.sh", AWS_DEFAULT_REGION=OTHER)
    assert done.returncode == 1
    assert re.findall("^error: .*", done.stderr, re.MULTILINE)[0] == f"error: {LINE}"
    assert "Traceback" not in done.stdout + done.stderr
    assert project.stack == before  # still published
    code = before.shorten({"long_url": "https://example.com/"}).json()["code"]
    project.down()
    done = project.run("scripts/up.sh", AWS_DEFAULT_REGION=OTHER)
    assert done.returncode == 1
    assert f"error: {LINE}" in done.stdout
    assert tables_in(OTHER, project) == []
    project.down()
    assert project.up().follow(code).status_code == 302


def test_an_engine_that_has_forgotten_the_stack_takes_any_region(tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir()
    engine = Engine.fresh(tmp_path / "engine").start()
    project = Project.copy(tmp_path, HOST_PORT=str(engine.port))
    project.outputs.mkdir()
    try:
        builds.succeed(project)
        with pytest.raises(DeployError, match=f"^{re.escape(LINE)}$"):
            region.check(Local(engine.port, OTHER), DEFINITION)
        builds.empty(project)
        region.check(Local(engine.port, OTHER), DEFINITION)
        builds.succeed(project, AWS_DEFAULT_REGION=OTHER)
        region.check(Local(engine.port, OTHER), DEFINITION)
        assert tables_in(OTHER, project) == ["shortlinks"]
    finally:
        engine.kill()


@pytest.mark.search
def test_a_wipe_lets_the_stack_move_to_another_region(project: Project) -> None:
    project.up()
    project.down("--wipe")
    project.settings["AWS_DEFAULT_REGION"] = OTHER
    assert project.up().shorten({"long_url": "https://example.com/"}).status_code == 201
    assert tables_in(OTHER, project) == ["shortlinks"]


def tables_in(name: str, project: Project) -> list[str]:
    client = boto3.client(
        "dynamodb",
        region_name=name,
        endpoint_url=project.engine,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    names: list[str] = client.list_tables()["TableNames"]
    client.close()
    return names
