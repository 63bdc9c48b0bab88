"""A page of another origin calls the API from a real browser: CORS, its preflight included."""

import functools
import http.server
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from project import Project, Stack

from .chromium import executable

pytestmark = pytest.mark.browser

PAGE = """<!doctype html><meta charset="utf-8"><title>another origin</title>
<pre id="seen">nothing</pre>
<script type="module">
const url = URL_OF_THE_API, token = TOKEN;
async function call(path, options) {
  try {
    const answer = await fetch(url + path, options);
    return [answer.status, answer.type, answer.headers.get("location"), await answer.text()];
  } catch (error) {
    return [error.name];
  }
}
const link = {method: "POST", body: JSON.stringify({long_url: "https://example.com/", code: "browser"})};
const headers = {"Content-Type": "application/json", "Authorization": `Bearer ${token}`};
const seen = {
  shortened: await call("/shorten", {...link, headers}),
  refused: await call("/shorten", {...link, headers: {...headers, "Authorization": "Bearer x.y.z"}}),
  other_header: await call("/shorten", {...link, headers: {...headers, "X-Other": "1"}}),
  other_method: await call("/shorten", {...link, headers, method: "PUT"}),
  unknown: await call("/r/unknown", {}),
  followed: await call("/r/browser", {redirect: "manual"}),
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


def open_page(stack: Stack, folder: Path, origin: str) -> dict[str, Any]:
    """Open the page in headless Chromium, and return what it saw of the API."""
    page = PAGE.replace("URL_OF_THE_API", json.dumps(stack.url)).replace("TOKEN", json.dumps(stack.token()))
    (folder / "page.html").write_text(page)
    done = subprocess.run(
        [
            executable(),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={folder / 'profile'}",
            "--virtual-time-budget=30000",
            "--dump-dom",
            f"{origin}/page.html",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout
    seen: dict[str, Any] = json.loads(unescape(found[1]))
    return seen


def test_a_page_of_any_origin_may_call_the_api_as_it_is_meant_to(project: Project, origin: str, tmp_path: Path) -> None:
    seen = open_page(project.up(), tmp_path, origin)
    status, kind, location, body = seen["shortened"]
    assert (status, kind, location) == (201, "cors", "r/browser")
    assert json.loads(body)["code"] == "browser"
    assert seen["refused"][0] in (403, "TypeError")  # MiniStack lets no page read what its gateway refuses
    assert seen["unknown"][:2] == [404, "cors"]
    assert seen["followed"][:2] == [0, "opaqueredirect"]
    assert project.stack.clicks("browser") == 1
    assert seen["other_header"] == ["TypeError"]
    assert seen["other_method"] == ["TypeError"]


def test_a_page_of_an_origin_that_is_not_allowed_sees_and_stores_nothing(
    project: Project, origin: str, tmp_path: Path
) -> None:
    project.settings["CORS_ALLOW_ORIGINS"] = "https://app.example.com"
    seen = open_page(project.up(), tmp_path, origin)
    assert seen["shortened"] == ["TypeError"]
    assert seen["unknown"] == ["TypeError"]
    assert project.stack.row("browser") is None
