#!/usr/bin/env bash
# Install Chromium where there is no such browser: tests/browser/chromium.sh
#
# From Debian's packages, as root: meant for a machine that is thrown away afterwards.

source "$(dirname "$0")/../../scripts/lib/common.sh"
help_if_asked "$@"
for name in chromium chromium-browser google-chrome google-chrome-stable; do
  if command -v "$name" >/dev/null; then
    say "$("$name" --version)"
    exit
  fi
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  die "no Chromium or Chrome: install one (root on a Debian could install it here)"
fi
log=${TMPDIR:-/tmp}/chromium.log
say "installing Chromium"
{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends chromium; } >"$log" 2>&1 ||
  die "apt-get could not install chromium: see $log"
say "$(chromium --version)"
