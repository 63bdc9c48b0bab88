# shellcheck shell=bash disable=SC2154 # $python is set by common.sh
# The stack in Docker Compose, and the embedded one, as up.sh and down.sh drive them.

ready_hooks=/etc/localstack/init/ready.d

# embedded up|down|running|check-port: with .venv's Python once there is one; all but up need no package.
embedded() {
  local interpreter=.venv/bin/python
  [ -x "$interpreter" ] || interpreter=$python
  "$interpreter" -m stack.engine.embedded "$@"
}

docker_answers() { docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; }

docker_has_stack() { [ -n "$(docker compose ps --all --quiet 2>/dev/null)" ]; }

# Start the engine's container and wait for the stack; redeploy if it was running already.
docker_up() {
  local before after
  mkdir -p "$OUTPUTS_DIR"
  before=$(docker compose ps --quiet --status running localstack)
  if [ -z "$before" ]; then
    ! embedded running || die "the embedded engine of this STATE_DIR is running: stop it first, with scripts/down.sh"
    embedded check-port || exit 1
  fi
  # What is up and unhealthy may have been mended since: then the redeployment below heals it.
  docker compose up --detach --wait || { [ -n "$before" ] && [ "$before" = "$(docker compose ps --quiet localstack)" ]; } || {
    docker compose logs --no-log-prefix --tail 15 localstack >&2
    die "the stack could not be built (see above). Mend it and run scripts/up.sh again"
  }
  after=$(docker compose ps --quiet localstack)
  if [ "$before" = "$after" ]; then
    for hook in init/ready.d/*.sh; do
      docker compose exec -T localstack sh "$ready_hooks/${hook##*/}" || die "the stack is not up to date (see above)"
    done
  else
    docker compose logs --no-log-prefix localstack | grep -E '^(==> |  [^ ].* ms$|  warning: |    try: |         -H )' || true
  fi
}

docker_down() {
  docker compose down "$@"
  say "the engine's container is gone"
}
