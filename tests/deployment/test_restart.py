"""A stack that is started again, or brought up to date, is the same stack. The kills and stops: test_interruptions."""

from pathlib import Path

import pytest

import builds
from project import Project

pytestmark = pytest.mark.long

LINK = {"long_url": "https://example.com/", "code": "kept"}


def test_two_stacks_run_side_by_side_and_a_wipe_keeps_the_url_of_one_and_nothing_of_the_other(
    few: Project, tmp_path: Path
) -> None:
    other = Project.at(few.folder, tmp_path)
    try:
        builds.start(other)
        builds.succeed(other, builds.FEW)
        before = other.stack
        before.shorten(LINK)
        assert few.stack.follow("kept").status_code == 404
        other.down("--wipe")
        assert not (other.outputs / "api_id").exists()
        assert few.stack.follow("kept").status_code == 404

        other.settings["PERSIST"] = "0"
        builds.start(other)
        builds.succeed(other, builds.FEW)
        after = other.stack
        assert after.url == before.url
        assert after.follow("kept").status_code == 404
        assert after.shorten(LINK).status_code == 201
        builds.stop(other)
        assert not list(other.state.glob("data/*dynamodb*"))
        assert few.stack.follow("kept").status_code == 404
    finally:
        builds.discard(other)


def test_up_brings_a_running_stack_up_to_date_and_says_what_has_changed(shrunk: Project) -> None:
    stack = shrunk.stack
    stack.shorten(LINK)
    handler = shrunk.folder / "lambdas/redirect/handler.py"
    source = handler.read_text()
    handler.write_text(source.replace('"no-store"', '"no-store, private"'))
    try:
        printed = shrunk.check("scripts/up.sh", JWT_SECRET="another-secret-of-at-least-32-bytes")
        changed = {tuple(line.split()[:3]) for line in printed.splitlines() if " updated " in line}
        assert changed == {("function", "redirect", "updated"), ("function", "authorizer", "updated")}
        assert stack.follow("kept").headers["cache-control"] == "no-store, private"
        assert stack.shorten(LINK).status_code == 403
    finally:
        handler.write_text(source)
