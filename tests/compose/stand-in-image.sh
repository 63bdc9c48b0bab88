#!/usr/bin/env bash
# Make the image of MiniStack that .env pins available: tests/compose/stand-in-image.sh
#
# The published image is pulled, if it is not there already. Where no registry can be reached, this
# builds a stand-in of the same name, as root or with sudo, from Debian's and Python's packages:
# the same release of MiniStack on the same Python, laid out and configured as the published image
# is (but on glibc instead of musl, and without aws and node). It carries the label stand-in=1.

source "$(dirname "$0")/../machine.sh"
help_if_asked "$@"
no_arguments "$@"
find_python
load_settings
image=$MINISTACK_IMAGE
version=${image##*:}
release=trixie # whose Python is the published image's, 3.13
packages=base-files,libc-bin,busybox,bash,coreutils,sed,grep,findutils,netbase,media-types,openssl,python3
libraries=(boto3 cbor2 cryptography docker)

timeout 10 docker version >/dev/null 2>&1 || die "no Docker engine answers: start Docker, or run tests/compose/docker-engine.sh"
if docker image inspect "$image" >/dev/null 2>&1; then
  say "$image is there"
  exit
fi
say "pulling $image"
if pulled=$(timeout 300 docker pull --quiet "$image" 2>&1); then
  say "$image is pulled"
  exit
fi
say "it cannot be pulled: ${pulled##*$'\n'}"
can_install || die "$image is missing: pull it where a registry can be reached (a Debian, with root's rights, could build a stand-in)"

work=$(mktemp -d)
trap 'as_root rm -rf "$work"' EXIT
run() { # COMMAND...: what it prints is shown only if it fails
  "$@" >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; die "$1 $2 failed: $image is not built"; }
}

say "building a stand-in"
# shellcheck disable=SC2119 # .venv alone, for its pip
need
command -v mmdebstrap >/dev/null || apt_install mmdebstrap
root=$work/root
run as_root mmdebstrap --variant=extract --format=directory --include="$packages" \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' "$release" "$root" "$(debian_mirror)"

# As in the published image, every program finds the libraries, and MiniStack itself is found
# in the working directory alone. pip resolves for the image's Python, whichever this one is.
python_version=$(basename "$(readlink "$root/usr/bin/python3")")
python_version=${python_version#python}
run .venv/bin/python -m pip install --no-compile --target "$work/site" --python-version "$python_version" \
  --only-binary=:all: "ministack==$version" "${libraries[@]}"
rm -rf "$work/site/bin" "$work/site"/ministack-*.dist-info
# Written by hand instead of by Debian's scripts, which would need a system around them.
mkdir "$work/etc"
echo 'root:x:0:0:root:/root:/bin/sh' >"$work/etc/passwd"
echo 'root:x:0:' >"$work/etc/group"
as_root bash -e -s "$work" "$python_version" <<'END' || die "the stand-in could not be laid out"
  work=$1 root=$1/root libraries=$1/root/usr/local/lib/python$2
  mkdir -p "$root/opt/ministack" "$libraries" \
    "$root/docker-entrypoint-initaws.d/ready.d" "$root"/etc/localstack/init/{boot,ready}.d
  mv "$work/site/ministack" "$root/opt/ministack/"
  mv "$work/site" "$libraries/dist-packages"
  cp "$work"/etc/* "$root/etc/"
  ln -sf python3 "$root/usr/bin/python"
  ln -sf busybox "$root/usr/bin/sh" # as in Alpine: hooks run under its shell
  chown -R 0:0 "$root/opt" "$libraries"
END
# Its root is read-only when it runs, so nothing can be compiled then.
run as_root chroot "$root" python3 -m compileall -q -j 0 -o 2 --invalidation-mode unchecked-hash \
  /opt/ministack /usr/lib/python3 "/usr/lib/python$python_version" "/usr/local/lib/python$python_version"

check='import os, urllib.request as r; r.urlopen("http://localhost:" + os.environ["GATEWAY_PORT"] + "/_ministack/health")'
as_root tar -C "$root" --numeric-owner -cf - . | docker import \
  --change 'LABEL stand-in=1' \
  --change "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin MINISTACK_VERSION=$version \
GATEWAY_PORT=4566 LOG_LEVEL=INFO LAMBDA_EXECUTOR=local S3_PERSIST=0 S3_DATA_DIR=/tmp/ministack-data/s3 \
PYTHONUNBUFFERED=1 PYTHONOPTIMIZE=2 MALLOC_ARENA_MAX=2" \
  --change 'WORKDIR /opt/ministack' \
  --change 'VOLUME ["/docker-entrypoint-initaws.d", "/etc/localstack/init"]' \
  --change 'EXPOSE 4566' \
  --change "HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD python3 -c '$check'" \
  --change 'ENTRYPOINT ["python", "-m", "ministack"]' \
  - "$image" >/dev/null
say "$image is built ($SECONDS s)"
