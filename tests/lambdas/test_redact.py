"""Hunt for a secret that survives in the line of a failed invocation, whatever way it got there."""

import base64
import contextlib
import io
import json
import string
import warnings
from collections.abc import Callable, Iterator
from urllib.parse import quote, quote_plus, unquote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from .events import authorize, get
from .functions import Function, load
from .tokens import CLAIMS, HEADER, segment, token

SECRET_VARIABLES = ("JWT_SECRET", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
ORDINARY = """Traceback (most recent call last):
  File "/lambdas/redirect/handler.py", line 16, in handler
    long_url = find(code)
               ^^^^^^^^^^
  File "/tests/lambdas/test_redact.py", line 83, in fail
    raise KeyError(message) raise ValueError(message) from error local RuntimeError("no link", message) ValueError:
The above exception was the direct cause of the following exception:
During handling of the above exception, another exception occurred:
"""  # the words of every traceback here
PART = 8  # characters of a secret in a row that give it away

Encoding = Callable[[str], str]
ENCODINGS: dict[str, Encoding] = {
    "raw": str,
    "repr": repr,
    "repr of repr": lambda text: repr(repr(text)),
    "ascii": ascii,
    "bytes": lambda text: repr(text.encode()),
    "bytes in a list of JSON": lambda text: json.dumps([repr(text.encode())]),
    "json": json.dumps,
    "json in json": lambda text: json.dumps({"body": json.dumps({"secret": text})}),
    "json as utf-8": lambda text: json.dumps(text, ensure_ascii=False),
    "url": quote,
    "url, all of it": lambda text: quote(text, safe=""),
    "url in lowercase": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "url of url": lambda text: quote(quote(text, safe=""), safe=""),
    "form": quote_plus,
    "form in repr": lambda text: repr({"body": f"secret={quote_plus(text)}"}),
    "repr in url": lambda text: quote(repr(text)),
}


@pytest.fixture(scope="module")
def function() -> Iterator[Function]:
    """Yield a function whose every invocation fails as ``fail`` says."""
    function = load("redirect", TABLE="unused", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    yield function
    function.modules["common.table"].dynamodb.close()


def logged(function: Function, event: object, fail: Callable[[str, float], object]) -> str:
    """Return what an invocation logs that fails so, with its escapes undone."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as output:
        patch.setattr(function.handler, "click", fail)
        answer = function.invoke(event)
    assert answer["body"] == '{"error": "internal error"}'
    fields = json.loads(output.getvalue())
    assert (fields["level"], fields["status"]) == ("ERROR", 500)
    return "\n".join(fields[name] for name in ("error", "message", "at", "traceback"))


def raised(message: str) -> Callable[[str, float], object]:
    """Return a function that raises an exception of this text, from another, during another."""

    def fail(code: str, now: float) -> None:
        try:
            try:
                raise KeyError(message)
            except KeyError as error:
                raise ValueError(message) from error
        except ValueError:
            local = RuntimeError("no link", message)
            local.add_note(message)
            raise local  # noqa: B904 # during the other

    return fail


def leaks(text: str, secret: str) -> set[str]:
    """Return the parts of a secret that are in a text, in any encoding, and not in the words of every traceback."""
    readings = {text}
    for _ in range(3):
        readings |= {one for reading in [*readings] for one in (unquote_plus(reading), *unescaped(reading))}
    parts = {secret[start : start + PART] for start in range(len(secret) - PART + 1)}
    return {part for part in parts if part not in ORDINARY for reading in readings if part in reading}


def unescaped(text: str) -> Iterator[str]:
    """Yield what a text says with the escapes of Python's and JSON's strings undone, as characters and as UTF-8."""
    with contextlib.suppress(UnicodeDecodeError), warnings.catch_warnings(action="ignore"):
        plain = text.encode("latin-1", "backslashreplace").decode("unicode_escape")
        yield plain
        yield plain.encode("latin-1", "ignore").decode("utf-8", "ignore")


printable = st.text(string.ascii_letters + string.digits + string.punctuation + " ", min_size=PART, max_size=60)
any_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=PART, max_size=40)
# A secret of one word that the line has anyway would prove nothing.
secrets = (printable | any_text).filter(lambda secret: len(set(secret)) > 4 and "\0" not in secret)
around = st.sampled_from(["{}", "secret={}", "x {} y", "<{}>", "({})", "key: {}\n", "é{}é", "'{}'"])


@given(
    secret=secrets, variable=st.sampled_from(SECRET_VARIABLES), encoding=st.sampled_from([*ENCODINGS]), around=around
)
@example("dev-secret-change-me", "JWT_SECRET", "raw", "{}")
@example("größer als ASCII 名前 😀 'quoted' \\ 100%", "JWT_SECRET", "repr of repr", "{}")
@example("a+b c/d%20e%2Bf+g", "AWS_SECRET_ACCESS_KEY", "url of url", "{}")
def test_no_secret_of_the_environment_is_logged(
    function: Function, secret: str, variable: str, encoding: str, around: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(variable, secret)
        text = logged(function, get("mine"), raised(around.format(ENCODINGS[encoding](secret))))
    assert leaks(text, secret) == set()


@given(secret=secrets, cut=st.integers(0, 60), encoding=st.sampled_from([*ENCODINGS]))
def test_no_half_of_a_secret_is_logged(function: Function, secret: str, cut: int, encoding: str) -> None:
    """The exception has one half, and the exception that it comes from the other."""
    encode = ENCODINGS[encoding]

    def fail(code: str, now: float) -> object:
        raise RuntimeError(encode(secret[:cut])) from ValueError(encode(secret[cut:]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JWT_SECRET", secret)
        text = logged(function, get("mine"), fail)
    assert leaks(text, secret[:cut]) | leaks(text, secret[cut:]) == set()


subjects = st.text(min_size=1, max_size=20)
tokens = st.builds(lambda subject, secret: token(HEADER, CLAIMS | {"sub": subject}, secret), subjects, printable)


@given(presented=tokens, encoding=st.sampled_from([*ENCODINGS]), around=around, data=st.data())
def test_no_token_of_the_request_is_logged_nor_any_part_of_it(
    function: Function, presented: str, encoding: str, around: str, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(presented) - 2 * PART))
    end = data.draw(st.integers(start + PART, len(presented)) | st.just(len(presented)))
    scheme = data.draw(st.sampled_from(["Bearer {}", "bearer  {}", "Basic {}", "{}", "Token {}"]))
    event = get("mine")
    event["headers"]["authorization"] = scheme.format(presented)
    text = logged(function, event, raised(around.format(ENCODINGS[encoding](presented[start:end]))))
    assert leaks(text, presented) == set()


@given(foreign=tokens, encoding=st.sampled_from([*ENCODINGS]), around=around, whole=st.sampled_from([0, 1, 2]))
def test_no_token_from_elsewhere_is_logged(
    function: Function, foreign: str, encoding: str, around: str, whole: int
) -> None:
    """A token without its first segments is one too; whatever is JSON in base64 is known by its form."""
    left = ".".join(foreign.split(".")[whole:])
    text = logged(function, get("mine"), raised(around.format(ENCODINGS[encoding](left))))
    assert leaks(text, left) == set()


credentials = st.text(string.ascii_letters + string.digits + "-._~+/", min_size=PART, max_size=40).map("{}==".format)


@given(
    credential=credentials,
    scheme=st.sampled_from(["Bearer", "bearer", "BASIC", "Basic"]),
    encoding=st.sampled_from([*ENCODINGS]),
)
def test_no_credential_after_its_scheme_is_logged(
    function: Function, credential: str, scheme: str, encoding: str
) -> None:
    text = logged(function, get("mine"), raised(ENCODINGS[encoding](f"{scheme} {credential}")))
    assert leaks(text, credential) == set()


def test_no_authorization_header_is_logged(function: Function) -> None:
    quoteds: list[str] = [
        "{{'host': 'x', 'authorization': 'Digest {0}', 'accept': '*/*'}}",
        '{{"Authorization": "Token {0}"}}',
        "authorization: AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host, Signature={0}\nhost: x",
        "[(b'authorization', b'Token {0}'), (b'host', b'x')]",
        "Authorization={0}",
        "%7B%27authorization%27%3A+%27Token+{0}%27%7D",
    ]
    for quoted in quoteds:
        assert "c0ffee" not in logged(function, get("mine"), raised(quoted.format("c0ffee")))


def test_a_short_secret_is_taken_out_as_a_word(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET", "hush")
    text = logged(function, get("mine"), raised("secret hush, hushed 'hush' %68ush"))
    assert "secret ***, hushed '***' ***" in text


def test_the_placeholder_of_local_engines_is_no_secret(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    assert "this is a test" in logged(function, get("mine"), raised("this is a test"))


@pytest.mark.parametrize(
    "text",
    [
        "An error occurred (ResourceNotFoundException) when calling the UpdateItem operation: no such table",
        "botocore.errorfactory.ProvisionedThroughputExceededException",
        "common.table.dynamodb has no attribute 'get_items_by_their_owner_and_code'",
        "https://5407c0de.execute-api.us-east-1.amazonaws.com/dev/r/mine?limit=50&next=%2F",
        "request 00000000-0000-4000-8000-000000000005 of arn:aws:lambda:us-east-1:000000000000:function:redirect",
        "[Errno 2] No such file or directory: '/var/task/lib/python3.12/site-packages/Pillow-10.1.0.dist-info'",
        "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "Expecting value: line 1 column 1 (char 0)",
        "größe 名前 😀 100% \\d+ a+b",
    ],
)
def test_what_helps_to_find_the_fault_is_kept(function: Function, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    for variable in SECRET_VARIABLES:
        monkeypatch.setenv(variable, "dev-secret-change-me")
    assert text in logged(function, get("mine"), raised(text))


def test_a_long_text_is_shortened_in_good_time(function: Function) -> None:
    """The function has ten seconds, so a form that backtracks would be seen here."""
    hostiles: list[str] = [
        "\\" * 100_000,
        "%25" * 60_000,
        "eyJ" * 60_000,
        "a." * 90_000,
        "authorization:" * 9_000,
        "bearer " * 20_000,
        "Aa1-" * 50_000,
        "\\u" * 60_000,
    ]
    for hostile in hostiles:
        text = logged(function, get("mine"), raised(hostile))
        assert len(text) < 20_000


def test_a_part_at_the_cut_of_a_long_text_is_not_logged(function: Function) -> None:
    presented = token()
    event = authorize(f"Bearer {presented}")
    for length in range(0, len(presented), 17):
        text = logged(
            function,
            get("mine") | {"headers": event["headers"]},
            raised("x" * (8_000 - length) + presented + "y" * 20_000),
        )
        assert leaks(text, presented) == set()


def test_base64_of_a_claim_is_a_segment(function: Function) -> None:
    for claims in (CLAIMS, {"a": 1}, {"sub": "x" * 300}):
        payload = segment(claims)
        assert base64.urlsafe_b64decode(payload + "==").startswith(b"{")
        assert payload not in logged(function, get("mine"), raised(f"claims {payload} do not hold"))
