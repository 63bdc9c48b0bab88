#!/usr/bin/env bash
# Bring the stack up, or redeploy what has changed if it is up: scripts/up.sh
#
# It runs in Docker Compose if a Docker engine answers, and otherwise on the embedded
# engine, which it installs from PyPI into .venv. ENGINE=docker or ENGINE=embedded chooses.
# The settings are those of .env; any of them can be overridden from the environment.

source "$(dirname "$0")/lib/common.sh"
help_if_asked "$@"
no_arguments "$@"
find_python
load_settings
chosen=$("$python" -m stack.commands.up choose) || exit 1
say "${chosen#* }"
engine=${chosen%% *}
[ "$engine" = docker ] || need embedded dev # what the other scripts need too, so that they run offline later
# shellcheck disable=SC2119 # .venv alone, for its pip
[ -z "$(compgen -G 'lambdas/requirements.txt')$(compgen -G 'lambdas/*/requirements.txt')" ] || need
[ "$IDENTITY_PROVIDER" != cognito ] || need cognito # before the engine starts, which signs with a package of it
exec "$python" -m stack.commands.up "$engine"
