"""The page in Chromium: what a person does on it, and what the API then has."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, expect

from project import CHECKOUT, Project, Stack

from .visitor import DESK, PHONE, Visitor

pytestmark = pytest.mark.browser
EXAMPLE = "https://example.com/"
NEW_YEAR = f"{datetime.now(UTC).year + 1}-01-02T00:00"  # some time in the next year, wherever that begins
HOSTILE = (
    "<script>window.ran = 1</script>",
    "\"><img src=x onerror='window.ran=1'>",
    "' \" ` & &amp; %s {code}",
    "שלום <b>עולם</b>",
)
wide = pytest.param(DESK, marks=pytest.mark.search)  # what fits on a phone fits there, and the script is the same
both_widths = pytest.mark.parametrize("visitor", [PHONE, wide], indirect=True)


@pytest.fixture
def visitor(chromium: Browser, stack: Stack, request: pytest.FixtureRequest) -> Iterator[Visitor]:
    """Yield a person before the page of the shared stack, in a window as wide as a phone or as the test says."""
    with Visitor.before(chromium, stack, getattr(request, "param", PHONE)) as visitor:
        yield visitor


@pytest.mark.parametrize("visitor", [PHONE, DESK], indirect=True)
def test_a_person_shortens_copies_opens_and_deletes(visitor: Visitor, code: str) -> None:
    target = f"{visitor.stack.engine}/_localstack/health"
    short = f"{visitor.stack.url}/r/{code}"
    visitor.sees_the_sign_in()
    expect(visitor.page.get_by_text("scripts/sign-token.py")).to_be_visible()
    visitor.sign_in()
    visitor.sees_that_user(visitor.user)
    expect(visitor.page.get_by_text("No links yet.")).to_be_visible()

    visitor.shorten(target, code)
    visitor.sees(f"Shortened: {code}")
    expect(visitor.row(code)).to_contain_text("0 clicks")
    expect(visitor.row(code)).to_contain_text(target)

    visitor.button(f"Copy {code}").click()
    visitor.sees(f"Copied: {short}")
    assert visitor.page.evaluate("navigator.clipboard.readText()") == short

    with visitor.page.expect_popup() as opened:
        visitor.row(code).get_by_role("link", name=code).click()
    opened.value.wait_for_url(target)
    visitor.page.bring_to_front()
    expect(visitor.row(code)).to_contain_text("1 click")

    visitor.button(f"Delete {code}").click()
    expect(visitor.question).to_contain_text(f"Delete {code}?")
    visitor.question.get_by_role("button", name="Keep").click()
    expect(visitor.row(code)).to_be_visible()
    visitor.delete(code)
    visitor.sees(f"Deleted: {code}")
    expect(visitor.row(code)).to_be_hidden()
    assert visitor.stack.row(code) is None


def test_clicks_grow_while_one_looks(visitor: Visitor, code: str) -> None:
    visitor.has(EXAMPLE, code)
    visitor.sign_in()
    expect(visitor.row(code)).to_contain_text("0 clicks")
    visitor.stack.follow(code)
    expect(visitor.row(code)).to_contain_text("1 click")
    visitor.stack.follow(code)
    expect(visitor.row(code)).to_contain_text("2 clicks")


def test_a_link_without_a_code_gets_one(visitor: Visitor) -> None:
    visitor.sign_in()
    visitor.shorten(EXAMPLE)
    visitor.sees("Shortened: ")
    expect(visitor.rows).to_have_count(1)
    visitor.button("Copy").click()
    visitor.sees("Copied: ")
    copied = visitor.page.evaluate("navigator.clipboard.readText()")
    assert visitor.stack.clicks(copied.rsplit("/", 1)[1]) == 0


def test_an_expiry_is_the_persons_own_time(visitor: Visitor, code: str) -> None:
    expires = (datetime.now(ZoneInfo("Asia/Kolkata")) + timedelta(days=400)).replace(second=0, microsecond=0)
    visitor.sign_in()
    visitor.shorten(EXAMPLE, code, expires.strftime("%Y-%m-%dT%H:%M"))
    expect(visitor.row(code)).to_contain_text(f"expires {expires.day} {expires:%b %Y, %H:%M}")
    row = visitor.stack.row(code)
    assert row is not None
    assert row["expires_at"] == {"N": str(int(expires.timestamp()))}


def test_the_page_shows_the_apis_own_words_for_each_error(visitor: Visitor, code: str) -> None:
    visitor.sign_in()
    for body, wrong in (
        ({"long_url": "example.com", "code": code}, "Long URL"),
        ({"long_url": EXAMPLE, "code": "no/slash"}, "Code"),
        ({"long_url": EXAMPLE, "code": code, "expires_at": 1577817000}, "Expires"),
    ):
        said = visitor.stack.shorten(body, visitor.user).json()["error"]
        visitor.shorten(str(body["long_url"]), str(body["code"]), "2020-01-01T00:00" if "expires_at" in body else "")
        visitor.sees(said)
        expect(visitor.field(wrong)).to_be_focused()
        expect(visitor.field("Code")).to_have_value(str(body["code"]))
    visitor.has(EXAMPLE, code)
    visitor.shorten(EXAMPLE, code)
    visitor.sees(visitor.stack.shorten({"long_url": EXAMPLE, "code": code}, visitor.user).json()["error"])


def test_the_list_goes_on_by_pages(visitor: Visitor, code: str) -> None:
    codes = [f"{code}-{number:02}" for number in range(41)]
    for one in codes:
        visitor.has(EXAMPLE, one)

    def shows(page: int) -> None:
        expect(visitor.page.get_by_role("navigation")).to_contain_text(f"Page {page}")
        expect(visitor.rows.get_by_role("link")).to_have_text(codes[(page - 1) * 20 : page * 20])

    visitor.sign_in()
    shows(1)
    visitor.button("Next").click()
    shows(2)
    visitor.button("Next").click()
    shows(3)
    expect(visitor.button("Next")).to_be_disabled()
    visitor.delete(codes[-1])
    visitor.sees(f"Deleted: {codes[-1]}")
    shows(2)
    visitor.button("Previous").click()
    shows(1)
    expect(visitor.button("Previous")).to_be_disabled()


def test_the_keyboard_is_enough(visitor: Visitor, code: str) -> None:
    press = visitor.page.keyboard.press
    write = visitor.page.keyboard.type

    def reach(name: str, role: str = "button") -> None:
        """Press Tab until this has the focus."""
        wanted = visitor.page.get_by_role(role, name=name, exact=True)  # type: ignore[arg-type]
        for _ in range(30):
            press("Tab")
            if wanted.evaluate("node => node === document.activeElement"):
                return
        pytest.fail(f"no way to {name} by Tab")

    reach("Token", "textbox")
    write(visitor.token())
    press("Enter")
    visitor.sees("Signed in.")
    expect(visitor.field("Long URL")).to_be_focused()
    write(EXAMPLE)
    press("Tab")
    write(code)
    press("Enter")
    visitor.sees("Shortened: ")
    expect(visitor.row(code)).to_be_visible()
    reach(f"Copy {code}")
    press("Enter")
    visitor.sees("Copied: ")
    reach(f"Delete {code}")
    press("Space")
    expect(visitor.question).to_be_visible()
    press("Escape")
    expect(visitor.question).to_be_hidden()
    expect(visitor.button(f"Delete {code}")).to_be_focused()
    press("Enter")
    expect(visitor.question.get_by_role("button", name="Keep")).to_be_focused()
    press("Tab")
    press("Enter")
    visitor.sees(f"Deleted: {code}")
    expect(visitor.page.get_by_role("heading", name="Your links")).to_be_focused()
    reach("Sign out")
    press("Enter")
    visitor.sees("Signed out.")
    expect(visitor.field("Token")).to_be_focused()


def test_a_token_in_the_fragment_signs_in_and_is_gone_from_the_address(visitor: Visitor, shared: Project) -> None:
    asked: list[str] = []
    visitor.page.on("request", lambda request: asked.append(request.url))
    token = visitor.token()
    visitor.page.goto("about:blank")
    visitor.page.goto(f"{visitor.stack.url}/#token={token}")
    visitor.sees_that_user(visitor.user)
    assert visitor.page.url == f"{visitor.stack.url}/"
    assert [url for url in asked if token in url.partition("#")[0]] == []
    assert token not in (shared.state / "engine.log").read_text()
    visitor.page.go_back()
    visitor.page.go_forward()
    visitor.sees_that_user(visitor.user)
    assert visitor.page.url == f"{visitor.stack.url}/"


def test_a_token_in_the_fragment_of_an_open_page_signs_in_anew(visitor: Visitor) -> None:
    visitor.sign_in()
    visitor.sees_that_user(visitor.user)
    visitor.page.evaluate("token => { location.hash = `token=${token}` }", visitor.stack.token("another"))
    visitor.sees_that_user("another")
    assert visitor.page.url == f"{visitor.stack.url}/"


def test_a_person_stays_signed_in_in_this_tab_alone_until_signing_out(visitor: Visitor) -> None:
    visitor.sign_in()
    visitor.sees_that_user(visitor.user)
    visitor.page.reload()
    visitor.sees_that_user(visitor.user)
    other = visitor.page.context.new_page()
    other.goto(visitor.page.url)
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
    visitor.button("Sign out").click()
    visitor.sees_the_sign_in()
    visitor.page.reload()
    visitor.sees_the_sign_in()
    kept = "[...Object.keys(sessionStorage), ...Object.keys(localStorage), document.cookie]"
    assert visitor.page.evaluate(kept) == [""]


def test_the_page_works_under_its_address_without_a_slash(visitor: Visitor, code: str) -> None:
    visitor.page.goto(visitor.stack.url)
    visitor.sign_in()
    visitor.shorten(EXAMPLE, code)
    visitor.sees(f"Shortened: {code}")
    expect(visitor.row(code).get_by_role("link")).to_have_attribute("href", f"{visitor.stack.url}/r/{code}")


@both_widths
def test_an_expired_token_asks_for_another_and_what_was_typed_stays(visitor: Visitor) -> None:
    visitor.sign_in(visitor.token(now=time.time() - 7200))
    visitor.sees("Forbidden", "Sign in with a new one")
    visitor.sees_the_sign_in()
    visitor.sign_in(visitor.token(lifetime=15))
    visitor.sees_that_user(visitor.user)
    visitor.field("Long URL").fill(EXAMPLE)
    visitor.sees("Forbidden", "Sign in with a new one")
    visitor.sees_the_sign_in()
    expect(visitor.rows).to_have_count(0)
    visitor.sign_in()
    visitor.sees_that_user(visitor.user)
    expect(visitor.field("Long URL")).to_have_value(EXAMPLE)


def test_a_link_that_is_deleted_elsewhere_goes_from_the_list(visitor: Visitor, code: str) -> None:
    visitor.has(EXAMPLE, code)
    visitor.sign_in()
    visitor.button(f"Delete {code}").click()
    visitor.deletes_elsewhere(code)
    expect(visitor.row(code)).to_have_count(0)
    visitor.question.get_by_role("button", name="Keep").click()
    expect(visitor.page.get_by_role("heading", name="Your links")).to_be_focused()


@both_widths
def test_a_link_that_is_deleted_elsewhere_cannot_be_deleted_again(visitor: Visitor, code: str) -> None:
    visitor.has(EXAMPLE, code)
    visitor.sign_in()
    visitor.button(f"Delete {code}").click()
    visitor.deletes_elsewhere(code)
    visitor.question.get_by_role("button", name="Delete").click()
    visitor.sees(f"{code} was not deleted: not found")
    expect(visitor.row(code)).to_be_hidden()
    expect(visitor.page.get_by_role("heading", name="Your links")).to_be_focused()


@both_widths
def test_hostile_text_is_text_in_every_field(visitor: Visitor, code: str) -> None:
    for text in HOSTILE:
        visitor.sign_in(text)
        visitor.sees("That is not a token.")
    for number, text in enumerate(HOSTILE):
        visitor.sign_in(visitor.stack.token(f"{visitor.user} {text}"))
        visitor.sees_that_user(f"{visitor.user} {text}")
        visitor.shorten(EXAMPLE, text)
        visitor.sees("code must be")
        visitor.shorten(text)
        visitor.sees("long_url ")
        url = f"https://example.com/?{text.replace(' ', '+')}"
        visitor.shorten(url, f"{code}-{number}")
        visitor.sees("Shortened: ")
        row = visitor.stack.row(f"{code}-{number}")
        assert row is not None
        expect(visitor.row(f"{code}-{number}")).to_contain_text(
            row["long_url"]["S"]
        )  # letters beyond ASCII percent-encoded
        visitor.fits()
        visitor.button("Sign out").click()
        visitor.sees_the_sign_in()
    assert visitor.page.evaluate("window.ran") is None


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (PHONE, "light"),
        (DESK, "dark"),
        pytest.param(PHONE, "dark", marks=pytest.mark.search),
        pytest.param(DESK, "light", marks=pytest.mark.search),
    ],
)
def test_axe_finds_nothing_in_any_state(chromium: Browser, stack: Stack, code: str, width: int, scheme: str) -> None:
    with Visitor.before(chromium, stack, width, color_scheme=scheme) as visitor:
        for number in range(21):
            visitor.has(f"{EXAMPLE}{'long' * 200}", f"{code}-{number:02}")
        visitor.fits()
        visitor.sign_in("not a token")
        visitor.sees("That is not a token.")
        visitor.fits()
        visitor.sign_in()
        expect(visitor.rows).to_have_count(20)
        visitor.fits()
        visitor.shorten(EXAMPLE, "x" * 57 + code[-7:], NEW_YEAR)
        visitor.sees("Shortened: ")
        visitor.fits()
        visitor.shorten(EXAMPLE, "no/slash")
        visitor.sees("code must be")
        visitor.fits()
        visitor.button(f"Delete {code}-00").click()
        expect(visitor.question).to_be_visible()
        visitor.fits()


@pytest.mark.parametrize("width", [PHONE, wide])
def test_the_page_goes_on_after_the_stack_was_stopped(
    chromium: Browser, project: Project, code: str, width: int
) -> None:
    with Visitor.before(chromium, project.up(), width) as visitor:
        visitor.has(EXAMPLE, code)
        visitor.sign_in()
        expect(visitor.row(code)).to_be_visible()
        project.down()
        visitor.sees("The API does not answer.")
        visitor.shorten(EXAMPLE, f"{code}-2")
        visitor.sees("The API does not answer.")
        visitor.delete(code)
        visitor.sees(f"{code} was not deleted: The API does not answer.")
        project.up()
        visitor.sees("The API answers again.")
        expect(visitor.row(code)).to_be_visible()
        expect(visitor.field("Code")).to_have_value(f"{code}-2")
        visitor.button("Shorten").click()
        visitor.sees("Shortened: ")
        expect(visitor.row(f"{code}-2")).to_be_visible()


@pytest.mark.screenshot
def test_screenshot(chromium: Browser, project: Project) -> None:
    clicks = {"lambda": 12, "mine": 1, "talk": 47}
    with Visitor.before(chromium, project.up(), 800) as visitor:
        visitor.user = "user-1"
        visitor.has("https://docs.aws.amazon.com/lambda/latest/dg/python-handler.html", "lambda")
        visitor.has("https://example.com/", "mine")
        for code, count in clicks.items():
            for _ in range(count if code != "talk" else 0):
                visitor.stack.follow(code)
        visitor.sign_in()
        visitor.shorten("https://example.com/talks/2026?room=3", "talk", NEW_YEAR)
        visitor.sees("Shortened: ")
        for _ in range(clicks["talk"]):
            visitor.stack.follow("talk")
        expect(visitor.row("talk")).to_contain_text("47 clicks")
        visitor.page.screenshot(path=CHECKOUT / "docs/page.png", full_page=True)


def test_with_cognito_a_user_signs_in_with_a_password(chromium: Browser, project: Project, code: str) -> None:
    project.settings["IDENTITY_PROVIDER"] = "cognito"
    stack = project.up()
    cognito = stack.client("cognito-idp")
    (pool,) = cognito.list_user_pools(MaxResults=60)["UserPools"]
    jane = {"UserPoolId": pool["Id"], "Username": "jane"}
    cognito.admin_create_user(**jane, MessageAction="SUPPRESS")
    cognito.admin_set_user_password(**jane, Password="aA1!aA1!", Permanent=True)
    with Visitor.before(chromium, stack, PHONE) as visitor:
        visitor.field("User").fill("jane")
        visitor.field("Password").fill("wrong")
        visitor.button("Sign in with password").click()
        visitor.sees("Incorrect username or password.")
        visitor.fits()
        visitor.field("Password").fill("aA1!aA1!")
        visitor.page.keyboard.press("Enter")
        visitor.sees_that_user("jane")
        visitor.shorten(EXAMPLE, code)
        visitor.sees(f"Shortened: {code}")
        expect(visitor.row(code)).to_contain_text("0 clicks")
