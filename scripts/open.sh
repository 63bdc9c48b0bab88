#!/usr/bin/env bash
# Open the page of the running stack in your browser, signed in: scripts/open.sh [USER]
#
# USER is user-1 by default. The token goes behind the # of the address, which no server sees, and the
# page takes it out of the address bar at once. The environment variable BROWSER chooses the browser.

source "$(dirname "$0")/lib/common.sh"
help_if_asked "$@"
[ $# -le 1 ] || die "unknown argument '$2': scripts/open.sh [USER]"
find_python
load_settings
exec "$python" -m stack.commands.open "$@"
