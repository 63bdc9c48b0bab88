"""A person before the page: what that person does and sees, by role and name."""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Error, Locator, Page, expect

from project import Stack

PHONE, DESK = 360, 1280  # pixels
PATIENCE = 60_000  # milliseconds; a machine may be busy
expect.set_options(timeout=PATIENCE)


@dataclass
class Visitor:
    """A person with a token of a user that no other test has."""

    page: Page
    stack: Stack
    user: str = field(default_factory=lambda: f"visitor-{secrets.token_hex(4)}")
    broken: list[str] = field(default_factory=list)

    @classmethod
    @contextlib.contextmanager
    def before(cls, chromium: Browser, stack: Stack, width: int, **options: Any) -> Iterator["Visitor"]:
        """Yield a person with the page open, and fail if its script broke or its policy stopped anything."""
        context = chromium.new_context(
            viewport={"width": width, "height": 800},
            permissions=["clipboard-read", "clipboard-write"],
            locale="en-GB",
            timezone_id="Asia/Kolkata",
            **options,
        )
        context.set_default_timeout(PATIENCE)
        visitor = cls(context.new_page(), stack)
        visitor.page.on("pageerror", visitor._on_error)
        visitor.page.on("console", visitor._on_message)
        visitor.page.goto(f"{stack.url}/")
        yield visitor
        context.close()
        assert visitor.broken == []

    def _on_error(self, error: Error) -> None:
        self.broken.append(str(error))

    def _on_message(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self.broken.append(message.text)

    # What the person sees

    @property
    def status(self) -> Locator:
        return self.page.get_by_role("status")

    @property
    def question(self) -> Locator:
        return self.page.get_by_role("dialog")

    @property
    def rows(self) -> Locator:
        return self.page.get_by_role("listitem")

    def field(self, name: str) -> Locator:
        return self.page.get_by_label(name)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def row(self, code: str) -> Locator:
        return self.rows.filter(has=self.page.get_by_role("link", name=code, exact=True))

    def sees(self, *words: str) -> None:
        """Wait until the status has these words."""
        for text in words:
            expect(self.status).to_contain_text(text)

    def sees_the_sign_in(self) -> None:
        expect(self.page.get_by_role("heading", name="Sign in")).to_be_visible()
        expect(self.page.get_by_role("heading", name="Your links")).to_be_hidden()

    def sees_that_user(self, user: str) -> None:
        expect(self.page.get_by_role("banner")).to_contain_text(f"Signed in as {user} until ")

    def fits(self) -> None:
        """Fail if the page is wider than its window, or if axe finds anything on it."""
        wide, window = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= window
        found = Axe().run(self.page)
        assert found.violations_count == 0, found.generate_report()

    # What the person does

    def sign_in(self, token: str | None = None) -> None:
        self.field("Token").fill(token if token is not None else self.token())
        self.button("Sign in").click()

    def shorten(self, long_url: str, code: str = "", expires: str = "") -> None:
        self.field("Long URL").fill(long_url)
        self.field("Code").fill(code)
        self.field("Expires").fill(expires)
        self.button("Shorten").click()

    def delete(self, code: str) -> None:
        self.button(f"Delete {code}").click()
        self.question.get_by_role("button", name="Delete").click()

    # What the same user does elsewhere

    def token(self, **changes: Any) -> str:
        return self.stack.token(self.user, **changes)

    def has(self, long_url: str, code: str) -> None:
        """Store a link for this user without the page."""
        answer = self.stack.shorten({"long_url": long_url, "code": code}, self.user)
        assert answer.status_code == 201, answer.text

    def deletes_elsewhere(self, code: str) -> None:
        headers = {"Authorization": f"Bearer {self.token()}"}
        with self.stack.http(headers=headers) as client:
            answer: httpx.Response = client.delete(f"/links/{code}")
        assert answer.status_code == 204, answer.text
