#!/usr/bin/env bash
# Follow what the functions log, a line each request: scripts/logs.sh [FUNCTION...]
# Show one request of the last 24 hours: scripts/logs.sh ID, the ID in the answer's header apigw-requestid.
#
# Following starts with the last ten minutes; Ctrl-C ends it. A line has the time, the function, the
# route, the status (of the authorizer: allow or deny), the milliseconds and the request ID; then why
# a token was refused, or an exception and its place in the function's own files. What a function prints
# or records with logging is between the lines, with the request ID; ID shows it under the request's
# steps, and the traceback.

source "$(dirname "$0")/lib/common.sh"
help_if_asked "$@"
run_module stack.commands.logs "$@"
