#!/usr/bin/env bash
# Follow what the functions log, a line each request: scripts/logs.sh [FUNCTION...]
#
# It starts with the last ten minutes; Ctrl-C ends it. A line has the time, the function, the route,
# the status (of the authorizer: allow or deny), the milliseconds and the request ID; after
# an error, its type and place. What a function prints stands between.

source "$(dirname "$0")/lib/common.sh"
help_if_asked "$@"
run_module stack.commands.logs "$@"
