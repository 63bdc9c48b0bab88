# shellcheck shell=bash
# What the scripts share; each sources this file first. It leaves them in the project's folder.

# The caller's shell is set up for other work: what that changes in bash, in Python or in other tools goes.
set +o posix
set -euo pipefail
set +o noclobber +o noglob
shopt -u failglob nullglob nocasematch
unset IFS CDPATH BASH_ENV ENV POSIXLY_CORRECT GREP_OPTIONS GREP_COLOR
for name in $(compgen -A function); do unset -f "$name"; done
for name in ${!PYTHON*}; do
  case $name in
    PYTHON | PYTHONDONTWRITEBYTECODE | PYTHONPYCACHEPREFIX | PYTHONUNBUFFERED) ;;
    *) unset "$name" ;;
  esac
done
export LC_ALL=C PYTHONUTF8=1

self=$(cd "$(dirname "$0")" && pwd)/${0##*/}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf '==> %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Print the comment at the top of the script, without its "#", if the script was asked for help.
help_if_asked() {
  case ${1:-} in
    -h | --help) sed -n '2,/^$/s/^# \{0,1\}//p' "$self"; exit 0 ;;
  esac
}

# Refuse arguments, in a script that takes none.
no_arguments() { [ $# = 0 ] || die "unknown argument '$1': ${self##*/} takes none (--help)"; }

# Set $python to a Python that is new enough: .venv's, once there is one, since it starts without any shim.
find_python() {
  for python in .venv/bin/python "${PYTHON:-python3}" python3 python3.14 python3.13 python3.12 python3.11; do
    new_enough && return
  done
  die "Python 3.11 or newer is needed: install it, or name it in PYTHON"
}

new_enough() { "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# Export every setting: of .env, .env.local and the environment, the last of which wins.
load_settings() {
  local settings
  settings=$("$python" -m stack.dotenv) || exit 1
  eval "$settings"
}

# Make .venv, if there is none, and install the named groups of pyproject.toml into it, where that is still to be done.
need() {
  local group wanted missing
  [ "$python" = .venv/bin/python ] || make_venv
  [ $# -gt 0 ] || return 0
  missing=$(requirements --missing "$@")
  [ -n "$missing" ] || return 0
  .venv/bin/python -m pip --version >/dev/null 2>&1 || add_pip
  # shellcheck disable=SC2086 # one group a word
  wanted=$(requirements $missing)
  say "installing into .venv, this once: ${wanted//$'\n'/ }"
  # Into .venv, whatever pip's own settings say of the place.
  # shellcheck disable=SC2086 # one requirement a word
  env -u PIP_PREFIX -u PIP_ROOT .venv/bin/python -m pip install --no-user --target= \
    --disable-pip-version-check --progress-bar off $wanted 2>&1 |
    tee .venv/install.log | sed -n 's/^Collecting \([^ ]*\).*/    \1/p; s/^Installing collected packages.*/    unpacking/p' ||
    { tail -n 5 .venv/install.log >&2; die "pip could not install these packages: is PyPI reachable?"; }
  start_by_sh
  for group in $missing; do
    requirements "$group" >".venv/installed-$group"
  done
}

# Have sh start the programs of .venv whose first line no kernel reads, for the folder's name has a space or is long.
# pip does so with most of them, but not with aws and awslocal.
start_by_sh() {
  local file first
  while read -r file; do
    first=$(head -n 1 "$file")
    {
      printf "#!/bin/sh\n'''exec' \"%s\" \"\$0\" \"\$@\"\n' '''\n" "${first#\#!}"
      tail -n +2 "$file"
    } >.venv/program
    cat .venv/program >"$file" # which stays executable
    rm .venv/program
  done < <(grep -slE '^#!(/.* .*|/.{120,})/bin/python[0-9.]*$' .venv/bin/*)
}

requirements() { .venv/bin/python -m stack.commands.requirements "$@"; }

# Make .venv, with a mark in it from the start: without the mark it is somebody's own, and is left as it is.
make_venv() {
  local mark=.venv/made-by-these-scripts
  if [ -e .venv ] || [ -L .venv ]; then
    [ -e "$mark" ] || die ".venv was not made by these scripts, and has no Python 3.11 or newer that runs: move it away (mv .venv .venv.old) and try again"
    rm -rf .venv
  fi
  say "making .venv with $("$python" --version)"
  mkdir .venv
  touch "$mark"
  "$python" -m venv .venv || { rm -rf .venv; die "$python -m venv failed: on Debian or Ubuntu, apt-get install python3-venv"; }
  python=.venv/bin/python
}

# Add pip to a .venv that was made without it, as uv does.
add_pip() {
  say "adding pip to .venv"
  .venv/bin/python -m ensurepip >/dev/null 2>&1 ||
    die ".venv has no pip, and its Python cannot add it: add it (uv pip install --python .venv pip), or move .venv away, and try again"
}

# run_module MODULE [ARGUMENT...]: go on as a module of the stack, with the settings and the packages that it needs.
run_module() {
  find_python
  load_settings
  need dev
  exec .venv/bin/python -m "$@"
}
