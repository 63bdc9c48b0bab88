"""Compare the authorizer with another reading of the rules: PyJWT, and what the spec asks beyond it."""

import contextlib
import io
import json
import math
import string
from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .events import authorize
from .functions import Function
from .tokens import CLAIMS, HEADER, NOW, SECRET, segment, sign, token

ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
OTHER_SECRET = "a secret of another stack, of 32 bytes or more"
REASONS = {
    *("malformed", "algorithm", "critical extension", "signature"),
    *("no expiry", "expired", "not yet valid", "issuer", "audience", "subject"),
}
ISSUER, AUDIENCE = "issuer-1", "audience-1"


class StoppedClock(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "StoppedClock":
        return cls.fromtimestamp(NOW, tz)


@pytest.fixture(scope="module", autouse=True)
def _stop_the_clock_of_pyjwt() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jwt.api_jwt.datetime", StoppedClock)
        yield


def expected(header: str, issuer: str | None = None, audience: str | None = None) -> dict[str, Any]:
    """Return what the authorizer must answer: allow if both PyJWT and the spec do."""
    scheme, _, credentials = header.partition(" ")
    presented = credentials.lstrip(" ")
    try:
        claims = jwt.decode(
            presented,
            SECRET,
            algorithms=["HS256"],
            leeway=0,
            issuer=issuer,
            audience=audience,
            options={
                "require": ["sub", "exp"],
                "verify_aud": audience is not None,
                "verify_iat": False,
                "verify_sub": False,  # the spec's rule is stricter
                "verify_jti": False,
            },
        )
    except Exception:  # hostile tokens make it raise more than its own errors
        return {"isAuthorized": False}
    if scheme.lower() == "bearer" and spec_allows(presented):
        return {"isAuthorized": True, "context": {"userId": claims["sub"]}}
    return {"isAuthorized": False}


def spec_allows(presented: str) -> bool:
    """Return True if the spec allows a token that PyJWT accepts."""
    segments = presented.split(".")
    if len(segments) != 3 or not all(map(is_canonical, segments)):
        return False
    try:
        header, claims = (strict_json(jwt.utils.base64url_decode(one)) for one in segments[:2])
    except ValueError:
        return False
    return (
        "crit" not in header
        and is_storable(claims["sub"])
        and is_time(claims["exp"])
        and claims["exp"] > NOW
        and ("nbf" not in claims or (is_time(claims["nbf"]) and claims["nbf"] <= NOW))
    )


def is_canonical(one: str) -> bool:
    """Return True for unpadded base64url whose unused bits are zero (RFC 4648, 3.5), by arithmetic."""
    unused = {0: 1, 2: 16, 3: 4}.get(len(one) % 4)
    return bool(one) and set(one) <= set(ALPHABET) and unused is not None and ALPHABET.index(one[-1]) % unused == 0


def is_storable(subject: object) -> bool:
    try:
        return isinstance(subject, str) and len(subject.encode()) > 0
    except UnicodeEncodeError:
        return False


def is_time(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf


def strict_json(raw: bytes) -> Any:
    """Return what UTF-8 JSON says. Raise ValueError for NaN, Infinity and duplicate names."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError
        return dict(pairs)

    def refuse(constant: str) -> None:
        raise ValueError

    return json.loads(raw.decode(), object_pairs_hook=unique, parse_constant=refuse)


text = st.text(st.characters(codec=None), max_size=20)  # half surrogate pairs are in it
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)


def usually(good: st.SearchStrategy[Any], bad: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw mostly good values: a token that is wrong in every way tests nothing."""
    return st.integers(0, 7).flatmap(lambda dice: good if dice else bad)


# PyJWT cuts fractions off, so that its ``exp`` is up to a second early: the second after NOW has none here.
times = (
    st.integers(NOW - 3, NOW + 3)
    | st.integers()
    | st.floats(max_value=NOW)
    | st.floats(min_value=NOW + 1)
    | st.sampled_from([10**400, -(10**400)])
)
claims = st.fixed_dictionaries(
    {},
    optional={
        "sub": usually(st.text(min_size=1, max_size=20), json_values),
        "exp": usually(st.integers(NOW + 1, NOW + 99) | times, json_values),
        "nbf": usually(st.integers(NOW - 99, NOW) | times, json_values),
        "iss": usually(st.just(ISSUER), json_values),
        "aud": usually(st.sampled_from([AUDIENCE, [AUDIENCE], ["x", AUDIENCE], [AUDIENCE, 1]]), json_values),
        "iat": json_values,
        "jti": json_values,
    },
)
# PyJWT also refuses a ``kid`` that is not a string and a ``b64`` of false, of which the spec says nothing.
headers = st.fixed_dictionaries(
    {"alg": usually(st.just("HS256"), st.sampled_from(["none", "None", "HS384", "HS512", "RS256", ""]) | json_values)},
    optional={
        "typ": json_values,
        "cty": json_values,
        "kid": text,
        "jwk": json_values,
        "jku": text,
        "x5u": text,
        "x5c": json_values,
    },
)


@st.composite
def encoded(draw: st.DrawFn, objects: st.SearchStrategy[dict[str, Any]], extra: str) -> bytes:
    """Draw an object as JSON, at times with a duplicate name, with ``extra``, in another encoding, or not an object."""
    value = draw(objects)
    pairs = [*value.items()]
    match draw(st.integers(0, 15)):
        case 0 if pairs:
            pairs.append(draw(st.sampled_from(pairs)))
        case 1:
            pairs.append((extra, draw(json_values)))
        case 2:
            pairs.append(("x", draw(json_values)))
        case 3:
            encoding = draw(st.sampled_from(["utf-16", "utf-8-sig"]))
            return json.dumps(value, ensure_ascii=False).encode(encoding, "replace")
        case 4:
            return json.dumps(draw(json_values)).encode()
        case 5:
            return draw(st.binary(max_size=40))
    ascii_only = draw(st.booleans())
    dumped = (f"{json.dumps(name)}: {json.dumps(one, ensure_ascii=ascii_only)}" for name, one in pairs)
    return f"{{{', '.join(dumped)}}}".encode("utf-8", "surrogatepass")


@st.composite
def tokens(draw: st.DrawFn) -> str:
    """Draw a signed token, mostly with our secret and by SHA-256, whatever it says."""
    full = claims.map(lambda some: CLAIMS | {"iss": ISSUER, "aud": AUDIENCE} | some)
    payload = draw(encoded(usually(full, claims), "sub"))
    header = draw(encoded(headers, "crit"))
    secret = draw(usually(st.just(SECRET), st.sampled_from([OTHER_SECRET, ""])))
    return token(header, payload, secret, draw(usually(st.just("sha256"), st.sampled_from(["sha384", "sha512"]))))


@st.composite
def changed(draw: st.DrawFn, presented: str) -> str:
    """Draw a token with a small change somewhere, at times signed again."""
    at = draw(st.integers(0, len(presented)))
    character = draw(st.sampled_from(ALPHABET + "=.+/ \n,") | st.characters())
    head, tail = presented[:at], presented[at:]
    forged = draw(st.sampled_from([head, tail, head + character + tail, head + tail[1:], head + character + tail[1:]]))
    return sign(forged.rpartition(".")[0]) if forged.isascii() and draw(st.booleans()) else forged


other_schemes = ["bearer ", "BEARER  ", "Bearer", "Basic ", "", " Bearer ", "Bearer\t"]
schemes = usually(st.just("Bearer "), st.sampled_from(other_schemes))
authorizations = st.builds("{}{}".format, schemes, usually(tokens(), tokens().flatmap(changed))) | st.text()
often = settings(max_examples=4 * settings().max_examples)


@often
@given(header=authorizations)
def test_allows_exactly_what_pyjwt_and_the_spec_allow(authorizer: Function, header: str) -> None:
    assert authorizer(authorize(header)) == expected(header)


@often
@given(header=authorizations)
def test_allows_exactly_the_issuer_and_audience_that_are_set(strict_authorizer: Function, header: str) -> None:
    assert strict_authorizer(authorize(header)) == expected(header, ISSUER, AUDIENCE)


@given(header=authorizations | st.text())
def test_logs_one_of_a_few_fixed_reasons(authorizer: Function, header: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as output:
        answer = authorizer.invoke(authorize(header))
    assert json.loads(output.getvalue()).get("reason") in (REASONS if answer == {"isAuthorized": False} else {None})


@given(
    subject=st.text(min_size=1),
    exp=st.integers(min_value=NOW + 1) | st.floats(min_value=NOW + 1, allow_infinity=False),
    nbf=st.none() | st.integers(max_value=NOW) | st.floats(max_value=NOW, allow_infinity=False),
)
def test_allows_every_good_token(authorizer: Function, subject: str, exp: float, nbf: float | None) -> None:
    good = {"sub": subject, "exp": exp} | ({} if nbf is None else {"nbf": nbf})
    answer = {"isAuthorized": True, "context": {"userId": subject}}
    header = f"Bearer {token(claims=good)}"
    assert expected(header) == answer
    assert authorizer(authorize(header)) == answer
    assert authorizer(authorize(f"Bearer {jwt.encode(good, SECRET, 'HS256')}")) == answer


@given(data=st.data())
def test_denies_a_good_token_with_any_character_changed(authorizer: Function, data: st.DataObject) -> None:
    good = token()
    at = data.draw(st.integers(0, len(good) - 1))
    character = data.draw(st.sampled_from(ALPHABET) | st.characters())
    forged = good[:at] + character + good[at + 1 :]
    assert authorizer(authorize(f"Bearer {forged}"))["isAuthorized"] is (forged == good)


@given(claims=json_values, header=json_values)
def test_denies_whatever_others_sign(authorizer: Function, claims: object, header: object) -> None:
    for forged in (token(HEADER, claims, OTHER_SECRET), token(header, CLAIMS, OTHER_SECRET)):
        assert authorizer(authorize(f"Bearer {forged}")) == {"isAuthorized": False}


@given(event=st.dictionaries(st.sampled_from(["headers", "version", "routeKey", "identitySource"]), json_values))
def test_denies_an_event_of_any_other_shape(authorizer: Function, event: dict[str, Any]) -> None:
    assert authorizer.invoke(event) == {"isAuthorized": False}


def test_the_oracle_denies_what_it_should() -> None:
    """Check the oracle: PyJWT alone would allow some of these."""
    allowed = {"isAuthorized": True, "context": {"userId": "user-1"}}
    good = token()
    assert expected(f"Bearer {good}") == allowed
    denied = [
        f"Bearer {good}=",
        f"Basic {good}",
        f"Bearer {token(HEADER | {'crit': []})}",
        f"Bearer {token(claims=CLAIMS | {'exp': str(CLAIMS['exp'])})}",
        f"Bearer {token(claims=CLAIMS | {'exp': NOW})}",
        f"Bearer {token(claims=CLAIMS | {'nbf': NOW + 0.5})}",
        f"Bearer {token(claims=CLAIMS | {'sub': ''})}",
        f"Bearer {token(json.dumps(HEADER).encode('utf-16'))}",
        f"Bearer {sign(segment(HEADER) + '.' + segment(CLAIMS) + '=')}",
    ]
    assert [header for header in denied if expected(header)["isAuthorized"]] == []
