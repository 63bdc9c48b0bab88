"""Compare what is stored of a host with what browsers make of it (UTS 46, by the package idna) and with IDNA 2003."""

# ruff: noqa: RUF001 # lookalikes are what this is about

import sys
import unicodedata
from types import ModuleType

import idna
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from .functions import load


@pytest.fixture(scope="module")
def hosts() -> ModuleType:
    function = load("shorten", TABLE="unused")
    function.modules["common.table"].dynamodb.close()
    return function.modules["hosts"]


def uts46(host: str) -> str:
    """Return the host that a browser asks for."""
    return idna.encode(host, uts46=True, transitional=False).decode()


@pytest.mark.parametrize("step", [10, pytest.param(1, marks=pytest.mark.search)])
def test_every_letter_that_is_kept_is_one_that_both_standards_keep(hosts: ModuleType, step: int) -> None:
    """Of the large scripts, whose letters are all alike, most are left to the search."""

    def is_kept(character: str) -> bool:
        try:
            return bool(hosts.is_kept(character))
        except UnicodeError:  # prohibited by IDNA 2003
            return False

    points = [*range(0x80, 0x3400), *range(0x3400, 0xF900, step), *range(0xF900, 0x1_0000)]
    points += range(0x1_0000, sys.maxunicode + 1, step)
    kept = [chr(point) for point in points if not 0xD800 <= point <= 0xDFFF and is_kept(chr(point))]
    assert len(kept) > 80_000 // step
    assert not {"ß", "ς", "\u200c", "\u200d", "A", "Ａ", "☃"} & {*kept}
    for character in kept:
        assert idna.uts46_remap(character, std3_rules=False, transitional=False) == character
        idna.check_label(f"中{character}" if unicodedata.category(character).startswith("M") else character)


everyday = st.sampled_from("äöüéñçğışćżøåæœάέήίλσωςабвгдеёжяїґאבגדהוابتثجحمنهوي나다라가日本語例えテストドーเดมอนहिन्दीগ")
characters = (
    everyday
    | st.sampled_from("abcxyzABCÄÖÉΣß019--..")
    | st.sampled_from("\u0301\u0308\u0307\u094d\u0327İıſK。．ẞﬁ")
    | st.characters()
)
names = st.text(characters, min_size=1, max_size=12) | st.builds(
    "{}.{}".format, st.text(everyday, min_size=1), st.text(characters, min_size=1, max_size=6)
)


@settings(max_examples=8 * settings().max_examples)
@given(host=names)
@example("straße.example")
@example("BÜCHER.example")
@example("ΟΔΟΣ.example")
@example("موقع.وزارة-الاتصالات.مصر")
@example("www.אתר.example")
@example("e\u0301.example")
def test_a_host_is_stored_as_browsers_and_as_idna_2003_have_it_or_is_refused(hosts: ModuleType, host: str) -> None:
    if host.isascii():
        return
    try:
        stored = hosts.to_ascii(host)
    except ValueError:
        return
    if all(0 < len(label) <= 63 for label in stored.removesuffix(".").split(".")) and len(stored) <= 253:
        assert stored == uts46(host) == host.encode("idna").decode().lower()


def test_everyday_hosts_are_accepted(hosts: ModuleType) -> None:
    each_host: list[str] = [
        *(
            "bücher.example",
            "BÜCHER.example.",
            "mañana.com",
            "президент.рф",
            "例え.テスト",
            "한국.kr",
            "ελλάδα.gr",
            "ΟΔΟΣ.gr",
        ),
        *("दिल्ली.भारत", "ไทย.th", "موقع.وزارة-الاتصالات.مصر", "www.אתר.example", "123.bücher.example"),
    ]
    for host in each_host:
        assert hosts.to_ascii(host) == uts46(host)


@given(number=st.integers(0, 2**32 - 1), data=st.data())
def test_every_spelling_of_an_ipv4_address_is_recognized(hosts: ModuleType, number: int, data: st.DataObject) -> None:
    parts = data.draw(st.integers(1, 4))
    values = [number >> 24 & 255, number >> 16 & 255, number >> 8 & 255][: parts - 1]
    values.append(number & ((1 << 8 * (5 - parts)) - 1))
    spelled = ".".join(
        data.draw(st.sampled_from(["{:d}", "0{:o}", "0x{:x}", "0X{:X}", "0x00{:x}"])).format(value) for value in values
    )
    plain = ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
    assert hosts.canonical(spelled) == hosts.canonical(plain)
    assert (hosts.canonical(plain) == "localhost") == (plain.startswith("127.") or number == 0)


@given(host=st.text())
def test_any_host_has_a_canonical_spelling_that_is_its_own(hosts: ModuleType, host: str) -> None:
    assert hosts.canonical(hosts.canonical(host)) == hosts.canonical(host)
