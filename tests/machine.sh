#!/usr/bin/env bash
# What the scripts that make a machine ready for the tests share: root's rights, and Debian's packages.

source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib/common.sh"
PATH=$PATH:/usr/sbin:/sbin # where an ordinary user's has no dockerd and no iptables

# As an ordinary user, with sudo, where that asks for no password.
can_be_root() { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
can_install() { command -v apt-get >/dev/null && can_be_root; }

# Print the address that apt has this Debian's packages from.
debian_mirror() {
  local codename
  # shellcheck source=/dev/null
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  # shellcheck disable=SC2016 # apt fills $(REPO_URI) in
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $codename" | head -n 1
}

apt_install() {
  local log
  log=$(mktemp)
  say "installing $*"
  { as_root apt-get update &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"; } >"$log" 2>&1 ||
    { tail -n 5 "$log" >&2; die "apt-get could not install $*"; }
  rm -f "$log"
}
