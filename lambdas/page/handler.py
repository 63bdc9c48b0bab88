"""``GET /``: the page that a person shortens links on. It is one answer, with nothing from any other origin."""

import base64
import hashlib
import html
import os
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

from common.http import INTERNAL_ERROR, Event, Response
from common.log import logged

FOLDER = Path(__file__).parent
# What page.html has in place of its style and its script, so that editors and linters see three proper files.
STYLE_LINK = '<link rel="stylesheet" href="style.css">'
SCRIPT_LINK = '<script src="script.js"></script>'
BODY = "<body>"
# The issuer of a user pool of Cognito, to which users sign in with a password.
POOL = re.compile(r"(?P<origin>https://cognito-idp\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?)/[\w-]+")


def read_page() -> Response:
    """Return the answer, with style and script in the page, and their hashes in its policy.

    With a user pool, the page has its client's ID and its address, which the policy allows; a local engine has it at
    the page's own.
    """
    pool = POOL.fullmatch(os.environ.get("IDENTITY_PROVIDER", ""))
    client = os.environ.get("JWT_AUDIENCE", "") if pool else ""
    address = pool["origin"] if pool and client and not os.environ.get("JWKS_PATH") else ""
    body = f'<body data-client="{html.escape(client)}" data-pool="{address}">' if client else BODY
    page, style, script = (FOLDER.joinpath(name).read_text("utf-8") for name in ("page.html", "style.css", "script.js"))
    policy = (
        "default-src 'none'",
        f"script-src {csp_hash(script)}",
        f"style-src {csp_hash(style)}",
        f"connect-src 'self' {address}".rstrip(),
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return {
        "statusCode": int(HTTPStatus.OK),
        "headers": {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": "; ".join(policy),
            "Cache-Control": "no-cache",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        },
        "body": page.replace(BODY, body)
        .replace(STYLE_LINK, f"<style>{style}</style>")
        .replace(SCRIPT_LINK, f"<script>{script}</script>"),
    }


def csp_hash(source: str) -> str:
    """Return a source as a Content Security Policy allows it: by its hash."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


PAGE = read_page()


@logged(outcome=lambda answer: answer["statusCode"], fallback=INTERNAL_ERROR)
def handler(event: Event, context: Any) -> Response:
    return PAGE
