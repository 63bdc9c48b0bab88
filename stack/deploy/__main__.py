"""Command line of the deployment: ``python3 -m stack.deploy [--local] [table|api]``."""

import argparse
import dataclasses
import os
import sys
import time
from pathlib import Path

from stack import checks, dotenv, outputs
from stack.aws import Aws, Local, Remote
from stack.aws_errors import EXPLAINED, explain
from stack.deploy import build, region
from stack.errors import DeployError, SettingError
from stack.model import Definition
from stack.settings import COGNITO, DEVELOPMENT_SECRET, Settings

PARTS = ("table", "api")
SECRET_BYTES = 32  # what HS256 asks for: RFC 7518, 3.2
FIRST_REQUEST = """{curl} {url}/shorten -H "Authorization: Bearer {token}" \\
         -H 'Content-Type: application/json' -d '{{"long_url": "https://example.com/"}}'"""


def main() -> int:
    """Build the parts that the command line names; 0, or 1 with one line on stderr that says why not."""
    parser = argparse.ArgumentParser(
        prog="python3 -m stack.deploy",
        description="Build the URL shortener, or bring it up to date, where AWS_ENDPOINT_URL, AWS_DEFAULT_REGION, "
        "AWS_PROFILE and whatever else the AWS SDK reads say. The settings are those of .env.",
    )
    parser.add_argument("part", nargs="?", choices=PARTS, help="only this part (default: both, in order)")
    parser.add_argument(
        "--local",
        action="store_true",
        help="to the engine on this machine, at GATEWAY_PORT (default 4566), which has given its hooks the settings",
    )
    arguments = parser.parse_args()
    parts = (arguments.part,) if arguments.part else PARTS
    try:
        if arguments.local:
            _build_locally(parts)
        else:
            _build_remotely(parts)
    except EXPLAINED as error:
        return _fail(explain(error))
    return 0


def _build_locally(parts: tuple[str, ...]) -> None:
    settings = Settings.from_environment(os.environ)
    # A hook runs where its engine does, and GATEWAY_PORT is where that engine listens.
    target = Local(int(os.environ.get("GATEWAY_PORT") or 4566), settings.aws_default_region)
    definition = checks.load(settings.name_prefix)
    region.check(target, definition)
    _build(parts, definition, settings, Aws(_services(parts, settings), target))


def _build_remotely(parts: tuple[str, ...]) -> None:
    settings = Settings.from_environment(dotenv.load())
    _refuse_weak_tokens(settings)
    definition = checks.load(settings.name_prefix)
    aws = Aws(_services(parts, settings), Remote())
    # The local stack's outputs stay what they are.
    settings = dataclasses.replace(settings, outputs_dir=settings.outputs / f"{aws.account}-{aws.region}")
    if "api" in parts:
        _make(settings.outputs)
    _build(parts, definition, settings, aws)


def _build(parts: tuple[str, ...], definition: Definition, settings: Settings, aws: Aws) -> None:
    started = time.perf_counter()
    # The engine logs what follows behind a prefix of its own: the empty line keeps the columns straight.
    print(f"\n==> {' and '.join(parts)}: account {aws.account}, {aws.region}, {aws}", flush=True)
    if "table" in parts:
        build.build_table(aws, definition)
    if "api" in parts:
        for warning in [*settings.warnings(), *_unlisted(definition, settings.lambdas)]:
            print(f"  warning: {warning}")
        with outputs.turn(settings.outputs):
            url = build.build_api(aws, definition, settings)
        print(f"==> ready in {time.perf_counter() - started:.1f} s: {url}")
        curl = "curl --noproxy '*'" if isinstance(aws.target, Local) else "curl"
        token = "$(scripts/sign-token.py)" if settings.identity_provider in ("", COGNITO) else "$TOKEN"
        print(f"    try: {FIRST_REQUEST.format(curl=curl, url=url, token=token)}")


def _unlisted(definition: Definition, lambdas: Path) -> list[str]:
    """Return a warning for each folder that looks like a function and has no entry in the definition."""
    listed = {function.name for function in definition.functions}
    return [
        f"lambdas/{handler.parent.name} is not deployed: it has no Function in stack/definition.py"
        for handler in sorted(lambdas.glob("*/handler.py"))
        if handler.parent.name not in listed
    ]


def _services(parts: tuple[str, ...], settings: Settings) -> tuple[str, ...]:
    services = {"table": build.TABLE_SERVICES, "api": build.api_services(settings)}
    return tuple(dict.fromkeys(name for part in parts for name in services[part]))


def _refuse_weak_tokens(settings: Settings) -> None:
    """Raise SettingError for settings of tokens that are good enough for development alone."""
    if settings.identity_provider:
        if settings.identity_provider != COGNITO and not settings.jwt_audience:
            raise SettingError(
                "JWT_AUDIENCE is empty: outside the local engine set it to this API's name at IDENTITY_PROVIDER, "
                "or what the provider issues for any other API opens this one too"
            )
        return
    if settings.jwt_secret == DEVELOPMENT_SECRET:
        problem = "is the one for development, which everybody knows"
    elif len(settings.jwt_secret.encode()) < SECRET_BYTES:
        problem = f"has {len(settings.jwt_secret.encode())} bytes"
    else:
        return
    raise SettingError(
        f"JWT_SECRET {problem}: outside the local engine use {SECRET_BYTES} bytes or more, "
        "for example what openssl rand -hex 32 prints"
    )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeployError(
            f"the outputs folder {folder} cannot be made ({error.strerror}): name a folder that you may write to "
            "(OUTPUTS_DIR)"
        ) from error


def _fail(message: str) -> int:
    print(f"\nerror: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
