"""scripts/dev.sh --debug in Docker: an editor on the host stops a function in the container."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from containers import Containers
from dap import Editor
from project import FUNCTION_NAMES, free_ports
from session import session

pytestmark = pytest.mark.compose
READY = "watching lambdas/, stack/ and .env"
LINK = {"long_url": "https://example.com/", "code": "mine"}


def test_an_editor_stops_the_authorizer_common_code_and_a_handler_of_a_container(project: Containers) -> None:
    first = free_ports(len(FUNCTION_NAMES))
    project.settings["DEBUG_PORT"] = str(first)
    places = {
        "authorizer": ("lambdas/authorizer/handler.py", '"isAuthorized": True'),
        "shorten": ("lambdas/common/http.py", 'event.get("body")'),
        "redirect": ("lambdas/redirect/handler.py", "find = peek"),
    }
    project.up()
    container = project.container
    with (
        session(project, "scripts/dev.sh", "--debug", *places) as window,
        ThreadPoolExecutor(1) as requests,
    ):
        window.shows(READY)
        stack = project.stack
        assert stack.shorten({**LINK, "code": "before"}).status_code == 201
        stops = {}
        for name, (file, text) in places.items():
            path = project.folder / file
            line = next(number for number, one in enumerate(path.read_text().splitlines(), 1) if text in one)
            editor = Editor(first + FUNCTION_NAMES.index(name), {path: [line]})
            stops[name] = editor, (path, line)

        answer = requests.submit(stack.shorten, LINK)
        for name in ("authorizer", "shorten"):
            stop = stops[name][0].stopped()
            assert stop.place == stops[name][1]
            stop.go_on()
        assert answer.result().status_code == 201

        editor, place = stops["redirect"]
        answer = requests.submit(stack.follow, "mine")
        stop = editor.stopped()
        assert stop.place == place
        assert stop.locals()["code"] == "'mine'"
        stop = stop.step()
        assert stop.place == (place[0], place[1] + 1)
        place[0].write_text(place[0].read_text().replace('"no-store"', '"no-store, edited"'))
        assert editor.asked_to_attach_again()
        assert answer.result().status_code >= 500
        with Editor(first + FUNCTION_NAMES.index("redirect"), {place[0]: [place[1]]}) as editor:
            answer = requests.submit(stack.follow, "mine")
            editor.stopped().go_on()
            assert answer.result().headers["cache-control"] == "no-store, edited"
        for editor, _ in stops.values():
            editor.close()
        assert window.interrupt() == 0
    assert "Traceback" not in window.printed
    assert project.container == container
    assert project.stack.follow("mine").status_code == 302
    assert project.shell("ls -d /tmp/debugger-*").returncode != 0
