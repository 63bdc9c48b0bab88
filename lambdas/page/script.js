"use strict";
{
  const POLL_EVERY = 3000, GIVE_UP_AFTER = 20000; // milliseconds
  const PAGE_SIZE = 20;
  const KEPT = "token";

  const at = (id) => document.getElementById(id);
  // With or without the slash at its end, the page's own URL is where the API is.
  const base = new URL(location.pathname.replace(/\/?$/, "/"), location.origin).href;
  const clock = new Intl.DateTimeFormat(undefined, {dateStyle: "medium", timeStyle: "short"});

  let token = null;
  let pages = [null]; // the `next` that leads to each page up to the one that is shown; the first has none
  let following = null; // the `next` of the page that is shown
  let asked = 0; // a number for each request of the list, so that an answer that has been overtaken is dropped
  let away = false; // whether the last request of the list failed
  let polling = false;
  let busy = false; // whether a request that a person made is under way

  class Refused extends Error {}  // the gateway does not take the token
  class Failed extends Error {}

  function say(state, text) {
    at("status").dataset.state = state;
    at("status").textContent = text;
  }

  async function call(method, path, body) {
    let answer, text;
    try {
      answer = await fetch(base + path, {
        method,
        headers: {Authorization: `Bearer ${token}`, ...(body && {"Content-Type": "application/json"})},
        body: body && JSON.stringify(body),
        cache: "no-store",
        redirect: "error",
        signal: AbortSignal.timeout(GIVE_UP_AFTER),
      });
      text = await answer.text();
    } catch {
      throw new Failed("The API does not answer. Is the stack up?");
    }
    let value = null;
    try {
      value = JSON.parse(text);
    } catch {
      // a 204, or a proxy's own page
    }
    if (answer.ok) return value;
    const words = value?.error ?? value?.message ?? `the API answered ${answer.status}`;
    throw answer.status === 401 || answer.status === 403 ? new Refused(words) : new Failed(words);
  }

  /** Do what a person asked for, one thing at a time, and say how it went. */
  async function act(working, work) {
    if (busy) return;
    busy = true;
    say("working", working);
    try {
      const done = await work();
      away = false;
      say("done", done);
    } catch (error) {
      fail(error);
    } finally {
      busy = false;
    }
  }

  function fail(error) {
    if (error instanceof Refused) {
      signOut();
      say("failed", `${error.message}: the token is not valid, or no longer. Sign in with a new one.`);
    } else if (error instanceof Failed) {
      say("failed", error.message);
    } else {
      say("failed", "The page failed. Load it again.");
      throw error;
    }
  }

  // Signing in

  function claimsOf(text) {
    try {
      const bytes = Uint8Array.from(atob(text.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
      const claims = JSON.parse(new TextDecoder("utf-8", {fatal: true}).decode(bytes));
      return typeof claims.sub === "string" && Number.isFinite(claims.exp) ? claims : null;
    } catch {
      return null;
    }
  }

  function signIn(text) {
    const pasted = text.trim().replace(/^Bearer\s+/i, "");
    if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(pasted) || !claimsOf(pasted)) {
      say("failed", "That is not a token. Paste the line that scripts/sign-token.py prints.");
      mark("token");
      return;
    }
    act("Signing in…", () => enter(pasted));
  }

  async function enter(given) {
    token = given;
    pages = [null];
    try {
      await list();
    } catch (error) {
      if (error instanceof Failed) at("token").value = token; // to try again with
      throw error;
    }
    sessionStorage.setItem(KEPT, token);
    const {sub, username, exp} = claimsOf(token);
    at("user").textContent = username ?? sub;
    show(at("until"), exp);
    at("token").value = "";
    reveal(true);
    at("long_url").focus();
    return "Signed in.";
  }

  /** Return the access token that the stack's user pool gives to a user with this password. */
  async function poolToken(user, password) {
    const {client, pool} = document.body.dataset;
    let answer, value;
    try {
      answer = await fetch(`${pool || location.origin}/`, {
        method: "POST",
        headers: {
          "Content-Type": "application/x-amz-json-1.1",
          "X-Amz-Target": "AWSCognitoIdentityProviderService.InitiateAuth",
        },
        body: JSON.stringify({
          AuthFlow: "USER_PASSWORD_AUTH", ClientId: client, AuthParameters: {USERNAME: user, PASSWORD: password},
        }),
        cache: "no-store",
        redirect: "error",
        signal: AbortSignal.timeout(GIVE_UP_AFTER),
      });
      value = await answer.json();
    } catch {
      throw new Failed("The user pool does not answer. Is the stack up?");
    }
    if (!answer.ok) throw new Failed(value.message ?? `The user pool answered ${answer.status}.`);
    const given = value.AuthenticationResult?.AccessToken;
    if (!given) throw new Failed(`The user pool asks for more than a password (${value.ChallengeName}): paste a token.`);
    return given;
  }

  function signInToPool() {
    act("Signing in…", async () => {
      const given = await poolToken(at("name").value, at("password").value);
      at("password").value = "";
      return enter(given);
    });
  }

  function signOut() {
    asked++;
    token = null;
    sessionStorage.removeItem(KEPT);
    at("question").close();
    at("links").replaceChildren();
    at("made").hidden = true;
    reveal(false);
    at("token").focus();
  }

  function reveal(signedIn) {
    at("signed-in").hidden = at("account").hidden = !signedIn;
    at("signed-out").hidden = signedIn;
  }

  /** Take a token out of the fragment of the address, where no server sees it, and out of the address bar. */
  function handedOver() {
    const handed = new URLSearchParams(location.hash.slice(1)).get("token");
    if (location.hash) history.replaceState(null, "", location.pathname + location.search);
    return handed;
  }

  // Shortening

  function mark(name) {
    for (const input of document.querySelectorAll("form input")) {
      const wrong = input.id === name;
      input.setAttribute("aria-invalid", wrong);
      if (wrong) input.focus();
    }
  }

  function shorten() {
    const [longUrl, code, expiry] = [at("long_url"), at("code"), at("expires_at")];
    mark(null);
    if (expiry.validity.badInput) {
      say("failed", "Expires needs a whole date and time.");
      mark("expires_at");
      return;
    }
    const body = {long_url: longUrl.value.trim()};
    if (code.value) body.code = code.value;
    if (expiry.value) body.expires_at = Math.floor(new Date(expiry.value).getTime() / 1000);
    act("Shortening…", async () => {
      let link;
      try {
        link = await call("POST", "shorten", body);
      } catch (error) {
        mark(["long_url", "code", "expires_at"].find((name) => error.message.startsWith(`${name} `)));
        throw error;
      }
      at("shorten").reset();
      point(at("made-link"), link.code, shortUrl(link.code));
      at("made").hidden = false;
      refresh();
      return `Shortened: ${link.code}`;
    });
  }

  const shortUrl = (code) => `${base}r/${encodeURIComponent(code)}`;

  function point(anchor, code, text) {
    anchor.href = shortUrl(code);
    anchor.textContent = text;
  }

  function show(time, seconds) {
    const when = new Date(seconds * 1000);
    const known = !Number.isNaN(when.getTime());
    time.textContent = known ? clock.format(when) : "for ever";
    if (known) time.dateTime = when.toISOString();
  }

  async function copy(code, anchor) {
    const text = shortUrl(code);
    try {
      await navigator.clipboard.writeText(text);
      say("done", `Copied: ${text}`);
    } catch { // no permission, or a page without TLS that is not on this machine
      getSelection().selectAllChildren(anchor);
      say("failed", `The browser does not let this page copy. Copy it yourself: ${text}`);
    }
  }

  // The list

  async function list() {
    const number = ++asked;
    const next = pages.at(-1);
    const query = new URLSearchParams({limit: PAGE_SIZE, ...(next && {next})});
    const found = await call("GET", `links?${query}`);
    if (number !== asked) return;
    if (!found.links.length && pages.length > 1) { // the last of this page was deleted
      pages.pop();
      await list();
      return;
    }
    following = found.next ?? null;
    draw(found.links);
  }

  /** Bring the list up to date without a person's having asked for it: silent unless something changes. */
  async function refresh() {
    const whose = token;
    try {
      await list();
      if (away && whose === token) say("done", "The API answers again.");
      away = false;
    } catch (error) {
      if (whose !== token) return;
      if (error instanceof Failed && away) return;
      away = true;
      fail(error);
    }
  }

  /** Update the rows in place, so that what has the focus keeps it. */
  function draw(links) {
    const rows = new Map([...at("links").children].map((row) => [row.dataset.code, row]));
    const focused = document.activeElement;
    let before = null;
    for (const link of links) {
      const row = rows.get(link.code) ?? newRow(link.code);
      rows.delete(link.code);
      update(row, link);
      const place = before ? before.nextElementSibling : at("links").firstElementChild;
      if (place !== row) at("links").insertBefore(row, place);
      before = row;
    }
    for (const row of rows.values()) row.remove();
    if (focused && !focused.isConnected) at("links-heading").focus();
    at("no-links").hidden = links.length > 0;
    at("pages").hidden = !following && pages.length === 1;
    at("page-number").textContent = `Page ${pages.length}`;
    at("previous").setAttribute("aria-disabled", pages.length === 1);
    at("next").setAttribute("aria-disabled", !following);
  }

  function newRow(code) {
    const row = at("link").content.firstElementChild.cloneNode(true);
    row.dataset.code = code;
    const short = row.querySelector(".short");
    point(short, code, code);
    const [copies, removes] = row.querySelectorAll("button");
    copies.setAttribute("aria-label", `Copy ${code}`);
    copies.addEventListener("click", () => copy(code, short));
    removes.setAttribute("aria-label", `Delete ${code}`);
    removes.addEventListener("click", () => ask(code));
    return row;
  }

  function update(row, link) {
    const [count, word] = row.querySelector(".clicks").children;
    count.textContent = link.click_count;
    word.textContent = link.click_count === 1 ? "click" : "clicks";
    row.querySelector(".long").textContent = link.long_url;
    const expiry = row.querySelector(".expiry");
    if (link.expires_at === undefined) {
      expiry.replaceChildren();
    } else if (expiry.dataset.at !== String(link.expires_at)) {
      const time = document.createElement("time");
      show(time, link.expires_at);
      expiry.replaceChildren("expires ", time);
    }
    expiry.dataset.at = link.expires_at;
  }

  function turn(onwards) {
    if (busy || (onwards ? !following : pages.length === 1)) return;
    act("Turning the page…", async () => {
      const before = pages;
      pages = onwards ? [...pages, following] : pages.slice(0, -1);
      try {
        await list();
      } catch (error) {
        pages = before;
        throw error;
      }
      return `Page ${pages.length}.`;
    });
  }

  // Deleting

  function ask(code) {
    at("question").dataset.code = code;
    at("question-code").textContent = code;
    at("question").showModal();
    at("keep").focus();
  }

  function remove(code) {
    at("question").close();
    act(`Deleting ${code}…`, async () => {
      try {
        await call("DELETE", `links/${encodeURIComponent(code)}`);
      } catch (error) {
        if (error instanceof Failed) error.message = `${code} was not deleted: ${error.message}`;
        throw error;
      } finally {
        if (token) refresh();
      }
      if (at("made-link").href === shortUrl(code)) at("made").hidden = true;
      return `Deleted: ${code}`;
    });
  }

  function submitted(form, work) {
    at(form).addEventListener("submit", (event) => {
      event.preventDefault();
      work();
    });
  }
  const clicked = (id, work) => at(id).addEventListener("click", work);

  submitted("sign-in", () => signIn(at("token").value));
  submitted("sign-in-pool", signInToPool);
  submitted("shorten", shorten);
  clicked("sign-out", () => {
    signOut();
    say("done", "Signed out.");
  });
  clicked("made-copy", () => copy(at("made-link").href.split("/").at(-1), at("made-link")));
  clicked("previous", () => turn(false));
  clicked("next", () => turn(true));
  at("question").addEventListener("close", () => { // its row may be gone, and the focus with it
    const focused = document.activeElement;
    if (focused === document.body || at("question").contains(focused)) at("links-heading").focus();
  });
  clicked("keep", () => at("question").close());
  clicked("delete", () => remove(at("question").dataset.code));

  async function poll() {
    if (polling || busy || document.hidden || at("signed-in").hidden) return;
    polling = true;
    await refresh();
    polling = false;
  }
  setInterval(poll, POLL_EVERY);
  document.addEventListener("visibilitychange", poll);
  addEventListener("hashchange", () => {
    const handed = handedOver();
    if (handed) signIn(handed);
  });

  at("sign-in-pool").hidden = !document.body.dataset.client;
  const first = handedOver() ?? sessionStorage.getItem(KEPT);
  reveal(false);
  if (first) signIn(first);
}
