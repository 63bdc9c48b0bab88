"""Check URLs before they are shortened, and write them as they are stored."""

# ruff: noqa: RUF001 # lookalikes are what this is about

from types import ModuleType

import pytest

from .events import Event, recorded
from .functions import load


@pytest.fixture(scope="module")
def urls() -> ModuleType:
    function = load("shorten", TABLE="unused")
    function.modules["common.table"].dynamodb.close()
    return function.modules["urls"]


def test_an_ascii_url_is_kept_to_the_letter(urls: ModuleType) -> None:
    each_url: list[str] = [
        "http://example.com",
        "https://example.com/",
        "HTTPS://EXAMPLE.COM/Path",
        "http://localhost:8000/x",
        "http://localhost/r/x",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://0x7f.1/",
        "http://2130706433/",
        "http://xn--zz--a.example/",
        "http://r3---sn-a.example/",
        "http://[::1]/",
        "http://[2001:DB8::1]:8080/x",
        "http://example.com:1/",
        "http://example.com:65535/",
        "http://example.com.:80",
        "http://sub_domain.example-1.com/",
        "http://xn--bcher-kva.example/",
        "https://example.com?q",
        "https://example.com#f",
        "https://example.com/a/../b//c/./d",
        "https://example.com/%20%C3%A9%zz%",
        "https://example.com/?q=a+b&c[]=d|e#!/x?y@z:1",
        "https://example.com/\"<>^`{|}'()*,;=~$",
        "https://example.com/https://example.org/",
        "https://example.com/".ljust(2048, "x"),
    ]
    for url in each_url:
        assert urls.checked_url(url) == url


def test_another_url_is_stored_in_ascii(urls: ModuleType) -> None:
    cases: list[tuple[str, str]] = [
        ("https://example.com/größe", "https://example.com/gr%C3%B6%C3%9Fe"),
        ("https://example.com/%20ö%zz", "https://example.com/%20%C3%B6%zz"),
        ("https://example.com/?q=ö&r=%26#ö", "https://example.com/?q=%C3%B6&r=%26#%C3%B6"),
        ("https://example.com/😀", "https://example.com/%F0%9F%98%80"),
        ("https://bücher.example/x", "https://xn--bcher-kva.example/x"),
        ("https://bücher.example:8443/ö", "https://xn--bcher-kva.example:8443/%C3%B6"),
        ("http://例え.jp/パス", "http://xn--r8jz45g.jp/%E3%83%91%E3%82%B9"),
        ("http://[2001:db8::1]:80/ö", "http://[2001:db8::1]:80/%C3%B6"),
        ("http://Example.com:080/ö?#", "http://Example.com:080/%C3%B6?#"),
        ("http://0x7f.1/ö", "http://0x7f.1/%C3%B6"),
        ("http://xn--zz--a.example/ö", "http://xn--zz--a.example/%C3%B6"),
        ("https://Bücher.Example./x", "https://xn--bcher-kva.example./x"),
    ]
    for url, stored in cases:
        assert urls.checked_url(url) == stored
        assert urls.checked_url(stored) == stored


def test_a_url_that_is_not_absolute_http_is_refused(urls: ModuleType) -> None:
    each_url: list[str] = [
        "",
        "example.com",
        "/path",
        "//example.com/",
        "?q",
        "#f",
        "http",
        "http:",
        "http:example.com",
        "http:/example.com",
        "http://",
        "http:///path",
        "http://?q",
        "http://#f",
        "http://:80/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript://example.com/%0aalert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "mailto:user@example.com",
        "httpx://example.com/",
        "hhttp://example.com/",
        "https//example.com/",
        "http+unix://example.com/",
        "ws://example.com/",
        "blob:https://example.com/x",
        "view-source:https://example.com/",
    ]
    for url in each_url:
        with pytest.raises(urls.InvalidUrl, match=r"^must be an absolute http or https URL with a host$"):
            urls.checked_url(url)


def test_a_host_or_port_that_cannot_be_is_refused(urls: ModuleType) -> None:
    each_url: list[str] = [
        "http://example.com:x/",
        "http://example.com:-1/",
        "http://example.com:65536/",
        "http://example.com:80:80/",
        "http://example.com:٣/",
        "http://example..com/",
        "http://.example.com/",
        "http://./",
        "http://../",
        "http://exa!mple.com/",
        "http://exa,mple.com/",
        "http://a;b/",
        "http://$host/",
        "http://<host>/",
        'http://"host"/',
        f"http://{'x' * 64}.com/",
        f"http://{'.'.join(['x' * 60] * 5)}/",
        f"http://{'ö' * 64}.com/",
        "http://[::1",
        "http://::1]/",
        "http://[]/",
        "http://[:::1]/",
        "http://[example.com]/",
        "http://[127.0.0.1]/",
        "http://[::1]example.com/",
        "http://example.com[::1]/",
        "http://bücher[::1]/",
        "http://℀.example/",
    ]
    for url in each_url:
        with pytest.raises(urls.InvalidUrl, match=r"^must have a valid host and port$"):
            urls.checked_url(url)


def test_a_host_that_standards_disagree_on_is_refused_in_plain_words(urls: ModuleType) -> None:
    each_host: list[str] = [
        "straße.example",
        "FAẞ.example",
        "βόλος.example",
        "ΒΌΛΟς.example",
        "١٢٣.example",
        "☃.example",
        "😀.example",
        "例え。jp",
        "bücher．example",
        "bücher｡example",
        "１２７.0.0.1",
        "ｅxample.com",
        "\u212aelvin.example",
        "①.example",
        "𝐛.example",
        "xn--bücher.example",
        "xn--bcher-kva.bücher.example",
        "xn--zz--a.bücher.example",
        "ab--ü.example",
        "-ü.example",
        "ü-.example",
        "\u0301ü.example",
        "bücher.1",
        "bücher.0x7f.",
        "bü_cher.example",
        "אבג1.example",
        "aאב.example",
        "1.אבג.example",
        "evil.example⁄.good.example",
        "evil.example∕.good.example",
    ]
    for host in each_host:
        with pytest.raises(urls.InvalidUrl, match=r"^must have a host in ASCII: write it in punycode \(xn--\.\.\.\)$"):
            urls.checked_url(f"https://{host}/")


def test_a_lookalike_of_a_delimiter_does_not_end_the_host(urls: ModuleType) -> None:
    for lookalike in "℀℁℅／？＃＠：":
        with pytest.raises(urls.InvalidUrl):
            urls.checked_url(f"https://evil.example{lookalike}.good.example/")


def test_a_joiner_is_refused(urls: ModuleType) -> None:
    for joiner in "\u200c\u200d":
        with pytest.raises(urls.InvalidUrl):
            urls.checked_url(f"https://क्{joiner}ष.example/")


def test_spaces_and_control_characters_are_refused(urls: ModuleType) -> None:
    characters: list[str] = [*map(chr, range(0x21)), *map(chr, range(0x7F, 0xA1)), *"\u2028\u3000\ud800\\"]
    templates: list[str] = ["{}https://example.com/", "https://exam{}ple.com/", "https://example.com/{}"]
    for character in characters:
        for template in templates:
            with pytest.raises(urls.InvalidUrl, match=r"^must not have spaces, backslashes or control characters$"):
                urls.checked_url(template.format(character))


def test_credentials_are_refused(urls: ModuleType) -> None:
    each_url: list[str] = ["http://user@example.com/", "http://user:pw@example.com/", "http://good.example@evil/"]
    for url in each_url:
        with pytest.raises(urls.InvalidUrl, match="credentials"):
            urls.checked_url(url)


def test_a_percent_sign_in_the_host_is_refused(urls: ModuleType) -> None:
    each_url: list[str] = ["http://%65xample.com/", "http://[fe80::1%25eth0]/", "http://example.com%2F@evil.com/"]
    for url in each_url:
        with pytest.raises(urls.InvalidUrl):
            urls.checked_url(url)


def test_a_url_that_is_too_long_as_it_is_stored_is_refused(urls: ModuleType) -> None:
    each_url: list[str] = [
        "https://example.com/".ljust(2049, "x"),
        "https://example.com/" + "ö" * 339,
        f"https://{'ö' * 2041}",
        "x" * 10**6,
    ]
    for url in each_url:
        with pytest.raises(urls.InvalidUrl, match=r"^must be at most 2048 characters"):
            urls.checked_url(url)


def test_percent_encoding_may_fill_the_length(urls: ModuleType) -> None:
    assert len(urls.checked_url("https://example.com/" + "ö" * 338)) == 2048


def called_by(host: str | None) -> Event:
    """Return the recorded event of POST /shorten, by a caller who used this host."""
    event = recorded("shorten")
    event["headers"] = {} if host is None else {"host": host}
    return event


def test_a_link_of_this_api_leads_back(urls: ModuleType) -> None:
    each_url: list[str] = [
        "http://127.0.0.1:4566/_aws/execute-api/5407c0de/dev/r/mine",
        "http://localhost:4566/_aws/execute-api/5407c0de/dev/r/mine?q#f",
        "https://tunnel.example/_aws/execute-api/5407c0de/dev/r/mine",
        "http://localhost:4566//_aws//execute-api/5407c0de/dev/r/mine",
        "http://localhost:4566/x/../_aws/execute-api/5407c0de/./dev/r/mine",
        "http://localhost:4566/%5Faws/execute-api/5407c0de/dev/%72/mine",
        "http://localhost:4566/restapis/5407c0de/dev/_user_request_/r/mine",
        "https://5407c0de.execute-api.us-east-1.amazonaws.com/dev/r/mine",
        "https://5407C0DE.Execute-Api.us-east-1.amazonaws.com/dev/r/mine",
        "http://5407c0de.execute-api.localhost.localstack.cloud:4566/dev/r/mine",
        "http://5407c0de.execute-api.localhost.localstack.cloud:4566/r/mine",
    ]
    each_host: list[str | None] = ["127.0.0.1:4566", "links.example", None]
    for url in each_url:
        for host in each_host:
            assert urls.leads_back(urls.checked_url(url), called_by(host))


def test_a_link_of_the_host_that_was_called_leads_back(urls: ModuleType) -> None:
    cases: list[tuple[str, str]] = [
        ("links.example", "https://links.example/r/mine"),
        ("links.example", "https://links.example/dev/r/mine"),
        ("links.example", "https://LINKS.example/r/mine"),
        ("Links.Example", "http://links.example/%72/mine"),
        ("links.example", "https://links.example//r/mine"),
        ("links.example", "https://links.example/x/../r/mine"),
        ("links.example", "https://links.example/%2e%2e/r/mine"),
        ("links.example:8443", "https://links.example:8443/r/mine"),
        ("links.example", "https://links.example:443/r/mine"),
        ("links.example", "http://links.example:80/r/mine"),
        ("links.example:443", "https://links.example/r/mine"),
        ("links.example", "https://links.example./r/mine"),
        ("xn--bcher-kva.example", "https://bücher.example/r/mine"),
        ("[::1]:4566", "http://[::1]:4566/r/mine"),
        ("[::1]:4566", "http://[0:0::1]:4566/r/mine"),
        ("[2001:db8::1]", "http://[2001:DB8:0::1]/r/mine"),
        ("192.0.2.1", "http://0xc0.0.513/r/mine"),
        ("192.0.2.1", "http://[::ffff:192.0.2.1]/r/mine"),
        ("links.example:8443", "https://links.example:08443/r/mine"),
    ]
    for host, url in cases:
        assert urls.leads_back(urls.checked_url(url), called_by(host))


def test_a_link_of_this_machine_leads_back_by_any_of_its_names(urls: ModuleType) -> None:
    each_host: list[str] = ["127.0.0.1", "localhost", "[::1]"]
    sames: list[str] = [
        *(
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "0x7f.1",
            "0x7F000001",
            "2130706433",
            "0177.0.0.01",
            "127.0.0.1.",
            "127.9.9.9",
        ),
        *("localhost", "LocalHost", "localhost.", "api.localhost", "0.0.0.0", "0", "0x"),
        *("[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
    ]
    for host in each_host:
        for same in sames:
            assert urls.leads_back(urls.checked_url(f"http://{same}:4566/r/mine"), called_by(f"{host}:4566"))
            assert not urls.leads_back(urls.checked_url(f"http://{same}:3000/r/mine"), called_by(f"{host}:4566"))


def test_another_machine_is_not_taken_for_this_one(urls: ModuleType) -> None:
    others: list[str] = ["128.0.0.1", "127.0.0.1.5", "256.1", "0x7g.1", "08.1", "4294967296", "[::2]", "a.b"]
    for other in others:
        assert not urls.leads_back(urls.checked_url(f"http://{other}:4566/r/mine"), called_by("127.0.0.1:4566"))


def test_any_other_url_does_not_lead_back(urls: ModuleType) -> None:
    each_url: list[str] = [
        "https://example.com/r/mine",
        "https://links.example/",
        "https://links.example/shorten",
        "https://links.example/rx/mine",
        "https://links.example/x/r/mine",
        "https://links.example/prod/r/mine",
        "https://links.example/r/../x",
        "https://links.example:8443/r/mine",
        "https://links.example.org/r/mine",
        "https://sub.links.example/r/mine",
        "https://example.com/?u=https://links.example/r/mine",
        "https://example.com/#/r/mine",
        "http://localhost:4566/_aws/execute-api/00000000/dev/r/mine",
        "http://localhost:4566/_aws/execute-api/5407c0de/dev/shorten",
        "https://00000000.execute-api.us-east-1.amazonaws.com/dev/r/mine",
        "https://5407c0de.s3.amazonaws.com/dev/r/mine",
        "https://example.com/5407c0de.execute-api.us-east-1.amazonaws.com/r/mine",
    ]
    for url in each_url:
        assert not urls.leads_back(urls.checked_url(url), called_by("links.example"))
