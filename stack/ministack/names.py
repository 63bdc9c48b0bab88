"""The names of MiniStack that the wrapper uses: all of them are here, and a MiniStack without one is refused."""

import base64
import hashlib
import importlib
import json
import logging
import sys
import zlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

import hypercorn.asyncio
from hypercorn.asyncio import tcp_server

MADE_FOR = "1.5.33"

# What DynamoDB keeps beside the items. Each is a dictionary by (account, region, key).
STORES = (
    "_tables",
    "_tags",
    "_ttl_settings",
    "_pitr_settings",
    "_kinesis_destinations",
    "_contributor_insights",
    "_backups",
    "_resource_policies",
    "_exports",
    "_imports",
    "_txn_idempotency",
)
NAMES = {
    "hypercorn.asyncio.tcp_server.TCPServer": "_read_data _idle_timeout",
    "ministack.app": "app main _collect_scripts _ready_scripts_state _version _state_map _get_module "
    "_load_persisted_state",
    "ministack.core.lambda_runtime": "Worker subprocess _workers _lock acquire_worker ensure_spawned release_worker "
    "invalidate_worker kill_workers",
    "ministack.core.lambda_runtime.Worker": "_spawn _read_stderr invoke",
    "ministack.core.persistence": "load_state save_state _state_format_version logger",
    "ministack.services.apigateway": "new_uuid handle_execute run_reentrant",
    "ministack.services.cloudwatch": "_metrics",
    "ministack.services.cloudwatch_logs": "_log_groups",
    "ministack.services.lambda_svc": "_functions new_uuid CODE_BLOB_DIR run_reentrant",
    "ministack.services.dynamodb": "handle_request reset get_state _restore_state _set_item _remove_item "
    "_txn_token_store _update_counts _INDEX_MEMBERS " + " ".join(STORES),
}


def _import(path: str) -> Any:
    """Return a module, or a class of one."""
    module, _, name = path.rpartition(".")
    return getattr(_import(module), name) if name[0].isupper() else importlib.import_module(path)


def check() -> None:
    """End the process with one line if MiniStack lacks one of the names."""
    for path, names in NAMES.items():
        try:
            module = _import(path)
            missing = next((name for name in names.split() if not hasattr(module, name)), None)
        except (ImportError, AttributeError) as error:
            missing = str(error)
        if missing is not None:
            sys.exit(
                f"error: this MiniStack lacks {path}: {missing}; stack/ministack was made for MiniStack {MADE_FOR}: "
                "use that release (MINISTACK_IMAGE in .env, [dependency-groups] in pyproject.toml)"
            )


check()
app = _import("ministack.app")
lambda_runtime = _import("ministack.core.lambda_runtime")
persistence = _import("ministack.core.persistence")
dynamodb = _import("ministack.services.dynamodb")
apigateway = _import("ministack.services.apigateway")
lambda_service = _import("ministack.services.lambda_svc")
cloudwatch = _import("ministack.services.cloudwatch")
cloudwatch_logs = _import("ministack.services.cloudwatch_logs")

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def version() -> str:
    """Return the release of MiniStack that runs."""
    return str(app._version())


def hooks_are_done() -> bool:
    """Return whether all scripts of ready.d have ended."""
    return bool(app._ready_scripts_state["status"] == "completed")


def find_hooks_in(folder: str, instead_of: str) -> None:
    """Run the hooks of ``folder`` where MiniStack would run those of ``instead_of``."""
    collect = app._collect_scripts
    app._collect_scripts = lambda *folders: collect(*(one.replace(instead_of, folder) for one in folders))


def restore_services_with(restore: Callable[[], None]) -> None:
    """Call ``restore`` where MiniStack would load the state of its services."""
    app._load_persisted_state = restore


def restore_service(key: str) -> None:
    """Load the saved state of one service, if there is any."""
    if key in app._state_map and (state := persistence.load_state(key)):
        app._get_module(app._state_map[key]).load_persisted_state(state)


def save_service(key: str) -> None:
    """Save the state of one service now."""
    persistence.save_state(key, app._get_module(app._state_map[key]).get_state())


def services() -> list[str]:
    """Return the names under which the services' states are saved."""
    return list(app._state_map)


def format_version(service: str) -> int:
    """Return the newest format of a service's saved state that this MiniStack reads."""
    return int(persistence._state_format_version(service))


def save_with(unsaved: Callable[[str], None]) -> None:
    """Give ``unsaved`` what MiniStack only logs when it cannot save the state of a service."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            unsaved(record.getMessage().removeprefix("Persistence: "))

    persistence.logger.addHandler(Handler(logging.ERROR))


def code_folder() -> Path:
    """Return where the functions' code is saved, each archive under the SHA-256 of its content."""
    return Path(lambda_service.CODE_BLOB_DIR)


def fail_functions_without_code() -> Iterator[str]:
    """Have each function whose code is not there any more be Failed, with no CodeSha256; yield the names.

    MiniStack would call the function Active, and answer in its place.
    """
    for (_, _, name), function in lambda_service._functions._data.items():
        config, code = function["config"], function.get("code_zip") or b""
        if config.get("CodeSha256", "") not in ("", base64.b64encode(hashlib.sha256(code).digest()).decode()):
            function["code_zip"] = None
            config |= {
                "CodeSha256": "",
                "State": "Failed",
                "StateReason": "The engine has lost its code: deploy it again",
            }
            yield name


def give_each_request_one_id() -> None:
    """Put one ID into the events of a request to an API and into the answer, as API Gateway does.

    MiniStack alone draws one for the authorizer's event, another for the function's, and a third for the client.
    Here Lambda's own ID of the invocations is that one too, so that whatever they log is found by it.
    """
    draw, execute = apigateway.new_uuid, apigateway.handle_execute

    async def handle_execute(*arguments: Any, **named: Any) -> Any:
        request_id = draw()
        token = _request_id.set(request_id)
        try:
            status, headers, body = await execute(*arguments, **named)
        finally:
            _request_id.reset(token)
        return status, {**headers, "apigw-requestid": request_id}, body

    apigateway.new_uuid = lambda_service.new_uuid = lambda: _request_id.get() or draw()
    apigateway.handle_execute = handle_execute


def forget_old(kept: int) -> None:
    """Keep the logs of the last invocations of each function, and the last points of each metric.

    MiniStack keeps all logs, in a stream for each invocation, and the points of two weeks.
    """
    for points in list(cloudwatch._metrics._data.values()):
        del points[:-kept]
    for (_, _, name), group in list(cloudwatch_logs._log_groups._data.items()):
        streams = group["streams"] if name.startswith("/aws/lambda/") else {}
        for old in list(streams)[:-kept]:
            streams.pop(old, None)


def run_functions_with(run: Callable[..., Awaitable[Any]]) -> None:
    """Have ``run(function, *arguments, thread_name=...)`` call what blocks while a function runs."""
    apigateway.run_reentrant = lambda_service.run_reentrant = run


def keep_if_current(worker: Any) -> bool:
    """Return whether a worker is in its pool. One whose function has changed since it was leased is taken out."""
    with lambda_runtime._lock:
        for key, workers in lambda_runtime._workers.items():
            if worker in workers:
                *scope, qualifier = key.split(":")
                present = lambda_service._functions._data.get(tuple(scope), {})
                if qualifier != "$LATEST":
                    present = present.get("versions", {}).get(qualifier, {})
                revision = present.get("config", {}).get("RevisionId")
                if present.get("code_zip") == worker.code_zip and revision == worker.config.get("RevisionId"):
                    return True
                workers.remove(worker)
                return False
    return False


def function(name: str) -> tuple[Any, bytes] | None:
    """Return the configuration and the code of a function of any account and region, or None."""
    for key, function in list(lambda_service._functions._data.items()):
        if key[-1] == name:
            return function["config"], function["code_zip"]
    return None


def _close_with_the_client() -> None:
    """Close a connection when its client has. hypercorn 0.18 keeps it for as long as an idle one."""
    server = tcp_server.TCPServer
    read, wait = server._read_data, server._idle_timeout

    async def read_data(self: tcp_server.TCPServer) -> None:
        await read(self)
        await self.idle_task.stop()

    async def idle_timeout(self: tcp_server.TCPServer) -> None:
        if not self.reader.at_eof():
            await wait(self)

    server._read_data, server._idle_timeout = read_data, idle_timeout  # type: ignore[method-assign]


class Application(Protocol):
    """An ASGI application that says when the engine is to stop."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...
    async def stopped(self) -> None: ...


def serve_with(wrap: Callable[[Any], Application]) -> None:
    """Serve with the ASGI application wrapped, until its ``stopped`` returns."""
    _close_with_the_client()
    app.app = wrapped = wrap(app.app)
    serve = hypercorn.asyncio.serve

    async def served(application: Any, config: Any) -> None:
        config.loglevel = logging.getLevelName(logging.getLogger("hypercorn.error").getEffectiveLevel())
        await serve(application, config, shutdown_trigger=wrapped.stopped)

    hypercorn.asyncio.serve = served  # type: ignore[assignment]
    app.main()


# DynamoDB. A table is a dictionary with its items in a dictionary of dictionaries; (hash, range) is a row.


def store(name: str) -> dict[Any, Any]:
    """Return one of STORES, by (account, region, key)."""
    data: dict[Any, Any] = getattr(dynamodb, name)._data
    return data


def entries(stores: Iterable[str]) -> Iterator[tuple[str, Any, Any]]:
    """Yield (store, (account, region, key), value)."""
    for name in stores:
        for key, value in list(store(name).items()):
            yield name, key, value


def scope(table: Any) -> tuple[str, str, str]:
    """Return a table's account, region and name."""
    _, _, _, region, account, _ = table["TableArn"].split(":", 5)
    return account, region, table["TableName"]


def without_items(table: Any) -> dict[str, Any]:
    """Return what a table has but its items and what is counted from them."""
    derived = ("items", "ItemCount", "TableSizeBytes", dynamodb._INDEX_MEMBERS)
    return {name: value for name, value in table.items() if name not in derived}


def set_table(key: tuple[str, str, str], described: dict[str, Any]) -> None:
    """Make a table what ``without_items`` returned; it keeps its items."""
    table = store("_tables").setdefault(key, {"items": defaultdict(dict)})
    items = table["items"]
    table.clear()
    table.update(described, items=items)
    dynamodb._update_counts(table)


def count(table: Any) -> int:
    """Return how many items a table has."""
    return int(table["ItemCount"])


def rows(table: Any) -> Iterator[tuple[tuple[str, str], Any]]:
    """Yield ((hash, range), item)."""
    for hash_key, items in table["items"].items():
        for range_key, one in items.items():
            yield (hash_key, range_key), one


def item(table: Any, row: tuple[str, str]) -> Any:
    """Return an item, or None."""
    return table["items"].get(row[0], {}).get(row[1])


def load_item(key: tuple[str, str, str], row: tuple[str, str], value: Any) -> None:
    """Set or, with None, remove an item of a table that nobody asks yet; ``recount`` is to follow."""
    items = store("_tables")[key]["items"]
    if value is not None:
        items.setdefault(row[0], {})[row[1]] = value
    elif (others := items.get(row[0])) is not None:
        others.pop(row[1], None)
        if not others:
            del items[row[0]]


def recount() -> None:
    """Count the items of every table."""
    for table in store("_tables").values():
        dynamodb._update_counts(table)


def put(table: Any, row: tuple[str, str], value: Any) -> None:
    """Set or, with None, remove an item, without telling the watchers."""
    if value is None:
        _remove_item(table, *row)
    else:
        _set_item(table, *row, value)


_set_item, _remove_item = dynamodb._set_item, dynamodb._remove_item


def watch(
    handle: Callable[..., Any],
    change: Callable[..., Any],
    token_stored: Callable[..., Any],
    cleared: Callable[[], None],
) -> None:
    """Have requests handled, items changed and everything forgotten under the eyes of these."""
    handle_request, store_token, reset = dynamodb.handle_request, dynamodb._txn_token_store, dynamodb.reset

    async def handled(*arguments: Any) -> Any:
        return await handle(handle_request, *arguments)

    def token(name: str, entry: Any) -> None:
        store_token(name, entry)
        token_stored(dynamodb._txn_idempotency._scoped(name))

    def forget() -> None:
        reset()
        cleared()

    dynamodb.handle_request = handled
    dynamodb._set_item = lambda table, hash_key, range_key, value: change(
        _set_item, table, (hash_key, range_key), value
    )
    dynamodb._remove_item = lambda table, hash_key, range_key: change(_remove_item, table, (hash_key, range_key))
    dynamodb._txn_token_store = token
    dynamodb.reset = forget
    dynamodb.get_state = lambda: None  # which tells MiniStack to save nothing when it stops


def restore_dynamodb() -> None:
    """Load what a MiniStack without this wrapper has saved."""
    dynamodb._restore_state(persistence.load_state("dynamodb"))
    recount()


def refusal(why: str) -> tuple[int, dict[str, str], bytes]:
    """Return the answer that refuses a write; no SDK tries that again."""
    body = json.dumps({"__type": "com.amazonaws.dynamodb.v20120810#LimitExceededException", "message": why}).encode()
    return 400, {"Content-Type": "application/x-amz-json-1.0", "x-amz-crc32": str(zlib.crc32(body))}, body
