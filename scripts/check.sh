#!/usr/bin/env bash
# Report what ruff, mypy, shellcheck and the schema of workflows find: scripts/check.sh

source "$(dirname "$0")/lib/common.sh"
help_if_asked "$@"
no_arguments "$@"
find_python
need embedded dev test browser check
PATH=$PWD/.venv/bin:$PATH

say "ruff"
ruff check .
ruff format --check .
say "mypy"
# Lambda puts each function's folder on the path, where two handlers would be one module: a function with
# modules beside its handler gets a call of its own.
several=
exclude=nothing
for folder in lambdas/*/; do
  if [ -f "$folder/handler.py" ] && [ "$(find "$folder" -name '*.py' | wc -l)" -gt 1 ]; then
    several="$several $folder" exclude="$exclude|$folder"
  fi
done
MYPYPATH=.:tests:lambdas mypy --explicit-package-bases --exclude "^($exclude)" stack scripts/*.py tests bench lambdas
for folder in $several; do
  MYPYPATH=lambdas mypy "$folder"
done
say "shellcheck"
shellcheck --external-sources --source-path=SCRIPTDIR scripts/*.sh scripts/lib/*.sh init/*/*.sh bench/*.sh tests/*.sh tests/*/*.sh .ci/run
say "CI's workflow"
check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
say "all clean"
