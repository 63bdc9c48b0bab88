#!/usr/bin/env bash
# Stop what scripts/up.sh started: scripts/down.sh [--wipe]
#
# The links are kept for the next start. --wipe forgets them. ENGINE=docker or ENGINE=embedded
# limits both to that engine; otherwise it is stopped wherever it runs.

source "$(dirname "$0")/lib/common.sh"
help_if_asked "$@"
case ${1:-} in
  "" | --wipe) ;;
  *) die "unknown argument '$1': scripts/down.sh [--wipe]" ;;
esac
find_python
load_settings
exec "$python" -m stack.commands.down "$@"
