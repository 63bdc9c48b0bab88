#!/usr/bin/env bash
# Build a stand-in for the image of LocalStack that .env pins: tests/localstack/stand-in-image.sh
#
# It has LocalStack's own open-source runtime, and test doubles of what that lacks (image/doubles.py).
# An image of that name which is there already, and is no stand-in, is left as it is. The base is
# python:3.13-slim-trixie; where it cannot be pulled, a Debian of the same Python is made, as root or with sudo.

source "$(dirname "$0")/../machine.sh"
help_if_asked "$@"
no_arguments "$@"
find_python
load_settings
image=$LOCALSTACK_IMAGE
runtime='localstack-core[runtime]==4.14.0'
as_of=2026-03-10 # what that release was published with; its dependencies have moved on since
python_version=3.13
base=python:$python_version-slim-trixie
ours=shortener-tests/python:$python_version
sources=$(cat "$0" tests/localstack/image/* | cksum | tr ' ' -)

timeout 10 docker version >/dev/null 2>&1 || die "no Docker engine answers: start Docker, or run tests/compose/docker-engine.sh"
if there=$(docker image inspect --format '{{ index .Config.Labels "sources" }}' "$image" 2>/dev/null); then
  case $there in
    "" | "<no value>" | "$sources") say "$image is there"; exit ;;
  esac
fi

work=$(mktemp -d)
trap 'as_root rm -rf "$work"' EXIT
run() { # COMMAND...: what it prints is shown only if it fails
  "$@" >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; die "$1 $2 failed: $image is not built"; }
}

say "building a stand-in of $image"
if ! docker image inspect "$ours" >/dev/null 2>&1; then
  if timeout 300 docker pull --quiet "$base" >/dev/null 2>&1; then
    docker tag "$base" "$ours"
  else
    can_install || die "$base cannot be pulled: pull it where a registry can be reached (a Debian, with root's rights, could make one)"
    command -v mmdebstrap >/dev/null || apt_install mmdebstrap
    run as_root mmdebstrap --variant=apt --include=python3,bash,ca-certificates,openssl trixie "$work/root.tar" "$(debian_mirror)"
    docker import "$work/root.tar" "$ours" >/dev/null
  fi
fi

need localstack
mkdir "$work/image"
cp tests/localstack/image/* "$work/image/"
mkdir "$work/image/doubles"
mv "$work"/image/*.py "$work/image/doubles/"
run env -u PIP_PREFIX -u PIP_TARGET .venv/bin/uv pip install --quiet --exclude-newer "$as_of" --target "$work/image/site" \
  --python-version "$python_version" --python-platform linux --link-mode copy "$runtime"
run env DOCKER_BUILDKIT=0 docker build --tag "$image" --label stand-in=1 --label "sources=$sources" --build-arg "BASE=$ours" "$work/image"
say "$image is built ($SECONDS s)"
