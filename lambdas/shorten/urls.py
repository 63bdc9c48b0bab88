"""Check a URL before it is shortened, and write it as a Location header needs it: in ASCII.

A URL of ASCII characters alone is kept to the letter. In any other the host becomes punycode, and the
rest is percent-encoded (RFC 3987, 3.1).
"""

import ipaddress
import posixpath
import re
import unicodedata
from urllib.parse import quote, unquote, urlsplit

import hosts
from common.http import Event

MAX_LENGTH = 2048
AUTHORITY = re.compile(r"(?P<host>\[[^]]*\]|[^][:]*)(?P<port>:[0-9]*)?")
HOST = re.compile(r"(?!.{254})([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?", re.IGNORECASE)
ASCII = "".join(map(chr, range(0x21, 0x7F)))
# Unicode's categories of control and format characters, half surrogate pairs, and separators.
INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"})
DEFAULT_PORTS = frozenset({80, 443})


class InvalidUrl(ValueError):
    """Say why a URL is refused: the end of a sentence that starts with the field's name."""


def checked_url(url: str) -> str:
    """Return ``url`` in ASCII. Raise InvalidUrl unless it is an absolute http(s) URL that is fit to redirect to."""
    if len(url) > MAX_LENGTH:
        raise InvalidUrl(f"must be at most {MAX_LENGTH} characters")
    if "\\" in url or any(unicodedata.category(character) in INVISIBLE for character in url):
        raise InvalidUrl("must not have spaces, backslashes or control characters")
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError for a port that cannot be
    except ValueError:
        raise InvalidUrl("must have a valid host and port") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidUrl("must be an absolute http or https URL with a host")
    if "@" in parts.netloc:
        raise InvalidUrl("must not have credentials before the host")
    if "%" in parts.netloc:
        raise InvalidUrl("must have a host without percent signs")
    authority = AUTHORITY.fullmatch(parts.netloc)  # urlsplit ignores what is beside brackets
    if authority is None:
        raise InvalidUrl("must have a valid host and port")
    host = _ascii_host(authority["host"])
    if url.isascii():
        return url
    before, _, after = url.partition("//")
    rest = quote(after[len(parts.netloc) :], safe=ASCII)
    ascii_url = f"{before}//{host}{authority['port'] or ''}{rest}"
    if len(ascii_url) > MAX_LENGTH:
        raise InvalidUrl(f"must be at most {MAX_LENGTH} characters once percent-encoded")
    return ascii_url


def leads_back(url: str, event: Event) -> bool:
    """Return True if ``url`` is a link of the API that the event came through, by any of its addresses.

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
    own = address[0].startswith(f"{api}.execute-api.") or address == _address(event.get("headers", {}).get("host", ""))
    return own and path.startswith(("/r/", f"/{stage}/r/"))


def _address(authority: str) -> tuple[str, int | None]:
    """Return the host and the port of an authority as browsers read them; the port is None where it is the default."""
    found = AUTHORITY.fullmatch(authority)
    if found is None:  # a client may write anything into a Host header
        return authority, None
    port = int((found["port"] or "").lstrip(":0")[:6] or 80)
    return hosts.canonical(found["host"]), None if port in DEFAULT_PORTS else port


def _ascii_host(host: str) -> str:
    """Return a host in ASCII. Raise InvalidUrl if it is not one that every browser reads alike."""
    if not host.isascii():
        try:
            host = hosts.to_ascii(host)
        except ValueError:
            raise InvalidUrl("must have a host in ASCII: write it in punycode (xn--...)") from None
    try:
        valid = ipaddress.IPv6Address(host[1:-1]) if host.startswith("[") else HOST.fullmatch(host)
    except ValueError:
        valid = None
    if valid is None:
        raise InvalidUrl("must have a valid host and port")
    return host
