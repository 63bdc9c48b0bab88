"""Tokens of a provider over HTTP, through the gateway of an engine that is built for that provider."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

import builds
from project import DEFAULTS, Project, Stack, until
from stack.commands.engines import Engines
from stack.commands.up import say_what_is_next

from .provider import AUDIENCE, DISCOVERY, KEYS, Provider, running

TTL = 1  # second
URL = "https://example.com/"


@dataclass
class Api:
    """The API of a stack, and the provider whose tokens it takes."""

    stack: Stack
    provider: Provider
    client: httpx.Client

    def post(self, token: str) -> int:
        """Return the status of POST /shorten with a token."""
        headers = {"Authorization": f"Bearer {token}"}
        return self.client.post("/shorten", json={"long_url": URL}, headers=headers).status_code

    def token(self, kid: str = "key-1", **claims: Any) -> str:
        return self.provider.token(time.time(), kid, **claims)


def ask_again_soon(module: Path) -> None:
    """Have the authorizer wait for less on its provider and between two questions, and the tests with it."""
    text = module.read_text()
    for waits, sooner in {"TIMEOUT = 2 ": "TIMEOUT = 0.5 ", "COOLDOWN = 5 ": "COOLDOWN = 1 "}.items():
        assert text.count(f"\n{waits}") == 1
        text = text.replace(f"\n{waits}", f"\n{sooner}")
    module.write_text(text)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Provider, Project, str]]:
    """Yield a stack that was built while its provider was down, and what the build printed."""
    with running() as provider:
        provider.stop()
        folder = tmp_path_factory.mktemp("provider")
        changes = {"IDENTITY_PROVIDER": provider.issuer, "JWT_AUDIENCE": AUDIENCE, "JWKS_TTL": str(TTL)}
        project = Project.copy(folder, **changes)
        ask_again_soon(project.folder / "lambdas/authorizer/jwks.py")
        try:
            builds.start(project)
            printed = builds.succeed(project).printed
            provider.start()
            yield provider, project, printed
        finally:
            builds.discard(project)


@pytest.fixture
def api(built: tuple[Provider, Project, str]) -> Iterator[Api]:
    """Yield the API, whose provider has one key."""
    provider, project, _ = built
    provider.publish("key-1")
    with project.stack.http() as client:
        api = Api(project.stack, provider, client)
        until("the provider's keys are known", lambda: api.post(api.token()) == 201)
        yield api
        provider.hold.set()
        provider.answers.clear()
        provider.hold.clear()


def test_the_build_needs_no_token_and_says_what_it_could_not_show(
    built: tuple[Provider, Project, str], capsys: pytest.CaptureFixture[str]
) -> None:
    provider, project, printed = built
    assert "all but a valid token" in printed
    say_what_is_next(Engines.from_environment({**DEFAULTS, **project.settings}))  # as scripts/up.sh does at its end
    assert f"Tokens come from {provider.issuer}" in capsys.readouterr().out


def test_the_owner_of_a_link_is_the_subject_of_the_token(api: Api) -> None:
    headers = {"Authorization": f"Bearer {api.token(sub='auth0|abc')}"}
    answer = api.client.post("/shorten", json={"long_url": URL}, headers=headers)
    assert (answer.status_code, answer.json()["owner_id"]) == (201, "auth0|abc")


def test_a_token_of_the_secret_is_refused(api: Api) -> None:
    assert api.post(api.stack.token()) == 403
    assert api.post(api.stack.token(issuer=api.provider.issuer, audience=AUDIENCE)) == 403


@pytest.mark.parametrize(
    "claims",
    [{"iss": "http://127.0.0.1/"}, {"aud": "another"}, {"exp": 1}, {"nbf": 4e9}, {"sub": ""}, {"token_use": "id"}],
    ids=str,
)
def test_a_claim_that_does_not_hold_is_refused(api: Api, claims: dict[str, Any]) -> None:
    assert api.post(api.token(**claims)) == 403


def test_keys_rotate_without_a_redeployment(api: Api) -> None:
    api.provider.publish("key-1", "key-2")
    until("the new key is used", lambda: api.post(api.token("key-2")) == 201)
    api.provider.publish("key-2")
    until("the old key has ended", lambda: api.post(api.token("key-1")) == 403)
    assert api.post(api.token("key-2")) == 201


def test_a_flood_of_invented_keys_reaches_the_provider_a_few_times(api: Api) -> None:
    """Count for each process of the function: each has keys of its own."""
    before = len(api.provider.asked)
    tokens = [api.provider.token(time.time(), header={"kid": f"invented-{number}"}) for number in range(200)]
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(api.post, tokens)) == {403}
    assert len(api.provider.asked) - before < 100
    assert api.post(api.token()) == 201


@pytest.mark.parametrize("path", [DISCOVERY, KEYS])
def test_a_provider_that_hangs_makes_no_answer_an_error(api: Api, path: str) -> None:
    api.provider.hangs(path)
    until("the keys are asked for", lambda: api.post(api.token()) and len(api.provider.asked) > 0)
    for _ in range(20):
        assert api.post(api.token("key-2")) == 403
        assert api.post(api.token()) in (201, 403)


def test_the_api_is_back_when_the_provider_is(api: Api) -> None:
    api.provider.stop()
    statuses = {api.post(api.token()) for _ in range(10)}
    assert statuses <= {201, 403}
    api.provider.publish("key-3")
    api.provider.start()
    until("the new key is known", lambda: api.post(api.token("key-3")) == 201)


def test_an_allow_that_the_gateway_remembers_ends_too(built: tuple[Provider, Project, str], api: Api) -> None:
    """Ask until the gateway has forgotten it, and the authorizer the key that was withdrawn."""
    _, project, _ = built
    assert builds.run(project, settings={"AUTHORIZER_TTL": "1"}).error == ""
    token = api.token()
    until("the key is known again", lambda: api.post(token) == 201)
    api.provider.publish("key-2")
    until("the allow has ended", lambda: api.post(token) == 403)
    assert builds.run(project).error == ""


@pytest.mark.long
def test_the_scripts_say_where_a_token_comes_from(built: tuple[Provider, Project, str], api: Api) -> None:
    provider, project, _ = built
    for command in (("scripts/sign-token.py",), ("scripts/smoke.sh",)):
        done = project.run(*command)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"error: tokens come from {provider.issuer}: ")
        assert done.stderr.count("\n") == 1
    assert project.run("scripts/smoke.sh", TOKEN="none").stderr.splitlines()[-1].startswith("error: TOKEN is no JWT")
    printed = project.check("scripts/smoke.sh", TOKEN=api.token(sub="größer"))
    assert "all as it should be" in printed
    assert "put a token of one into OTHER_TOKEN" in printed


@pytest.mark.search  # scripts/smoke.sh of a stack with a secret has a token of another user each time
def test_the_smoke_test_takes_a_token_of_another_user(built: tuple[Provider, Project, str], api: Api) -> None:
    printed = built[1].check("scripts/smoke.sh", TOKEN=api.token(sub="größer"), OTHER_TOKEN=api.token(sub="other"))
    assert "DELETE /links/{code} of another's link" in printed
    assert "OTHER_TOKEN" not in printed
