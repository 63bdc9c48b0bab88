"""A region that is not the running stack's ends a build at once, in one line, and changes nothing."""

from pathlib import Path

import boto3
import pytest

import builds
from project import DEFAULTS, Project
from stack.aws import Local
from stack.definition import DEFINITION
from stack.deploy import __main__ as deploy
from stack.deploy import region

OTHER = "eu-west-1"
LINE = (
    f"the engine has the stack in us-east-1, and AWS_DEFAULT_REGION is {OTHER}: set it back to us-east-1, "
    "or forget the stack, links and all: scripts/down.sh --wipe"
)


@pytest.mark.long
def test_another_region_than_the_stacks_is_named_with_both_until_the_engine_has_forgotten_the_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with builds.standing(tmp_path, builds.FEW) as project:
        before = project.stack
        code = before.shorten({"long_url": "https://example.com/"}).json()["code"]
        here = {"GATEWAY_PORT": project.settings["HOST_PORT"], "AWS_DEFAULT_REGION": OTHER}
        for name, value in {**DEFAULTS, **project.settings, **here}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.argv", ["stack.deploy", "--local"])
        assert deploy.main() == 1
        assert capsys.readouterr() == ("", f"\nerror: {LINE}\n")
        assert project.stack == before  # still published

        builds.stop(project)
        done = project.run("scripts/up.sh", AWS_DEFAULT_REGION=OTHER)
        assert done.returncode == 1
        assert f"error: {LINE}" in done.stdout
        assert "Traceback" not in done.stdout + done.stderr
        assert tables_in(OTHER, project) == []
        region.check(Local(int(project.settings["HOST_PORT"]), "us-east-1"), DEFINITION)
        builds.succeed(project, builds.FEW)
        assert project.stack.follow(code).status_code == 302

        builds.empty(project)
        target = Local(int(project.settings["HOST_PORT"]), OTHER)
        region.check(target, DEFINITION)
        builds.succeed(project, builds.FEW, AWS_DEFAULT_REGION=OTHER)
        region.check(target, DEFINITION)
        assert tables_in(OTHER, project) == ["shortlinks"]


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
