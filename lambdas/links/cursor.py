"""The ``next`` of a page: the code after which an owner's list goes on, bound to that owner.

A caller can only ever read on in the list of their own, whatever the cursor says, so it needs no secret: the
check is there to refuse what was not issued to this caller.
"""

import base64
import binascii
import hashlib

from common.http import BadRequest
from common.links import CODE

CHECK_LENGTH = 9  # bytes


def cursor(code: str, owner_id: str) -> str:
    """Return the cursor that goes on after this code."""
    return base64.urlsafe_b64encode(_check(code, owner_id) + code.encode()).rstrip(b"=").decode()


def after(given: str, owner_id: str) -> str:
    """Return the code after which the owner's list goes on. Raise BadRequest for what cursor() did not return."""
    try:
        code = base64.urlsafe_b64decode(f"{given}==")[CHECK_LENGTH:].decode("ascii")
    except (binascii.Error, ValueError):
        code = ""
    if CODE.fullmatch(code) is None or given != cursor(code, owner_id):
        raise BadRequest("next must be what the page before gave you, to the letter")
    return code


def _check(code: str, owner_id: str) -> bytes:
    return hashlib.sha256(f"{code}/{owner_id}".encode()).digest()[:CHECK_LENGTH]
