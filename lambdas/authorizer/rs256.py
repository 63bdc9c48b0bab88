"""Verify RS256 signatures (RSASSA-PKCS1-v1_5 with SHA-256), with the standard library alone.

To verify is to compute with public values: key, message and signature are known to whoever sent them, so
``pow`` may take as long as its operands make it, and there is no secret for a side channel to tell.
Signing, which has a secret, is never done here.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jose import InvalidToken, decode_segment

EXPONENT = 65537
SMALLEST, LARGEST = 2048, 4096  # bits of a modulus
# DigestInfo of SHA-256 up to the digest, in DER, with the NULL that RFC 8017, 9.2 asks for.
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


@dataclass(frozen=True)
class Key:
    """An RSA public key; its exponent is EXPONENT. Raise InvalidToken for a modulus that no sound key has."""

    modulus: int

    def __post_init__(self) -> None:
        if self.modulus % 2 == 0 or not SMALLEST <= self.modulus.bit_length() <= LARGEST:
            raise InvalidToken("key")

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any]) -> "Key":
        """Return the key of a JWK (RFC 7517; RFC 7518, 6.3.1). Raise InvalidToken unless it is one for RS256.

        With an exponent of 1 a signature is what it signs, so that everybody could make one.
        """
        if jwk.get("kty") != "RSA" or jwk.get("use", "sig") != "sig" or jwk.get("alg", "RS256") != "RS256":
            raise InvalidToken("key")
        if _number(jwk.get("e")) != EXPONENT:
            raise InvalidToken("key")
        return cls(_number(jwk.get("n")))

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Return True if the signature is this key's, of this message (RFC 8017, 8.2.2).

        The one block that a right signature stands for is built and compared as a whole. Nothing is
        parsed out of the signature, so there is nothing in which a forgery could hide.
        """
        length = (self.modulus.bit_length() + 7) // 8
        number = int.from_bytes(signature, "big")
        if len(signature) != length or number >= self.modulus:
            return False
        digest_info = DIGEST_INFO + hashlib.sha256(message).digest()
        expected = b"\x00\x01" + b"\xff" * (length - len(digest_info) - 3) + b"\x00" + digest_info
        return hmac.compare_digest(pow(number, EXPONENT, self.modulus).to_bytes(length, "big"), expected)


def _number(value: object) -> int:
    """Return a Base64urlUInt (RFC 7518, 2). Raise InvalidToken unless it is in its canonical spelling."""
    if not isinstance(value, str):
        raise InvalidToken("key")
    octets = decode_segment(value)
    if not octets or octets[0] == 0:
        raise InvalidToken("key")
    return int.from_bytes(octets, "big")
