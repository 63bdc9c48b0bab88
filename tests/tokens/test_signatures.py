"""RS256 alone: Wycheproof's vectors, every kind of forged block, and ``cryptography`` as a second opinion."""

import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.functions import load

from .provider import private_key, unsigned

VECTORS = sorted((Path(__file__).parent / "wycheproof").glob("*.json"))
MESSAGE = b"header.payload"
SIZES = ("2048", "2050", "3072", "4096")  # bits; one is no multiple of eight
DIGEST = hashlib.sha256(MESSAGE).digest()
SHA256 = "608648016503040201"  # the algorithm's object identifier, after 06 09
INFO = bytes.fromhex(f"3031300d0609{SHA256}05000420") + DIGEST


@pytest.fixture(scope="session")
def rs256() -> ModuleType:
    """Return the module of the authorizer that verifies signatures."""
    return load("authorizer", IDENTITY_PROVIDER="http://127.0.0.1/").modules["rs256"]


def public(rs256: ModuleType, name: str) -> Any:
    return rs256.Key(private_key(name).public_key().public_numbers().n)


@functools.cache
def raw(name: str, block: bytes) -> bytes:
    """Return what the private key makes of any block: a signature whose every part an attacker chooses."""
    own = private_key(name).private_numbers()
    number = int.from_bytes(block, "big")
    assert number < own.p * own.q
    one, other = pow(number, own.dmp1, own.p), pow(number, own.dmq1, own.q)  # RFC 8017, 5.1.2
    whole = other + own.q * (own.iqmp * (one - other) % own.p)
    return whole.to_bytes((int(name) + 7) // 8, "big")


@pytest.mark.parametrize("file", VECTORS, ids=lambda file: file.stem)
def test_wycheproof_agrees(rs256: ModuleType, file: Path) -> None:
    """Allow what is valid. A missing NULL is "acceptable" there, and refused here, as is a key of another exponent."""
    tested = 0
    vectors = json.loads(file.read_text())
    for group in vectors["testGroups"]:
        number = {name: unsigned(int(value, 16)) for name, value in group["publicKey"].items()}
        published = {"kty": "RSA", "n": number["modulus"], "e": number["publicExponent"]}
        if number["publicExponent"] != "AQAB":
            with pytest.raises(rs256.InvalidToken):
                rs256.Key.from_jwk(published)
            tested += len(group["tests"])
            continue
        key = rs256.Key.from_jwk(published)
        for one in group["tests"]:
            allowed = key.verify(bytes.fromhex(one["msg"]), bytes.fromhex(one["sig"]))
            assert allowed is (one["result"] == "valid"), one["comment"]
            tested += 1
    assert tested == vectors["numberOfTests"] > 250


def block(
    length: int, info: bytes, start: bytes = b"\x00\x01", filler: bytes = b"\xff", separator: bytes = b"\0"
) -> bytes:
    return start + filler * (length - len(info) - len(start) - len(separator)) + separator + info


def info(digest: bytes, identifier: str = f"0609{SHA256}", null: str = "0500") -> bytes:
    """Return a DigestInfo with lengths that are right."""
    algorithm = bytes.fromhex(identifier + null)
    sequence = bytes([0x30, len(algorithm)]) + algorithm + bytes([4, len(digest)]) + digest
    return bytes([0x30, len(sequence)]) + sequence


FORGED: dict[str, Callable[[int], bytes]] = {
    "the missing NULL": lambda length: block(length, info(DIGEST, null="")),
    "a NULL with a length": lambda length: block(length, info(DIGEST, null="050100")),
    "no DigestInfo": lambda length: block(length, DIGEST),
    "another digest": lambda length: block(length, info(hashlib.sha256(b"other").digest())),
    "SHA-1": lambda length: block(length, info(hashlib.sha1(MESSAGE).digest(), "06052b0e03021a")),
    "SHA-384": lambda length: block(length, info(hashlib.sha384(MESSAGE).digest(), "0609608648016503040202")),
    "SHA-512": lambda length: block(length, info(hashlib.sha512(MESSAGE).digest(), "0609608648016503040203")),
    "SHA-512's name on SHA-256's digest": lambda length: block(length, info(DIGEST, "0609608648016503040203")),
    "MD5": lambda length: block(length, info(hashlib.md5(MESSAGE).digest(), "06082a864886f70d0205")),
    "a byte after the digest": lambda length: block(length, INFO + b"\0"),
    "rubbish after short padding (Bleichenbacher, 2006)": lambda length: (
        b"\x00\x01" + b"\xff" * 8 + b"\0" + INFO + b"\xab" * (length - len(INFO) - 11)
    ),
    "rubbish in the parameters": lambda length: block(length, info(DIGEST, null="0408" + "ab" * 8)),
    "a length in the long form": lambda length: block(
        length, bytes.fromhex(f"308131300d0609{SHA256}05000420") + DIGEST
    ),
    "padding of another byte": lambda length: block(length, INFO, filler=b"\xfe"),
    "padding with a zero in it": lambda length: (
        b"\x00\x01" + b"\xff" * 9 + b"\0" + b"\xff" * (length - len(INFO) - 13) + b"\0" + INFO
    ),
    "block type 0": lambda length: block(length, INFO, b"\x00\x00", b"\x00"),
    "block type 2": lambda length: block(length, INFO, b"\x00\x02"),
    "no first zero": lambda length: block(length, INFO, b"\x01"),
    "no separator": lambda length: block(length, INFO, separator=b""),
    "another separator": lambda length: block(length, INFO, separator=b"\x01"),
    "zero": bytes,
    "one": lambda length: bytes(length - 1) + b"\x01",
}


@pytest.mark.parametrize("name", ["2048", "2050", "4096"])
@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_a_forged_block_is_refused(rs256: ModuleType, name: str, forge: Callable[[int], bytes]) -> None:
    key, length = public(rs256, name), (int(name) + 7) // 8
    assert key.verify(MESSAGE, raw(name, block(length, INFO)))
    forged = forge(length)
    assert not key.verify(MESSAGE, raw(name, forged[-length:]))
    assert not key.verify(MESSAGE, forged[-length:])  # as a signature by the exponent of 1


@pytest.mark.parametrize("modulus", [0, 1, 1 << 2048, 1 << 2047, (1 << 2047) - 1, (1 << 2048) - 2, (1 << 4096) + 1])
def test_a_modulus_that_no_sound_key_has_is_refused(rs256: ModuleType, modulus: int) -> None:
    assert rs256.Key((1 << 2047) + 1)
    with pytest.raises(rs256.InvalidToken):
        rs256.Key(modulus)


@pytest.mark.parametrize("name", SIZES)
def test_a_signature_of_another_length_or_over_the_modulus_is_refused(rs256: ModuleType, name: str) -> None:
    modulus = private_key(name).public_key().public_numbers().n
    key, length = public(rs256, name), (int(name) + 7) // 8
    signature = raw(name, block(length, INFO))
    more = (int.from_bytes(signature, "big") + modulus).to_bytes(length + 1, "big")
    for other in (b"", b"\0" + signature, signature + b"\0", signature[1:], signature[:-1], signature[::-1], more):
        assert not key.verify(MESSAGE, other)
    assert not key.verify(MESSAGE, more[-length:])
    for number in (modulus, modulus - 1, modulus + 1, (1 << 8 * length) - 1):
        assert not key.verify(MESSAGE, number.to_bytes(length, "big"))


def test_the_cube_root_of_a_forged_block_fits_no_key(rs256: ModuleType) -> None:
    """Refuse the forgery that an exponent of 3 would take from a verifier that does not look at the whole block."""
    target = int.from_bytes((b"\x00\x01" + b"\xff" * 8 + b"\0" + INFO).ljust(256, b"\0"), "big")
    root = 1 << (target.bit_length() // 3 + 1)
    while (better := (2 * root + target // root**2) // 3) < root:
        root = better
    forged = (root + 1).to_bytes(256, "big")
    assert ((root + 1) ** 3).to_bytes(256, "big").startswith(b"\x00\x01" + b"\xff" * 8 + b"\0" + INFO[:40])
    assert not public(rs256, "2048").verify(MESSAGE, forged)
    weak = rsa.generate_private_key(3, 2048).public_key().public_numbers()
    with pytest.raises(rs256.InvalidToken):
        rs256.Key.from_jwk({"kty": "RSA", "n": unsigned(weak.n), "e": "Aw"})


@pytest.mark.parametrize("size", [hashes.SHA1(), hashes.SHA384(), hashes.SHA512(), hashes.SHA3_256()])
def test_a_signature_with_another_hash_or_scheme_is_refused(rs256: ModuleType, size: hashes.HashAlgorithm) -> None:
    own = private_key("2048")
    for scheme in (padding.PKCS1v15(), padding.PSS(padding.MGF1(size), padding.PSS.DIGEST_LENGTH)):
        assert not public(rs256, "2048").verify(MESSAGE, own.sign(MESSAGE, scheme, size))
    for salt in (0, 32, padding.PSS.MAX_LENGTH):
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
        assert not public(rs256, "2048").verify(MESSAGE, own.sign(MESSAGE, pss, hashes.SHA256()))


def opinion(name: str, message: bytes, signature: bytes) -> bool:
    """Return what ``cryptography`` says."""
    try:
        private_key(name).public_key().verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


@settings(max_examples=4 * settings().max_examples, deadline=None, derandomize=True, database=None)
@given(
    name=st.sampled_from(["2048", *SIZES]),
    signer=st.sampled_from(["2048", *SIZES]),
    message=st.binary(max_size=200),
    signed=st.none() | st.binary(max_size=200),
    change=st.sampled_from(["none", "bit", "cut", "longer", "zero", "sum", "random", "block"]),
    place=st.integers(0, 4096 - 1),
    data=st.binary(min_size=1, max_size=4),
)
def test_a_second_opinion_agrees(
    rs256: ModuleType,
    name: str,
    signer: str,
    message: bytes,
    signed: bytes | None,
    change: str,
    place: int,
    data: bytes,
) -> None:
    """Change a signature in one way or another, for keys of each size, and ask both."""
    signature = private_key(signer).sign(message if signed is None else signed, padding.PKCS1v15(), hashes.SHA256())
    modulus = private_key(name).public_key().public_numbers().n
    length = (modulus.bit_length() + 7) // 8
    match change:
        case "bit":
            flipped = int.from_bytes(signature, "big") ^ (1 << place % (8 * len(signature)))
            signature = flipped.to_bytes(len(signature), "big")
        case "cut":
            signature = signature[: place % len(signature)]
        case "longer":
            signature += data
        case "zero":
            signature = b"\0" * len(data) + signature
        case "sum":
            signature = ((int.from_bytes(signature, "big") + modulus) % (1 << 8 * length)).to_bytes(length, "big")
        case "random":
            signature = (data * length)[:length]
        case "block":
            whole = bytearray(block(length, info(hashlib.sha256(message).digest())))
            at = 1 + place % (length - 1)
            whole[at : at + len(data)] = data[: length - at]
            if int.from_bytes(whole, "big") < modulus:
                signature = raw(name, bytes(whole))
    assert public(rs256, name).verify(message, signature) is opinion(name, message, signature)
