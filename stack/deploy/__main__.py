"""Command line of the deployment to the local engine: ``python3 -m stack.deploy --local [table|api]``.

The hooks run it. scripts/deploy.sh deploys elsewhere: see ``stack.commands.deploy``.
"""

import argparse
import os
import sys
import time

from stack import checks, outputs
from stack.aws import Aws, Local
from stack.aws_errors import EXPLAINED, explain
from stack.deploy import build, region
from stack.errors import INTERRUPTED
from stack.settings import COGNITO, Settings

PARTS = ("table", "api")
FIRST_REQUEST = """curl --noproxy '*' {url}/shorten -H "Authorization: Bearer {token}" \\
         -H 'Content-Type: application/json' -d '{{"long_url": "https://example.com/"}}'"""


def main() -> int:
    """Build the parts that the command line names; 0, or 1 with one line on stderr that says why not."""
    parser = argparse.ArgumentParser(
        prog="python3 -m stack.deploy",
        description="Build the URL shortener on the engine on this machine, or bring it up to date.",
    )
    parser.add_argument("part", nargs="?", choices=PARTS, help="only this part (default: both, in order)")
    parser.add_argument(
        "--local",
        action="store_true",
        required=True,
        help="to the engine on this machine, at GATEWAY_PORT (default 4566), which has given its hooks the settings",
    )
    arguments = parser.parse_args()
    parts = (arguments.part,) if arguments.part else PARTS
    try:
        _build(parts)
    except EXPLAINED as error:
        return _fail(explain(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _build(parts: tuple[str, ...]) -> None:
    started = time.perf_counter()
    settings = Settings.from_environment(os.environ)
    # A hook runs where its engine does, and GATEWAY_PORT is where that engine listens.
    target = Local(int(os.environ.get("GATEWAY_PORT") or 4566), settings.aws_default_region)
    definition = checks.load(settings.name_prefix)
    region.check(target, definition)
    aws = Aws(_services(parts, settings), target)
    reached = Local(settings.host_port, settings.aws_default_region)  # by the user's own programs
    # The engine logs what follows behind a prefix of its own: the empty line keeps the columns straight.
    print(f"\n==> {' and '.join(parts)}: account {aws.account}, {aws.region}, {reached.url}", flush=True)
    if "table" in parts:
        build.build_table(aws, definition, settings)
    if "api" in parts:
        for warning in build.warnings(definition, settings):
            print(f"  warning: {warning}")
        with outputs.turn(settings.outputs):
            url = build.build_api(aws, definition, settings)
        print(f"==> ready in {time.perf_counter() - started:.1f} s: {url}")
        token = "$(scripts/sign-token.py)" if settings.identity_provider in ("", COGNITO) else "$TOKEN"
        print(f"    try: {FIRST_REQUEST.format(url=url, token=token)}")


def _services(parts: tuple[str, ...], settings: Settings) -> tuple[str, ...]:
    services = {"table": build.TABLE_SERVICES, "api": build.api_services(settings)}
    return tuple(dict.fromkeys(name for part in parts for name in services[part]))


def _fail(message: str) -> int:
    print(f"\nerror: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
