#!/usr/bin/env bash
# Say what is up, and whether it is what the working tree has: scripts/status.sh [--json|--env]
#
# --json says it to a program. eval "$(scripts/status.sh --env)" sets API_URL and TOKEN in your shell, and
# the AWS variables with which aws, awslocal and boto3 call the local engine and nothing else.
# The exit code is 0 if the API answers and nothing is missing, and 1 if not.

source "$(dirname "$0")/lib/common.sh"
help_if_asked "$@"
find_python
load_settings
need dev >&2
exec .venv/bin/python -m stack.commands.status "$@"
