"""One plain HTTP request to the API or the engine; the AWS SDK is for AWS's own operations."""

import http.client
from dataclasses import dataclass
from urllib.parse import urlsplit

TIMEOUT = 30  # seconds


@dataclass(frozen=True)
class Answer:
    """An answer's status and body. The functions call an error ``error``, the gateway calls it ``message``."""

    status: int
    body: bytes

    @property
    def by_gateway(self) -> bool:
        return b'"message"' in self.body


def request(method: str, url: str, body: str | None = None, headers: dict[str, str] | None = None) -> Answer:
    """Send one request, past every proxy, and follow no redirect. Raise OSError if there is no proper answer."""
    parts = urlsplit(url)
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = connect(parts.netloc, timeout=TIMEOUT)
    try:
        connection.request(method, parts.path, body, headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.read())
    except http.client.HTTPException as error:
        raise OSError(f"no proper answer: {error!r}") from error
    finally:
        connection.close()
