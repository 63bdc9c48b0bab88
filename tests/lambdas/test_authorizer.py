"""Invoke the authorizer at a fixed time: it allows what the spec says, and denies all else."""

import base64
import json
import math
from typing import Any

import pytest

from .events import authorize, recorded
from .functions import Function, invocation, load
from .tokens import CLAIMS, HEADER, NOW, SECRET, segment, sign, token

DENY = {"isAuthorized": False}
PUBLIC_KEY = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9
q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==
-----END PUBLIC KEY-----
"""
ATTACKER = "a secret of another stack, of 32 bytes or more"
# A key that comes with the token proves nothing, and does no harm to a token signed with ours.
ATTACKER_KEYS: list[dict[str, object]] = [
    {"jwk": {"kty": "oct", "k": segment(ATTACKER.encode())}},
    {"jku": "https://attacker.example/jwks.json"},
    {"x5u": "https://attacker.example/cert.pem"},
    {"x5c": [base64.b64encode(PUBLIC_KEY.encode()).decode()]},
    {"kid": "../../dev/null"},
    {"kid": ATTACKER},
    {"kid": "' UNION SELECT 'secret"},
]
OTHER_ISSUERS: list[object] = ["issuer-2", "ISSUER-1", "issuer-1 ", "", None, ["issuer-1"], 1]
OTHER_AUDIENCES: list[object] = [
    *("audience-2", "AUDIENCE-1", "audience-1 ", "audience", "xaudience-1", "", None, True, 1),
    *([], ["audience-2"], [["audience-1"]], {"audience-1": 1}, [None], [{}]),
    *(["audience-1", None], ["audience-1", 1], ["audience-1", ["x"]]),
]
VALID = token()
PAIR_TWICE = '"x": 1, "x": 2'
SIGNED, _, SIGNATURE = VALID.rpartition(".")
HEADER_SEGMENT, PAYLOAD_SEGMENT = SIGNED.split(".")


def allow(subject: str) -> dict[str, Any]:
    return {"isAuthorized": True, "context": {"userId": subject}}


def unquoted(pairs: str) -> bytes:
    """Return claims that hold except for ``pairs``, which json.dumps would not write."""
    return f'{{"sub": "user-1", "exp": {NOW + 60}, {pairs}}}'.encode()


def test_allows_a_recorded_event_until_its_token_expires() -> None:
    event = recorded("authorizer")  # iat 1,700,000,000; good for an hour
    function = load("authorizer", JWT_SECRET="dev-secret-change-me")
    for now, answer in ((1_700_003_599, allow("user-1")), (1_700_003_600, DENY)):
        function.stop_clock(now)
        assert function(event) == answer


def test_the_scheme_is_accepted_in_any_case(authorizer: Function) -> None:
    schemes: list[str] = ["Bearer ", "bearer ", "BEARER ", "bEaReR ", "Bearer    "]
    for scheme in schemes:
        assert authorizer(authorize(scheme + VALID)) == allow("user-1")


def test_a_header_that_is_not_one_bearer_token_is_denied(authorizer: Function) -> None:
    headers: list[str] = [
        "",
        " ",
        "Bearer",
        "Bearer ",
        VALID,
        f" Bearer {VALID}",
        f"Bearer {VALID} ",
        f"Bearer {VALID}\n",
        f"Bearer\t{VALID}",
        f"Bearer\u00a0{VALID}",
        f"Bearer{VALID}",
        f"Bearer: {VALID}",
        f"Bearer={VALID}",
        f'Bearer "{VALID}"',
        f"Bearer Bearer {VALID}",
        f"Bearer {VALID}, Bearer {VALID}",
        f"Bearer {VALID},Bearer {VALID}",
        f"Bearer x, Bearer {VALID}",
        f"Bearer {VALID}, x",
        f"Bearer {VALID}; x",
        f"Basic {VALID}",
        f"Basic {base64.b64encode(b'user-1:password').decode()}",
        f"Token {VALID}",
        f"JWT {VALID}",
        f"Digest {VALID}",
        f"Bearers {VALID}",
        f"Вearer {VALID}",  # noqa: RUF001 - a Cyrillic letter
        f"Bearer {VALID}".ljust(8192, "x"),
        f"Bearer {'x' * 8192}",
        f"Bearer {'.' * 8192}",
        "Bearer " + "a." * 4096,
        f"Bearer{' ' * 8192}",
    ]
    for header in headers:
        assert authorizer(authorize(header)) == DENY


def test_a_token_without_three_segments_is_denied(authorizer: Function) -> None:
    forgeds: list[str] = [
        SIGNED,
        f"{SIGNED}.",
        f".{SIGNED}",
        f"{HEADER_SEGMENT}..{SIGNATURE}",
        f".{PAYLOAD_SEGMENT}.{SIGNATURE}",
        f"{VALID}.",
        f"{VALID}.{SIGNATURE}",
        f".{VALID}",
        f"{HEADER_SEGMENT}.{VALID}",
        f"{PAYLOAD_SEGMENT}.{HEADER_SEGMENT}.{SIGNATURE}",
        HEADER_SEGMENT,
        "..",
        ".",
        "x",
        "x.y.z",
        sign(HEADER_SEGMENT),
        sign(f"{SIGNED}.{PAYLOAD_SEGMENT}"),
        sign(""),
        sign("."),
    ]
    for forged in forgeds:
        assert authorizer(authorize(f"Bearer {forged}")) == DENY


def test_a_signature_of_anything_else_is_denied(authorizer: Function) -> None:
    signatures: list[str] = [
        segment(b""),
        segment(b"\0"),
        segment(b"\0" * 32),
        segment(b"\0" * 64),
        SIGNATURE[:-4],
        SIGNATURE + "AAAA",
        SIGNATURE[::-1],
        token(secret=ATTACKER).rpartition(".")[2],
        token(secret="").rpartition(".")[2],
        token(secret=f"{SECRET} ").rpartition(".")[2],
        token(secret=SECRET.upper()).rpartition(".")[2],
        token(claims=CLAIMS | {"sub": "admin"}).rpartition(".")[2],
        sign(PAYLOAD_SEGMENT).rpartition(".")[2],
    ]
    for signature in signatures:
        assert authorizer(authorize(f"Bearer {SIGNED}.{signature}")) == DENY


def test_a_changed_claim_is_denied(authorizer: Function) -> None:
    for claims in (CLAIMS | {"sub": "admin"}, CLAIMS | {"exp": NOW + 61}):
        assert authorizer(authorize(f"Bearer {HEADER_SEGMENT}.{segment(claims)}.{SIGNATURE}")) == DENY


@pytest.mark.parametrize("equal", [False, True])
def test_signatures_are_compared_in_constant_time(
    authorizer: Function, monkeypatch: pytest.MonkeyPatch, equal: bool
) -> None:
    """Ask hmac.compare_digest about the whole of both signatures, and do as it says."""
    asked = []

    def compare_digest(one: bytes, other: bytes) -> bool:
        asked.append({one, other})
        return equal

    monkeypatch.setattr("hmac.compare_digest", compare_digest)
    other = segment(b"\1" * 32)
    assert authorizer(authorize(f"Bearer {VALID}"))["isAuthorized"] is equal
    assert authorizer(authorize(f"Bearer {SIGNED}.{other}"))["isAuthorized"] is equal
    own = base64.urlsafe_b64decode(f"{SIGNATURE}=")
    assert asked == [{own}, {own, b"\1" * 32}]


def test_a_segment_that_is_not_canonical_base64url_is_denied(authorizer: Function) -> None:
    changeds: list[str] = [
        f"{SIGNED}.{SIGNATURE}=",
        f"{SIGNED}.{SIGNATURE} ",
        f"{SIGNED}.{SIGNATURE}\n",
        f"{SIGNED}. {SIGNATURE}",
        f"{SIGNED}.{SIGNATURE[:9]}\n{SIGNATURE[9:]}",
        f"{SIGNED}.{SIGNATURE[:9]}!{SIGNATURE[9:]}",
        f"{SIGNED}.{SIGNATURE}é",
        f"{SIGNED}.{SIGNATURE}٣",
        # The last character of 32 bytes has four bits and two that must be zero.
        *(
            f"{SIGNED}.{SIGNATURE[:-1]}{other}"
            for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
            if other != SIGNATURE[-1]
        ),
        sign(f"{HEADER_SEGMENT}=.{PAYLOAD_SEGMENT}"),
        sign(f"{HEADER_SEGMENT}.{PAYLOAD_SEGMENT}="),
        sign(f"{HEADER_SEGMENT}==.{PAYLOAD_SEGMENT}=="),
        sign(f"{HEADER_SEGMENT} .{PAYLOAD_SEGMENT}"),
        sign(f"{HEADER_SEGMENT}.\t{PAYLOAD_SEGMENT}"),
        sign(f"{HEADER_SEGMENT}.{PAYLOAD_SEGMENT}\r\n"),
        sign(f"{HEADER_SEGMENT}.{PAYLOAD_SEGMENT}é"),
        sign(f"{HEADER_SEGMENT}.{PAYLOAD_SEGMENT}A"),
        sign(f"{segment(HEADER)[:-1]}.{PAYLOAD_SEGMENT}"),
    ]
    for changed in changeds:
        assert authorizer(authorize(f"Bearer {changed}")) == DENY


def test_a_segment_whose_unused_bits_are_not_zero_is_denied(authorizer: Function) -> None:
    positions: list[int] = [0, 1]
    for position in positions:
        # Both are two bytes over a multiple of three, and end with a space: one sextet of zeros, two bits of it unused.
        segments = [segment(b'{"alg":"HS256"}  '), segment(b'{"sub":"user-1","exp":1800000060}  ')]
        assert authorizer(authorize(f"Bearer {sign('.'.join(segments))}")) == allow("user-1")
        assert segments[position].endswith("A")
        segments[position] = segments[position][:-1] + "B"
        assert authorizer(authorize(f"Bearer {sign('.'.join(segments))}")) == DENY


def test_only_the_alphabet_of_urls_is_accepted(authorizer: Function) -> None:
    claims = segment(CLAIMS | {"sub": "???>>>ÿÿÿ"})
    plain = json.dumps({"exp": NOW + 60, "sub": "~~~???>>>"}).encode()
    assert authorizer(authorize(f"Bearer {sign(f'{HEADER_SEGMENT}.{claims}')}")) == allow("???>>>ÿÿÿ")
    standard = base64.b64encode(plain).rstrip(b"=").decode()
    assert set("+/") & set(standard)
    assert authorizer(authorize(f"Bearer {sign(f'{HEADER_SEGMENT}.{standard}')}")) == DENY


def test_an_alg_other_than_hs256_is_denied_even_with_our_signature(authorizer: Function) -> None:
    algs: list[object] = [
        *("none", "None", "NONE", "nOnE", "nonE", ""),
        *("HS384", "HS512", "HS256 ", " HS256", "hs256", "Hs256", "HS257", "HMAC", "sha256"),
        *("RS256", "RS512", "PS256", "ES256", "EdDSA", "dir"),
        *(None, True, 256, ["HS256"], {"HS256": 1}),
    ]
    digests: list[str] = ["sha256", "sha384", "sha512"]
    for alg in algs:
        for digest in digests:
            assert authorizer(authorize(f"Bearer {token({'alg': alg, 'typ': 'JWT'}, digest=digest)}")) == DENY


def test_a_missing_alg_is_denied(authorizer: Function) -> None:
    headers: list[dict[str, object]] = [{}, {"typ": "JWT"}, {"ALG": "HS256"}, {"alg ": "HS256"}]
    for header in headers:
        assert authorizer(authorize(f"Bearer {token(header)}")) == DENY


def test_an_unsigned_token_is_denied(authorizer: Function) -> None:
    algs: list[str] = ["none", "None", "NONE", "HS256"]
    signatures: list[str] = ["", ".", ".AA", f".{SIGNATURE}"]
    for alg in algs:
        for signature in signatures:
            unsigned = f"{segment({'alg': alg})}.{segment(CLAIMS | {'sub': 'admin'})}{signature}"
            assert authorizer(authorize(f"Bearer {unsigned}")) == DENY


def test_a_digest_other_than_sha256_is_denied(authorizer: Function) -> None:
    digests: list[str] = ["sha384", "sha512", "sha1", "md5"]
    for digest in digests:
        assert authorizer(authorize(f"Bearer {token(digest=digest)}")) == DENY


def test_a_token_signed_with_what_anyone_knows_is_denied(authorizer: Function) -> None:
    secrets: list[str] = [PUBLIC_KEY, PUBLIC_KEY.strip(), ATTACKER, "", "null", "None", "secret"]
    algs: list[str] = ["HS256", "RS256"]
    for secret in secrets:
        for alg in algs:
            assert authorizer(authorize(f"Bearer {token({'alg': alg}, secret=secret)}")) == DENY


def test_a_key_in_the_header_is_not_used(authorizer: Function) -> None:
    for key in ATTACKER_KEYS:
        assert authorizer(authorize(f"Bearer {token(HEADER | key, secret=ATTACKER)}")) == DENY
        assert authorizer(authorize(f"Bearer {token(HEADER | key)}")) == allow("user-1")


def test_other_header_parameters_are_ignored(authorizer: Function) -> None:
    headers: list[dict[str, object]] = [
        {"alg": "HS256"},
        {"alg": "HS256", "typ": "at+jwt", "cty": "x", "n": [1e999, None]},
    ]
    for header in headers:
        encoded = json.dumps(header).replace("Infinity", "1e999").encode()
        assert authorizer(authorize(f"Bearer {token(encoded)}")) == allow("user-1")


def test_a_critical_extension_is_denied(authorizer: Function) -> None:
    crits: list[object] = [["b64"], ["exp"], ["alg"], [], "exp", None, False, {}, ["x"]]
    for crit in crits:
        assert authorizer(authorize(f"Bearer {token(HEADER | {'crit': crit, 'x': 1, 'b64': True})}")) == DENY


def test_a_header_or_payload_that_is_not_a_json_object_is_denied(authorizer: Function) -> None:
    values: list[object] = [
        *([], [CLAIMS], None, True, 1, "text", ""),
        *(b"", b"{", b"}", b"null", b"\xff", b'{"a": "\xff"}', b'{"a": "\xed\xa0\x80"}', b'{"sub": "user-1"} {}'),
        *(b"{'alg': 'HS256'}", b'{"alg": "HS256",}', b'{"alg": "HS256"', b"[" * 5_000, b'{"a":' * 5_000),
    ]
    for value in values:
        assert authorizer(authorize(f"Bearer {token(header=value)}")) == DENY
        assert authorizer(authorize(f"Bearer {token(claims=value)}")) == DENY


def test_json_in_another_encoding_is_denied(authorizer: Function) -> None:
    encodings: list[str] = ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"]
    for encoding in encodings:
        for parts in ((json.dumps(HEADER).encode(encoding), CLAIMS), (HEADER, json.dumps(CLAIMS).encode(encoding))):
            assert authorizer(authorize(f"Bearer {token(*parts)}")) == DENY


def test_claims_with_a_duplicate_name_or_no_json_are_denied(authorizer: Function) -> None:
    pairses: list[str] = [
        '"sub": "admin"',
        '"sub": "user-1"',
        r'"\u0073ub": "admin"',
        f'"exp": {NOW + 90}',
        '"nbf": 0, "nbf": 0',
        '"x": 1, "x": 2',
        '"x": {"y": 1, "y": 2}',
        '"x": NaN',
        '"x": Infinity',
        '"x": [-Infinity]',
        f'"x": {"9" * 5_000}',
    ]
    for pairs in pairses:
        assert authorizer(authorize(f"Bearer {token(claims=unquoted(pairs))}")) == DENY


def test_a_duplicate_header_parameter_is_denied(authorizer: Function) -> None:
    pairses: list[bytes] = [b'"alg": "none", "alg": "HS256"', b'"alg": "HS256", "alg": "HS256"']
    for pairs in pairses:
        assert authorizer(authorize(f"Bearer {token(b'{%s}' % pairs)}")) == DENY


def test_the_user_is_the_subject(authorizer: Function) -> None:
    subjects: list[str] = ["user-1", "0", " ", "ünï 名前 😀", "null", "\x00", "a\nb", "x" * 10_000]
    for subject in subjects:
        assert authorizer(authorize(f"Bearer {token(claims=CLAIMS | {'sub': subject})}")) == allow(subject)


def test_a_subject_that_is_not_text_is_denied(authorizer: Function) -> None:
    subjects: list[object] = [
        None,
        "",
        0,
        1,
        1.5,
        True,
        False,
        [],
        ["user-1"],
        {},
        {"sub": "user-1"},
        "\ud800",
        "user-\udfff1",
        math.nan,
    ]
    for subject in subjects:
        assert authorizer(authorize(f"Bearer {token(claims=CLAIMS | {'sub': subject})}")) == DENY


def test_a_missing_claim_is_denied(authorizer: Function) -> None:
    claim_names: list[str] = ["sub", "exp"]
    for claim in claim_names:
        claims = {name: value for name, value in CLAIMS.items() if name != claim}
        assert authorizer(authorize(f"Bearer {token(claims=claims)}")) == DENY
        assert authorizer(authorize(f"Bearer {token(claims=claims | {claim.upper(): CLAIMS[claim]})}")) == DENY


def test_a_token_is_allowed_before_it_expires(authorizer: Function) -> None:
    exps: list[float] = [NOW + 1, NOW + 0.5, NOW + 60.0, 10**30, 1e300, 10**400]
    for exp in exps:
        assert authorizer(authorize(f"Bearer {token(claims=CLAIMS | {'exp': exp})}")) == allow("user-1")


def test_an_expired_token_is_denied(authorizer: Function) -> None:
    exps: list[float] = [NOW, NOW - 0.5, NOW - 1, NOW - 60, 0, 1, -1, -NOW, -(10**400), -1e300, 0.0]
    for exp in exps:
        assert authorizer(authorize(f"Bearer {token(claims=CLAIMS | {'exp': exp})}")) == DENY


def test_a_token_is_allowed_from_its_start(authorizer: Function) -> None:
    nbfs: list[float] = [NOW, float(NOW), NOW - 0.5, NOW - 60, 0, -1, -(10**400)]
    for nbf in nbfs:
        assert authorizer(authorize(f"Bearer {token(claims=CLAIMS | {'nbf': nbf})}")) == allow("user-1")


def test_a_token_before_its_start_is_denied(authorizer: Function) -> None:
    nbfs: list[float] = [NOW + 0.5, NOW + 1, NOW + 30, NOW + 90, 1e300, 10**400]
    for nbf in nbfs:
        assert authorizer(authorize(f"Bearer {token(claims=CLAIMS | {'nbf': nbf})}")) == DENY


def test_a_time_that_is_not_a_finite_number_is_denied(authorizer: Function) -> None:
    claim_names: list[str] = ["exp", "nbf"]
    values: list[str] = [
        *(f'"{NOW + 60}"', f'"{NOW - 60}"', '""', '"tomorrow"', "true", "false", "null"),
        *("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "[]", f"[{NOW + 60}]", "{}", f'{{"n": {NOW}}}'),
    ]
    for claim in claim_names:
        for value in values:
            claims = {name: json.dumps(number) for name, number in CLAIMS.items()} | {claim: value}
            encoded = "{" + ", ".join(f'"{name}": {text}' for name, text in claims.items()) + "}"
            assert authorizer(authorize(f"Bearer {token(claims=encoded.encode())}")) == DENY


def test_claims_that_nobody_asked_for_are_ignored(authorizer: Function) -> None:
    claimses: list[dict[str, object]] = [
        {"iss": "anyone"},
        {"aud": "anyone"},
        {"iss": 1, "aud": [None]},
        {"iat": NOW + 3600},
        {"iat": "yesterday", "jti": 1},
        {"isAuthorized": False, "context": {"userId": "admin"}, "userId": "admin"},
        {"x": {"y": [None, True, 1e300, 10**400, "\ud800"]}},
    ]
    for claims in claimses:
        assert authorizer(authorize(f"Bearer {token(claims=CLAIMS | claims)}")) == allow("user-1")


def test_the_issuer_and_the_audience_that_are_set_are_allowed(strict_authorizer: Function) -> None:
    audiences: list[object] = ["audience-1", ["audience-1"], ["other", "audience-1"], ["audience-1"] * 2]
    for audience in audiences:
        claims = CLAIMS | {"iss": "issuer-1", "aud": audience}
        assert strict_authorizer(authorize(f"Bearer {token(claims=claims)}")) == allow("user-1")


def test_another_issuer_or_audience_is_denied(strict_authorizer: Function) -> None:
    claimses: list[dict[str, object]] = [
        {},
        {"iss": "issuer-1"},
        {"aud": "audience-1"},
        *({"iss": iss, "aud": "audience-1"} for iss in OTHER_ISSUERS),
        *({"iss": "issuer-1", "aud": aud} for aud in OTHER_AUDIENCES),
    ]
    for claims in claimses:
        assert strict_authorizer(authorize(f"Bearer {token(claims=CLAIMS | claims)}")) == DENY


def test_the_issuer_and_the_audience_are_checked_independently() -> None:
    cases: list[tuple[dict[str, str], dict[str, object]]] = [
        ({"JWT_ISSUER": "issuer-1"}, {"iss": "issuer-1"}),
        ({"JWT_AUDIENCE": "audience-1"}, {"aud": "audience-1"}),
    ]
    for variables, claims in cases:
        function = load("authorizer", JWT_SECRET=SECRET, **variables)
        function.stop_clock(NOW)
        assert function(authorize(f"Bearer {token(claims=CLAIMS | claims)}")) == allow("user-1")
        assert function(authorize(f"Bearer {VALID}")) == DENY


def test_without_a_secret_everyone_is_denied() -> None:
    variableses: list[dict[str, str]] = [{}, {"JWT_SECRET": ""}]
    for variables in variableses:
        function = load("authorizer", **variables)
        function.stop_clock(NOW)
        for header in (
            "",
            f"Bearer {VALID}",
            f"Bearer {token(secret='')}",
            f"Bearer {token({'alg': 'none'}, secret='')}",
        ):
            assert function(authorize(header)) == DENY


def test_any_secret_can_be_set() -> None:
    secrets: list[str] = ["x", "größer als ASCII 名前", "x" * 1000, PUBLIC_KEY]
    for secret in secrets:
        function = load("authorizer", JWT_SECRET=secret)
        function.stop_clock(NOW)
        assert function(authorize(f"Bearer {token(secret=secret)}")) == allow("user-1")
        assert function(authorize(f"Bearer {VALID}")) == DENY


REASONS = [
    ("malformed", {}, VALID),
    ("malformed", {}, f"Basic {VALID}"),
    ("malformed", {}, f"Bearer {SIGNED}"),
    ("malformed", {}, f"Bearer {VALID}="),
    ("signature", {}, f"Bearer {VALID}A"),
    ("malformed", {}, f"Bearer x.{PAYLOAD_SEGMENT}.{SIGNATURE}"),
    ("malformed", {}, f"Bearer {token(header=b'[]')}"),
    ("malformed", {}, f"Bearer {token(claims=unquoted(PAIR_TWICE))}"),
    ("algorithm", {}, f"Bearer {token({'alg': 'none'})}"),
    ("algorithm", {}, f"Bearer {token({'alg': 'RS256'}, secret=ATTACKER)}"),
    ("algorithm", {}, f"Bearer {token({})}"),
    ("critical extension", {}, f"Bearer {token(HEADER | {'crit': ['b64']})}"),
    ("signature", {}, f"Bearer {token(secret=ATTACKER)}"),
    ("signature", {}, f"Bearer {token(claims=b'not JSON', secret=ATTACKER)}"),
    ("signature", {}, f"Bearer {token(claims=CLAIMS | {'exp': 0}, secret=ATTACKER)}"),
    ("no expiry", {}, f"Bearer {token(claims={'sub': 'user-1'})}"),
    ("no expiry", {}, f"Bearer {token(claims=CLAIMS | {'exp': str(NOW + 60)})}"),
    ("expired", {}, f"Bearer {token(claims=CLAIMS | {'exp': NOW})}"),
    ("expired", {}, f"Bearer {token(claims=CLAIMS | {'exp': NOW, 'sub': 7})}"),
    ("not yet valid", {}, f"Bearer {token(claims=CLAIMS | {'nbf': NOW + 1})}"),
    ("not yet valid", {}, f"Bearer {token(claims=CLAIMS | {'nbf': None})}"),
    ("subject", {}, f"Bearer {token(claims={'exp': NOW + 60})}"),
    ("subject", {}, f"Bearer {token(claims=CLAIMS | {'sub': ''})}"),
    ("issuer", {"JWT_ISSUER": "issuer-1"}, f"Bearer {token(claims=CLAIMS | {'iss': 'issuer-2'})}"),
    ("audience", {"JWT_AUDIENCE": "audience-1"}, f"Bearer {token(claims=CLAIMS | {'aud': ['audience-2']})}"),
    ("JWT_SECRET is not set", {"JWT_SECRET": ""}, f"Bearer {VALID}"),
]


def test_a_refused_token_logs_why_and_the_client_is_told_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for reason, variables, header in REASONS:
        function = load("authorizer", **{"JWT_SECRET": SECRET, **variables})
        function.stop_clock(NOW)
        answer, printed = invocation(function, authorize(header), capsys)
        assert answer == DENY
        line = json.loads(printed)
        assert (line["level"], line["status"], line["reason"]) == ("INFO", "deny", reason)
        for part in header.replace("Bearer", "").split("."):
            assert len(part) < 2 or part.strip() not in printed


def test_an_event_without_the_header_is_denied(authorizer: Function) -> None:
    events: list[Any] = [
        {},
        {"headers": {}},
        {"headers": None},
        {"headers": {"authorization": None}},
        {"headers": {"authorization": 1}},
        {"headers": {"authorization": [f"Bearer {VALID}"]}},
        {"headers": [f"Bearer {VALID}"]},
        {"headers": {"x-authorization": f"Bearer {VALID}"}},
        {"identitySource": [f"Bearer {VALID}"], "headers": {}},
        {"queryStringParameters": {"authorization": f"Bearer {VALID}"}},
    ]
    for event in events:
        assert authorizer.invoke(event) == DENY
