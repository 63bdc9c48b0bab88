"""A region that is not the running stack's ends a build at once, in one line, and changes nothing."""

import re

import boto3

from project import Project

OTHER = "eu-west-1"


def test_another_region_than_the_running_stacks_is_named_with_both(project: Project) -> None:
    before = project.up()
    done = project.run("scripts/up.sh", AWS_DEFAULT_REGION=OTHER)
    assert done.returncode == 1
    assert re.findall("^error: .*", done.stderr, re.MULTILINE)[0] == (
        f"error: the engine has the stack in us-east-1, and AWS_DEFAULT_REGION is {OTHER}: set it back to us-east-1, "
        "or forget the stack, links and all: scripts/down.sh --wipe"
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert project.stack == before  # still published
    assert before.shorten({"long_url": "https://example.com/"}).status_code == 201
    assert tables_in(OTHER, project) == []


def test_another_region_than_the_kept_stacks_is_named_and_the_way_back_works(project: Project) -> None:
    code = project.up().shorten({"long_url": "https://example.com/"}).json()["code"]
    project.down()
    done = project.run("scripts/up.sh", AWS_DEFAULT_REGION=OTHER)
    assert done.returncode == 1
    assert f"error: the engine has the stack in us-east-1, and AWS_DEFAULT_REGION is {OTHER}" in done.stdout
    assert tables_in(OTHER, project) == []
    project.down()
    assert project.up().follow(code).status_code == 302


def test_a_wipe_lets_the_stack_move_to_another_region(project: Project) -> None:
    project.up()
    project.down("--wipe")
    project.settings["AWS_DEFAULT_REGION"] = OTHER
    assert project.up().shorten({"long_url": "https://example.com/"}).status_code == 201
    assert tables_in(OTHER, project) == ["shortlinks"]


def tables_in(region: str, project: Project) -> list[str]:
    client = boto3.client(
        "dynamodb",
        region_name=region,
        endpoint_url=project.engine,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    names: list[str] = client.list_tables()["TableNames"]
    client.close()
    return names
