#!/usr/bin/env bash
# Report what ruff, mypy, shellcheck and the schema of workflows find: scripts/check.sh

source "$(dirname "$0")/lib/common.sh"
help_if_asked "$@"
no_arguments "$@"
find_python
need embedded dev test check
PATH=$PWD/.venv/bin:$PATH

say "ruff"
ruff check .
ruff format --check .
say "mypy"
MYPYPATH=.:tests mypy --explicit-package-bases stack scripts/*.py tests bench/*.py
for handler in lambdas/*/handler.py; do # each as Lambda sees it: its folder, and lambdas/ for common
  MYPYPATH=lambdas mypy "$(dirname "$handler")"
done
say "shellcheck"
shellcheck --external-sources --source-path=SCRIPTDIR scripts/*.sh scripts/lib/*.sh init/*/*.sh bench/*.sh tests/*/*.sh .ci/run
say "CI's workflow"
check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
say "all clean"
