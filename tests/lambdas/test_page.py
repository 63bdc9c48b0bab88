"""Invoke GET / by an event: one page that runs its own script and style, and nothing else."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from .events import recorded
from .functions import LAMBDAS, Function, load

SOURCES = {name: (LAMBDAS / "page" / name).read_text() for name in ("page.html", "script.js", "style.css")}


class Page(HTMLParser):
    """Collect the tags of a page with their attributes, and the text of its script and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] and (tag := self.tags[-1][0]) in ("script", "style") and tag not in self.inline:
            self.inline[tag] = data


@pytest.fixture(scope="module")
def function() -> Function:
    return load("page")


@pytest.fixture(scope="module")
def page(function: Function) -> Page:
    return Page(function(recorded("page"))["body"])


def test_answers_one_html_page(function: Function) -> None:
    answer = function(recorded("page"))
    assert answer["statusCode"] == 200
    assert answer["headers"]["Content-Type"] == "text/html; charset=utf-8"
    assert answer["body"].startswith("<!doctype html>")


def test_the_script_and_the_style_are_in_the_page_as_they_are(page: Page) -> None:
    assert page.inline == {"script": SOURCES["script.js"], "style": SOURCES["style.css"]}


def test_the_policy_allows_the_pages_own_script_and_style_by_hash_and_nothing_else(
    function: Function, page: Page
) -> None:
    def allowed(tag: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(page.inline[tag].encode()).digest()).decode()}'"

    policy = function(recorded("page"))["headers"]["Content-Security-Policy"]
    assert policy.split("; ") == [
        "default-src 'none'",
        f"script-src {allowed('script')}",
        f"style-src {allowed('style')}",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]


def test_nothing_comes_from_elsewhere_and_nothing_is_written_into_attributes(page: Page) -> None:
    names = [(tag, name) for tag, attributes in page.tags for name in attributes]
    loading = ("src", "srcset", "href", "data", "action", "style", "poster", "background")
    assert [(tag, name) for tag, name in names if name in loading or name.startswith("on")] == []
    assert re.findall(r"url\(|@import", SOURCES["style.css"]) == []
    assert re.findall(r"https?://", SOURCES["script.js"]) == []


def test_the_script_writes_text_and_never_markup() -> None:
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(|setHTML|localStorage|cookie"
    assert re.findall(ways, SOURCES["script.js"]) == []


POOL = "https://cognito-idp.eu-central-1.amazonaws.com"


def test_a_user_pool_on_aws_is_in_the_page_and_its_policy() -> None:
    answer = load("page", IDENTITY_PROVIDER=f"{POOL}/eu-central-1_Ab1", JWT_AUDIENCE='a"b')(recorded("page"))
    assert f"; connect-src 'self' {POOL};" in answer["headers"]["Content-Security-Policy"]
    assert ("body", {"data-client": 'a"b', "data-pool": POOL}) in Page(answer["body"]).tags


def test_a_user_pool_of_a_local_engine_is_at_the_pages_own_address() -> None:
    names = {"IDENTITY_PROVIDER": f"{POOL}/eu-central-1_Ab1", "JWT_AUDIENCE": "client", "JWKS_PATH": "/keys"}
    answer = load("page", **names)(recorded("page"))
    assert "; connect-src 'self';" in answer["headers"]["Content-Security-Policy"]
    assert ("body", {"data-client": "client", "data-pool": ""}) in Page(answer["body"]).tags


@pytest.mark.parametrize("provider", ["", "https://example.com", f"{POOL}.example.com/x", f"{POOL}/a/b"])
def test_without_a_user_pool_nobody_is_asked_for_a_password(provider: str) -> None:
    answer = load("page", IDENTITY_PROVIDER=provider, JWT_AUDIENCE="client")(recorded("page"))
    assert "; connect-src 'self';" in answer["headers"]["Content-Security-Policy"]
    assert ("body", {}) in Page(answer["body"]).tags
