"""Take secrets out of a text before it is logged.

A secret is known by its value (of the environment, of the request) or by its form (a JWT, a Bearer or
Basic credential, an Authorization header). It is found raw, URL-encoded, and escaped as in repr() or JSON.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MARK = "***"
SECRET_NAME = re.compile(r"(SECRET|SECRET_ACCESS_KEY|TOKEN|PASSWORD|API_KEY|PRIVATE_KEY)$", re.IGNORECASE)
PLACEHOLDER = "test"  # the value of AWS_SECRET_ACCESS_KEY on local engines: no secret, and a common word
PART = 8  # so many characters in a row of a known secret give it away; a shorter secret is found as a whole word

# Digits, lowercase and uppercase in one: no name in a traceback has them all.
RANDOM, RANDOM_WITH_DOTS = (
    "".join(rf"(?=[{characters}]*[{some}])" for some in ("0-9", "a-z", "A-Z")) for characters in (r"\w-", r"\w.-")
)
FORMS = (
    # A JWT from any segment on that is a JSON object: "eyJ" is the base64 of '{"'.
    re.compile(r"eyJ[\w-]{5,}(\.[\w-]*)*", re.ASCII),
    # Three segments of base64url, and one as long as a signature.
    re.compile(rf"(?<![\w.-]){RANDOM_WITH_DOTS}[\w-]{{4,}}\.[\w-]{{4,}}\.[\w-]{{16,}}", re.ASCII),
    re.compile(rf"(?<![\w-]){RANDOM}[\w-]{{40,}}", re.ASCII),
    re.compile(r"(?i)\b(?:bearer|basic)\b[\"']?[\s:=+]{1,10}[\"']?(?P<secret>[^\s\"'\\,;]+)"),
    re.compile(
        r"(?i)authorization(?:[\"']\s*[:=,]|\s*[:=])\s*(?P<secret>b?\"[^\"]*\"|b?'[^']*'|[^\r\n]+)",
    ),
)

# One character: URL-encoded, escaped as in Python's repr() or in JSON, or as the bytes of UTF-8.
HEX = "[0-9A-Fa-f]"
ENCODED = re.compile(
    rf"%(?P<percent>{HEX}{{2}})"
    rf"|\\u(?P<high>[dD][89abAB]{HEX}{{2}})\\u(?P<low>[dD][c-fC-F]{HEX}{{2}})"
    rf"|\\(?:x(?P<x>{HEX}{{2}})|u(?P<u>{HEX}{{4}})|U(?P<U>{HEX}{{8}})|(?P<letter>[abfnrtv0'\"\\/]))"
    "|(?P<utf8>[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3})"
)
LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"}
LEVELS = 6  # of one encoding inside another


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` with a mark in place of these secrets, and of whatever has the form of one."""
    known = {reading for secret in secrets if secret for reading, _ in _readings(secret)}
    spans = {
        (offsets[start], offsets[end]) for reading, offsets in _readings(text) for start, end in _spans(reading, known)
    }
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            start, end = merged[-1][0], max(end, merged.pop()[1])
        merged.append((start, end))
    for start, end in reversed(merged):
        text = f"{text[:start]}{MARK}{text[end:]}"
    return text


def known_secrets(event: Mapping[str, Any]) -> list[str]:
    """Return the secrets of the environment, and the credential that the request came with."""
    secrets = [
        value
        for name, value in os.environ.items()
        if SECRET_NAME.search(name) and not (name.startswith("AWS_") and value == PLACEHOLDER)
    ]
    headers = event.get("headers") if isinstance(event, Mapping) else None
    for name, value in headers.items() if isinstance(headers, Mapping) else ():
        if str(name).lower() == "authorization":
            scheme, _, credential = str(value).strip().partition(" ")
            secrets.append(credential.strip() or scheme)
    return secrets


def _spans(text: str, secrets: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield where a text has a secret, or part of one."""
    for form in FORMS:
        for found in form.finditer(text):
            yield found.span("secret" if "secret" in form.groupindex else 0)
    spaced = text.replace("+", " ")  # as forms have it
    for secret in secrets:
        if len(secret) < PART:
            yield from (found.span() for found in re.finditer(rf"(?<!\w){re.escape(secret)}(?!\w)", text))
    for part in {secret[start : start + PART] for secret in secrets for start in range(len(secret) - PART + 1)}:
        start = -1
        while (start := spaced.find(part.replace("+", " "), start + 1)) >= 0:
            yield start, start + PART


def _readings(text: str) -> Iterator[tuple[str, list[int]]]:
    """Yield a text as it is, and with one more level of its encodings undone each time.

    Beside it is the place in the first text of each character, and of the end.
    """
    offsets = list(range(len(text) + 1))
    yield text, offsets
    for _ in range(LEVELS):
        pieces, places, position = [], [], 0
        for found in ENCODED.finditer(text):
            pieces += [text[position : found.start()], _character(found)]
            places += offsets[position : found.start() + 1]
            position = found.end()
        if not pieces:
            break
        text, offsets = "".join([*pieces, text[position:]]), places + offsets[position:]
        yield text, offsets


def _character(found: "re.Match[str]") -> str:
    if letter := found["letter"]:
        return LETTERS.get(letter, letter)
    if found["utf8"]:
        return found["utf8"].encode("latin-1").decode("utf-8", "replace")[:1]
    if found["high"]:
        return chr(0x10000 + ((int(found["high"], 16) - 0xD800) << 10) + int(found["low"], 16) - 0xDC00)
    point = int(found["percent"] or found["x"] or found["u"] or found["U"], 16)
    return chr(point) if point <= 0x10FFFF else "\ufffd"
