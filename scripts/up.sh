#!/usr/bin/env bash
# Bring the stack up, or redeploy what has changed if it is up: scripts/up.sh
#
# It runs in Docker Compose if a Docker engine answers, and otherwise on the embedded
# engine, which it installs from PyPI into .venv. ENGINE=docker or ENGINE=embedded chooses.
# The settings are those of .env; any of them can be overridden from the environment.

source "$(dirname "$0")/lib/common.sh"
source scripts/lib/docker.sh
help_if_asked "$@"
no_arguments "$@"
find_python
load_settings

case ${ENGINE:-} in
  docker) docker_answers || die "no Docker engine with Compose v2 answers: start Docker, or use ENGINE=embedded" ;;
  embedded) ;;
  "") if docker_answers && ! embedded running 2>/dev/null; then ENGINE=docker; else ENGINE=embedded; fi ;;
  *) die "ENGINE is '$ENGINE': use docker or embedded" ;;
esac

if [ "$ENGINE" = docker ]; then
  docker_up
else
  [ -z "$LOCALSTACK_AUTH_TOKEN" ] || say "warning: LocalStack needs Docker, so LOCALSTACK_AUTH_TOKEN is not used: this is MiniStack"
  need embedded
  embedded up || exit 1
fi

cat <<END

The API is up: $(cat "$OUTPUTS_DIR/api_url")

A token for user-1, good for one hour:
$("$python" scripts/sign-token.py)
END
