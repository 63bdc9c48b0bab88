"""Fetch the keys of an identity provider, and keep them for a while.

https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig
https://datatracker.ietf.org/doc/html/rfc7517
"""

import http.client
import ipaddress
import json
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import SplitResult, urljoin, urlsplit

from jose import InvalidToken
from rs256 import Key

DISCOVERY = "/.well-known/openid-configuration"
TIMEOUT = 2  # seconds, for all the requests of one refresh
COOLDOWN = 5  # seconds between two refreshes that the keys' age, or a kid that nobody knows, is the reason for
GRACE = 3600  # seconds beyond their time that the last good keys go on for while the provider gives no others
LARGEST = 256 * 1024  # bytes of an answer
REDIRECTS = 3
T = TypeVar("T")


class ProviderError(Exception):
    """Say in a few words why the provider's keys could not be had. These words are logged."""


class Provider:
    """An identity provider and its keys, for a function that takes one request at a time."""

    def __init__(self, issuer: str, keys_url: str, engine: str, lifetime: float) -> None:
        """``keys_url``: where the keys are, if discovery is not to be asked; ``engine``: the local engine's URL."""
        self.issuer = issuer
        self.keys_url = keys_url
        self.engine = engine
        self.lifetime = lifetime  # seconds
        self.keys: dict[str, Key] = {}
        self.problem = ""
        self._fetched_at = self._asked_at = self._asked_for_unknown_at = float("-inf")

    def key(self, kid: object, now: float) -> Key:
        """Return the key that ``kid`` names, as of ``now`` (Unix time). Raise InvalidToken if there is none.

        Keys that are too old, or that lack this one, are fetched again, but not in the COOLDOWN: a flood
        of invented names asks the provider a handful of times.
        """
        if not isinstance(kid, str):
            raise InvalidToken("no kid")
        if not _is_within(self.lifetime, self._fetched_at, now):
            if not _is_within(COOLDOWN, self._asked_at, now):
                self._refresh(now)
        elif kid not in self.keys and not _is_within(COOLDOWN, self._asked_for_unknown_at, now):
            self._asked_for_unknown_at = now
            self._refresh(now)
        if not _is_within(self.lifetime + GRACE, self._fetched_at, now):
            raise InvalidToken(f"no keys: {self.problem}")
        if kid not in self.keys:
            raise InvalidToken(f"unknown kid ({self.problem})" if self.problem else "unknown kid")
        return self.keys[kid]

    def _refresh(self, now: float) -> None:
        """Fetch the keys. If that fails, the last good ones stay, and ``problem`` says why."""
        self._asked_at = now
        try:
            self.keys = _limited(self._fetch)
        except ProviderError as error:
            self.problem = str(error)
        else:
            self._fetched_at = now
            self.problem = ""

    def _fetch(self, deadline: float) -> dict[str, Key]:
        url = self.keys_url or self._discover(deadline)
        return read_keys(_get_object(url, deadline))

    def _discover(self, deadline: float) -> str:
        """Return the URL of the keys. Raise ProviderError if a document of another issuer answers."""
        url = self.issuer.removesuffix("/") + DISCOVERY
        self._check_url(url)
        document = _get_object(url, deadline)
        keys_url = document.get("jwks_uri")
        if document.get("issuer") != self.issuer:
            raise ProviderError("discovery is another issuer's")
        if not isinstance(keys_url, str):
            raise ProviderError("discovery has no jwks_uri")
        self._check_url(keys_url)
        if _split(url).scheme != _split(keys_url).scheme == "http":
            raise ProviderError("jwks_uri must be https")
        return keys_url

    def _check_url(self, url: str) -> None:
        """Raise ProviderError unless the URL is https, or of this machine, or of the local engine."""
        parts = _split(url)
        local = parts.scheme == "http" and (is_loopback(parts.hostname) or url.startswith(f"{self.engine}/"))
        if parts.scheme != "https" and not (local and parts.hostname):
            raise ProviderError("https is needed, except on this machine")


def read_keys(jwks: dict[str, Any]) -> dict[str, Key]:
    """Return the keys of a JWK Set for RS256 by their ``kid``. Raise ProviderError if it is none.

    Keys of another kind, broken ones and a ``kid`` of two different keys are left out: they spoil no other.
    """
    entries = jwks.get("keys")
    if not isinstance(entries, list):
        raise ProviderError("no JWK Set")
    keys: dict[str, Key] = {}
    ambiguous = set()
    for entry in entries:
        if not (isinstance(entry, dict) and isinstance(kid := entry.get("kid"), str)):
            continue
        try:
            key = Key.from_jwk(entry)
        except InvalidToken:
            continue
        if keys.setdefault(kid, key) != key:
            ambiguous.add(kid)
    return {kid: key for kid, key in keys.items() if kid not in ambiguous}


def is_loopback(host: str | None) -> bool:
    """Return True for ``localhost`` and the loopback addresses."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _is_within(seconds: float, since: float, now: float) -> bool:
    """Return True if ``now`` is so close after ``since``. A clock that was set back makes everything old."""
    return 0 <= now - since < seconds


def _limited(fetch: Callable[[float], T]) -> T:
    """Return what ``fetch`` does within TIMEOUT. Raise ProviderError if it fails or takes longer.

    A thread does it, because no timeout of a socket covers the look-up of a name, or a byte a second.
    """
    outcome: queue.SimpleQueue[T | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put(fetch(time.monotonic() + TIMEOUT))
        except Exception as error:
            outcome.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        result = outcome.get(timeout=TIMEOUT)
    except queue.Empty:
        result = TimeoutError()
    if isinstance(result, ProviderError):
        raise result
    if isinstance(result, TimeoutError):
        raise ProviderError(f"no answer within {TIMEOUT} s") from result
    if isinstance(result, (OSError, http.client.HTTPException, ValueError, RecursionError)):
        raise ProviderError(type(result).__name__) from result
    if isinstance(result, Exception):
        raise result
    return result


def _get_object(url: str, deadline: float) -> dict[str, Any]:
    """Return the JSON object at a URL, past every proxy. Raise ProviderError, OSError and ValueError."""
    origin = _split(url)[:2]
    for _ in range(REDIRECTS + 1):
        status, location, body = _get(_split(url), deadline)
        if status == http.client.OK:
            value = json.loads(body)
            if not isinstance(value, dict):
                raise ProviderError("no JSON object")
            return value
        if status not in (301, 302, 303, 307, 308):
            raise ProviderError(f"status {status}")
        url = urljoin(url, location)
        if _split(url)[:2] != origin:
            raise ProviderError("a redirect to another origin")
    raise ProviderError("too many redirects")


def _get(parts: SplitResult, deadline: float) -> tuple[int, str, bytes]:
    """Return status, Location and body of one answer."""
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = connect(parts.netloc, timeout=max(0.001, deadline - time.monotonic()))
    try:
        path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
        connection.request("GET", path, headers={"Accept": "application/json"})
        with connection.getresponse() as answer:
            body = b""
            while chunk := answer.read1(LARGEST):
                body += chunk
                if len(body) > LARGEST:
                    raise ProviderError(f"an answer of over {LARGEST} bytes")
                if time.monotonic() > deadline:
                    raise TimeoutError
            return answer.status, answer.getheader("Location", ""), body
    finally:
        connection.close()


def _split(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ProviderError("no http URL")
    return parts
