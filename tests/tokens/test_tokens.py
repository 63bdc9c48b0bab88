"""Whole tokens of a provider: the classic attacks, the shapes of known providers, and PyJWT as a second opinion."""

import contextlib
import hmac
import io
import json
from collections.abc import Callable, Iterator
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from .conftest import NOW, Authorizer, authorizer_of
from .provider import AUDIENCE, DISCOVERY, KEYS, Provider, jwk, private_key, running, segment

SHAPES = sorted((Path(__file__).parent / "shapes").glob("*.json"))
Encoding, Format = serialization.Encoding, serialization.PublicFormat
# What everybody can know: the public key in each of its spellings, nothing, and the secret of development.
KNOWN: dict[str, Callable[[rsa.RSAPublicKey], bytes]] = {
    "PEM": lambda key: key.public_bytes(Encoding.PEM, Format.SubjectPublicKeyInfo),
    "PEM, stripped": lambda key: key.public_bytes(Encoding.PEM, Format.SubjectPublicKeyInfo).strip(),
    "DER": lambda key: key.public_bytes(Encoding.DER, Format.SubjectPublicKeyInfo),
    "PKCS #1, PEM": lambda key: key.public_bytes(Encoding.PEM, Format.PKCS1),
    "PKCS #1, PEM, stripped": lambda key: key.public_bytes(Encoding.PEM, Format.PKCS1).strip(),
    "PKCS #1, DER": lambda key: key.public_bytes(Encoding.DER, Format.PKCS1),
    "OpenSSH": lambda key: key.public_bytes(Encoding.OpenSSH, Format.OpenSSH),
    "JWK": lambda _: json.dumps(jwk("key-1")).encode(),
    "the JWK's n": lambda _: str(jwk("key-1")["n"]).encode(),
    "the modulus": lambda key: key.public_numbers().n.to_bytes(256, "big"),
    "the modulus as text": lambda key: str(key.public_numbers().n).encode(),
    "nothing": lambda _: b"",
    "the secret of development": lambda _: b"dev-secret-change-me",
}


def own_claims(provider: Provider) -> dict[str, object]:
    return {"iss": provider.issuer, "aud": AUDIENCE, "sub": "user-1", "exp": NOW + 60}


@pytest.mark.parametrize("spell", KNOWN.values(), ids=KNOWN)
def test_hs256_with_what_everybody_knows_is_refused(
    provider: Provider, authorizer: Authorizer, spell: Callable[[rsa.RSAPublicKey], bytes]
) -> None:
    secret = spell(private_key("key-1").public_key())
    assert authorizer.user(provider.token(NOW)) == "user-1"
    for alg in ("HS256", "RS256"):
        signed = f"{segment({'alg': alg, 'kid': 'key-1'})}.{segment(own_claims(provider))}"
        assert authorizer.user(f"{signed}.{segment(hmac.digest(secret, signed.encode(), 'sha256'))}") is None


@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "RS384", "RS512", "PS256", "ES256", "rs256", "", None, 1, ["RS256"]]
)
def test_only_rs256_is_taken_whatever_the_token_says(provider: Provider, authorizer: Authorizer, alg: object) -> None:
    """Sign it in the right way, so that the name alone is wrong."""
    signed = f"{segment({'alg': alg, 'kid': 'key-1'})}.{segment(own_claims(provider))}"
    signature = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(
        signed.encode(), private_key("key-1")
    )
    for presented in (segment(signature), "", segment(b"\0"), segment(b"\0" * 256)):
        assert authorizer.user(f"{signed}.{presented}") is None


@pytest.mark.parametrize("alg", ["RS384", "RS512", "PS256", "PS384", "PS512"])
def test_another_algorithm_of_the_same_key_is_refused(provider: Provider, authorizer: Authorizer, alg: str) -> None:
    whole = jwt.encode(own_claims(provider), private_key("key-1"), alg, {"kid": "key-1"})
    assert authorizer.user(whole) is None
    _, payload, signature = whole.split(".")
    assert authorizer.user(f"{segment({'alg': 'RS256', 'kid': 'key-1'})}.{payload}.{signature}") is None


@pytest.mark.parametrize("where", ["jwk", "jku", "x5u", "x5c"])
def test_a_key_that_comes_with_the_token_is_not_used(provider: Provider, authorizer: Authorizer, where: str) -> None:
    with running() as attacker:
        attacker.publish("key-1", "key-2")
        values = {
            "jwk": jwk("key-2", kid="key-1"),
            "jku": f"{attacker.url}{KEYS}",
            "x5u": f"{attacker.url}/x",
            "x5c": ["MII"],
        }
        header = {where: values[where], "kid": "key-1"}
        assert authorizer.user(provider.token(NOW, "key-2", header)) is None
        assert authorizer.user(provider.token(NOW, "key-1", header)) == "user-1"
        assert attacker.asked == []


@pytest.mark.parametrize("crit", [["exp"], [], ["b64"], None, "kid"])
def test_a_critical_extension_is_refused(provider: Provider, authorizer: Authorizer, crit: object) -> None:
    signed = f"{segment({'alg': 'RS256', 'kid': 'key-1', 'crit': crit})}.{segment(own_claims(provider))}"
    rs256 = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
    signature = rs256.sign(signed.encode(), private_key("key-1"))
    assert authorizer.user(f"{signed}.{segment(signature)}") is None


def test_a_changed_token_is_refused(provider: Provider, authorizer: Authorizer) -> None:
    header, payload, signature = provider.token(NOW).split(".")
    other = segment({**own_claims(provider), "sub": "admin"})
    changed = [
        f"{header}.{other}.{signature}",
        f"{header}.{payload}.{signature}AA",
        f"{header}.{payload}.AA{signature}",
    ]
    changed += [f"{header}.{payload}.{signature[:-4]}", f"{header}.{payload}.{signature}=", f"{header}.{payload}."]
    for one in changed:
        assert authorizer.user(one) is None


@pytest.mark.parametrize(
    ("claims", "allowed"),
    [
        ({"aud": [AUDIENCE]}, True),
        ({"aud": ["account", AUDIENCE]}, True),
        ({"aud": None, "client_id": AUDIENCE}, True),
        ({"aud": None, "client_id": AUDIENCE, "token_use": "access"}, True),
        ({"token_use": "access"}, True),
        ({"nbf": NOW, "iat": NOW, "azp": "spa", "scope": "openid"}, True),
        ({"token_use": "id"}, False),
        ({"token_use": "refresh"}, False),
        ({"token_use": ["access"]}, False),
        ({"token_use": 1}, False),
        ({"aud": None}, False),
        ({"aud": None, "azp": AUDIENCE}, False),
        ({"aud": "other", "client_id": AUDIENCE}, False),
        ({"aud": [], "client_id": AUDIENCE}, False),
        ({"aud": None, "client_id": "other"}, False),
        ({"aud": None, "client_id": [AUDIENCE, 1]}, False),
        ({"iss": None}, False),
        ({"iss": "https://other.example"}, False),
        ({"sub": None}, False),
        ({"exp": None}, False),
        ({"exp": NOW}, False),
        ({"nbf": NOW + 1}, False),
    ],
    ids=str,
)
def test_claims(provider: Provider, authorizer: Authorizer, claims: dict[str, Any], allowed: bool) -> None:
    assert (authorizer.user(provider.token(NOW, **claims)) == "user-1") is allowed


def test_the_issuer_is_meant_to_the_letter(provider: Provider, authorizer: Authorizer) -> None:
    own = provider.issuer
    for other in (f"{own}/", own.upper(), own.removesuffix("m"), f"{own} ", own.replace("127.0.0.1", "localhost")):
        assert authorizer.user(provider.token(NOW, iss=other)) is None


def test_without_an_audience_the_issuer_alone_decides(provider: Provider) -> None:
    authorizer = authorizer_of(provider, JWT_AUDIENCE="")
    assert authorizer.user(provider.token(NOW, aud="anything")) == "user-1"
    assert authorizer.user(provider.token(NOW, iss="https://other.example")) is None


@pytest.mark.parametrize("file", SHAPES, ids=lambda file: file.stem)
def test_the_documents_and_tokens_of_known_providers_are_understood(file: Path, provider: Provider) -> None:
    """Serve discovery and keys as the provider does, with its own names, and take its access token alone."""
    text = file.read_text().replace("ISSUER", provider.issuer).replace("ORIGIN", provider.url)
    shape = json.loads(text)
    issuer = shape["discovery"]["issuer"]
    key = {name: value for name, value in jwk("key-1").items() if name in ("n", "e")}
    published = [{**entry, **key} if entry.get("use") == "sig" else entry for entry in shape["keys"]]
    provider.says(DISCOVERY, shape["discovery"])
    provider.says(shape["discovery"]["jwks_uri"].removeprefix(provider.url), {"keys": published})
    authorizer = authorizer_of(provider, IDENTITY_PROVIDER=issuer)
    claims = {**shape["access_token"]["claims"], "iat": NOW, "exp": NOW + 300}

    def token(kind: str, **changes: object) -> str:
        whole = {**shape[kind]["claims"], "iat": NOW, "exp": NOW + 300, **changes}
        return jwt.encode(whole, private_key("key-1"), "RS256", shape[kind]["header"])

    assert authorizer.user(token("access_token")) == claims["sub"]
    assert authorizer.user(token("access_token", aud="another-api")) is None
    assert authorizer.user(token("id_token")) is None


class StoppedClock(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "StoppedClock":
        return cls.fromtimestamp(NOW, tz)


@pytest.fixture(scope="module")
def asked() -> Iterator[tuple[Provider, Authorizer]]:
    """Yield one provider with two keys and one authorizer, for all examples, with PyJWT's clock stopped."""
    with running() as provider, pytest.MonkeyPatch.context() as patch:
        patch.setattr("jwt.api_jwt.datetime", StoppedClock)
        provider.publish("key-1", "key-2")
        yield provider, authorizer_of(provider)


def second_opinion(provider: Provider, token: str) -> str | None:
    """Return the user whom PyJWT, and what the documentation says beyond it, let in."""
    try:
        header = jwt.get_unverified_header(token)
        if header["kid"] not in ("key-1", "key-2"):
            return None
        key: Any = jwt.PyJWK(jwk(header["kid"]))
        options: Any = {"require": ["sub", "exp", "iss"], "verify_aud": False, "verify_iat": False, "verify_jti": False}
        claims = jwt.decode(token, key, algorithms=["RS256"], issuer=provider.issuer, options=options)
    except Exception:  # hostile tokens make it raise more than its own errors
        return None
    audience = claims["aud"] if "aud" in claims else claims.get("client_id")
    audiences = audience if isinstance(audience, list) else [audience]
    numbers = all(type(claims[name]) in (int, float) for name in ("exp", "nbf") if name in claims)
    text = all(isinstance(one, str) for one in audiences)
    right = AUDIENCE in audiences and text and numbers and claims.get("token_use", "access") == "access"
    subject = claims["sub"]
    return subject if right and "crit" not in header and isinstance(subject, str) and subject else None


TIMES = st.sampled_from([NOW - 60, NOW - 1, NOW, NOW + 1, NOW + 60, NOW + 60.5, str(NOW + 60), None, True])
AUDIENCES = st.sampled_from([AUDIENCE, "other", [AUDIENCE], ["other", AUDIENCE], [AUDIENCE, 1], [], "", None, 7])
CLAIMS = st.fixed_dictionaries(
    {
        "sub": st.sampled_from(["user-1", "auth0|1", "größer"]) | st.sampled_from(["", 1, None]),
    },
    optional={
        "exp": TIMES,
        "nbf": TIMES,
        "aud": AUDIENCES,
        "client_id": AUDIENCES,
        "iss": st.sampled_from(["", "https://other.example", None, 1]),
        "token_use": st.sampled_from(["access", "access", "id", None]),
        "iat": st.integers(0, NOW * 2),
    },
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from(["RS256", "RS256", "HS256", "none", "RS512"]),
        "kid": st.sampled_from(["key-1", "key-2", "key-3", "", 1, None]),
        "typ": st.sampled_from(["JWT", "at+jwt"]),
        "crit": st.just(["exp"]),
    },
)


@settings(max_examples=8 * settings().max_examples, deadline=None, derandomize=True, database=None)
@given(
    claims=CLAIMS,
    header=HEADERS,
    signer=st.sampled_from(["key-1", "key-1", "key-2", "key-3"]),
    flip=st.integers(-9, 255),
)
def test_a_second_opinion_agrees(
    asked: tuple[Provider, Authorizer], claims: dict[str, Any], header: dict[str, Any], signer: str, flip: int
) -> None:
    provider, authorizer = asked
    whole = {"iss": provider.issuer, "aud": AUDIENCE, "exp": NOW + 60, **claims}
    if "client_id" in claims and "aud" not in claims:
        del whole["aud"]
    signed = f"{segment({'alg': 'RS256', 'kid': signer, **header})}.{segment(whole)}"
    rs256 = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
    signature = bytearray(rs256.sign(signed.encode(), private_key(signer)))
    if flip >= 0:
        signature[flip] ^= 1 << flip % 8
    token = f"{signed}.{segment(bytes(signature))}"
    with contextlib.redirect_stdout(io.StringIO()):
        assert authorizer.user(token) == second_opinion(provider, token)
