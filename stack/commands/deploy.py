"""Deploy to another endpoint or to AWS, and remove again: ``python -m stack.commands.deploy`` is scripts/deploy.sh."""

import argparse
import dataclasses
import os
import re
import sys
from collections import Counter
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from stack import checks, outputs, packages
from stack.aws import Aws, Local, Remote
from stack.aws_errors import EXPLAINED, explain
from stack.commands import engines
from stack.deploy import build, region
from stack.deploy import remove as removal
from stack.deploy.resources import left, table
from stack.deploy.steps import Change, Steps
from stack.errors import DeployError, SettingError
from stack.model import Definition
from stack.settings import COGNITO, DEVELOPMENT_SECRET, REGION, Settings

SECRET_BYTES = 32  # what HS256 asks for: RFC 7518, 3.2
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PORTS = {"http": 80, "https": 443}
USE = "scripts/deploy.sh [remove] --endpoint-url URL | --aws --account ID --region REGION [--plan] [--yes]"
CHANGES = {Change.CREATE: "to create", Change.UPDATE: "to update", Change.REMOVE: "to remove"}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line each."""

    def error(self, message: str) -> NoReturn:
        raise DeployError(f"{message}: {USE} (--help)")


def main() -> None:
    """Print the plan, ask, and build or remove. Raises DeployError."""
    try:
        _deploy(_arguments())
    except EXPLAINED as error:
        raise DeployError(explain(error)) from error


def _arguments() -> argparse.Namespace:
    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("action", nargs="?", choices=("remove",))
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--endpoint-url")
    where.add_argument("--aws", action="store_true")
    for name in ("--account", "--region"):
        parser.add_argument(name)
    for name in ("--yes", "--plan", "--with-table"):
        parser.add_argument(name, action="store_true")
    arguments = parser.parse_args()
    if arguments.aws and not (re.fullmatch("[0-9]{12}", arguments.account or "") and arguments.region):
        parser.error("--aws needs --account with the 12 digits of an account, and --region")
    if not arguments.aws and (arguments.account or arguments.region):
        parser.error("--account and --region belong to --aws")
    if arguments.region and not REGION.fullmatch(arguments.region):
        parser.error(f"--region {arguments.region!r} is not a region of AWS, such as us-east-1")
    if arguments.with_table and not arguments.action:
        parser.error("--with-table belongs to remove")
    if not (arguments.yes or arguments.plan or sys.stdin.isatty()):
        raise DeployError("there is no terminal to ask at: use --yes to go ahead, or --plan to see what would be done")
    return arguments


def _deploy(arguments: argparse.Namespace) -> None:
    settings = Settings.from_environment(os.environ)
    target = _target(arguments, settings)
    if not arguments.action:
        _refuse_weak_tokens(arguments, settings, target)
    if settings.identity_provider and not isinstance(target, Local):
        settings = dataclasses.replace(settings, jwt_secret="")  # so no secret lies in a function's environment
    definition = checks.load(settings.name_prefix)
    services = tuple({*build.TABLE_SERVICES, *build.api_services(settings)})
    looking = Aws(services, target, only_look=True)
    if arguments.aws and looking.account != arguments.account:
        raise DeployError(
            f"the credentials are those of account {looking.account}, and --account is {arguments.account}: "
            "set AWS_PROFILE to a profile of that account, or correct --account"
        )
    if isinstance(target, Local) and not arguments.action:
        region.check(target, definition)
    folder = settings.outputs / _folder(arguments, looking)
    print(f"==> {arguments.action or 'build'}: account {looking.account}, {looking.region}, {looking}", flush=True)
    if arguments.action:
        removal.remove_stack(looking, definition, settings, arguments.with_table)
    else:
        packages.install(settings.lambdas, packages.of_engine(settings.lambdas, looking.endpoints.get("lambda")))
        build.plan(looking, definition, settings)
    counts = Counter(Steps.ended)
    changes = ", ".join(f"{counts[change]} {what}" for change, what in CHANGES.items() if counts[change])
    if counts[Change.LEFT]:
        print("    left: this stack did not make it")
    print(f"==> plan: {changes or 'nothing to change'}", flush=True)
    if arguments.plan:
        return
    if changes and not arguments.yes:
        _ask(looking, definition, arguments)
    aws = Aws(services, target)
    if arguments.action:
        _remove(aws, definition, settings, folder, arguments.with_table)
    else:
        _make(folder)
        _build(aws, definition, dataclasses.replace(settings, outputs_dir=folder))


def _target(arguments: argparse.Namespace, settings: Settings) -> Local | Remote:
    """Return where to deploy; the local stack's engine is spoken to as its own hooks do."""
    if arguments.aws:
        return Remote(region=arguments.region)
    try:
        url = urlsplit(arguments.endpoint_url)
        port = url.port or PORTS[url.scheme]
    except (KeyError, ValueError):
        url, port = urlsplit(""), 0
    if not url.hostname or url.path.strip("/"):
        raise DeployError(f"--endpoint-url {arguments.endpoint_url!r} is not a URL such as http://127.0.0.1:4566")
    if url.hostname in LOOPBACK and port == settings.host_port:
        return Local(port, settings.aws_default_region)
    return Remote(arguments.endpoint_url, settings.aws_default_region)


def _refuse_weak_tokens(arguments: argparse.Namespace, settings: Settings, target: Local | Remote) -> None:
    """Raise SettingError for settings of tokens that are good enough for development alone."""
    if isinstance(target, Local):
        return
    if settings.identity_provider:
        if settings.identity_provider != COGNITO and not settings.jwt_audience:
            raise SettingError(
                "JWT_AUDIENCE is empty: outside the local engine set it to this API's name at IDENTITY_PROVIDER, "
                "or what the provider issues for any other API opens this one too"
            )
        return
    if arguments.aws:
        raise SettingError(
            "on AWS no shared secret signs the tokens: set IDENTITY_PROVIDER to cognito, or to an issuer's URL"
        )
    secret = settings.jwt_secret
    if secret == DEVELOPMENT_SECRET:
        problem = "is the one for development, which everybody knows"
    elif len(secret.encode()) < SECRET_BYTES:
        problem = f"has {len(secret.encode())} bytes"
    else:
        return
    raise SettingError(
        f"JWT_SECRET {problem}: outside the local engine use {SECRET_BYTES} bytes or more, "
        "for example what openssl rand -hex 32 prints"
    )


def _folder(arguments: argparse.Namespace, aws: Aws) -> str:
    """Return the name of the target's own outputs folder: the local stack's files are never touched."""
    if arguments.aws:
        return f"{aws.account}-{aws.region}"
    url = urlsplit(arguments.endpoint_url)
    return re.sub("[^A-Za-z0-9.-]", "-", f"{url.hostname}-{url.port or PORTS[url.scheme]}")


def _ask(looking: Aws, definition: Definition, arguments: argparse.Namespace) -> None:
    """Raise DeployError unless the person at the terminal agrees, and types the name of each table that is to go."""
    if _answer("Go ahead? [y/N] ").lower() not in ("y", "yes"):
        raise DeployError("nothing was changed")
    for name, step in table.removals(looking, definition) if arguments.with_table else ():
        if step is not left and _answer(f"To remove the table {name} and all in it, type its name: ") != name:
            raise DeployError("nothing was changed")


def _answer(question: str) -> str:
    try:
        return input(question).strip()
    except EOFError:
        return ""


def _build(aws: Aws, definition: Definition, settings: Settings) -> None:
    for warning in build.warnings(definition, settings):
        print(f"  warning: {warning}")
    build.build_table(aws, definition, settings)
    with outputs.turn(settings.outputs):
        url = build.build_api(aws, definition, settings)
    print(f"==> ready: {url} (also in {settings.outputs}/api_url)")


def _remove(aws: Aws, definition: Definition, settings: Settings, folder: Path, with_tables: bool) -> None:
    """Withdraw the outputs, those of the local stack too if this is its engine, and remove the stack."""
    if isinstance(aws.target, Local) and settings.outputs.is_dir():
        with outputs.turn(settings.outputs):
            outputs.withdraw(settings.outputs, aws.target.port)
    if folder.is_dir():
        with outputs.turn(folder):
            outputs.withdraw(folder)
    removal.remove_stack(aws, definition, settings, with_tables)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    kept = "" if with_tables else "; its tables stay (--with-table removes them)"
    print(f"==> removed{kept}")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeployError(
            f"the outputs folder {folder} cannot be made ({error.strerror}): name a folder that you may write to "
            "(OUTPUTS_DIR)"
        ) from error


if __name__ == "__main__":
    sys.exit(engines.run(main))
