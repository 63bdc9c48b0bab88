#!/usr/bin/env bash
# Bring the stack up, redeploy what is saved, and follow the functions' logs: scripts/dev.sh
#
# A save in lambdas/ redeploys the functions that it changes, in Docker and without; one in
# stack/ or .env runs scripts/up.sh. Code with an error is named with its line, and the version
# before goes on serving. Ctrl-C ends it, and stops the stack if it was not up before.

source "$(dirname "$0")/lib/common.sh"
help_if_asked "$@"
no_arguments "$@"
run_module stack.commands.dev
