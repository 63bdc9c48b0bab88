"""An engine that stops and starts again has the stack again, by itself."""

from project import Project

LINK = {"long_url": "https://example.com/", "code": "kept"}


def test_a_stop_keeps_the_url_the_links_and_the_counts(project: Project) -> None:
    before = project.up()
    before.shorten(LINK)
    before.follow("kept")
    project.down()
    assert not (project.outputs / "api_id").exists()
    after = project.up()
    assert after.url == before.url
    assert after.clicks("kept") == 1
    assert after.follow("kept").headers["location"] == LINK["long_url"]
    assert after.clicks("kept") == 2


def test_a_wipe_keeps_the_url_alone(project: Project) -> None:
    before = project.up()
    before.shorten(LINK)
    project.down("--wipe")
    after = project.up()
    assert after.url == before.url
    assert after.follow("kept").status_code == 404
    assert after.shorten(LINK).status_code == 201


def test_without_persist_a_stop_forgets_the_links(project: Project) -> None:
    project.settings["PERSIST"] = "0"
    project.up().shorten(LINK)
    project.down()
    assert project.up().follow("kept").status_code == 404


def test_a_killed_engine_keeps_what_it_acknowledged(project: Project) -> None:
    before = project.up()
    before.shorten(LINK)
    before.follow("kept")
    project.kill()
    after = project.up()
    assert after.url == before.url
    assert after.clicks("kept") == 1
    assert after.follow("kept").status_code == 302
    assert after.shorten({"long_url": LINK["long_url"]}).status_code == 201


def test_functions_whose_code_the_engine_has_lost_are_deployed_again(project: Project) -> None:
    stack = project.up()
    stack.shorten(LINK)
    project.down()
    for archive in (project.state / "data/lambda-blobs").iterdir():
        archive.write_bytes(b"garbled")
    stack = project.up()
    assert stack.follow(LINK["code"]).status_code == 302
    project.down()
    assert project.up().follow(LINK["code"]).status_code == 302


def test_a_redeploy_makes_an_edit_live_and_says_so(project: Project) -> None:
    stack = project.up()
    stack.shorten(LINK)
    handler = project.folder / "lambdas/redirect/handler.py"
    handler.write_text(handler.read_text().replace('"no-store"', '"no-store, private"'))
    printed = project.check("scripts/up.sh")
    changed = [line.split() for line in printed.splitlines() if " updated " in line]
    assert [line[:3] for line in changed] == [["function", "redirect", "updated"]]
    assert stack.follow("kept").headers["cache-control"] == "no-store, private"


def test_new_settings_reach_a_running_stack(project: Project) -> None:
    stack = project.up()
    project.settings["JWT_SECRET"] = "another-secret-of-at-least-32-bytes"
    project.up()
    assert stack.shorten(LINK).status_code == 403
    assert project.stack.shorten(LINK).status_code == 201


def test_two_stacks_run_side_by_side(project: Project) -> None:
    one = project.up()
    other = Project.at(project.folder, project.folder.parent / "other")
    two = other.up()
    try:
        one.shorten(LINK)
        assert two.follow("kept").status_code == 404
        other.down()
        assert one.follow("kept").status_code == 302
    finally:
        other.run("scripts/down.sh")
