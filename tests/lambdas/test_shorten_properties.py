"""Invoke POST /shorten and GET /r/{code} with anything that a client may send."""

import json
import re
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from hypothesis import given
from hypothesis import strategies as st

from .events import Event, get, head, post, post_bytes, post_text
from .functions import Function
from .table import Table

STORED_URL = re.compile(r"https?://[\x21-\x7e]+", re.IGNORECASE)
STORED_CODE = re.compile(r"[A-Za-z0-9_-]{1,64}")

text = st.text(st.characters(codec=None))  # half surrogate pairs are in it
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
codes = st.from_regex(STORED_CODE, fullmatch=True) | st.from_regex(r"[\w-]{1,70}\s?") | text
hosts = (
    st.from_regex(r"[a-z0-9-]{1,9}(\.[a-z]{2,5}){0,2}", fullmatch=True)
    | st.ip_addresses().map(lambda address: f"[{address}]" if address.version == 6 else str(address))
    | st.text(max_size=12)
    | st.text("a.:[]@%/?#\\é0", max_size=8)
)
urls = (
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["https://", "http://", "HTTP://", "http:", "//", "ftp://", "javascript:", "https:///", ""]),
        hosts,
        st.sampled_from(["", ":80", ":", ":0", ":99999", ":é"]),
        st.just("") | st.builds("{}{}".format, st.sampled_from("/?#"), st.text(max_size=40)),
    )
    | text
    | st.text(min_size=2000, max_size=2100).map("https://example.com/{}".format)
)
bodies = st.fixed_dictionaries(
    {"long_url": urls | json_values}, optional={"code": codes | json_values, "owner_id": json_values, "x": json_values}
)


def shortened(shorten: Function, table: Table, event: Event) -> str | None:
    """Return the URL that was stored in the empty table, or None; assert what must hold for any event."""
    table.empty()
    user = event["requestContext"]["authorizer"]["lambda"]["userId"]
    answer = shorten(event)
    body = json.loads(answer["body"])
    assert answer["headers"]["Content-Type"] == "application/json"
    if answer["statusCode"] != HTTPStatus.CREATED:
        assert answer["statusCode"] == HTTPStatus.BAD_REQUEST
        assert list(body) == ["error"]
        assert re.match("(body|long_url|code) ", body["error"])
        assert table.rows() == {}
        return None
    code, long_url = body["code"], body["long_url"]
    assert body == {"code": code, "long_url": long_url, "owner_id": user}
    assert answer["headers"]["Location"] == f"r/{code}"
    assert STORED_CODE.fullmatch(code)
    assert table.rows() == {
        code: {
            "code": {"S": code},
            "long_url": {"S": long_url},
            "owner_id": {"S": user},
            "click_count": {"N": "0"},
        }
    }
    assert STORED_URL.fullmatch(long_url)
    assert len(long_url) <= 2048
    assert urlsplit(long_url).hostname
    return str(long_url)


@given(body=bodies)
def test_accepts_or_names_any_fields(shorten: Function, table: Table, body: dict[str, Any]) -> None:
    stored = shortened(shorten, table, post(body))
    if stored is not None and body["long_url"].isascii():
        assert stored == body["long_url"]


@given(body=json_values)
def test_refuses_any_other_json(shorten: Function, table: Table, body: object) -> None:
    assert shortened(shorten, table, post(body)) is None


@given(body=st.text() | st.text('{}[]",:\\u0 long_url').map('{{"long_url": "https://example.com/", {}'.format))
def test_accepts_or_refuses_any_text(shorten: Function, table: Table, body: str) -> None:
    shortened(shorten, table, post_text(body))


@given(body=st.binary() | bodies.map(lambda body: json.dumps(body).encode()))
def test_accepts_or_refuses_any_bytes(shorten: Function, table: Table, body: bytes) -> None:
    shortened(shorten, table, post_bytes(body))


@given(body=st.text())
def test_accepts_or_refuses_any_text_as_base64(shorten: Function, table: Table, body: str) -> None:
    shortened(shorten, table, post_bytes(b"") | {"body": body})


@given(host=hosts, path=st.text(max_size=30))
def test_stores_a_url_that_stays_the_same_when_shortened_again(
    shorten: Function, table: Table, host: str, path: str
) -> None:
    """Shorten what was stored: it is accepted and does not change."""
    stored = shortened(shorten, table, post({"long_url": f"https://{host}/{path}"}))
    if stored is not None:
        assert shortened(shorten, table, post({"long_url": stored})) == stored


@given(user=st.text(min_size=1))
def test_stores_the_link_of_any_user(shorten: Function, table: Table, user: str) -> None:
    assert shortened(shorten, table, post({"long_url": "https://example.com/"}, user))


@given(code=codes, other=codes)
def test_follows_or_refuses_any_code(
    shorten: Function, redirect: Function, table: Table, code: str, other: str
) -> None:
    """Take a code, take it again, which is a conflict, and visit it: no visit makes a row."""
    table.empty()
    for attempt in range(2):
        status = shorten(post({"long_url": "https://example.com/", "code": code}))["statusCode"]
        if STORED_CODE.fullmatch(code) is None:
            assert status == HTTPStatus.BAD_REQUEST
        else:
            assert status == (HTTPStatus.CONFLICT if attempt else HTTPStatus.CREATED)
    rows = table.rows()
    assert set(rows) <= {code}
    for visited in (code, other):
        expected = HTTPStatus.FOUND if visited in rows else HTTPStatus.NOT_FOUND
        assert redirect(head(visited))["statusCode"] == expected
        assert table.rows() == rows
        assert redirect(get(visited))["statusCode"] == expected
        if visited in rows:
            clicks = int(rows[visited]["click_count"]["N"]) + 1
            rows = {visited: rows[visited] | {"click_count": {"N": str(clicks)}}}
        assert table.rows() == rows
