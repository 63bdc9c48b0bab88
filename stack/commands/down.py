"""Stop what scripts/up.sh started: ``python -m stack.commands.down [--wipe]`` is what scripts/down.sh does."""

import os
import sys

from stack import outputs
from stack.commands import engines
from stack.commands.engines import Engines
from stack.engine import compose, neighbours
from stack.engine.embedded import say


def stop() -> None:
    """Stop the stack, wherever it runs or where ENGINE says; its links are kept."""
    both = Engines.from_environment(os.environ)
    if both.wanted != "embedded" and compose.problem() is None and both.docker.down():
        say("the engine's container is gone")
    if both.wanted != "docker" and both.embedded.down():
        say("the engine has stopped")
    say_the_end(both)


def wipe() -> None:
    """Stop the stack, wherever it runs or where ENGINE says, and delete its links."""
    both = Engines.from_environment(os.environ)
    ask_docker, ask_embedded = both.wanted != "embedded", both.wanted != "docker"
    if ask_embedded:
        both.embedded.state.check()  # before anything is deleted
    problem = compose.problem() if ask_docker else None
    in_docker = ask_docker and problem is None and both.docker.wipe()
    embedded = ask_embedded and both.embedded.wipe()
    if in_docker:
        say(f"the Docker volume {both.docker.volume} is removed, with its links")
    if embedded:
        say(f"the data of the embedded engine is wiped ({both.embedded.state.data})")
    if problem is not None:
        say(f"warning: {problem}: a Docker volume may still hold links of this stack, if it ever ran in Docker")
    elif not in_docker and not embedded:
        say(f"there was no data to wipe{f' with ENGINE={both.wanted}' if both.wanted else ''}")
    say_the_end(both)


def say_the_end(both: Engines) -> None:
    """Withdraw the outputs of an engine that was killed, and say that the stack is down if it is."""
    settings = both.embedded.settings
    if neighbours.listens(settings.host_port):
        limited = f"with ENGINE={both.wanted} this stops no other engine"
        reason = limited if both.wanted else "it is no engine of this stack"
        say(f"warning: something still listens on port {settings.host_port}: {reason}")
        return
    outputs.withdraw(settings.outputs, settings.host_port)
    say("down")


if __name__ == "__main__":
    sys.exit(engines.run(wipe if "--wipe" in sys.argv[1:] else stop))
