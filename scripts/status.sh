#!/usr/bin/env bash
# Say what is up, and whether it is what the working tree has: scripts/status.sh
#
# The exit code is 0 if the API answers, and 1 if not.

source "$(dirname "$0")/lib/common.sh"
help_if_asked "$@"
no_arguments "$@"
run_module stack.commands.status
