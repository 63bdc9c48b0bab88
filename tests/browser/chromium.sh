#!/usr/bin/env bash
# Install Chromium where there is no such browser: tests/browser/chromium.sh
#
# From Debian's packages, as root or with sudo: meant for a machine that is thrown away afterwards.

source "$(dirname "$0")/../machine.sh"
help_if_asked "$@"
no_arguments "$@"
for name in chromium chromium-browser google-chrome google-chrome-stable; do
  if command -v "$name" >/dev/null; then
    say "$("$name" --version)"
    exit
  fi
done
can_install || die "no Chromium or Chrome: install one (with root's rights, a Debian could install it here)"
apt_install chromium
say "$(chromium --version)"
