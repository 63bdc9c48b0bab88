"""The stack on LocalStack's own runtime, in Docker: its gateway, hook runner, Lambda, IAM, STS and logs.

``scripts/test.sh --localstack`` runs these, and the HTTP part, against LocalStack's image or the stand-in for it.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from containers import LOCALSTACK, Containers, last_error
from project import DEFAULTS, until
from session import session

pytestmark = pytest.mark.localstack
LINK = {"long_url": "https://example.com/", "code": "mine"}
PLUGINS = "shortener_doubles-1.dist-info/entry_points.txt"
CLASSIC = {"DOCKER_BUILDKIT": "0"}  # the builder that needs no plug-in of Docker's


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Containers]:
    """Yield a copy of the checkout with a token, and nothing running yet."""
    containers = Containers.fresh(tmp_path, **LOCALSTACK)
    try:
        yield containers
    finally:
        containers.discard()


def test_every_answer_is_right_and_a_second_build_changes_nothing(shared: Containers) -> None:
    assert "WRONG" not in shared.check("scripts/smoke.sh")
    steps = [line.split()[-3] for line in shared.check("scripts/up.sh").splitlines() if line.endswith(" ms")]
    assert {*steps} == {"unchanged", "active", "answered"}


def test_status_names_localstack_and_finds_it_healthy(shared: Containers) -> None:
    shared.stack.follow("unknown")  # is logged, and is no error
    printed = shared.check("scripts/status.sh")
    assert re.search(r"^engine +LocalStack \d+\.\d+\.\d+, in Docker", printed, re.MULTILINE)
    assert re.search(r"^state +healthy", printed, re.MULTILINE)
    assert re.search(r"^errors +none", printed, re.MULTILINE)


def test_logs_finds_a_request_by_the_clients_id(shared: Containers) -> None:
    request_id = shared.stack.follow("unknown").headers["apigw-requestid"]
    line = until("the request is logged", lambda: shared.run("scripts/logs.sh", request_id).stdout)
    assert re.search(rf"redirect +GET /r/{{code}} +404 +[\d.]+ ms  {re.escape(request_id)}", line)


def test_a_save_is_live_and_a_restart_builds_the_same_api_again(project: Containers) -> None:
    with session(project, "scripts/dev.sh") as window:
        window.shows("==> watching")
        stack = project.stack
        assert stack.shorten(LINK).status_code == 201
        handler = project.folder / "lambdas/redirect/handler.py"
        handler.write_text(handler.read_text().replace("no-store", "no-cache"))
        until("the save is live", lambda: stack.follow("mine").headers.get("cache-control") == "no-cache")
    project.compose_up()  # for Ctrl-C has stopped what dev.sh had started
    for command in (["restart"], ["down"], ["up", "--wait"]):
        if command == ["down"]:
            project.compose("stop")
            assert not project.published  # by the hook in shutdown.d
        project.compose(*command)
        if command != ["down"]:
            assert project.wait_until_judged() == "healthy"
            assert project.stack.url == stack.url
            assert stack.shorten({"long_url": "https://example.com/"}).status_code == 201


def test_without_http_apis_it_is_unhealthy_and_says_which_plan_has_them(project: Containers) -> None:
    image = f"shortener-tests/without-http-apis:{project.settings['HOST_PORT']}"
    recipe = (
        f"FROM {DEFAULTS['LOCALSTACK_IMAGE']}\nRUN sed -i /apigatewayv2/d /opt/localstack/.venv/lib/*/*/{PLUGINS}\n"
    )
    built = ["docker", "build", "--tag", image, "-"]
    subprocess.run(built, input=recipe.encode(), check=True, capture_output=True, env=CLASSIC | project.environment)
    project.settings["LOCALSTACK_IMAGE"] = image
    try:
        assert project.docker("compose", "up", "--wait").returncode != 0
        assert project.health == "unhealthy"
        assert not project.published
        assert "no API Gateway HTTP APIs: LocalStack includes them from its Base plan up" in last_error(project.log())
    finally:
        project.discard()
        project.docker("rmi", "--force", image)
