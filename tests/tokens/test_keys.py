"""The provider's keys: fetched, kept, replaced, missed; the provider slow, down, lying, huge, and back again."""

import json
from pathlib import Path
from typing import Any

import pytest

from lambdas.events import authorize
from lambdas.functions import Function, invocation

from .conftest import NOW, Authorizer, authorizer_of
from .provider import DISCOVERY, KEYS, Provider, jwk, private_key, running, segment, self_signed, unsigned

TTL, COOLDOWN, GRACE = 300, 5, 3600


def reason(authorizer: Authorizer, token: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return why the authorizer refuses a token, as its log has it."""
    answer, printed = invocation(authorizer.function, authorize(f"Bearer {token}"), capsys)
    assert answer == {"isAuthorized": False}
    said: str = json.loads(printed)["reason"]
    return said


def test_one_fetch_serves_every_token_until_the_keys_are_old(provider: Provider, authorizer: Authorizer) -> None:
    for user in ("user-1", "user-2", "user-3"):
        assert authorizer.user(provider.token(NOW, sub=user)) == user
    authorizer.later(TTL - 1)
    assert authorizer.user(provider.token(NOW)) == "user-1"
    assert provider.asked == [DISCOVERY, KEYS]
    authorizer.later(1)
    assert authorizer.user(provider.token(NOW)) == "user-1"
    assert provider.asked == [DISCOVERY, KEYS] * 2


def test_a_key_that_is_added_is_used_at_once(provider: Provider, authorizer: Authorizer) -> None:
    assert authorizer.user(provider.token(NOW)) == "user-1"
    provider.publish("key-1", "key-2")
    assert authorizer.user(provider.token(NOW, "key-2")) == "user-1"
    provider.publish("key-2", "key-3")
    authorizer.later(COOLDOWN)
    assert authorizer.user(provider.token(NOW, "key-3")) == "user-1"


def test_a_key_that_is_withdrawn_ends_within_its_time(provider: Provider, authorizer: Authorizer) -> None:
    assert authorizer.user(provider.token(NOW)) == "user-1"
    provider.publish("key-2")
    authorizer.later(TTL)
    assert authorizer.user(provider.token(NOW)) is None
    assert authorizer.user(provider.token(NOW, "key-2")) == "user-1"


@pytest.mark.parametrize("keys", [[], [{"kty": "EC", "kid": "key-1"}]])
def test_a_provider_that_withdraws_all_keys_is_believed(
    provider: Provider, authorizer: Authorizer, keys: list[object]
) -> None:
    assert authorizer.user(provider.token(NOW)) == "user-1"
    provider.keys = keys
    authorizer.later(TTL)
    assert authorizer.user(provider.token(NOW)) is None


def test_a_flood_of_invented_keys_asks_a_handful_of_times(provider: Provider, authorizer: Authorizer) -> None:
    for number in range(500):
        assert authorizer.user(provider.token(NOW, header={"kid": f"invented-{number}"})) is None
        authorizer.later(0.02)
    assert authorizer.user(provider.token(NOW)) == "user-1"
    assert provider.asked.count(KEYS) <= 4


@pytest.mark.parametrize("kid", [None, 1, "", ["key-1"], {"key-1": 1}, True])
def test_a_token_must_name_its_key(provider: Provider, authorizer: Authorizer, kid: object) -> None:
    head = {"alg": "RS256"} if kid is None else {"alg": "RS256", "kid": kid}
    signed = f"{segment(head)}.{provider.token(NOW).split('.')[1]}"
    assert authorizer.user(f"{signed}.{provider.token(NOW).split('.')[2]}") is None
    assert authorizer.user(provider.token(NOW)) == "user-1"


BROKEN: dict[str, dict[str, object]] = {
    "another type": {"kty": "EC"},
    "for encryption": {"use": "enc"},
    "for another algorithm": {"alg": "RS512"},
    "of another family": {"alg": "PS256"},
    "no kid": {"kid": None},
    "a kid that is no text": {"kid": 7},
    "no modulus": {"n": None},
    "a modulus that is no text": {"n": 65537},
    "an even modulus": {"n": unsigned(private_key("key-1").public_key().public_numbers().n - 1)},
    "a padded modulus": {"n": unsigned(private_key("key-1").public_key().public_numbers().n) + "=="},
    "a modulus with a leading zero": {
        "n": segment(b"\0" + private_key("key-1").public_key().public_numbers().n.to_bytes(256, "big"))
    },
    "a modulus in another alphabet": {"n": unsigned(private_key("key-1").public_key().public_numbers().n) + "+/"},
    "no exponent": {"e": None},
    "an exponent of 1": {"e": "AQ"},
    "an exponent of 3": {"e": "Aw"},
    "an exponent of 0": {"e": ""},
    "a long exponent": {"e": "AAEAAQ"},
    "a padded exponent": {"e": "AQAB="},
}


@pytest.mark.parametrize("changes", BROKEN.values(), ids=BROKEN)
def test_a_key_that_is_not_sound_is_left_out_and_spoils_no_other(
    provider: Provider, authorizer: Authorizer, changes: dict[str, object]
) -> None:
    provider.keys = [jwk("key-1", **changes), jwk("key-2")]
    assert authorizer.user(provider.token(NOW)) is None
    assert authorizer.user(provider.token(NOW, "key-2")) == "user-1"


@pytest.mark.parametrize("entry", [None, 1, "key", [], {}])
def test_what_is_no_key_is_left_out(provider: Provider, authorizer: Authorizer, entry: object) -> None:
    provider.keys = [entry, *provider.keys, entry]
    assert authorizer.user(provider.token(NOW)) == "user-1"


@pytest.mark.parametrize(("bits", "taken"), [(1024, False), (2040, False), (2048, True), (4096, True), (4104, False)])
def test_a_key_has_2048_to_4096_bits(provider: Provider, authorizer: Authorizer, bits: int, taken: bool) -> None:
    provider.publish(str(bits))
    assert (authorizer.user(provider.token(NOW, str(bits))) == "user-1") is taken


def test_use_and_alg_may_be_left_out(provider: Provider, authorizer: Authorizer) -> None:
    provider.keys = [jwk("key-1", use=None, alg=None, x5c=["MII"], x5t="x", key_ops=["verify"])]
    assert authorizer.user(provider.token(NOW)) == "user-1"


def test_a_name_of_two_keys_names_neither(provider: Provider, authorizer: Authorizer) -> None:
    provider.keys = [jwk("key-1"), jwk("key-2", kid="key-1"), *provider.keys]
    assert authorizer.user(provider.token(NOW)) is None
    assert authorizer.user(provider.token(NOW, "key-2", {"kid": "key-1"})) is None


def test_the_same_key_published_twice_is_one(provider: Provider, authorizer: Authorizer) -> None:
    provider.keys = [*provider.keys, *provider.keys, jwk("key-2", kid="key-1", use="enc")]
    assert authorizer.user(provider.token(NOW)) == "user-1"


def test_while_the_provider_is_down_the_last_keys_go_on_for_a_while(
    provider: Provider, authorizer: Authorizer, capsys: pytest.CaptureFixture[str]
) -> None:
    token = provider.token(NOW, exp=NOW + 2 * GRACE)
    assert authorizer.user(token) == "user-1"
    provider.stop()
    authorizer.later(TTL)
    assert authorizer.user(token) == "user-1"
    authorizer.later(GRACE - 1)
    assert authorizer.user(token) == "user-1"
    authorizer.later(1)
    assert reason(authorizer, token, capsys) == "no keys: ConnectionRefusedError"
    provider.start()
    assert authorizer.user(token) is None  # asked a moment ago
    authorizer.later(COOLDOWN)
    assert authorizer.user(token) == "user-1"


def test_a_provider_that_starts_late_is_found(provider: Provider, authorizer: Authorizer) -> None:
    provider.stop()
    assert authorizer.user(provider.token(NOW)) is None
    provider.start()
    authorizer.later(COOLDOWN)
    assert authorizer.user(provider.token(NOW)) == "user-1"


def test_keys_end_when_the_clock_is_set_back(provider: Provider, authorizer: Authorizer) -> None:
    assert authorizer.user(provider.token(NOW)) == "user-1"
    provider.publish("key-2")
    authorizer.later(-TTL)
    assert authorizer.user(provider.token(NOW)) is None


@pytest.mark.parametrize("path", [DISCOVERY, KEYS])
def test_a_provider_that_is_slow_is_not_waited_for(
    provider: Provider,
    authorizer: Authorizer,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(authorizer.function.modules["jwks"], "TIMEOUT", 0.3)
    provider.hangs(path)
    assert reason(authorizer, provider.token(NOW), capsys) == "no keys: no answer within 0.3 s"
    asked = [*provider.asked]
    for _ in range(100):
        assert authorizer.user(provider.token(NOW)) is None
    assert provider.asked == asked
    provider.answers.clear()
    authorizer.later(COOLDOWN)
    assert authorizer.user(provider.token(NOW)) == "user-1"


def test_a_byte_now_and_then_is_slow_too(
    provider: Provider, authorizer: Authorizer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Send header after header, each in time."""
    monkeypatch.setattr(authorizer.function.modules["jwks"], "TIMEOUT", 0.3)
    assert provider.server
    handler: Any = provider.server.RequestHandlerClass

    def drip(self: Any) -> None:
        while not provider.hold.wait(0.05):
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    handler.do_GET = drip
    assert reason(authorizer, provider.token(NOW), capsys) == "no keys: no answer within 0.3 s"


WRONG: dict[str, tuple[str, object, int, str]] = {
    "another issuer": (DISCOVERY, {"issuer": "http://127.0.0.1/other", "jwks_uri": "http://127.0.0.1/x"}, 200,
                       "discovery is another issuer's"),
    "no issuer": (DISCOVERY, {"jwks_uri": "http://127.0.0.1/x"}, 200, "discovery is another issuer's"),
    "an error": (DISCOVERY, {}, 500, "status 500"),
    "keys not found": (KEYS, {}, 404, "status 404"),
    "no JSON": (KEYS, b"<html>", 200, "JSONDecodeError"),
    "not UTF-8": (KEYS, b'"\xff"', 200, "UnicodeDecodeError"),
    "no object": (KEYS, [], 200, "no JSON object"),
    "no keys": (KEYS, {}, 200, "no JWK Set"),
    "keys that are no list": (KEYS, {"keys": {"key-1": {}}}, 200, "no JWK Set"),
    "nested without end": (KEYS, b"[" * 100_000, 200, "RecursionError"),
    "huge": (KEYS, b'{"keys": []}' + b" " * 256 * 1024, 200, "an answer of over 262144 bytes"),
}  # fmt: skip


@pytest.mark.parametrize(("path", "value", "status", "why"), WRONG.values(), ids=WRONG)
def test_a_provider_that_answers_wrongly_is_as_good_as_down(
    provider: Provider,
    authorizer: Authorizer,
    capsys: pytest.CaptureFixture[str],
    path: str,
    value: object,
    status: int,
    why: str,
) -> None:
    assert authorizer.user(provider.token(NOW)) == "user-1"
    provider.says(path, value, status)
    authorizer.later(TTL)
    assert authorizer.user(provider.token(NOW)) == "user-1"
    cold = authorizer_of(provider)
    assert reason(cold, provider.token(NOW), capsys) == f"no keys: {why}"
    provider.answers.clear()
    cold.later(COOLDOWN)
    assert cold.user(provider.token(NOW)) == "user-1"


@pytest.mark.parametrize(
    ("elsewhere", "why"),
    [
        ("http://example.com/keys", "https is needed, except on this machine"),
        ("http://127.0.0.1.example.com/keys", "https is needed, except on this machine"),
        ("http://169.254.169.254/keys", "https is needed, except on this machine"),
        ("ftp://127.0.0.1/keys", "no http URL"),
        ("file:///etc/passwd", "no http URL"),
        ("http://u:p@127.0.0.1/", "no http URL"),
        ("/keys", "no http URL"),
        ("", "no http URL"),
        (7, "discovery has no jwks_uri"),
    ],
)
def test_keys_are_asked_for_over_https_but_on_this_machine(
    provider: Provider, authorizer: Authorizer, capsys: pytest.CaptureFixture[str], elsewhere: object, why: str
) -> None:
    provider.says(DISCOVERY, {**provider.discovery(), "jwks_uri": elsewhere})
    assert reason(authorizer, provider.token(NOW), capsys) == f"no keys: {why}"
    assert provider.asked == [DISCOVERY]


def test_a_redirect_is_followed_within_the_origin_alone(
    provider: Provider, authorizer: Authorizer, capsys: pytest.CaptureFixture[str]
) -> None:
    with running() as other:
        other.keys = provider.keys
        provider.says(KEYS, b"", 302, Location=f"{other.url}{KEYS}")
        assert reason(authorizer, provider.token(NOW), capsys) == "no keys: a redirect to another origin"
        assert other.asked == []
    provider.says(KEYS, b"", 302, Location="/moved")
    provider.says("/moved", {"keys": provider.keys})
    authorizer.later(COOLDOWN)
    assert authorizer.user(provider.token(NOW)) == "user-1"
    provider.says("/moved", b"", 302, Location="/moved")
    cold = authorizer_of(provider)
    assert reason(cold, provider.token(NOW), capsys) == "no keys: too many redirects"


def test_https_is_used_with_a_certificate_that_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(self_signed(tmp_path / "certificate.pem")) as provider, running() as plain:
        authorizer = authorizer_of(provider)
        assert reason(authorizer, provider.token(NOW), capsys) == "no keys: SSLCertVerificationError"
        monkeypatch.setenv("SSL_CERT_FILE", str(provider.certificate))
        authorizer.later(COOLDOWN)
        assert authorizer.user(provider.token(NOW)) == "user-1"
        provider.says(DISCOVERY, {**provider.discovery(), "jwks_uri": f"{plain.url}{KEYS}"})
        assert reason(authorizer_of(provider), provider.token(NOW), capsys) == "no keys: jwks_uri must be https"
        assert plain.asked == []


def test_proxies_of_the_environment_are_not_used(provider: Provider) -> None:
    nowhere = "http://127.0.0.1:9"
    authorizer = authorizer_of(provider, http_proxy=nowhere, HTTP_PROXY=nowhere, all_proxy=nowhere)
    assert authorizer.user(provider.token(NOW)) == "user-1"


def test_an_issuer_with_a_slash_at_its_end_is_meant_to_the_letter(provider: Provider) -> None:
    """Ask at the path that OpenID Connect Discovery 4.1 asks for, which has no double slash."""
    issuer = f"{provider.issuer}/"
    provider.says(DISCOVERY, {**provider.discovery(), "issuer": issuer})
    authorizer = authorizer_of(provider, IDENTITY_PROVIDER=issuer)
    assert authorizer.user(provider.token(NOW, iss=issuer)) == "user-1"
    assert authorizer.user(provider.token(NOW)) is None


def test_without_a_provider_nothing_that_speaks_http_is_loaded() -> None:
    from lambdas.functions import load

    function: Function = load("authorizer", JWT_SECRET="x" * 32)
    assert "jwks" not in function.modules
