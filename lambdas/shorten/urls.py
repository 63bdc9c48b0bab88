"""Which URLs may be shortened, decided in one place.

A URL of ASCII characters alone is kept to the letter. Any other is stored as a Location header
needs it, in ASCII: punycode for the host, percent-encoding for the rest (RFC 3987, 3.1).
"""

import ipaddress
import posixpath
import re
import unicodedata
from urllib.parse import SplitResult, quote, unquote, urlsplit

from common.http import Event

MAX_LENGTH = 2048
AUTHORITY = re.compile(r"(?P<host>\[[^]]*\]|[^][:]*)(:(?P<port>\d*))?")
HOST = re.compile(r"(?!.{254})([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?", re.IGNORECASE)
ASCII = "".join(map(chr, range(0x21, 0x7F)))
# Unicode's categories of control and format characters, half surrogate pairs, and separators.
INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"})


class InvalidUrl(ValueError):
    """Why a URL is refused: the end of a sentence that starts with the field's name."""


def checked_url(url: str) -> str:
    """``url`` in ASCII if it is an absolute http(s) URL that is fit to redirect to; else InvalidUrl."""
    if len(url) > MAX_LENGTH:
        raise InvalidUrl(f"must be at most {MAX_LENGTH} characters")
    if "\\" in url or any(unicodedata.category(character) in INVISIBLE for character in url):
        raise InvalidUrl("must not have spaces, backslashes or control characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidUrl("must have a valid host and port") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidUrl("must be an absolute http or https URL with a host")
    if "@" in parts.netloc:
        raise InvalidUrl("must not have credentials before the host")
    if "%" in parts.netloc:
        raise InvalidUrl("must have a host without percent signs")
    if AUTHORITY.fullmatch(parts.netloc) is None:  # urlsplit ignores what stands beside brackets
        raise InvalidUrl("must have a valid host and port")
    host = _ascii_host(parts)
    if url.isascii():
        return url
    authority = host if port is None else f"{host}:{port}"
    ascii_url = quote(parts._replace(netloc=authority).geturl(), safe=ASCII)
    if len(ascii_url) > MAX_LENGTH:
        raise InvalidUrl(f"must be at most {MAX_LENGTH} characters once percent-encoded")
    return ascii_url


def leads_back(url: str, event: Event) -> bool:
    """Whether ``url`` is a link of the API that the event came through, by any of its addresses.

    These are the API's own host name, the path form that local engines serve on any host, and
    the host that the caller used (a custom domain, say).
    """
    parts = urlsplit(url)
    context = event["requestContext"]
    api, stage = context["apiId"], context["stage"]
    path = posixpath.normpath("/" + unquote(parts.path).lstrip("/")) + "/"
    if path.startswith((f"/_aws/execute-api/{api}/{stage}/r/", f"/restapis/{api}/{stage}/_user_request_/r/")):
        return True
    address = _address(parts.netloc)
    own = address.startswith(f"{api}.execute-api.") or address == _address(event.get("headers", {}).get("host", ""))
    return own and path.startswith(("/r/", f"/{stage}/r/"))


def _address(authority: str) -> str:
    """An authority in the one spelling that two of the same address share: no root dot, no default port."""
    found = AUTHORITY.fullmatch(authority.lower())
    if found is None:  # what a client may write into a Host header
        return authority
    port = found["port"] or ""
    return found["host"].rstrip(".") + (f":{port}" if port not in ("", "80", "443") else "")


def _ascii_host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    try:
        if "[" in parts.netloc:
            return f"[{ipaddress.IPv6Address(host).compressed}]"
        ascii_host = host.encode("idna").decode()
    except ValueError:
        ascii_host = ""
    if HOST.fullmatch(ascii_host) is None:
        raise InvalidUrl("must have a valid host and port")
    return ascii_host
