"""The gateway answers some requests by itself, and lets only valid tokens through."""

import time

import pytest

from project import Stack

pytestmark = pytest.mark.http
LINK = {"long_url": "https://example.com/"}


def test_without_authorization_it_is_unauthorized(stack: Stack) -> None:
    with stack.http() as client:
        answer = client.post("/shorten", json=LINK)
    assert answer.status_code == 401
    assert answer.json() == {"message": "Unauthorized"}


def test_own_links_need_a_token_that_verifies(stack: Stack) -> None:
    cases: list[tuple[str, str]] = [("GET", "/links"), ("GET", "/links/mine"), ("DELETE", "/links/mine")]
    for method, path in cases:
        forged = {"Authorization": f"Bearer {stack.token(secret='not-the-secret-of-this-stack')}"}
        with stack.http() as client:
            answer = client.request(method, path)
            assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})
            assert client.request(method, path, headers=forged).status_code == 403


def test_a_valid_token_is_let_through(stack: Stack) -> None:
    users: list[str] = ["user-1", "Ünïcode", "x" * 500]
    for user in users:
        assert stack.shorten(LINK, user).json()["owner_id"] == user


def test_the_scheme_is_bearer_in_any_case(stack: Stack) -> None:
    with stack.http(headers={"Authorization": f"bearer {stack.token()}"}) as client:
        assert client.post("/shorten", json=LINK).status_code == 201


@pytest.mark.parametrize(
    "authorization",
    [
        "{token}",
        "Basic {token}",
        "Bearer",
        "Bearer a.b.c",
        "Bearer {forged}",
        "Bearer {expired}",
        "Bearer {token}x",
        "Bearer {token}=",
        "Bearer {token}.",
        "Bearer {token}, Bearer {token}",
    ],
)
def test_a_token_that_does_not_verify_is_forbidden_and_writes_nothing(
    stack: Stack, code: str, authorization: str
) -> None:
    header = authorization.format(
        token=stack.token(),
        forged=stack.token(secret="not-the-secret-of-this-stack"),
        expired=stack.token(now=time.time() - 7200),
    )
    with stack.http(headers={"Authorization": header}) as client:
        answer = client.post("/shorten", json={**LINK, "code": code})
    assert answer.status_code == 403
    assert stack.row(code) is None


def test_two_authorization_headers_are_forbidden(stack: Stack) -> None:
    twice = [("Authorization", f"Bearer {stack.token()}")] * 2
    with stack.http() as client:
        assert client.post("/shorten", json=LINK, headers=twice).status_code == 403


def test_any_other_path_is_not_found(stack: Stack) -> None:
    cases: list[tuple[str, str]] = [
        ("POST", "/"),
        ("GET", "/r"),
        ("GET", "/r/a/b"),
        ("GET", "/shorten"),
        ("PUT", "/shorten"),
        ("POST", "/r/mine"),
        ("DELETE", "/r/mine"),
        ("DELETE", "/links"),
        ("POST", "/links"),
        ("PUT", "/links/mine"),
        ("GET", "/elsewhere"),
    ]
    for method, path in cases:
        with stack.http(headers={"Authorization": f"Bearer {stack.token()}"}) as client:
            answer = client.request(method, path)
        assert answer.status_code == 404
        assert answer.json() == {"message": "Not Found"}


def test_a_browser_may_call_from_another_origin(stack: Stack) -> None:
    asked = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    with stack.http() as client:
        preflight = client.options("/shorten", headers=asked)
        answer = client.get("/r/unknown", headers={"Origin": "https://app.example.com"})
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "DELETE" in preflight.headers["access-control-allow-methods"]
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    assert answer.headers["access-control-allow-origin"] == "*"
