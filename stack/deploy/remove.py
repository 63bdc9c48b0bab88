"""The order of the removal: what leads to a resource goes before it."""

from stack.aws import Aws
from stack.deploy.resources import alarm, function, http_api, log_group, remove, role, table, user_pool
from stack.model import Definition
from stack.settings import COGNITO, Settings


def remove_stack(aws: Aws, definition: Definition, settings: Settings, with_tables: bool) -> None:
    """Remove all that carries the stack's mark. What holds data, tables and users, only goes ``with_tables``.

    Run again, it removes what is left. With clients that only look, the steps say what they would do.
    """
    tables = list(table.removals(aws, definition)) if with_tables else []  # before the functions, which tell whose
    remove("API", http_api.removals(aws, definition))
    remove("alarm", alarm.removals(aws, definition, everything=True))
    remove("function", function.removals(aws, definition, everything=True))
    remove("role", role.removals(aws, definition, everything=True))
    remove("log group", log_group.removals(aws, definition))
    remove("table", tables)
    if with_tables and settings.identity_provider == COGNITO:
        remove("user pool", user_pool.removals(aws, definition))
