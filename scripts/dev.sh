#!/usr/bin/env bash
# Bring the stack up, redeploy what is saved, and follow the functions' logs: scripts/dev.sh [--debug FUNCTION...|all]
#
# A save in lambdas/ redeploys the functions that it changes; a save in stack/ or init/, of .env
# or of a Compose file does what scripts/up.sh does. An error is shown, the previous version goes
# on serving, and saving the fix is enough. Ctrl-C ends it, and stops the stack if dev.sh started it.
# With --debug these functions, or all, can be stopped at breakpoints: docs/debug.md says how.

source "$(dirname "$0")/lib/common.sh"
help_if_asked "$@"
groups=dev
if [ $# -gt 0 ]; then
  [ "$1" = --debug ] && [ $# -gt 1 ] || die "unknown argument '$1': scripts/dev.sh [--debug FUNCTION...|all] (--help)"
  shift
  for name in "$@"; do
    [ "$name" = all ] || [ -f "lambdas/$name/handler.py" ] || die "there is no function '$name': lambdas/$name/handler.py is missing"
  done
  groups="dev debug"
fi
find_python
# shellcheck disable=SC2086 # one group a word
need $groups
# The settings are not exported here: dev.sh reads .env again after each save.
exec .venv/bin/python -m stack.commands.dev "$@"
