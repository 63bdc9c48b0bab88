#!/usr/bin/env bash
# Bring the stack up, redeploy what is saved, and follow the functions' logs: scripts/dev.sh
#
# A save in lambdas/ redeploys the functions that it changes; a save in stack/ or init/, of .env
# or of a Compose file does what scripts/up.sh does. An error is shown, the previous version goes
# on serving, and saving the fix is enough. Ctrl-C ends it, and stops the stack if dev.sh started it.

source "$(dirname "$0")/lib/common.sh"
help_if_asked "$@"
no_arguments "$@"
find_python
need dev
# The settings are not exported here: dev.sh reads .env again after each save.
exec .venv/bin/python -m stack.commands.dev
