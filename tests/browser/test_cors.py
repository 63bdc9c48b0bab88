"""A page of another origin calls the API from a real browser: CORS, its preflight included."""

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import builds
from project import Project, Stack

if TYPE_CHECKING:  # it is installed for --browser alone
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

PAGE = """<!doctype html><meta charset="utf-8"><title>another origin</title>
<pre id="seen">nothing</pre>
<script type="module">
const url = URL_OF_THE_API, token = TOKEN, code = CODE;
async function call(path, options) {
  try {
    const answer = await fetch(url + path, options);
    return [answer.status, answer.type, answer.headers.get("location"), await answer.text()];
  } catch (error) {
    return [error.name];
  }
}
const link = {method: "POST", body: JSON.stringify({long_url: "https://example.com/", code})};
const headers = {"Content-Type": "application/json", "Authorization": `Bearer ${token}`};
const seen = {
  shortened: await call("/shorten", {...link, headers}),
  refused: await call("/shorten", {...link, headers: {...headers, "Authorization": "Bearer x.y.z"}}),
  other_header: await call("/shorten", {...link, headers: {...headers, "X-Other": "1"}}),
  other_method: await call("/shorten", {...link, headers, method: "PUT"}),
  unknown: await call("/r/unknown", {}),
  followed: await call("/r/" + code, {redirect: "manual"}),
};
document.getElementById("seen").textContent = JSON.stringify(seen);
</script>"""


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[str]:
    """Serve the files in tmp_path from another origin than the API's, and yield its URL."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def open_page(browser: "Browser", stack: Stack, folder: Path, origin: str, code: str) -> dict[str, Any]:
    """Open the page in Chromium, and return what it saw of the API."""
    text = PAGE
    for name, value in {"URL_OF_THE_API": stack.url, "TOKEN": stack.token(), "CODE": code}.items():
        text = text.replace(name, json.dumps(value))
    (folder / "page.html").write_text(text)
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{origin}/page.html")
        page.wait_for_function("document.getElementById('seen').textContent !== 'nothing'")
        seen: dict[str, Any] = json.loads(page.inner_text("#seen"))
    return seen


def test_a_page_of_any_origin_may_call_the_api_as_it_is_meant_to(
    chromium: "Browser", stack: Stack, origin: str, tmp_path: Path, code: str
) -> None:
    seen = open_page(chromium, stack, tmp_path, origin, code)
    status, kind, location, body = seen["shortened"]
    assert (status, kind, location) == (201, "cors", f"r/{code}")
    assert json.loads(body)["code"] == code
    assert seen["refused"][0] in (403, "TypeError")  # MiniStack lets no page read what its gateway refuses
    assert seen["unknown"][:2] == [404, "cors"]
    assert seen["followed"][:2] == [0, "opaqueredirect"]
    assert stack.clicks(code) == 1
    assert seen["other_header"] == ["TypeError"]
    assert seen["other_method"] == ["TypeError"]


def test_a_page_of_an_origin_that_is_not_allowed_sees_and_stores_nothing(
    chromium: "Browser", shared: Project, origin: str, tmp_path: Path, code: str
) -> None:
    builds.succeed(shared, CORS_ALLOW_ORIGINS="https://app.example.com")
    try:
        seen = open_page(chromium, shared.stack, tmp_path, origin, code)
    finally:
        builds.succeed(shared)
    assert seen["shortened"] == ["TypeError"]
    assert seen["unknown"] == ["TypeError"]
    assert shared.stack.row(code) is None
