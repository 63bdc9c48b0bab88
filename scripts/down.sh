#!/usr/bin/env bash
# Stop what scripts/up.sh started: scripts/down.sh [--wipe]
#
# The links are kept for the next start. --wipe forgets them.

source "$(dirname "$0")/lib/common.sh"
source scripts/lib/docker.sh
help_if_asked "$@"
wipe=
case ${1:-} in
  "") ;;
  --wipe) wipe=1 ;;
  *) die "unknown argument '$1': scripts/down.sh [--wipe]" ;;
esac
find_python
load_settings

if docker_answers && docker_has_stack; then
  docker_down ${wipe:+--volumes}
fi
embedded down || exit 1
if [ -n "$wipe" ]; then
  rm -rf "$STATE_DIR/data"
  say "the data is wiped"
fi
say "down"
