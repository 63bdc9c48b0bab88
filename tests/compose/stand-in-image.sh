#!/usr/bin/env bash
# Make the image of MiniStack that .env pins available: tests/compose/stand-in-image.sh
#
# If it is there (docker compose pull fetches the published one) it is used. Where no registry
# can be reached, this builds a stand-in of the same name from what Debian's and Python's package
# archives have: Python, boto3 and the same release of MiniStack, laid out and configured as the
# published image is. It has no aws, node or openssl, and carries the label stand-in=1.

source "$(dirname "$0")/../../scripts/lib/common.sh"
help_if_asked "$@"
find_python
load_settings
image=$MINISTACK_IMAGE
version=${image##*:}
packages=base-files,libc-bin,dash,bash,coreutils,sed,grep,findutils,netbase,media-types,python3
libraries=(boto3 cbor2 cryptography docker)

timeout 10 docker version >/dev/null 2>&1 || die "no Docker engine answers: start Docker, or run tests/compose/docker-engine.sh"
if docker image inspect "$image" >/dev/null 2>&1; then
  say "$image is there"
  exit
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  die "$image is missing: docker compose pull fetches it; only root on a Debian can build a stand-in"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
run() { # COMMAND...: what it prints is shown only if it fails
  "$@" >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; die "$1 failed: $image is not built"; }
}

say "$image is missing: building a stand-in"
# shellcheck disable=SC2119 # .venv alone, for its pip
need
export DEBIAN_FRONTEND=noninteractive
run apt-get update
command -v mmdebstrap >/dev/null || run apt-get install --yes --no-install-recommends mmdebstrap
# shellcheck source=/dev/null
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
# shellcheck disable=SC2016 # apt fills $(REPO_URI) in
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $release" | head -n 1)
run mmdebstrap --variant=extract --format=directory --include="$packages" \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' "$release" "$work/root" "$mirror"

# As in the published image, every program finds the libraries, and MiniStack itself is found
# in the working directory alone. pip resolves for the image's Python, whichever this one is.
python_version=$(basename "$(readlink "$work/root/usr/bin/python3")")
python_version=${python_version#python}
run .venv/bin/python -m pip install --no-compile --target "$work/site" --python-version "$python_version" \
  --only-binary=:all: "ministack==$version" "${libraries[@]}"
mkdir -p "$work/root/opt/ministack" "$work/root/usr/local/lib/python$python_version" \
  "$work/root/docker-entrypoint-initaws.d/ready.d" "$work/root"/etc/localstack/init/{boot,ready}.d
mv "$work/site/ministack" "$work/root/opt/ministack/"
rm -rf "$work/site/bin" "$work/site"/ministack-*.dist-info
mv "$work/site" "$work/root/usr/local/lib/python$python_version/dist-packages"
ln -s python3 "$work/root/usr/bin/python"
echo 'root:x:0:0:root:/root:/bin/sh' >"$work/root/etc/passwd"
echo 'root:x:0:' >"$work/root/etc/group"
# Its root is read-only when it runs, so nothing can be compiled then.
run chroot "$work/root" python3 -m compileall -q -j 0 -o 2 --invalidation-mode unchecked-hash \
  /opt/ministack /usr/lib/python3 "/usr/lib/python$python_version" "/usr/local/lib/python$python_version"

check='import os, urllib.request as r; r.urlopen("http://localhost:" + os.environ["GATEWAY_PORT"] + "/_ministack/health")'
tar -C "$work/root" --numeric-owner -cf - . | docker import \
  --change 'LABEL stand-in=1' \
  --change "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin MINISTACK_VERSION=$version \
GATEWAY_PORT=4566 LOG_LEVEL=INFO LAMBDA_EXECUTOR=local S3_PERSIST=0 S3_DATA_DIR=/tmp/ministack-data/s3 \
PYTHONUNBUFFERED=1 PYTHONOPTIMIZE=2 MALLOC_ARENA_MAX=2" \
  --change 'WORKDIR /opt/ministack' \
  --change 'VOLUME ["/docker-entrypoint-initaws.d", "/etc/localstack/init"]' \
  --change 'EXPOSE 4566' \
  --change "HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD python3 -c '$check'" \
  --change 'ENTRYPOINT ["python3", "-m", "ministack"]' \
  - "$image" >/dev/null
say "$image is built ($SECONDS s)"
