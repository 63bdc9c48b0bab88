"""Bring the stack up: ``python -m stack.commands.up choose|docker|embedded`` is what scripts/up.sh does."""

import os
import subprocess
import sys

from stack.commands import engines
from stack.commands.dev import UNDER_DEV
from stack.commands.engines import Engines
from stack.engine.embedded import say
from stack.errors import DeployError
from stack.outputs import API_URL_FILE
from stack.settings import COGNITO, PROJECT


def choose() -> None:
    """Print the engine to start, and then in the same line what to say about it."""
    print(*Engines.from_environment(os.environ).choose())


def docker() -> None:
    """Bring the stack up in Docker, and say what to do with it."""
    both = Engines.from_environment(os.environ)
    if both.embedded.running():
        raise DeployError("the embedded engine of this STATE_DIR is running: stop it first, with scripts/down.sh")
    try:
        both.docker.up()
    except KeyboardInterrupt:
        say("the engine may go on starting in Docker: scripts/down.sh stops it")
        raise
    say_what_is_next(both)


def embedded() -> None:
    """Bring the stack up on the embedded engine, and say what to do with it."""
    both = Engines.from_environment(os.environ)
    if os.environ.get("LOCALSTACK_AUTH_TOKEN"):
        say("warning: LocalStack needs Docker, so LOCALSTACK_AUTH_TOKEN is not used: this is MiniStack")
    both.embedded.up()
    say_what_is_next(both)


def say_what_is_next(both: Engines) -> None:
    """Print the page's address and how to open it, the API's URL, a token and the next commands, in eight lines.

    Under scripts/dev.sh the build's own last lines are enough.
    """
    if UNDER_DEV in os.environ:
        return
    url = (both.embedded.settings.outputs / API_URL_FILE).read_text().strip()
    print(f"\nThe page is up: {url}/\nscripts/open.sh opens it, signed in\nThe API is up: {url}", flush=True)
    provider = both.embedded.settings.identity_provider
    if provider not in ("", COGNITO):
        print(f"Tokens come from {provider} (docs/tokens.md)")
    else:
        signed = subprocess.run([sys.executable, PROJECT / "scripts/sign-token.py"], stdout=subprocess.PIPE, text=True)
        if signed.returncode == 0:  # or else it has said why there is no token
            print(f"A token for user-1, good for one hour:\n{signed.stdout.strip()}")
    print('To call it: eval "$(scripts/status.sh --env)" sets API_URL, TOKEN and the AWS variables in your shell')
    print("Next: scripts/smoke.sh checks every answer, scripts/dev.sh redeploys each save, scripts/down.sh stops it")


if __name__ == "__main__":
    sys.exit(engines.run({"choose": choose, "docker": docker, "embedded": embedded}[sys.argv[1]]))
