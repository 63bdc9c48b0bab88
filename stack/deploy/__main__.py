"""Command line of the deployment: ``python3 -m stack.deploy [--local] [table|api]``."""

import argparse
import os
import sys
import time

from stack import model, outputs
from stack.aws import EXPLAINED, Aws, Local, Remote, explain
from stack.deploy import build
from stack.settings import Settings

PARTS = ("table", "api")
FIRST_REQUEST = """curl --noproxy '*' {url}/shorten -H "Authorization: Bearer $(scripts/sign-token.py)" \\
         -H 'Content-Type: application/json' -d '{{"long_url": "https://example.com/"}}'"""


def main() -> int:
    """Build the parts that the command line names; 0, or 1 with one line on stderr that says why not."""
    parser = argparse.ArgumentParser(
        prog="python3 -m stack.deploy",
        description="Build the URL shortener, or bring it up to date. AWS_ENDPOINT_URL, AWS_DEFAULT_REGION and "
        "the AWS credentials in the environment say where; the settings are those of .env.",
    )
    parser.add_argument("part", nargs="?", choices=PARTS, help="only this part (default: both, in order)")
    parser.add_argument(
        "--local", action="store_true", help="to the engine on this machine, at GATEWAY_PORT (default 4566)"
    )
    arguments = parser.parse_args()
    try:
        _build([arguments.part] if arguments.part else list(PARTS), arguments.local)
    except EXPLAINED as error:
        return _fail(explain(error))
    return 0


def _build(parts: list[str], local: bool) -> None:
    started = time.perf_counter()
    settings = Settings.from_environment(os.environ)
    definition = model.load(settings.name_prefix)
    target: Local | Remote
    if local:
        # A hook runs where its engine does, and GATEWAY_PORT is where that engine listens.
        target = Local(int(os.environ.get("GATEWAY_PORT") or 4566), settings.aws_default_region)
        engine_url: str | None = target.url
    else:
        target = Remote()
        engine_url = os.environ.get("AWS_ENDPOINT_URL")
    services = {"table": build.TABLE_SERVICES, "api": build.API_SERVICES}
    aws = Aws(tuple({name for part in parts for name in services[part]}), target)
    # The engine logs what follows behind a prefix of its own: the empty line keeps the columns straight.
    print(f"\n==> {' and '.join(parts)}: account {aws.account}, {aws.region}, {engine_url or 'AWS'}", flush=True)
    if "table" in parts:
        build.build_table(aws, definition)
    if "api" in parts:
        for warning in settings.warnings():
            print(f"  warning: {warning}")
        with outputs.turn(settings.outputs):
            url = build.build_api(aws, definition, settings, engine_url)
        print(f"==> ready in {time.perf_counter() - started:.1f} s: {url}")
        print(f"    try: {FIRST_REQUEST.format(url=url)}")


def _fail(message: str) -> int:
    print(f"\nerror: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
