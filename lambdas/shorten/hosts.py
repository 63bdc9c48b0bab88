"""Write the host of a URL in ASCII, and recognize an address in every spelling of it.

Browsers follow UTS 46, non-transitional. Python's "idna" codec follows IDNA 2003, which leads some names
to another owner: it turns ``straße.example`` into ``strasse.example``.
https://www.unicode.org/reports/tr46/#IDNA2003-Section
"""

import ipaddress
import re
import unicodedata
from encodings.idna import nameprep

LETTERS_AND_MARKS = frozenset({"Ll", "Lm", "Lo", "Mc", "Mn"})
# Letters and marks that IDNA 2008 forbids though nothing maps them: tatweel, parts of Hangul syllables, invisible
# Khmer vowels, marks for symbols and music, marks that repeat vertical text.
FORBIDDEN = re.compile(
    "[\u0640\u1100-\u11ff\u17b4\u17b5\u20d0-\u20ff\u302e\u302f\u3031-\u3035\u303b\U0001d100-\U0001d1ff]"
)
# Empty, or without a hyphen at either end or at the third and fourth place: "xn--" is nothing to write beside "ü".
LABEL = re.compile("(?!-|..--)[a-z0-9\x80-\U0010ffff-]*(?<!-)")
RIGHT_TO_LEFT = frozenset({"R", "AL"})
NUMBER = re.compile("0x[0-9a-f]*|[0-9]+")


def to_ascii(host: str) -> str:
    """Return a host that is not ASCII in punycode.

    Raise ValueError unless IDNA 2003 and UTS 46 agree on each character: letters and marks that both know and
    keep, or lowercase. Nothing else is mapped here, so that no later version of Unicode changes the answer.
    """
    labels = [_prepared(label) for label in host.split(".")]
    if NUMBER.fullmatch(labels[-1] or "".join(labels[-2:-1])):
        raise ValueError("browsers take a host that ends in a number for an IPv4 address")
    if any(unicodedata.bidirectional(character) in RIGHT_TO_LEFT for label in labels for character in label):
        for label in filter(None, labels):
            _check_direction(label)
    return ".".join(label if label.isascii() else f"xn--{label.encode('punycode').decode()}" for label in labels)


def canonical(host: str) -> str:
    """Return the one spelling that all hosts of the same address share; every name of this machine is ``localhost``."""
    name = host.lower().rstrip(".")
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None
    if name.startswith("["):
        try:
            address = ipaddress.IPv6Address(name.strip("[]"))
        except ValueError:
            return name
        address = address.ipv4_mapped or address
    else:
        address = _ipv4_address(name)
        if address is None:
            return "localhost" if name.endswith(".localhost") else name
    return "localhost" if address.is_loopback or address.is_unspecified else str(address)


def _ipv4_address(name: str) -> ipaddress.IPv4Address | None:
    """Return the address that browsers read in ``0x7f.1`` or ``2130706433``, or None if this is another name.

    https://url.spec.whatwg.org/#concept-ipv4-parser
    """
    try:
        *first, last = map(_number, name.split("."))
    except ValueError:
        return None
    if len(first) > 3 or any(number > 255 for number in first) or last >= 256 ** (4 - len(first)):
        return None
    return ipaddress.IPv4Address(last + sum(number << 8 * (3 - place) for place, number in enumerate(first)))


def _number(digits: str) -> int:
    """Return a part of an IPv4 address, be it decimal, octal or hexadecimal. Raise ValueError if it is not a number."""
    if NUMBER.fullmatch(digits) is None:
        raise ValueError(digits)
    if digits.startswith("0x"):
        return int(digits[2:] or "0", 16)
    return int(digits, 8 if digits.startswith("0") else 10)


def _prepared(label: str) -> str:
    """Return a label in lowercase and composed. Raise ValueError unless both standards prepare it so."""
    lowered = "".join(character.lower() for character in label)  # label.lower() may end in "ς"
    composed = unicodedata.normalize("NFC", lowered)
    if not (
        all(character.isascii() or nameprep(character) == character.lower() for character in label)
        and all(character.isascii() or is_kept(character) for character in lowered + composed)
        and all(character.isascii() for character in label if character.lower().isascii())
        and composed == unicodedata.ucd_3_2_0.normalize("NFC", lowered)
        and LABEL.fullmatch(composed)
        and not unicodedata.category(composed[:1] or "-").startswith("M")
    ):
        raise ValueError(label)
    return composed


def is_kept(character: str) -> bool:
    """Return True for a letter or mark that both standards know and map to nothing else."""
    return (
        unicodedata.category(character) in LETTERS_AND_MARKS
        and unicodedata.ucd_3_2_0.category(character) in LETTERS_AND_MARKS
        and FORBIDDEN.match(character) is None
        and nameprep(character) == character == unicodedata.normalize("NFKC", character.casefold())
    )


def _check_direction(label: str) -> None:
    """Raise ValueError for a label that mixes directions, beside one that is read from right to left.

    This is the part of RFC 5893, section 2, that RFC 3454, section 6, agrees with.
    """
    directions = [unicodedata.bidirectional(character) for character in label]
    if directions[0] in RIGHT_TO_LEFT:
        inner, last = RIGHT_TO_LEFT | {"NSM", "ES"}, RIGHT_TO_LEFT
    else:
        inner, last = frozenset({"L", "EN", "NSM", "ES"}), frozenset({"L", "EN"})
    if directions[0] not in RIGHT_TO_LEFT | {"L"} or directions[-1] not in last or not inner.issuperset(directions):
        raise ValueError(label)
